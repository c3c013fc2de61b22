"""Whose turn it is within this process: one queue per lane for its threads and its asyncio tasks together.

The queue's first in line fetches the gate, which keeps the other processes out. Only one thread at a time waits for
the gate in the kernel: the waiting thread itself, or, for a task or a thread that may run out of time, a helper.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from ..clock import SystemClock
from ..errors import LaneError, LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Gate", "LaneQueue", "OwnGate", "current_owner"]


class Gate(Protocol):
    """What stands between this process and the others."""

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        ...

    def acquire(self) -> None:
        """Wait until the gate is ours."""
        ...

    def release(self) -> None:
        """Let the next process in. Harmless if it is not held."""
        ...

    def holder(self) -> str:
        """Who holds it and since when, in words."""
        ...

    def abandon(self) -> None:
        """Forget about it in a forked child, leaving the parent's hold alone."""
        ...


class OwnGate:
    """The gate of a lane that no other process knows: always free."""

    _since = 0

    def try_acquire(self) -> bool:
        """Always."""
        self._since = SystemClock.boot_ns()
        return True

    def acquire(self) -> None:
        """At once."""
        self.try_acquire()

    def release(self) -> None:
        """Nothing to do."""

    def holder(self) -> str:
        """This process, since."""
        return f"process {os.getpid()} has held it for {(SystemClock.boot_ns() - self._since) / 1e9:.1f} s"

    def abandon(self) -> None:
        """Nothing to do."""


