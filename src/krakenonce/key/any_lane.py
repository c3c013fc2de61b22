"""The first turn that comes of several lanes: those of one account's API keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from krakenonce.errors import KrakenonceError, LaneTimeout
from krakenonce.key.bells import bell_for_task, bell_for_thread
from krakenonce.key.callers import current_owner
from krakenonce.key.queue_order import Claim, Waiter
from krakenonce.key.waiting import note_long

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from krakenonce.key.lane import Lane
    from krakenonce.key.waiting import LaneQueue


class AnyLane:
    """Gives the turn of one of several lanes, with ``with`` or ``async with``: of the first in the list that is free.

    If none is free, the caller waits in all of them at once, and so in one line with all who do the same.

    Args:
        lanes: The lanes, at least one.
        timeout: Seconds to wait for a turn; None: wait for ever.

    Attributes:
        index: While a turn is held: the place of its lane in the list.
    """

    __slots__ = ("_lanes", "_timeout", "index")

    def __init__(self, lanes: Sequence[Lane], timeout: float | None = None) -> None:
        self._lanes = lanes
        self._timeout = timeout
        self.index = 0

    def __enter__(self) -> Self:
        if (one := self._alone()) is not None:
            one.__enter__()
            return self
        waiters = _Waiters(self._lanes)
        bell, began = None, time.monotonic()
        try:
            if not waiters.ask(blocks_loop=True):
                bell = bell_for_thread()
                until = None if self._timeout is None else began + self._timeout
                waiters.wake_by(bell.ring)
                while bell.wait(_left(until)) and not waiters.are_done():
                    pass
            self.index = waiters.leave_others(self._timeout, began)
        except BaseException:
            waiters.leave()
            raise
        finally:
            if bell is not None:
                waiters.sleep_no_more()
                bell.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes[self.index].release()

    async def __aenter__(self) -> Self:
        if (one := self._alone()) is not None:
            await one.__aenter__()
            return self
        waiters, began = _Waiters(self._lanes), time.monotonic()
        try:
            if not waiters.ask(blocks_loop=False):
                until = None if self._timeout is None else began + self._timeout
                while not waiters.are_done() and (until is None or time.monotonic() < until):
                    bell = bell_for_task()
                    waiters.wake_by(bell.ring)
                    await bell.wait(_left(until))
            self.index = waiters.leave_others(self._timeout, began)
        except BaseException:
            waiters.leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes[self.index].release()

    def _alone(self) -> Lane | None:
        """Return the only lane to ask: the caller has its turn already, or there is no other."""
        owner = current_owner()
        self.index = next((place for place, lane in enumerate(self._lanes) if lane.is_held_by(owner)), 0)
        one = self._lanes[self.index]
        return one if len(self._lanes) == 1 or one.is_held_by(owner) else None


class _Waiters:
    """What waits for one call, in each of some lanes."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        owner, claim = current_owner(), Claim()
        self._note = lanes[0]._note
        self._all = [
            (place, lane._queue, Waiter(owner, lane._urgent, scope=lane._scope, claim=claim))
            for place, lane in enumerate(lanes)
        ]

    def ask(self, *, blocks_loop: bool) -> bool:
        """Take the turn of a lane that is free, or wait in all; return whether a turn was free."""
        for _, queue, waiter in self._lanes_to_ask(blocks_loop=blocks_loop):
            try:
                if queue.ask(waiter, blocks_loop=blocks_loop):
                    return True
            except KrakenonceError as error:
                queue.give_up(waiter)
                waiter.error = error
        return False

    def _lanes_to_ask(self, *, blocks_loop: bool) -> list[tuple[int, LaneQueue, Waiter]]:
        """An event loop cannot try a turn at a server. There, a lane that nobody in this process uses has to do."""
        if not blocks_loop and self._all[0][1].is_far:
            self._all = [each for each in self._all if each[1].is_idle()][:1] or self._all
        return self._all

    def wake_by(self, ring: Callable[[], object]) -> None:
        """Call *ring* when a turn has come, or cannot come, which may be at once."""
        for _, queue, waiter in self._all:
            queue.wake_by(ring, waiter)
        if self.are_done():
            ring()

    def are_done(self) -> bool:
        """Whether a turn has come, or none can come."""
        return any(queue.has(waiter) for _, queue, waiter in self._all) or all(each.error for *_, each in self._all)

    def leave_others(self, timeout: float | None, began: float) -> int:
        """Return the place of the lane whose turn has come, and wait in the others no longer.

        Args:
            timeout: The seconds that were to be waited.
            began: When that began; a long wait is noted.

        Raises:
            LaneTimeout: None has come.
            KrakenonceError: None can come; this is the first one's reason.
        """
        seconds = time.monotonic() - began
        for won, queue, waiter in self._all:
            if queue.has(waiter):
                self.leave(won)
                note_long(self._note, queue.name, seconds)
                return won
        for *_, waiter in self._all:
            if waiter.error is not None:
                raise waiter.error
        first, count = self._all[0][1], len(self._all)
        why = f"none of the lanes of {count} API keys was free within {timeout:g} s; the first: {first.holder()}"
        if timeout and self._note is not None:
            self._note(first.name, seconds, why)
        raise LaneTimeout(f"{why}; nothing was sent")

    def leave(self, but: int | None = None) -> None:
        """Wait no longer, and give back the turn that has come; except in the lane at the place *but*."""
        for place, queue, waiter in self._all:
            if place != but:
                queue.give_up(waiter)

    def sleep_no_more(self) -> None:
        """From now on nothing rings."""
        for _, queue, waiter in self._all:
            queue.sleep_no_more(waiter)


def _left(until: float | None) -> float | None:
    return None if until is None else until - time.monotonic()
