"""One Kraken key in the gateway: its queue, its nonces, its rate limits, and the request that goes to Kraken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import InvalidNonce, KrakenonceError, LockedOut, OutcomeUnknown, RateLimited
from krakenonce.gateway.headers import signed
from krakenonce.gateway.waiting import KeyQueue, wait_while
from krakenonce.key.answers import is_of_kraken, refusal_in
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.kraken.http_status import closed_for, refuse_if_closed
from krakenonce.kraken.request import Key, Request
from krakenonce.kraken.wire import sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.brokers.credentials import Account
    from krakenonce.errors import KrakenAPIError
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.gateway.waiting import TurnDetails
    from krakenonce.key.counting import Place
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.request import Answer
    from krakenonce.manager import NonceManager


# Why Kraken has refused a call -> a word for metrics; the first that fits.
_REASONS = ((InvalidNonce, "invalid_nonce"), (LockedOut, "lockout"), (RateLimited, "rate_limit"), (object, "other"))


class Forwarded(NamedTuple):
    """A call that Kraken has answered.

    Args:
        answer: The answer, unchanged.
        nonce: The nonce with which the call was sent.
        seconds: Seconds from sending to the end of the answer.
        refusal: Kraken's error, if the answer is one.
    """

    answer: Answer
    nonce: int
    seconds: float
    refusal: KrakenAPIError | None


class KrakenKey:
    """One account's key.

    Args:
        account: Its name, key, secret and tier.
        manager: Where nonces and turns come from.
        transport: Connections to Kraken.
        queue_length: How many calls may wait.
        max_wait: Seconds that each may wait for the rate limit, and again for its turn.
        timeout: Seconds to wait for each piece of Kraken's answer.
        on_turn: Called after each turn.
    """

    def __init__(
        self,
        account: Account,
        manager: NonceManager,
        transport: AsyncTransport,
        *,
        queue_length: int,
        max_wait: float,
        timeout: float,
        on_turn: Callable[[TurnDetails], None],
    ) -> None:
        self.account = account
        self.api_key = ApiKey(manager, account.key, TIERS.get(account.tier))
        self.queue = KeyQueue(account.name, self.api_key.turn, queue_length, max_wait, on_turn)
        self._key = Key(account.key, account.secret)
        self._manager = manager
        self._transport = transport
        self._max_wait = max_wait
        self._timeout = timeout
        self._closed = asyncio.Event()
        self.refused: Counter[str] = Counter()  # by Kraken or what is in front of it, by reason

    @property
    def scope(self) -> str:
        """The counter that this key uses."""
        return self._manager.scope_of(self.account.key)

    def counters(self) -> dict[str, tuple[float, float]]:
        """Return each of Kraken's rate counters with its maximum; none if the account's calls are not counted."""
        levels, tier = self.api_key.levels(), self.api_key.tier
        return {"rest": (levels.rest, tier.rest_max), "engine": (levels.engine, tier.engine_max)} if tier else {}

    async def wait_for_rate_limit(self, place: Place) -> None:
        """Wait until Kraken's rate limits allow this call, or until the gateway stops.

        Raises:
            LockedOut: The key is locked out.
            RateLimited: It would take too long.
        """
        await wait_while(lambda longest: self._wait(place, longest), self._max_wait, self._closed)

    def _wait(self, place: Place, longest: float) -> float:
        """Return the seconds until the call may be sent. Raises LockedOut or RateLimited."""
        closed = closed_for(self._transport.host)
        if closed > longest:
            refuse_if_closed(self._transport.host)
        return max(self.api_key.ask(place, longest), closed)

    async def close(self) -> None:
        """Stop all waits, for the rate limit and for the turn. The call that has the turn comes to its end."""
        self._closed.set()
        await self.queue.close()

    async def forward(self, place: Place, call: ClientCall, headers: dict[str, str]) -> Forwarded:
        """Send a call with the next nonce, once, and act on Kraken's answer. To be called in the turn.

        Args:
            place: Its place in the rate limit.
            call: What the client has sent. Its nonce is replaced, and nothing else.
            headers: The headers that are passed on.

        Raises:
            LockedOut: The key was locked out meanwhile; nothing was sent.
            RateLimited: Kraken's address wants no calls yet; nothing was sent.
            NonceError: No nonce can be issued; nothing was sent.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer came.
        """
        refuse_if_closed(self._transport.host)
        nonce = self.api_key.nonce(place)
        try:
            body = call.with_nonce(nonce)
            headers = signed(headers, self.account.key, sign(call.path, nonce, body, self._key.secret()))
            begun = time.monotonic()
            answer = await self._transport.fetch(Request("POST", call.path, headers, body), self._timeout)
        except KrakenonceError as error:
            if not isinstance(error, OutcomeUnknown):
                self.api_key.not_sent(place)
            raise
        return Forwarded(answer, nonce, time.monotonic() - begun, self.settle(answer, place))

    def settle(self, answer: Answer, place: Place) -> KrakenAPIError | None:
        """Act on Kraken's error, for all callers of this key, and return it. None: the answer is not an error."""
        refusal = _refusal_in(answer)
        if refusal is not None:
            self.refused[next(reason for kind, reason in _REASONS if isinstance(refusal, kind))] += 1
            # The client gets Kraken's answer even if our counters cannot be written.
            with contextlib.suppress(KrakenonceError):
                self.api_key.settle(place, refusal)
        elif answer.status != 200:  # all that Kraken's API answers has 200
            self.refused["page"] += 1
        return refusal


def _refusal_in(answer: Answer) -> KrakenAPIError | None:
    status = answer.status
    if not (status == 200 or 400 <= status < 500) or answer.data.startswith(b'{"error":[]'):
        return None
    try:
        reply = json.loads(answer.data)
    except (ValueError, RecursionError):  # a file, or a page that is not Kraken's
        return None
    fine = isinstance(reply, dict) and (status == 200 or is_of_kraken(reply))
    return refusal_in(reply, time.time()) if fine else None