def current_owner() -> object:
    """Who is asking: the running asyncio task, else the thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
        if task is not None:
            return task
    return threading.get_ident()


class _Waiter:
    """One place in the queue."""

    __slots__ = ("error", "fetches", "granted", "must_fetch", "owner", "wake")

    def __init__(self, owner: object, wake: Callable[[], None], *, fetches: bool) -> None:
        self.owner = owner
        self.wake = wake
        self.fetches = fetches  # it can wait for the gate itself, for it has all the time in the world
        self.must_fetch = False
        self.granted = False
        self.error: BaseException | None = None


class LaneQueue:
    """First come, first served; re-entrant for the thread or task that holds the turn.

    Args:
        name: What messages call the lane; never an API key.
        gate: What keeps other processes out.
    """

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self._gate = gate
        self._inherited: tuple[object, int] = (None, 0)
        self._owner: object = None
        self._depth = 0
        self._fetching = False
        self._reset()
        _queues.add(self)

    def __repr__(self) -> str:
        return f"LaneQueue({self.name!r}, held={self._owner is not None}, waiting={len(self._waiting)})"

    def acquire(self, timeout: float | None) -> None:
        """Wait for the turn as a thread. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: Waiting here would block the event loop for a task that is before us.
        """
        owner = current_owner()
        bell = threading.Lock()
        bell.acquire()
        with self._mutex:
            if self._enter(owner):
                return
            self._refuse_to_block_the_loop()
            waiter = self._line_up(_Waiter(owner, bell.release, fetches=timeout is None))
        try:
            rung = bell.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX))
            if waiter.must_fetch:
                self._fetch()
        except BaseException:
            self._give_up(waiter)
            raise
        self._check(waiter, timeout, rung=rung)

    async def acquire_async(self, timeout: float | None) -> None:
        """Wait for the turn as a task, without blocking the loop. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
        """
        import asyncio

        owner = current_owner()
        loop = asyncio.get_running_loop()
        bell = loop.create_future()

        def ring() -> None:
            loop.call_soon_threadsafe(lambda: None if bell.done() else bell.set_result(None))

        with self._mutex:
            if self._enter(owner):
                return
            waiter = self._line_up(_Waiter(owner, ring, fetches=False))
        try:
            done, _ = await asyncio.wait([bell], timeout=timeout)
        except BaseException:
            self._give_up(waiter)
            raise
        self._check(waiter, timeout, rung=bool(done))

    def release(self) -> None:
        """Give the turn back, once for each time it was taken.

        Raises:
            LaneError: The caller does not hold it.
        """
        owner = current_owner()
        with self._mutex:
            if self._owner == owner and owner is not None:
                self._depth -= 1
                if not self._depth:
                    self._hand_on()
                return
            inherited, depth = self._inherited
            if inherited == owner and depth:  # leaving a block that the parent process entered before the fork
                self._inherited = (inherited, depth - 1)
                return
        raise LaneError(f"lane {self.name} is not held by this thread or task, so it cannot be released by it")

    def _enter(self, owner: object) -> bool:
        """Take the turn if that needs no waiting: held already, or free with nobody in line."""
        if self._owner == owner:
            self._depth += 1
            return True
        if self._owner is not None or self._waiting or self._fetching or not self._gate.try_acquire():
            return False
        self._owner, self._depth = owner, 1
        return True

    def _line_up(self, waiter: _Waiter) -> _Waiter:
        self._waiting.append(waiter)
        self._send_for_gate()
        return waiter

    def _send_for_gate(self) -> None:
        """See to it that somebody fetches the gate, if it is needed and nobody does."""
        while self._owner is None and not self._fetching and self._waiting:
            first = self._waiting[0]
            self._fetching = True
            if first.fetches:
                first.must_fetch = True
                first.wake()
                return
            try:
                threading.Thread(target=self._fetch_for_others, name=f"lane {self.name}", daemon=True).start()
            except RuntimeError as error:  # no more threads, or the interpreter is shutting down
                self._fail_first(error)

    def _fetch(self) -> None:
        """Wait for the gate, then give the turn to the first in line.

        Always by way of the kernel's queue: a quick second try right after a release would overtake the processes
        which the kernel has just woken.
        """
        try:
            self._gate.acquire()
        except BaseException:
            self._gate.release()
            raise
        with self._mutex:
            self._fetching = False
            self._grant()

    def _fetch_for_others(self) -> None:
        try:
            self._fetch()
        except BaseException as error:
            with self._mutex:
                self._fail_first(error)
                self._send_for_gate()

    def _fail_first(self, error: BaseException) -> None:
        self._fetching = False
        if self._waiting:
            first = self._waiting.popleft()
            first.error = error
            with contextlib.suppress(RuntimeError):  # its event loop is closed
                first.wake()

    def _grant(self) -> None:
        """The gate is ours: the first in line who is still there gets the turn, else the gate goes back."""
        while self._waiting:
            waiter = self._waiting.popleft()
            try:
                waiter.wake()
            except RuntimeError:  # its event loop is closed
                continue
            waiter.granted = True
            self._owner, self._depth = waiter.owner, 1
            return
        self._gate.release()

    def _hand_on(self) -> None:
        self._owner, self._depth = None, 0
        self._gate.release()
        self._send_for_gate()

    def _check(self, waiter: _Waiter, timeout: float | None, *, rung: bool) -> None:
        """After waiting: return with the turn, or raise with nothing held."""
        if waiter.error is not None:
            raise waiter.error
        if rung or waiter.must_fetch:
            return
        holder = self._gate.holder()
        self._give_up(waiter)
        raise LaneTimeout(f"lane {self.name} was not free within {timeout:g} s: {holder}")

    def _give_up(self, waiter: _Waiter) -> None:
        """Leave the line, or give back a turn that came too late."""
        with self._mutex:
            if waiter.granted:
                self._hand_on()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                if waiter.must_fetch:
                    self._fetching = False
                    self._gate.release()
                self._send_for_gate()

    def _refuse_to_block_the_loop(self) -> None:
        asyncio = sys.modules.get("asyncio")
        loop = asyncio._get_running_loop() if asyncio else None
        if loop is None:
            return
        before_us: list[Any] = [self._owner, *(waiter.owner for waiter in self._waiting)]
        if any(hasattr(owner, "get_loop") and owner.get_loop() is loop for owner in before_us):
            raise LaneError(
                f"lane {self.name} is taken by a task of this event loop, which cannot go on while `with` waits here: "
                "use `async with`"
            )

    def _reset(self) -> None:
        self._mutex = threading.Lock()
        self._owner, self._depth = None, 0
        self._waiting: deque[_Waiter] = deque()
        self._fetching = False

    def _after_fork(self) -> None:
        """In the child: the turn and the places in line are the parent's."""
        self._inherited = (self._owner, self._depth)
        self._gate.abandon()
        self._reset()


def _after_fork_in_child() -> None:
    for queue in list(_queues):
        queue._after_fork()


_queues: weakref.WeakSet[LaneQueue] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
