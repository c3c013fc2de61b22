"""One Kraken key in the gateway: its queue, its numbers, its limits, and the request that goes to Kraken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import InvalidNonce, KrakenonceError, LockedOut, OutcomeUnknown, RateLimited
from krakenonce.gateway.key_queue import KeyQueue
from krakenonce.key.answers import refusal_in
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.kraken.calling import LOOK
from krakenonce.kraken.request import Key, Request
from krakenonce.kraken.wire import FORM, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.brokers.credentials import Account
    from krakenonce.errors import KrakenAPIError
    from krakenonce.gateway.client_call import ClientCall
    from krakenonce.key.limiter import Place
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.request import Answer
    from krakenonce.manager import NonceManager

__all__ = ["Forwarded", "KrakenKey"]

# What Kraken refused a call for -> a word for metrics; the first that fits.
_REASONS = ((InvalidNonce, "invalid nonce"), (LockedOut, "lockout"), (RateLimited, "rate limit"), (object, "other"))


class Forwarded(NamedTuple):
    """What Kraken answered.

    Args:
        answer: As it came.
        nonce: The nonce it was sent with.
        seconds: From sending to the end of the answer.
        refusal: What the answer says, if it is a refusal.
    """

    answer: Answer
    nonce: int
    seconds: float
    refusal: KrakenAPIError | None


class KrakenKey:
    """One account's key.

    Args:
        account: Its name, key, secret and tier.
        manager: Where numbers and turns come from.
        transport: Connections to Kraken.
        queue_length: How many calls may wait.
        max_wait: Seconds that each waits at most, for limits and for its turn.
        timeout: Seconds to wait for each piece of Kraken's answer.
        on_turn: Called with the seconds waited and held.
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
        on_turn: Callable[[float, float], None],
    ) -> None:
        self.account = account
        self.api_key = ApiKey(manager, account.key, TIERS.get(account.tier))
        self.queue = KeyQueue(self.api_key.turn, queue_length, max_wait, on_turn)
        self._key = Key(account.key, account.secret)
        self._manager = manager
        self._transport = transport
        self._max_wait = max_wait
        self._timeout = timeout
        self._closed = asyncio.Event()
        self.refused: Counter[str] = Counter()  # by Kraken, by reason

    @property
    def scope(self) -> str:
        """The counter that this key's nonces come from."""
        return self._manager.scope_of(self.account.key)

    def counters(self) -> dict[str, tuple[float, float]]:
        """Return each of Kraken's counters with its maximum; none if the account's tier has no limits."""
        levels, tier = self.api_key.levels(), self.api_key.tier
        return {"rest": (levels.rest, tier.rest_max), "engine": (levels.engine, tier.engine_max)} if tier else {}

    async def room(self, place: Place) -> None:
        """Wait until Kraken's limits have room for this call, or the gateway stops.

        Raises:
            LockedOut: The key is closed.
            RateLimited: It would take too long.
        """
        longest = self._max_wait
        while (wait := self.api_key.ask(place, longest)) > 0 and not self._closed.is_set():
            pause = min(wait, LOOK)
            longest -= pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closed.wait()

    async def close(self) -> None:
        """Let nobody wait any more, for limits or for the turn; the call that has the turn comes to its end."""
        self._closed.set()
        await self.queue.close()

    async def forward(self, place: Place, call: ClientCall) -> Forwarded:
        """Send a call with the next nonce, once, and act on Kraken's answer. To be called in the turn.

        Args:
            place: Its place in Kraken's limits.
            call: What the client has sent. Its nonce is replaced, and nothing else.

        Raises:
            LockedOut: The key has been closed meanwhile; nothing was sent.
            NonceError: There is no nonce to be had; nothing was sent.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer came.
        """
        nonce = self.api_key.nonce(place)
        try:
            body = call.with_nonce(nonce)
            headers = {
                "API-Key": self.account.key,
                "API-Sign": sign(call.path, nonce, body, self._key.secret()),
                "Content-Type": call.content_type or FORM,
                "User-Agent": "krakenonce-gateway",
            }
            begun = time.monotonic()
            answer = await self._transport.fetch(Request("POST", call.path, headers, body), self._timeout)
        except OutcomeUnknown:
            raise
        except KrakenonceError:
            self.api_key.not_sent(place)
            raise
        return Forwarded(answer, nonce, time.monotonic() - begun, self.settle(answer, place))

    def settle(self, answer: Answer, place: Place) -> KrakenAPIError | None:
        """Act on a refusal of Kraken's, for all callers of this key, and return it; None: it is none."""
        refusal = _refusal_in(answer)
        if refusal is not None:
            self.refused[next(reason for kind, reason in _REASONS if isinstance(refusal, kind))] += 1
            with contextlib.suppress(KrakenonceError):  # Kraken has answered, whatever becomes of our counters
                self.api_key.settle(place, refusal)
        return refusal


def _refusal_in(answer: Answer) -> KrakenAPIError | None:
    if answer.status != 200 or answer.data.startswith(b'{"error":[]'):
        return None
    try:
        reply = json.loads(answer.data)
    except (ValueError, RecursionError):  # a file, or a page of somebody else's
        return None
    return refusal_in(reply, time.time()) if isinstance(reply, dict) else None
