"""The turn between processes: a blocking ``flock`` on one file per lane, which also says who holds it since when.

There are three locks. A process that has locked the lane's file has the turn. Before that it locks the second file, and
is then the next one to get the turn: with one lock, a process that releases the turn and comes back at once would
overtake those that the kernel is just waking. A process with an urgent call locks the third file instead. The
process that is next by the second file finds that one locked and lets the urgent call go first, unless as many urgent
turns as the lane's file counts have gone before.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import make_directory, opening, store_error
from krakenonce.backends.file.holder import entry, here, urgent_turns, who
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.process import may_stay_open

if TYPE_CHECKING:
    from collections.abc import Callable


_MOST = 9  # urgent turns in a row while another call waits: that one has at least every tenth turn
_LOOKS = 50  # how often an urgent call looks whether the other one has had its turn, before it goes all the same
_PAUSE = 0.001  # seconds between two looks


class FileGate:
    """At most one process holds the gate; the kernel keeps the queue and frees the gate when its holder dies.

    Args:
        path: The lane's file; made when first needed. It must never be deleted while in use.
    """

    _before = ".line"  # the file that is locked before the lane's

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = self._next_fd = self._third_fd = -1
        self._files, self._third = OpenFiles(), OpenFiles()
        self._urgent_before = 0  # turns in a row, before the one that was waited for last

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        return self._lock(self._try)

    def acquire(self) -> None:
        """Wait in the kernel until this process has the gate."""
        self._lock(self._wait)

    def release(self) -> None:
        """Let the next process in. The file stays open for the next turn, unless many are open."""
        if self._files.is_open(self._fd):  # else the kernel has freed it already
            flock(self._fd, LOCK_UN)
            if not may_stay_open(2 * len(_open)):
                self.abandon()

    def keep(self) -> bool:
        """Take the gate, or keep it, if no other process waits for it; else release it."""
        if self.try_acquire():
            return True
        self.release()
        return False

    def holder(self) -> str:
        """Return who holds the gate and for how long, in words."""
        return who(self.path)  # by its path: ours may be one that was deleted

    def abandon(self) -> None:
        """Close the files without unlocking: after a fork the lock is the parent's."""
        _open.discard(self)
        self._files.close()
        self._third.close()

    def _lock(self, locked: Callable[[], int]) -> bool:
        while True:
            try:
                self._open_files()
                try:
                    turns = locked()
                finally:
                    flock(self._next_fd, LOCK_UN)
                if self._files.is_at_path(self._fd):
                    break
                self.abandon()  # deleted or moved away during the wait: others may be using a new one
            except BlockingIOError:
                return False
            except OSError as error:
                raise store_error("lock the lane", self.path, error) from error
        try:  # noqa: SIM105 - this is faster
            os.pwrite(self._fd, entry(turns), 0)
        except OSError:  # this is for messages only; a full disk must not stop a call
            pass
        return True

    def _try(self) -> int:
        """Lock both files, or raise BlockingIOError; return how many urgent turns in a row there are then."""
        flock(self._next_fd, LOCK_EX | LOCK_NB)
        flock(self._fd, LOCK_EX | LOCK_NB)
        return 0

    def _wait(self) -> int:
        flock(self._next_fd, LOCK_EX)
        if not _lock_if_free(self._fd):
            flock(self._fd, LOCK_EX)
            if not self._files.is_at_path(self._fd):
                return 0
            urgent = self._other(".urgent")
            while urgent_turns(self._fd) < _MOST and not _is_free(urgent):
                flock(self._fd, LOCK_UN)
                flock(urgent, LOCK_EX)  # until the urgent call has the turn
                flock(urgent, LOCK_UN)
                flock(self._fd, LOCK_EX)
        self._urgent_before = urgent_turns(self._fd)
        return 0

    def _other(self, suffix: str) -> int:
        """Return the descriptor of the third file, which is seldom needed."""
        if not self._third.is_open(self._third_fd):
            self._third.close()
            self._third_fd = self._third.open(self.path.with_suffix(suffix))
        return self._third_fd

    def _open_files(self) -> None:
        if self._files.are_open():
            return
        self.abandon()  # no file is open, or other code has closed one
        here()  # now and not with the lock: macOS asks another process for it
        make_directory(self.path.parent)
        try:
            with opening.lock:
                self._next_fd = self._files.open(self.path.with_suffix(self._before))
                self._fd = self._files.open(self.path)
        except BaseException:
            self.abandon()
            raise
        _open.add(self)


class NormalGate(FileGate):
    """The gate for calls that are not urgent.

    Attributes:
        urgent: The same gate for calls that are.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.urgent = UrgentGate(path)

    def is_not_used(self) -> None:
        """Nobody wants the turn that was waited for: the next call that is not urgent waits for no more urgent ones."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, entry(self._urgent_before), 0)


class UrgentGate(FileGate):
    """The same gate for urgent calls, with a lock of its own on the lane's file."""

    _before = ".urgent"

    def _try(self) -> int:
        super()._try()
        turns = urgent_turns(self._fd)
        if turns >= _MOST and not _is_free(self._other(".line")):
            flock(self._fd, LOCK_UN)
            raise BlockingIOError
        return min(turns + 1, _MOST)

    def _wait(self) -> int:
        flock(self._next_fd, LOCK_EX)
        line = self._other(".line")
        is_next = _lock_if_free(line)  # nobody else waits: whoever comes now stays behind
        try:
            for _ in range(_LOOKS):
                flock(self._fd, LOCK_EX)
                turns = urgent_turns(self._fd)
                if is_next or turns < _MOST or _is_free(line):
                    break
                flock(self._fd, LOCK_UN)  # for the process that is next by the second file
                time.sleep(_PAUSE)
            else:
                flock(self._fd, LOCK_EX)  # that process is stopped
        finally:
            if is_next:
                flock(line, LOCK_UN)
        return min(turns + 1, _MOST)


def _lock_if_free(fd: int) -> bool:
    try:
        flock(fd, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(fd: int) -> bool:
    """Whether nobody else has locked the file."""
    if not _lock_if_free(fd):
        return False
    flock(fd, LOCK_UN)
    return True


def gate_at(path: str) -> NormalGate:
    """Return the gate whose file is at *path*: one object for all of this process."""
    gate = _gates.get(path)
    if gate is None:
        gate = _gates[path] = NormalGate(Path(path))
    return gate


_gates: weakref.WeakValueDictionary[str, NormalGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[FileGate] = weakref.WeakSet()  # those that have their files open
