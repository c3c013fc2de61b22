"""The calls of one Kraken key within the gateway: how many may wait, for how long, and that each comes to its end."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.errors import LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.key.lane import Lane

__all__ = ["Closed", "Full", "KeyQueue", "TooLong"]

R = TypeVar("R")


class Closed(Exception):
    """The gateway is stopping."""

    def __str__(self) -> str:
        return "the gateway is stopping; try again when it is back"


class Full(Exception):
    """As many are waiting as may."""

    def __str__(self) -> str:
        return "too many calls wait for this Kraken key"


class TooLong(Exception):
    """The turn did not come in time."""

    def __str__(self) -> str:
        return "the turn did not come in time"


class KeyQueue:
    """The calls of one Kraken key, one at a time, in the key's lane: the urgent first.

    Args:
        lane: Returns the key's lane, as ``manager.lane`` does; called with ``timeout`` and ``urgent``.
        length: How many may wait.
        max_wait: Seconds that each waits at most.
        on_turn: Called with the seconds that a call has waited, and with those that it has held the turn.
    """

    def __init__(
        self, lane: Callable[..., Lane], length: int, max_wait: float, on_turn: Callable[[float, float], None]
    ) -> None:
        self._lane = lane
        self._length = length
        self._max_wait = max_wait
        self._on_turn = on_turn
        self._waiting: dict[asyncio.Task[Any], bool] = {}  # the calls that wait, and whether they are urgent
        self._begun: asyncio.Task[Any] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def urgent(self) -> int:
        """How many of those who wait are cancels."""
        return sum(self._waiting.values())

    @property
    def busy(self) -> bool:
        """Whether a call has the turn."""
        return self._begun is not None

    @property
    def turn(self) -> str:
        """Who has the turn, in words. Another process is seen when somebody waits for it here."""
        if self.busy:
            return "a call of this gateway"
        return self._lane().holder() if len(self) else "free"

    async def run(self, job: Callable[[], Awaitable[R]], *, urgent: bool) -> R:
        """Make the call *job* in its turn and return its result.

        Whoever is cancelled while waiting leaves the queue; a call that has begun goes on to its end.

        Raises:
            Full: Too many are waiting already; nothing was sent.
            TooLong: The turn did not come in time; nothing was sent.
            Closed: The gateway was stopped meanwhile; nothing was sent.
        """
        if len(self) >= self._length:
            raise Full
        call = asyncio.create_task(self._call(job, urgent))
        self._waiting[call] = urgent
        ended = asyncio.get_running_loop().create_future()
        call.add_done_callback(partial(self._end, ended))
        try:
            await ended
        except asyncio.CancelledError:
            if self._waiting.pop(call, None) is not None:
                call.cancel()
            raise
        if call.cancelled():
            raise Closed
        return call.result()

    async def close(self) -> None:
        """Refuse those who wait, and let the one that has the turn come to its end."""
        for call in self._waiting:
            call.cancel()
        if self._begun is not None:
            await asyncio.wait([self._begun])

    async def _call(self, job: Callable[[], Awaitable[R]], urgent: bool) -> R:
        """Take the turn, and hold it until the call is over, whoever hangs up."""
        asked = time.monotonic()
        me: Any = asyncio.current_task()
        try:
            async with self._lane(timeout=self._max_wait, urgent=urgent):
                del self._waiting[me]
                begun, self._begun = time.monotonic(), me
                try:
                    return await job()
                finally:
                    self._begun = None
                    self._on_turn(begun - asked, time.monotonic() - begun)
        except LaneTimeout:
            if me not in self._waiting:
                raise  # the job's
            raise TooLong from None

    def _end(self, ended: asyncio.Future[None], call: asyncio.Task[Any]) -> None:
        self._waiting.pop(call, None)
        if not ended.done():
            ended.set_result(None)
        if not call.cancelled():
            call.exception()  # it counts as seen, for its client may have hung up
