"""One Kraken key in the gateway: its queue, its numbers, its limits, and the request that goes to Kraken."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import KrakenonceError, LockedOut, OutcomeUnknown, RateLimited
from krakenonce.gateway.body import with_nonce
from krakenonce.gateway.key_queue import KeyQueue
from krakenonce.kraken.calling import LOCKOUT, LOOK
from krakenonce.kraken.exchange import Key, Request
from krakenonce.kraken.limiter import Place
from krakenonce.kraken.limits import TIERS
from krakenonce.kraken.wire import FORM, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.credentials import Account
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.exchange import Answer
    from krakenonce.kraken.limiter import Limiter
    from krakenonce.manager import NonceManager

__all__ = ["Forwarded", "KrakenKey"]

_REFUSED = re.compile(rb'"error"\s*:\s*\[\s*"(E[^"]{0,100})')
_LOOKED_AT = 2000  # bytes of an answer in which Kraken's own refusals are looked for


class Forwarded(NamedTuple):
    """What Kraken answered.

    Args:
        answer: As it came.
        nonce: The number it was sent with.
        seconds: From sending to the end of the answer.
    """

    answer: Answer
    nonce: int
    seconds: float


class KrakenKey:
    """One account's key.

    Args:
        account: Its name, key, secret and tier.
        manager: Where numbers and turns come from.
        limiter: Kraken's limits, shared by the processes of this host.
        transport: Connections to Kraken.
        queue_length: How many calls may wait.
        patience: Seconds that each waits at most, for limits and for its turn.
        timeout: Seconds to wait for each piece of Kraken's answer.
        on_turn: Called with the seconds waited and held.
    """

    def __init__(
        self,
        account: Account,
        manager: NonceManager,
        limiter: Limiter,
        transport: AsyncTransport,
        *,
        queue_length: int,
        patience: float,
        timeout: float,
        on_turn: Callable[[float, float], None],
    ) -> None:
        self.account = account
        self.queue = KeyQueue(lambda: manager.lane(account.key), queue_length, patience, on_turn)
        self._key = Key(account.key, account.secret)
        self._manager = manager
        self._limiter = limiter
        self._tier = TIERS.get(account.tier)
        self._transport = transport
        self._patience = patience
        self._timeout = timeout
        self._scope: str | None = None
        self._closed = asyncio.Event()
        self.refused: Counter[str] = Counter()  # by Kraken, by reason

    @property
    def scope(self) -> str:
        """The counter that this key's numbers come from."""
        if self._scope is None:
            self._scope = self._manager.scope_of(self.account.key)
        return self._scope

    def take_nonce(self) -> int:
        """Return this key's next number, for somebody who sends by himself. Raises NonceError."""
        return self._manager.next(self.scope)

    def counters(self) -> dict[str, tuple[float, float]]:
        """Return each of Kraken's counters with its maximum; none if the account's tier has no limits."""
        if self._tier is None:
            return {}
        levels = self._limiter.levels(self.account.key, self._tier)
        return {"rest": (levels.rest, self._tier.rest_max), "engine": (levels.engine, self._tier.engine_max)}

    def locked_out(self) -> float:
        """Return the seconds until a lockout of this key ends; 0.0: there is none."""
        return self._limiter.locked_out(self.account.key)

    def place(self, method: str, params: Mapping[str, str]) -> Place:
        """Return a call's place in Kraken's limits; nothing is kept for it yet."""
        return Place(self.account.key, self._tier, method, params)

    def leave(self, place: Place) -> None:
        """Give the place of a call back that was not sent. To be called however the call ends."""
        self._limiter.leave(place)

    async def room(self, place: Place) -> None:
        """Wait until Kraken's limits have room for this call, or the gateway stops.

        Raises:
            LockedOut: The key is closed.
            RateLimited: It would take too long.
        """
        longest = self._patience
        while not self._closed.is_set():
            booking = self._limiter.book(place, longest)
            _refuse_if(booking.locked_out)
            if booking.wait > longest:
                raise RateLimited(f"Kraken's rate limit has room again in {booking.wait:.1f} s")
            if booking.wait <= 0:
                return
            pause = min(booking.wait, LOOK)
            longest -= pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closed.wait()

    async def close(self) -> None:
        """Let nobody wait any more, for limits or for the turn; the call that has the turn comes to its end."""
        self._closed.set()
        await self.queue.close()

    async def forward(self, place: Place, path: str, body: bytes, content_type: str) -> Forwarded:
        """Send a call with the next nonce, once. To be called in the turn.

        Args:
            place: Its place in Kraken's limits.
            path: The path with its query string, as the client sent it.
            body: The client's body, which has one nonce; it is replaced, and nothing else.
            content_type: The client's header.

        Raises:
            LockedOut: The key has been closed meanwhile; nothing was sent.
            NonceError: No number to be had; nothing was sent.
            RequestNotSent: No connection; nothing was sent.
            OutcomeUnknown: Sent, but no answer came.
        """
        _refuse_if(self._limiter.send(place))  # a call that was before this one in the queue may have been told so
        try:
            nonce = self.take_nonce()
            sent = with_nonce(body, content_type, nonce)
            headers = {
                "API-Key": self.account.key,
                "API-Sign": sign(path, nonce, sent, self._key.secret()),
                "Content-Type": content_type or FORM,
                "User-Agent": "krakenonce-gateway",
            }
            begun = time.monotonic()
            answer = await self._transport.fetch(Request("POST", path, headers, sent), self._timeout)
        except OutcomeUnknown:
            raise
        except KrakenonceError:
            self._limiter.not_sent(place)
            raise
        return Forwarded(answer, nonce, time.monotonic() - begun)

    def heed(self, answer: Answer, place: Place) -> str:
        """Act on a refusal of Kraken's, for all callers of this key, and return its words; empty: it is none."""
        start = answer.data[:_LOOKED_AT]
        refused = _REFUSED.search(start) if answer.status == 200 else None
        if refused is None:
            return ""
        reason = "other"
        if b"EAPI:Invalid nonce" in start:
            reason = "invalid nonce"
            self._scope = None  # it may have been adopted meanwhile
        elif b"EGeneral:Temporary lockout" in start:
            reason = "lockout"
            self._limiter.lock_out(self.account.key, LOCKOUT)
        elif b"Rate limit exceeded" in start:
            reason = "rate limit"
            self._limiter.refused(place)
        self.refused[reason] += 1
        return refused[1].decode("ascii", "replace")


def _refuse_if(locked_out: float) -> None:
    if locked_out > 0:
        raise LockedOut(f"Kraken has locked this key out; it is closed here for another {locked_out:.0f} s")
