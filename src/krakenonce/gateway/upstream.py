"""One Kraken key in the gateway: its nonces, its rate limits, and the request that goes to Kraken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from krakenonce.errors import InvalidNonce, KrakenError, KrakenonceError, OutcomeUnknown, RateLimited
from krakenonce.gateway.headers import signed
from krakenonce.gateway.health import KeyTroubles
from krakenonce.gateway.refusals import PAGE, reason_of
from krakenonce.key.answers import is_of_kraken, refusal_in, result_of
from krakenonce.key.api_key import ApiKey
from krakenonce.key.far import take
from krakenonce.key.naming import fingerprint
from krakenonce.kraken.finding import find, pair_name
from krakenonce.kraken.http_status import refuse_if_closed
from krakenonce.kraken.request import Key, PrivateCall, PublicCall, Request, read_answer
from krakenonce.kraken.wire import sign

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Mapping
    from typing import Any

    from krakenonce.errors import KrakenAPIError
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.key.counting import Place
    from krakenonce.key.limits import Tier
    from krakenonce.key.pair import KeyPair
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.finding import Found, Window
    from krakenonce.kraken.kraken_time import KrakenTime
    from krakenonce.kraken.request import Answer, Step, Steps
    from krakenonce.manager import NonceManager


_T = TypeVar("_T")
_COST = 4.0  # of a search, in the REST counter
_FINE = b'{"error":[]'  # how an answer with a result begins
_OF_KRAKEN = b'{"error"'  # how an answer of Kraken's API begins


class Forwarded(NamedTuple):
    """A call that Kraken has answered.

    Args:
        answer: The answer, unchanged.
        nonce: The nonce with which the call was sent.
        seconds: Seconds from sending to the end of the answer.
        refusal: Kraken's error, if the answer is one.
        doubt: Why the call may have been executed although the answer has no result; None: it was not, or there is one.
    """

    answer: Answer
    nonce: int
    seconds: float
    refusal: KrakenAPIError | None
    doubt: str | None


class KrakenKey:
    """One API key of an account.

    Args:
        pair: The key with its secret.
        tier: The account's rate limits; None: its calls are not counted.
        manager: Where nonces and turns come from.
        transport: Connections to Kraken.
        timeout: Seconds to wait for each piece of Kraken's answer.
        order_timeout: Seconds to wait for an answer when Kraken is asked what became of an order.

    Attributes:
        name: Its fingerprint.
        searching: Held by the one search that waits for the turn, or has it.
        refused: How many calls Kraken or what is in front of it has refused, by reason.
        troubles: Kraken's refusals of the key itself that are not over.
    """

    def __init__(
        self,
        pair: KeyPair,
        tier: Tier | None,
        manager: NonceManager,
        transport: AsyncTransport,
        *,
        timeout: float,
        order_timeout: float,
    ) -> None:
        self.api_key = ApiKey(manager, pair.key, tier)
        self.name = fingerprint(pair.key)
        self._key = Key(pair.key, pair.secret, pair.otp)
        self._manager = manager
        self._transport = transport
        self._timeout = timeout
        self._order_timeout = order_timeout
        self.searching = asyncio.Lock()
        self.refused: Counter[str] = Counter()
        self.troubles = KeyTroubles()

    @property
    def scope(self) -> str:
        """The counter that this key uses."""
        return self._manager.scope_of(self.api_key.key)

    @property
    def time(self) -> KrakenTime:
        """What time it is at Kraken."""
        return self._transport.time

    def counters(self) -> dict[str, tuple[float, float]]:
        """Return each of Kraken's rate counters with its maximum; none if the account's calls are not counted."""
        levels, tier = self.api_key.levels(), self.api_key.tier
        return {"rest": (levels.rest, tier.rest_max), "engine": (levels.engine, tier.engine_max)} if tier else {}

    async def ask(self, place: Place, longest: float) -> float:
        """Return the seconds until the rate limits allow a call, and keep its place. Raises as ``ApiKey.ask``."""
        return await self.take(partial(self.api_key.ask, place, longest))

    async def leave(self, place: Place) -> None:
        """Release the place of a call that was not sent. Does nothing if it was sent."""
        place.is_left = True
        if place.is_waiting:
            await self.take(partial(self.api_key.leave, place))

    async def issue(self) -> int:
        """Return the key's next nonce, for a client that keeps its calls in order itself. Raises NonceError."""
        return await self.take(self.api_key.next)

    async def take(self, step: Callable[[], _T]) -> _T:
        """Take a step of the state, for which the event loop does not wait if it is on a server."""
        return await take(self._manager.store, step)

    async def forward(
        self,
        place: Place,
        call: ClientCall,
        headers: dict[str, str],
        within: float | None = None,
        wait: Callable[[], Awaitable[None]] | None = None,
    ) -> Forwarded:
        """Send a call with the next nonce, once, and act on Kraken's answer. To be called in the turn.

        Args:
            place: Its place in the rate limit.
            call: What the client has sent. Its nonce is replaced, and nothing else.
            headers: The headers that are passed on.
            within: Seconds to wait for the whole answer; then the connection is closed. None: each piece has its time.
            wait: Called when the call is counted, before it is sent.

        Raises:
            LockedOut: The key was locked out meanwhile; nothing was sent.
            RateLimited: Kraken's address wants no calls yet; nothing was sent.
            NonceError: No nonce can be issued; nothing was sent.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer came.
        """
        refuse_if_closed(self._transport.host)
        nonce = await self.take(partial(self.api_key.nonce, place))
        try:
            body = call.with_nonce(nonce)
            if wait is not None:
                await wait()
            headers = signed(headers, self.api_key.key, sign(call.path, nonce, body, self._key.secret()))
            begun = time.monotonic()
            answer = await self._transport.fetch(Request("POST", call.path, headers, body), self._timeout, within)
        except KrakenonceError as error:
            if not isinstance(error, OutcomeUnknown):
                await self.take(partial(self.api_key.not_sent, place))
            raise
        seconds = time.monotonic() - begun
        refusal = await self.settle(answer, place)
        return Forwarded(answer, nonce, seconds, refusal, _doubt(answer, refusal, call.path, self._transport.host))

    async def look_for(
        self, order: Mapping[str, Any], window: Window, others: Container[str], *, is_first: bool
    ) -> Found:
        """Look for an order in Kraken's lists. To be called in the turn, like :meth:`forward`.

        The first private call has a nonce above that of the order. Once Kraken has accepted it, the order cannot be
        executed any more if it is still on its way (with a nonce window of 0).

        Args:
            order: The parameters with which it was sent.
            window: When it was opened.
            others: Kraken's ids of orders that are known to be others.
            is_first: Whether it is looked for the first time. Else half of the rate limit has to be free: for the next
                order whose answer is lost, and for cancels.

        Raises:
            KrakenonceError: Kraken could not be asked; nothing is known.
        """
        await self._refuse_if_over(1.0 if is_first else 0.5)
        steps = _find(order, window, others)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self.make(step))
        except StopIteration as end:
            found: Found = end.value
            return found

    async def make(self, step: Step) -> dict[str, Any]:
        """Make a call of the gateway's own in the turn. It is counted, and does not wait for the rate limit.

        A private call then has Kraken's refusal, if it was one.

        Raises:
            KrakenonceError: Kraken could not be asked.
        """
        await self._refuse_if_over(1.0, _COST)
        if isinstance(step, PublicCall):
            return await self._transport.send(step.request(), self._order_timeout)
        if not isinstance(step, PrivateCall):
            raise TypeError(step)
        place = self.api_key.place(step.method, step.params)
        await self.take(partial(self.api_key.count, place))
        try:
            request = step.request(self._key, await self.take(self.api_key.next), self.time.now())
            reply = await self._transport.send(request, self._order_timeout)
        except KrakenonceError as error:
            if not isinstance(error, OutcomeUnknown):
                await self.take(partial(self.api_key.not_sent, place))
            raise
        step.refusal = refusal_in(reply, self.time.now())
        if step.refusal is not None:
            self.troubles.refused(step.method, reason_of(step.refusal))
            await self.take(partial(self.api_key.settle, place, step.refusal))
        else:
            self.troubles.accepted(step.method)
        return reply

    async def _refuse_if_over(self, share: float, more: float = 0.0) -> None:
        """Raise RateLimited if the REST counter is at this share of its maximum, and *more*."""
        tier = self.api_key.tier
        if tier is not None and (await self.take(self.api_key.levels)).rest >= share * tier.rest_max + more:
            raise RateLimited("Not sent: the calls before this one have used up Kraken's rate limit.")

    async def settle(self, answer: Answer, place: Place) -> KrakenAPIError | None:
        """Act on Kraken's error, for all callers of this key, and return it. None: the answer is not an error."""
        refusal = refusal_of(answer)
        if refusal is not None:
            reason = reason_of(refusal)
            self.refused[reason] += 1
            self.troubles.refused(place.method, reason)
            # The client gets Kraken's answer even if our counters cannot be written.
            with contextlib.suppress(KrakenonceError):
                await self.take(partial(self.api_key.settle, place, refusal))
        elif answer.status != 200:  # all that Kraken's API answers has 200
            self.refused[PAGE] += 1
        elif answer.data.startswith(_OF_KRAKEN):
            self.troubles.accepted(place.method)
        return refusal


