"""Whose turn it is within this process: one queue for each lane, for threads and asyncio tasks together.

The first in the queue fetches the gate, which excludes the other processes. Only one thread at a time waits for the
gate in the kernel: the waiting thread itself, or a helper, for a task or for a thread with a timeout.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from krakenonce.errors import LaneError, LaneTimeout
from krakenonce.key.queue_order import Turn, Waiter
from krakenonce.process import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.protocol import Gate


def current_owner() -> object:
    """Return the caller: the running asyncio task, else the thread."""
    loop = _running_loop()
    task = None if loop is None else sys.modules["asyncio"].current_task(loop)
    return threading.get_ident() if task is None else task


def _running_loop() -> Any:
    """Return the event loop that is running in this thread, if any. Does not import asyncio."""
    events = sys.modules.get("asyncio.events")
    ask = getattr(events, "_get_running_loop", None)  # None while another thread is still importing asyncio
    return ask() if ask else None


def _seconds(timeout: float | None) -> float:
    """Return *timeout* as the threading and asyncio modules accept it; centuries for None."""
    return threading.TIMEOUT_MAX if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)


class LaneQueue(Section):
    """Carries out what the table of :class:`Turn` asks for, for threads and tasks.

    Args:
        name: The lane's name in messages; never an API key.
        gate: What excludes other processes.
    """

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self._gate = gate
        self._turn = Turn()
        self._inherited: list[object] = []  # threads, once for each block that they were in when they forked
        super().__init__(LaneError, "a lane was asked for")

    def holder(self) -> str:
        """Return, in words, which process holds the gate; once it is free, which one held it last."""
        return self._gate.holder()

    def acquire(self, timeout: float | None, urgent: bool = False) -> None:
        """Wait for the turn as a thread. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: Waiting here would block the event loop for a task before us, or this thread, in a signal
                handler, for itself.
        """
        self.refuse_interrupter()
        waiter = Waiter(current_owner(), urgent, can_fetch=timeout is None)
        try:
            if self._ask(waiter, blocks_loop=True):
                return
            bell = threading.Lock()
            bell.acquire()

            def ring() -> None:
                if bell.locked():
                    bell.release()

            self._wake_by(ring, waiter)
            while bell.acquire(timeout=_seconds(timeout)) and not self._turn.has(waiter):
                if self._turn.fetcher is waiter:
                    self._fetch(waiter, ring)
            self._check(waiter, timeout)
        except BaseException:
            self._give_up(waiter)
            raise

    async def acquire_async(self, timeout: float | None, urgent: bool = False) -> None:
        """Wait for the turn as a task, without blocking the loop. *timeout* in seconds; None waits for ever.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: This thread entered the lane before it started the event loop.
        """
        self.refuse_interrupter()
        waiter = Waiter(current_owner(), urgent)
        try:
            if self._ask(waiter, blocks_loop=False):
                return
            import asyncio

            loop, bell = asyncio.get_running_loop(), asyncio.Event()

            def ring() -> None:
                if _running_loop() is loop and asyncio.current_task(loop) is not None:
                    bell.set()  # the loop is awake, and no signal handler has interrupted its sleep
                else:
                    loop.call_soon_threadsafe(bell.set)

            timer = loop.call_later(_seconds(timeout), bell.set)
            try:
                self._wake_by(ring, waiter)
                await bell.wait()
            finally:
                timer.cancel()
            self._check(waiter, timeout)
        except BaseException:
            self._give_up(waiter)
            raise

    def release(self) -> None:
        """Release the turn, once for each time it was taken.

        Raises:
            LaneError: The caller does not hold it.
        """
        self.refuse_interrupter()
        owner = current_owner()
        with self.lock:
            try:
                if self._turn.leave(owner):
                    self._settle()
                    return
            except BaseException:  # an interrupt: the other callers still need the turn
                self._settle()
                raise
            if owner in self._inherited:  # it leaves a block that the parent process entered before the fork
                self._inherited.remove(owner)
                return
        raise LaneError(f"lane {self.name} is not held by this thread or task, so it cannot be released by it")

    def _ask(self, waiter: Waiter, *, blocks_loop: bool) -> bool:
        """Return whether *waiter* has the turn without waiting; else it is in the queue."""
        with self.lock:
            turn = self._turn
            if turn.ask(waiter) == "try" and self._gate.try_acquire():
                self._came()
            if turn.holder is waiter:
                return True
            self._refuse_deadlock(waiter, blocks_loop=blocks_loop)
            return False

    def _wake_by(self, ring: Callable[[], object], waiter: Waiter) -> None:
        """Call *ring* when it is *waiter*'s turn, which may be at once."""
        with self.lock:
            waiter.wake = ring
            self._settle()

    def _settle(self) -> None:
        """Do what is due. May be called at any time, and is called again after an interrupt."""
        turn = self._turn
        while due := turn.due():
            if due == "wake":
                self._wake(turn.holder or turn.fetcher)
                continue
            _held.discard(self)
            self._gate.release()
            if due == "release":
                return
            try:
                if due == "try" and self._gate.try_acquire():
                    self._came()
                else:
                    self._fetch_for(turn.waiting[0])
            except Exception as error:  # the first cannot have the turn, but perhaps the next can
                self._wake(turn.failed(error))

    def _wake(self, waiter: Waiter | None) -> None:
        if waiter is not None and waiter.wake is not None:
            try:
                waiter.wake()
            except RuntimeError:  # its event loop is closed
                self._turn.give_up(waiter)
            waiter.wake = None

    def _came(self) -> None:
        _held.add(self)
        self._turn.came()

    def _fetch_for(self, first: Waiter) -> None:
        """Let the first in the queue wait for the gate in the kernel, or start a thread that waits for it."""
        if first.can_fetch:
            self._turn.fetch(first)
            return
        helper = Waiter(None)
        thread = threading.Thread(target=self._fetch_for_others, args=(helper,), name=f"lane {self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            raise LaneError(f"cannot start a thread to wait for lane {self.name}: {error}; nothing was sent") from error
        self._turn.fetch(helper)  # after an interrupt the thread may run all the same, but is not needed then

    def _fetch(self, fetcher: Waiter, ring: Callable[[], object] | None = None) -> None:
        """Wait for the gate, then give the turn to the first in the queue."""
        self._gate.acquire()
        with self.lock:
            fetcher.wake = ring
            self._came()
            self._settle()

    def _fetch_for_others(self, helper: Waiter) -> None:
        with self.lock:
            if self._turn.fetcher is not helper:
                return
        try:
            self._fetch(helper)
        except BaseException as error:
            with self.lock:
                self._wake(self._turn.failed(error))
                self._settle()

    def _check(self, waiter: Waiter, timeout: float | None) -> None:
        if not self._turn.has(waiter):  # not even at the last moment
            raise LaneTimeout(
                f"lane {self.name} was not free within {timeout:g} s: {self._gate.holder()}; nothing was sent"
            )

    def _give_up(self, waiter: Waiter) -> None:
        with self.lock:
            self._turn.give_up(waiter)
            self._settle()

    def _refuse_deadlock(self, waiter: Waiter, *, blocks_loop: bool) -> None:
        turn, loop = self._turn, _running_loop()
        if loop is not None and turn.holder is not None and turn.holder.owner == threading.get_ident():
            raise LaneError(
                f"this thread took lane {self.name} before it started its event loop, so its tasks cannot get it"
            )
        if not blocks_loop:
            return
        if any(each.owner == waiter.owner and each is not waiter for each in turn.waiting):
            raise LaneError(
                f"a signal handler has interrupted this thread while it waited for lane {self.name}, "
                "so the handler cannot wait for it, too; let it set a flag instead"
            )
        owners: list[Any] = [each.owner for each in turn.before(waiter)]
        if loop is not None and any(hasattr(owner, "get_loop") and owner.get_loop() is loop for owner in owners):
            raise LaneError(
                f"a task of this event loop holds lane {self.name} or waits for it, and cannot continue while `with` "
                "blocks the loop; use `async with`"
            )

    def _after_fork(self) -> None:
        """Forget in the child the turn and the queue, which are the parent's."""
        super()._after_fork()
        if (holder := self._turn.holder) is not None:
            # If a task held it, this thread was running that task: the child has no running event loop.
            owner = holder.owner if isinstance(holder.owner, int) else threading.get_ident()
            self._inherited += [owner] * holder.depth
        _held.discard(self)
        self._gate.abandon()
        self._turn = Turn()


_held: set[LaneQueue] = set()  # keeps a queue alive while its turn is taken, even if nothing else refers to it
