"""The lane as users hold it: a context manager, sync and async."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Self

from krakenonce.backends.beginning import begin_or_refuse
from krakenonce.errors import LaneError
from krakenonce.key.naming import GLOBAL, fingerprint
from krakenonce.key.waiting import LaneQueue, gates_in_hand
from krakenonce.process import Section, may_stay_open
from krakenonce.shown import whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from krakenonce.backends import Backend
    from krakenonce.backends.protocol import Gate
    from krakenonce.key.waiting import Note


_FILES = 2  # of a lane


class Lane:
    """Gives a turn, with ``with`` or ``async with``. One caller at a time holds it, in the order in which they asked.

    Within a process an urgent caller goes before all that are not urgent.

    Re-entrant for the thread or task that holds it. It is released when the block ends, and by the kernel when the
    process dies.

    Args:
        queue: The queue to wait in.
        timeout: Seconds to wait for the turn; None: wait for ever.
        urgent: Whether to go before the callers of this process that are not urgent.
        scope: Returns the counter whose nonce is wanted first, if that is known: it may come along with the turn.
        note: See :data:`krakenonce.key.waiting.Note`.
    """

    __slots__ = ("_note", "_queue", "_scope", "_timeout", "_urgent")

    def __init__(
        self,
        queue: LaneQueue,
        timeout: float | None = None,
        urgent: bool = False,
        scope: Callable[[], str] | None = None,
        note: Note | None = None,
    ) -> None:
        self._note = note
        self._queue = queue
        self._scope = scope
        self._timeout = timeout
        self._urgent = urgent

    @whole
    def __repr__(self) -> str:
        return f"Lane({self.name!r})"

    @property
    def name(self) -> str:
        """``global``, or the fingerprint of the API key."""
        return self._queue.name

    def holder(self) -> str:
        """Return, in words, which process has the turn and for how long. When it is free: which one had it last."""
        return self._queue.holder()

    def is_held_by(self, owner: object) -> bool:
        """Whether this thread, task or greenlet, which is *owner*, has the turn."""
        return self._queue.is_held_by(owner)

    def acquire(self) -> None:
        """Wait for the turn.

        Raises:
            LaneTimeout: It did not come in time; the lane is not held.
            LaneError: Waiting here would block the event loop for a task before us, or this thread for itself.
            NonceStoreError: The lane's file cannot be used.
        """
        self._queue.acquire(self._timeout, self._urgent, self._scope, self._note)

    def release(self) -> None:
        """Release the turn. Raises LaneError if the caller does not hold it."""
        self._queue.release()

    def __enter__(self) -> Self:
        self._queue.acquire(self._timeout, self._urgent, self._scope, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.release()

    async def __aenter__(self) -> Self:
        await self._queue.acquire_async(self._timeout, self._urgent, self._scope, self._note)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.release()


def find_lane(
    backend: Backend,
    name: str,
    timeout: float | None = None,
    *,
    urgent: bool = False,
    scope: Callable[[], str] | None = None,
    note: Note | None = None,
) -> Lane:
    """Return the lane called *name*. All callers in a process share one queue. Opens nothing yet.

    Args:
        backend: What excludes other processes.
        name: An API key, or ``"global"``.
        timeout: As for :class:`Lane`.
        urgent: As for :class:`Lane`.
        scope: As for :class:`Lane`.
        note: As for :class:`Lane`.
    """
    if not (name and str(name) == name):
        raise LaneError(
            "the name of a lane must be an API key or 'global', not empty and not another type; is the API key set?"
        )
    label = name if name == GLOBAL else fingerprint(name)
    return lane_called(backend, label, timeout, urgent=urgent, scope=scope, note=note)


def lane_called(
    backend: Backend,
    label: str,
    timeout: float | None = None,
    *,
    urgent: bool = False,
    scope: Callable[[], str] | None = None,
    note: Note | None = None,
) -> Lane:
    """Return the lane that has this name in messages: ``global``, or a fingerprint. Else as :func:`find_lane`."""
    _registry.refuse_interrupter()
    with _registry.lock:
        gate = backend.gate(label)
        queue = _recent.pop(gate, None) or _queues.get(gate)
        if queue is None:
            if backend.gate(label) is not gate:
                raise LaneError(f"{type(backend).__name__}.gate() must return the same object for the same name")
            queue = _queues[gate] = LaneQueue(label, gate)
        _recent[gate] = queue
        while not may_stay_open(_FILES * len(_recent)):
            del _recent[next(iter(_recent))]
        if urgent and queue.other is None and (other := getattr(gate, "urgent", None)) is not None:
            queue.other = LaneQueue(label, other, queue)
    return Lane(queue.other if urgent and queue.other else queue, timeout, urgent, scope, note)


IN_TURN = "advance_in_turn"


class InTurns:
    """A backend whose nonces are taken in the turns that the caller has, or not at all.

    Args:
        backend: One with the method ``advance_in_turn``: see :class:`krakenonce.backends.protocol.InTurn`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend: Any = backend
        self._has_begun = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter. Raises TurnLost if the caller had a turn and has lost it."""
        self._begin()
        nonce: int = self._backend.advance_in_turn(scope, gates_in_hand())
        return nonce

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*."""
        self._begin()
        self._backend.raise_floor(scope, floor)

    def _begin(self) -> None:
        """Refuse to begin a state beside another one by accident."""
        if not self._has_begun:
            if hasattr(self._backend, "retire"):
                begin_or_refuse(self._backend)
            self._has_begun = True


_registry = Section(LaneError, "a lane was asked for")
_queues: weakref.WeakValueDictionary[Gate, LaneQueue] = weakref.WeakValueDictionary()
_recent: dict[Gate, LaneQueue] = {}  # keeps the queues used last, and with them their open files