def _doubt(answer: Answer, refusal: KrakenAPIError | None, path: str, host: str) -> str | None:
    error: KrakenError | None = refusal
    if refusal is None:
        if answer.data.startswith(_FINE) and answer.status == 200:
            return None
        try:
            result_of(read_answer(Request("POST", path, {}, None), host, answer))
        except KrakenError as odd:
            error = odd
    # Invalid nonce: something on the way may have sent the call twice, and this is the second answer.
    in_doubt = error is not None and (error.may_have_executed != "no" or isinstance(error, InvalidNonce))
    if not in_doubt:
        return None
    if refusal is not None:
        return f"Kraken answered: {', '.join(refusal.errors)}."
    return f"{path} got HTTP status {answer.status} and a body that is not an answer of Kraken's API."


def _find(order: Mapping[str, Any], window: Window, others: Container[str]) -> Steps[Found]:
    pair = "" if order.get("cl_ord_id") else (yield from pair_name(_asked_publicly, order))
    return (yield from find(_asked_for, order, pair, window, others))


def _asked_for(method: str, params: Mapping[str, Any]) -> Steps[Any]:
    try:
        return result_of((yield PrivateCall(method, params)))
    except InvalidNonce:  # perhaps to a copy of this call that something on the way has made: the next nonce shows it
        return result_of((yield PrivateCall(method, params)))


def _asked_publicly(method: str, params: Mapping[str, Any]) -> Steps[Any]:
    try:
        return result_of((yield PublicCall(method, params)))
    except InvalidNonce as odd:  # it had none, so this says nothing about the key
        raise OutcomeUnknown(f"{method} was answered with a refused nonce, and had none.") from odd


def refusal_of(answer: Answer) -> KrakenAPIError | None:
    """Return Kraken's error, if an answer is one."""
    status = answer.status
    if not (status == 200 or 400 <= status < 500) or answer.data.startswith(_FINE):
        return None
    try:
        reply = json.loads(answer.data)
    except (ValueError, RecursionError):  # a file, or a page that is not Kraken's
        return None
    fine = isinstance(reply, dict) and (status == 200 or is_of_kraken(reply))
    return refusal_in(reply, time.time()) if fine else None
