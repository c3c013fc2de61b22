"""Whose turn it is within this process: one queue for each lane, for threads, tasks and greenlets together.

The first in the queue fetches the gate, which excludes the other processes. Only one thread at a time waits for the
gate in the kernel: the waiting thread itself, or a helper, for a task, a greenlet, or a thread with a timeout.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from krakenonce.errors import LaneError, LaneTimeout
from krakenonce.key.bells import bell_for_task, bell_for_thread, has_hub
from krakenonce.key.callers import current_owner, event_loop_name, has_ended, in_trio, is_stopped_by_us, running_loop
from krakenonce.key.queue_order import Turn, Waiter
from krakenonce.native import get_ident, start_new_thread
from krakenonce.process import Section

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Gate
    from krakenonce.key.queue_order import Do


# Called with a lane's name, seconds, and why, if a turn has not come in time, or took longer than LONG (why is empty).
Note: TypeAlias = Callable[[str, float, str], None]

LONG = 10.0  # seconds


class LaneQueue(Section):
    """Carries out what the table of :class:`Turn` asks for, for threads, tasks and greenlets.

    Args:
        name: The lane's name in messages; never an API key.
        gate: What excludes other processes.
        other: The queue of the same lane for calls that are not urgent; None: this one.
    """

    def __init__(self, name: str, gate: Gate, other: LaneQueue | None = None) -> None:
        self.name = name
        self.other = other
        self._gate = gate
        self._remote: Any = gate if hasattr(gate, "scope") else None
        self._keep: Callable[[], bool] | None = getattr(gate, "keep", None)
        self._is_not_used: Callable[[], None] | None = getattr(gate, "is_not_used", None)
        self._turn = Turn()
        self._inherited: list[object] = []  # threads, once for each block that they were in when they forked
        super().__init__(LaneError, "a lane was asked for")

    def holder(self) -> str:
        """Return, in words, which process holds the gate; once it is free, which one held it last."""
        return self._gate.holder()

    def acquire(
        self,
        timeout: float | None,
        urgent: bool = False,
        scope: Callable[[], str] | None = None,
        note: Note | None = None,
    ) -> None:
        """Wait for the turn as a thread or a greenlet. *timeout* in seconds; None waits for ever.

        *scope* returns the counter whose nonce is wanted, if that is known: it may come along with the turn. For *note*
        see :data:`Note`.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: Waiting here would block this thread for a task of its own that has a turn, or, in a signal
                handler, for itself. Or the caller cannot be told from the one that has this turn.
        """
        self.refuse_interrupter()
        waiter = Waiter(current_owner(), urgent, timeout is None and not has_hub(), scope)
        queue = self._home(waiter.owner)
        try:
            if not queue.ask(waiter, blocks_loop=True):
                began = monotonic()
                queue._wait(waiter, timeout)
                queue._tell(waiter, timeout, note, began)
        except BaseException:
            queue.give_up(waiter)
            raise

    def _wait(self, waiter: Waiter, timeout: float | None) -> None:
        bell = bell_for_thread()
        try:
            self.wake_by(bell.ring, waiter)
            while bell.wait(timeout) and not self._turn.has(waiter):
                if self._turn.fetcher is waiter:
                    self._fetch(waiter, bell.ring)
        finally:
            self.sleep_no_more(waiter)
            bell.close()

    async def acquire_async(
        self,
        timeout: float | None,
        urgent: bool = False,
        scope: Callable[[], str] | None = None,
        note: Note | None = None,
    ) -> None:
        """Wait for the turn as a task, without blocking the loop. Arguments: see :meth:`acquire`.

        Raises:
            LaneTimeout: The turn did not come in time.
            LaneError: This thread entered the lane before it started the event loop.
        """
        self.refuse_interrupter()
        waiter = Waiter(current_owner(), urgent, scope=scope)
        queue = self._home(waiter.owner)
        try:
            if queue.ask(waiter, blocks_loop=False):
                return
            bell, began = bell_for_task(), monotonic()
            queue.wake_by(bell.ring, waiter)
            await bell.wait(timeout)
            queue._tell(waiter, timeout, note, began)
        except BaseException:
            queue.give_up(waiter)
            raise

    def release(self) -> None:
        """Release the turn, once for each time it was taken.

        Raises:
            LaneError: The caller does not hold it.
        """
        self.refuse_interrupter()
        owner = current_owner()
        if not (self._leave(owner) or (self.other is not None and self.other._leave(owner))):
            raise LaneError(f"lane {self.name} is not held by this thread or task, so it cannot be released by it")

    def _leave(self, owner: object) -> bool:
        with self.lock:
            try:
                if self._turn.leave(owner):
                    self._settle()
                    return True
            except BaseException:  # an interrupt: the other callers still need the turn
                self._settle()
                raise
            if owner in self._inherited:  # it leaves a block that the parent process entered before the fork
                self._inherited.remove(owner)
                return True
        return False

    def is_held_by(self, owner: object) -> bool:
        """Whether *owner*, who is the caller, has the turn."""
        return any(turn.holder is not None and turn.holder.owner == owner for turn in self._turns())

    def _turns(self) -> tuple[Turn, ...]:
        return (self._turn,) if self.other is None else (self._turn, self.other._turn)

    def _home(self, owner: object) -> LaneQueue:
        """Return the queue in which the caller has the turn already, or else this one."""
        other = self.other
        return other if other is not None and (held := other._turn.holder) and held.owner == owner else self

    def ask(self, waiter: Waiter, *, blocks_loop: bool) -> bool:
        """Return whether *waiter* has the turn without waiting; else it is in the queue."""
        for queue in (self, self.other):
            while queue is not None and (holder := queue._turn.holder) is not None and has_ended(holder.owner):
                queue.give_up(holder)  # it cannot leave
        with self.lock:
            turn = self._turn
            self._refuse_mixed(waiter)
            _busy.add(self)
            # A loop does not wait for a server.
            if turn.ask(waiter) == "try" and (blocks_loop or self._remote is None) and self._try():
                turn.came()
                if turn.holder is None:  # its caller has got another turn meanwhile: the next one must not try, too
                    self._settle()
            if turn.holder is waiter:
                return True
            self._refuse_deadlock(waiter, blocks_loop=blocks_loop)
            return False

    def _again(self, due: Do) -> bool:
        """Let other processes have the gate; return whether nobody wants it and it is ours once more."""
        if self._keep is not None:
            return self._keep()
        self._gate.release()
        return due == "try" and self._remote is None and self._try()

    def _try(self) -> bool:
        self._expect_nonce()
        return self._gate.try_acquire()

    def _expect_nonce(self) -> None:
        """Tell the gate which nonce may come along."""
        if self._remote is not None:
            first = self._turn.first()
            find = first.scope if first is not None else None
            self._remote.scope = find() if find is not None else None

    def wake_by(self, ring: Callable[[], object], waiter: Waiter) -> None:
        """Call *ring* when it is *waiter*'s turn, which may be at once."""
        with self.lock:
            waiter.wake = ring
            self._settle()

    def sleep_no_more(self, waiter: Waiter) -> None:
        """From now on nobody wakes *waiter*."""
        with self.lock:
            waiter.wake = None

    def has(self, waiter: Waiter) -> bool:
        """Whether *waiter* has the turn."""
        return self._turn.holder is waiter

    def is_idle(self) -> bool:
        """Whether nobody in this process has the turn or waits for it."""
        return not (self._turn.holder or self._turn.fetcher or self._turn.waiting)

    @property
    def is_far(self) -> bool:
        """Whether the gate is at a server."""
        return self._remote is not None

    def _settle(self) -> None:
        """Do what is due. May be called at any time, and is called again after an interrupt."""
        turn = self._turn
        while due := turn.due():
            if due == "wake":
                self._wake(turn.holder or turn.fetcher)
                continue
            if due == "release":
                self._gate.release()
                _busy.discard(self)
                return
            try:
                if self._again(due):
                    turn.came()
                elif (first := turn.first()) is not None:
                    self._fetch_for(first)
            except Exception as error:  # the first cannot have the turn, but perhaps the next can
                self._wake(turn.failed(error))

    def _wake(self, waiter: Waiter | None) -> None:
        if waiter is not None and waiter.wake is not None:
            try:
                waiter.wake()
            except RuntimeError:  # its event loop is closed
                self._turn.give_up(waiter)
            waiter.wake = None

    def _fetch_for(self, first: Waiter) -> None:
        """Let the first in the queue wait for the gate in the kernel, or start a thread that waits for it."""
        if first.can_fetch:
            self._turn.fetch(first)
            return
        helper = Waiter(None)
        try:
            start_new_thread(self._fetch_for_others, (helper,))
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            raise LaneError(f"cannot start a thread to wait for lane {self.name}: {error}; nothing was sent") from error
        self._turn.fetch(helper)  # after an interrupt the thread may run all the same, but is not needed then

    def _fetch(self, fetcher: Waiter, ring: Callable[[], object] | None = None) -> None:
        """Wait for the gate, then give the turn to the first in the queue."""
        self._expect_nonce()
        self._gate.acquire()
        with self.lock:
            fetcher.wake = ring
            self._turn.came()
            if self._turn.holder is None and self._is_not_used is not None:
                self._is_not_used()
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

    def _tell(self, waiter: Waiter, timeout: float | None, note: Note | None, began: float) -> None:
        """Note a turn that took long. Raises LaneTimeout if it has not come, not even at the last moment."""
        seconds = monotonic() - began
        if self._turn.has(waiter):
            note_long(note, self.name, seconds)
            return
        why = f"lane {self.name} was not free within {timeout:g} s: {self._gate.holder()}"
        if timeout and note is not None:  # with 0 it only asks
            note(self.name, seconds, why)
        raise LaneTimeout(f"{why}; nothing was sent")

    def give_up(self, waiter: Waiter) -> None:
        """*waiter* neither waits for the turn nor has it any longer."""
        with self.lock:
            self._turn.give_up(waiter)
            self._settle()

    def _refuse_mixed(self, waiter: Waiter) -> None:
        """Raise LaneError if the caller may be another one than the holder, although their owner is the same."""
        holder = self._turn.holder
        if holder is None or holder.owner != waiter.owner or not isinstance(waiter.owner, int):
            return
        if library := event_loop_name():
            raise LaneError(
                f"lane {self.name} is held in this thread, where {library} runs, perhaps by another coroutine; nothing "
                "was sent; take the lane in a task (`async def` in asyncio or trio) or in a thread of its own"
            )

    def _refuse_deadlock(self, waiter: Waiter, *, blocks_loop: bool) -> None:
        turns, has_loop = self._turns(), running_loop() is not None or in_trio()
        if has_loop and any(turn.holder is not None and turn.holder.owner == get_ident() for turn in turns):
            raise LaneError(
                f"this thread took lane {self.name} before it started its event loop, so its tasks cannot get it"
            )
        if not blocks_loop:
            return
        if any(each.owner == waiter.owner and each.is_other(waiter) for turn in turns for each in turn.waiting):
            raise LaneError(
                f"a signal handler has interrupted this thread while it waited for lane {self.name}, "
                "so the handler cannot wait for it, too; let it set a flag instead"
            )
        if has_hub():
            return
        for queue in _busy.copy():
            if any(each.owner != waiter.owner and is_stopped_by_us(each.owner) for each in queue._turn.all()):
                raise LaneError(
                    f"a task of this {event_loop_name() or 'greenlet'} loop holds lane {queue.name} or waits for it, "
                    "and cannot continue while `with` blocks the loop; use `async with`"
                )

    def _after_fork(self) -> None:
        """Forget in the child the turn and the queue, which are the parent's."""
        super()._after_fork()
        if (holder := self._turn.holder) is not None:
            # If a task held it, this thread was running that task: the child has no running event loop.
            owner = holder.owner if isinstance(holder.owner, int) else get_ident()
            self._inherited += [owner] * holder.depth
        _busy.discard(self)
        self._gate.abandon()
        self._turn = Turn()


def note_long(note: Note | None, name: str, seconds: float) -> None:
    """Note a turn that has come, if it took long."""
    if seconds > LONG and note is not None:
        note(name, seconds, "")


def gates_in_hand() -> list[Gate]:
    """Return the gates of the lanes that the caller holds."""
    owner = current_owner()
    return [queue._gate for queue in _busy.copy() if (holder := queue._turn.holder) and holder.owner == owner]


_busy: set[LaneQueue] = set()  # those that have a caller: kept alive, even if nothing else refers to them
