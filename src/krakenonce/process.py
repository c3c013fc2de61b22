"""Forks, and signal handlers that interrupt a thread of their own process."""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from typing import TYPE_CHECKING, Protocol

from krakenonce.native import RLock, allocate_lock

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable


class _Forked(Protocol):
    def _after_fork(self) -> None: ...


def call_in_children(each: _Forked) -> None:
    """Call the method ``_after_fork`` of an object in each forked child, as long as the object lives.

    A child that was forked by C code, as by uWSGI, may run no callbacks: there it is called by the first
    :func:`check_process`. The method must wait for no lock: the thread that held it when the process was forked is not
    in the child.
    """
    _forked.add(each)


def check_process() -> None:
    """Begin anew if this is a forked child that has run no callbacks. Call it before each use of inherited state."""
    if not _mark[0]:
        with _beginning.setdefault(os.getpid(), allocate_lock()):  # not a lock of the parent's
            if not _mark[0]:
                _call_all()


def may_stay_open(files: int) -> bool:
    """Whether so many files may stay open between their uses: 64 of a kind, or an eighth of what this process may open.

    To open the files of a lane anew for each turn takes longer than the turn.
    """
    if files <= 64:
        return True
    import resource  # not on Windows, where nothing of ours stays open

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most == resource.RLIM_INFINITY or files <= most // 8


def interrupted(error: type[Exception], what: str) -> Exception:
    """Return an *error* for a signal handler that has interrupted its own thread. *what*: see :class:`Section`."""
    return error(
        f"{what} by a signal handler that has interrupted this thread while it did the same; "
        "let the handler set a flag instead"
    )


class Section:
    """A lock for a few steps that a signal handler must not take while its own thread takes them.

    Check before each use::

        section.refuse_interrupter()
        with section.lock:
            ...

    In a forked child the lock is new, because the thread that held it may not be there to release it.

    Args:
        error: The class of the error that the signal handler gets.
        what: The beginning of its message, such as "a lane was asked for".
    """

    def __init__(self, error: type[Exception], what: str) -> None:
        self._error = error
        self._what = what
        self.lock = RLock()
        call_in_children(self)

    def refuse_interrupter(self) -> None:
        """Raise the error if this thread is in the section already. Checks the process, too."""
        check_process()
        if self.lock._is_owned():  # type: ignore[attr-defined] # as threading.Condition asks
            raise interrupted(self._error, self._what)

    def _after_fork(self) -> None:
        self.lock = RLock()


class ForkCheck:
    """Does something before the first use in a forked child. It may wait for locks."""

    def __init__(self) -> None:
        check_process()
        self._generation = _generation

    def __call__(self, do: Callable[[], object]) -> None:
        """Call *do* if the process was forked since the last time; no thread continues before it was done once."""
        check_process()
        if self._generation != _generation:
            do()
            self._generation = _generation


class _Process:
    """Says in its first item whether this is the process that has set it; for systems without a better way."""

    def __init__(self) -> None:
        self[0] = 1

    def __getitem__(self, _: int) -> int:
        return self._id == os.getpid()

    def __setitem__(self, _: int, __: int) -> None:
        self._id = os.getpid()


def _new_mark() -> mmap.mmap | _Process:
    """Return bytes of which the first is 1 here, and 0 in every forked child. Looking at it needs no system call."""
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (AttributeError, OSError, ValueError):  # Linux has it since 4.14
        return _Process()
    page[0] = 1
    return page


def _call_all() -> None:
    global _generation
    for each in list(_forked):
        each._after_fork()
    _generation += 1
    _mark[0] = 1


_MADV_WIPEONFORK = 18 if sys.platform == "linux" else -1
_generation = 0  # how often this process was forked, with its ancestors since they have imported this
_mark = _new_mark()
_beginning: dict[int, LockType] = {}  # by the process that begins anew
_forked: weakref.WeakSet[_Forked] = weakref.WeakSet()
os.register_at_fork(after_in_child=_call_all)
