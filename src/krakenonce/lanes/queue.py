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
from typing import TYPE_CHECKING, Any

from ..errors import LaneError, LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..stores.protocol import Gate

__all__ = ["LaneQueue", "current_owner", "refuse_interrupter"]


def current_owner() -> object:
    """Who is asking: the running asyncio task, else the thread."""
    loop = _running_loop()
    task = None if loop is None else sys.modules["asyncio"].current_task(loop)
    return threading.get_ident() if task is None else task


def _running_loop() -> Any:
    """The event loop that is running in this thread, if any; does not import asyncio."""
    events = sys.modules.get("asyncio.events")
    ask = getattr(events, "_get_running_loop", None)  # None while another thread is still importing asyncio
    return ask() if ask else None


def refuse_interrupter(mutex: Any) -> None:
    """Raise LaneError for a signal handler whose thread has this RLock: it came in the middle, and must not go on."""
    if mutex._is_owned():
        raise LaneError(
            "a lane was asked for by a signal handler that interrupted one in the same thread; "
            "let the handler set a flag instead"
        )


def _seconds(timeout: float | None) -> float | None:
    """What the threading and asyncio modules take for *timeout*."""
    return None if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)


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

    _owner: object  # the thread or task whose turn it is
    _depth: int  # how often it has entered
    _waiting: deque[_Waiter]
    _fetching: bool  # whether somebody waits for the gate
    _helper: threading.Thread | None

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self._gate = gate
        self._inherited: tuple[object, int] = (None, 0)
        self._reset()
        _queues.add(self)

    def holder(self) -> str:
        """Return who holds the gate, in words; once it is free, who held it last."""
        return self._gate.holder()

    def acquire(self, timeout: float | None) -> None:
        """Wait for the turn as a thread. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: Waiting here would block the event loop for a task that is before us, or this thread, in a signal
                handler, for itself.
        """
        refuse_interrupter(self._mutex)
        bell = threading.Lock()
        bell.acquire()
        waiter = _Waiter(current_owner(), bell.release, fetches=timeout is None)
        try:
            if self._enter_or_line_up(waiter, blocks_loop=True):
                return
            seconds = _seconds(timeout)
            bell.acquire(timeout=-1 if seconds is None else seconds)
            if waiter.must_fetch:
                self._fetch()
            self._check(waiter, timeout)
        except BaseException:
            self._give_up(waiter)
            raise

    async def acquire_async(self, timeout: float | None) -> None:
        """Wait for the turn as a task, without blocking the loop. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: This thread entered the lane before it started the event loop.
        """
        refuse_interrupter(self._mutex)
        import asyncio

        loop = asyncio.get_running_loop()
        bell = loop.create_future()

        def ring() -> None:
            loop.call_soon_threadsafe(lambda: None if bell.done() else bell.set_result(None))

        waiter = _Waiter(current_owner(), ring, fetches=False)
        try:
            if self._enter_or_line_up(waiter, blocks_loop=False):
                return
            await asyncio.wait([bell], timeout=_seconds(timeout))
            self._check(waiter, timeout)
        except BaseException:
            self._give_up(waiter)
            raise

    def release(self) -> None:
        """Give the turn back, once for each time it was taken.

        Raises:
            LaneError: The caller does not hold it.
        """
        refuse_interrupter(self._mutex)
        owner = current_owner()
        with self._mutex:
            if self._owner == owner and owner is not None:
                self._leave()
                return
            inherited, depth = self._inherited
            if inherited == owner and depth:  # leaving a block that the parent process entered before the fork
                self._inherited = (inherited, depth - 1)
                return
        raise LaneError(f"lane {self.name} is not held by this thread or task, so it cannot be released by it")

    def _enter_or_line_up(self, waiter: _Waiter, *, blocks_loop: bool) -> bool:
        with self._mutex:
            if self._enter(waiter):
                return True
            self._refuse_deadlock(waiter.owner, blocks_loop=blocks_loop)
            self._waiting.append(waiter)
            self._send_for_gate()
            return False

    def _enter(self, waiter: _Waiter) -> bool:
        """Take the turn if that needs no waiting: held already, or free with nobody in line."""
        if self._owner == waiter.owner:
            self._depth += 1
            waiter.granted = True
            return True
        if self._owner is not None or self._waiting or self._fetching or not self._gate.try_acquire():
            return False
        self._give_to(waiter)
        return True

    def _give_to(self, waiter: _Waiter) -> None:
        self._owner, self._depth = waiter.owner, 1
        waiter.granted = True
        _held.add(self)

    def _send_for_gate(self) -> None:
        """See to it that somebody fetches the gate, if it is needed and nobody does."""
        while self._owner is None and not self._fetching and self._waiting:
            first = self._waiting[0]
            if first.fetches:
                self._fetching = first.must_fetch = True
                first.wake()
            else:
                self._start_helper()

    def _start_helper(self) -> None:
        try:
            self._fetching = True
            self._helper = threading.Thread(target=self._fetch_for_others, name=f"lane {self.name}", daemon=True)
            self._helper.start()
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            self._fail_first(LaneError(f"nothing can wait for lane {self.name}: {error}"))
        except BaseException:  # a signal: should the thread run all the same, it will see that it is not wanted
            self._helper, self._fetching = None, False
            raise

    def _fetch(self) -> None:
        """Wait for the gate, then give the turn to the first in line.

        Always by way of the kernel's queue: a quick second try right after a release would overtake the processes
        which the kernel has just woken.
        """
        self._gate.acquire()
        with self._mutex:
            self._fetching = False
            self._grant()

    def _fetch_for_others(self) -> None:
        with self._mutex:
            if self._helper is not threading.current_thread():
                return
        try:
            self._fetch()
        except BaseException as error:
            with self._mutex:
                self._fail_first(error)
                self._settle()

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
            self._give_to(waiter)
            return
        self._gate.release()

    def _leave(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            _held.discard(self)
            self._settle()

    def _settle(self) -> None:
        """With no owner, the gate goes back to the other processes, and somebody is sent for it if it is needed."""
        if self._owner is None and not self._fetching:
            self._gate.release()
            self._send_for_gate()

    def _check(self, waiter: _Waiter, timeout: float | None) -> None:
        """After waiting: return if the turn has come, even at the last moment, else raise."""
        with self._mutex:
            if waiter.granted:
                return
            if waiter.error is not None:
                raise waiter.error
            holder = self._gate.holder()
        raise LaneTimeout(f"lane {self.name} was not free within {timeout:g} s: {holder}")

    def _give_up(self, waiter: _Waiter) -> None:
        """Give back the turn if it was granted, leave the line, and leave the gate to whoever comes next."""
        with self._mutex:
            if waiter.granted:
                self._leave()
                return
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                if waiter.must_fetch:
                    self._fetching = False
            self._settle()

    def _refuse_deadlock(self, asking: object, *, blocks_loop: bool) -> None:
        if any(waiter.owner == asking for waiter in self._waiting):
            raise LaneError(f"a signal handler interrupted the wait for lane {self.name}, and would wait behind it")
        loop = _running_loop()
        if loop is None:
            return
        if self._owner == threading.get_ident():
            raise LaneError(f"lane {self.name} is held by this thread since before it started its event loop")
        before_us: list[Any] = [self._owner, *(waiter.owner for waiter in self._waiting)]
        if blocks_loop and any(hasattr(owner, "get_loop") and owner.get_loop() is loop for owner in before_us):
            raise LaneError(
                f"lane {self.name} is taken by a task of this event loop, which cannot go on while `with` waits here: "
                "use `async with`"
            )

    def _reset(self) -> None:
        self._mutex = threading.RLock()
        self._owner, self._depth = None, 0
        self._waiting = deque()
        self._fetching = False
        self._helper = None

    def _after_fork(self) -> None:
        """In the child: the turn and the places in line are the parent's."""
        if self._owner is not None:
            thread = threading.get_ident()  # also if a task held it: the child has no running event loop
            mine = self._owner == thread or not isinstance(self._owner, int)
            before = self._inherited[1] if self._inherited[0] == thread else 0
            self._inherited = (thread, before + self._depth) if mine else (None, 0)
        self._gate.abandon()
        self._reset()


def _after_fork_in_child() -> None:
    _held.clear()
    for queue in list(_queues):
        queue._after_fork()


_held: set[LaneQueue] = set()  # keeps a queue while its turn is taken, also if nobody else remembers it
_queues: weakref.WeakSet[LaneQueue] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
