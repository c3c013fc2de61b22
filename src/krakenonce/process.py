"""What a process must not leave to others: its forked children, and the signal handlers that interrupt its threads."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ForkCheck", "Section", "call_in_children"]


class _Forked(Protocol):
    def _after_fork(self) -> None: ...


def call_in_children(each: _Forked) -> None:
    """Call the method ``_after_fork`` of an object in each forked child, as long as the object lives.

    The method must wait for no lock: the thread that held it when the process was forked is not in the child.
    """
    _forked.add(each)


class Section:
    """A lock for a few steps that no signal handler may interrupt to take them itself.

    Ask before each use::

        section.refuse_interrupter()
        with section.lock:
            ...

    In a forked child the lock is new, for the thread that held it may not be there to release it.

    Args:
        error: The class of that error.
        what: The beginning of its message, such as "a lane was asked for".
    """

    def __init__(self, error: type[Exception], what: str) -> None:
        self._error = error
        self._what = what
        self.lock = threading.RLock()
        call_in_children(self)

    def refuse_interrupter(self) -> None:
        """Raise the error if this thread is in the section already."""
        if self.lock._is_owned():  # type: ignore[attr-defined] # as threading.Condition asks
            raise self._error(
                f"{self._what} by a signal handler that interrupted one in the same thread; "
                "let the handler set a flag instead"
            )

    def _after_fork(self) -> None:
        self.lock = threading.RLock()


class ForkCheck:
    """For what has to be done before the first use in a forked child, and may wait for locks."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def __call__(self, do: Callable[[], object]) -> None:
        """Call *do* if the process was forked since the last time; no thread goes on before that is done once."""
        if self._process != os.getpid():
            do()
            self._process = os.getpid()


def _call_all() -> None:
    for each in list(_forked):
        each._after_fork()


_forked: weakref.WeakSet[_Forked] = weakref.WeakSet()
os.register_at_fork(after_in_child=_call_all)
