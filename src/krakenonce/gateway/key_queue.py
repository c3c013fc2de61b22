"""Who is next on one Kraken key, within the gateway: cancels before the rest, first come first served among equals."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.lanes import Lane

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


class _Waiting(Generic[R]):
    __slots__ = ("done", "job", "since", "started")

    def __init__(self, job: Callable[[], Awaitable[R]], loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.done: asyncio.Future[R] = loop.create_future()
        self.since = time.monotonic()
        self.started = asyncio.Event()


class KeyQueue:
    """The calls of one Kraken key, one at a time, in the key's lane.

    Args:
        lane: Returns the key's lane.
        length: How many may wait.
        patience: Seconds that each waits at most.
        on_turn: Called with the seconds that a call has waited, and with those that it has held the turn.
    """

    def __init__(
        self, lane: Callable[[], Lane], length: int, patience: float, on_turn: Callable[[float, float], None]
    ) -> None:
        self._lane = lane
        self._length = length
        self._patience = patience
        self._on_turn = on_turn
        self._urgent: deque[_Waiting[Any]] = deque()
        self._others: deque[_Waiting[Any]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.busy = False  # whether a call has the turn

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    @property
    def urgent(self) -> int:
        """How many of those who wait are cancels."""
        return len(self._urgent)

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
        waiting: _Waiting[R] = _Waiting(job, asyncio.get_running_loop())
        queue = self._urgent if urgent else self._others
        queue.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(self._patience):
                await waiting.started.wait()
        except TimeoutError:
            if not waiting.started.is_set():
                queue.remove(waiting)
                raise TooLong from None
        except asyncio.CancelledError:
            if not waiting.started.is_set():
                queue.remove(waiting)
            raise
        return await asyncio.shield(waiting.done)

    async def close(self) -> None:
        """Refuse those who wait, and let the one that has the turn come to its end."""
        while len(self):
            self._fail(self._next(), Closed())
        if self._worker is not None:
            if not self.busy:
                self._worker.cancel()  # it waits for another process's turn to end
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while len(self):
            try:
                async with self._lane():
                    await self._turn()
            except Exception as error:  # the lane cannot be had: the next in line has to hear of it
                if len(self):
                    self._fail(self._next(), error)

    async def _turn(self) -> None:
        """Make the call of whoever is first now that the lane is ours; nobody may be left."""
        if not len(self):
            return
        waiting = self._next()
        begun = time.monotonic()
        self.busy = True
        waiting.started.set()
        try:
            result = await waiting.job()
        except Exception as error:  # whatever it is, it belongs to the one who waits for it
            self._fail(waiting, error)
        else:
            if not waiting.done.done():
                waiting.done.set_result(result)
        finally:
            self.busy = False
            self._on_turn(begun - waiting.since, time.monotonic() - begun)

    def _next(self) -> _Waiting[Any]:
        return (self._urgent or self._others).popleft()

    @staticmethod
    def _fail(waiting: _Waiting[Any], error: BaseException) -> None:
        waiting.started.set()
        if not waiting.done.done():
            waiting.done.set_exception(error)
            waiting.done.exception()  # it may be that nobody waits for it any more
