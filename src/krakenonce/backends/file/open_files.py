"""Open files, and the one question about them: are they still our files?

Other code may close our descriptors: a daemon closes all that it finds, and their numbers then lead to other files.
Nothing may be written, locked or closed through such a number: it may be another program's file, or another one of
ours. And a file may be deleted, moved or replaced: other processes then use the file that is at its path now.
"""

from __future__ import annotations

import os
import time
from os import fstat
from typing import TYPE_CHECKING, NoReturn

from krakenonce.backends.file.filesystem import open_regular
from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# How old a change of the directory must be for the next one to have another time. Most file systems stamp with the
# kernel's clock of a few milliseconds, which a busy virtual machine may see stand still; some count seconds, even two.
_FINE_TICK = SECOND // 2
_COARSE_TICK = 3 * SECOND


class _Owner:
    """The object that has opened some descriptors."""

    __slots__ = ("is_done",)

    def __init__(self) -> None:
        self.is_done = False  # it closes them, so that other objects may get the same numbers


class OpenFiles:
    """The open files of one object, and perhaps their directory. They are closed with it."""

    __slots__ = ("_directory", "_known", "_owner", "_since")

    def __init__(self) -> None:
        self._owner = _Owner()
        self._known: dict[int, tuple[tuple[int, int], str]] = {}  # by descriptor: the file's identity, and its path
        self._directory = -1
        self._since = -1

    def __del__(self) -> None:
        # An interrupt may come before there is anything to close; at the end of the process the kernel closes all.
        if hasattr(self, "_since") and _owners is not None:
            self.close()

    def __reduce__(self) -> NoReturn:
        # A copy, even one that fails half-way, would close these descriptors under the original.
        raise TypeError("open files cannot be copied or pickled")

    def open(self, path: Path) -> int:
        """Open a regular file for reading and writing, and create it if it is missing. Errors: see open_regular."""
        return self.keep(open_regular(path, os.O_RDWR | os.O_CREAT), path)

    def open_directory(self, path: Path) -> None:
        """Open the directory of these files, so that :meth:`are_in_place` needs one system call."""
        self._directory = self.keep(os.open(path, os.O_RDONLY | os.O_DIRECTORY), path)

    def keep(self, fd: int, path: Path) -> int:
        """Take charge of a descriptor that was just opened; return it."""
        self._known[fd] = _identity_of(os.fstat(fd)), os.fspath(path)
        before, _owners[fd] = _owners.get(fd), self._owner
        if before and not before.is_done:  # another object of ours has this number, so it was closed by other code
            for callback in _callbacks:
                callback()
        return fd

    def are_open(self) -> bool:
        """Whether all descriptors are open and still lead to the files for which they were opened."""
        for fd in self._known:  # no all(): it takes twice as long, and every turn asks
            if not self.is_open(fd):
                return False
        return bool(self._known)

    def is_open(self, fd: int) -> bool:
        """Whether a descriptor is ours, is open, and still leads to the file for which it was opened."""
        if _owners.get(fd) is not self._owner:
            return False
        try:
            seen = os.fstat(fd)
        except OSError:
            return False
        return (seen.st_dev, seen.st_ino) == self._known[fd][0]

    def is_at_path(self, fd: int) -> bool:
        """Whether the file that was opened as *fd* is still the one at its path."""
        known, path = self._known[fd]
        look = os.stat if fd == self._directory else os.lstat  # a link may lead to the directory, but not to its files
        try:
            return _identity_of(look(path)) == known
        except OSError:
            return False  # opening the file again will report the error

    def is_open_and_linked(self, fd: int) -> bool:
        """As :meth:`is_open`, and whether the file still has a name. Faster than the above, but misses a moved file."""
        if _owners.get(fd) is not self._owner:
            return False
        try:
            seen = os.fstat(fd)
        except OSError:
            return False
        return (seen.st_dev, seen.st_ino) == self._known[fd][0] and seen.st_nlink > 0

    def are_in_place(self) -> bool:
        """Whether all files are still at their paths, as far as their directory shows.

        Every deletion or renaming of a file changes the directory's change time, so that one call is enough if nothing
        has changed. (The files themselves are not asked for their times: that would make each later write slower.)
        """
        try:
            changed = fstat(self._directory).st_ctime_ns
        except OSError:  # the directory alone was closed
            return False
        return changed == self._since or self.are_surely_in_place()

    def are_surely_in_place(self) -> bool:
        """The same, by every descriptor and path: a directory further up or a link in the path may have been moved."""
        if not self.are_open():
            return False
        changed = fstat(self._directory).st_ctime_ns
        in_place = all(self.is_at_path(fd) for fd in self._known)
        age = time.time_ns() - changed
        if in_place and age > (_FINE_TICK if changed % SECOND else _COARSE_TICK):
            self._since = changed
        return in_place

    def sync_names(self) -> None:
        """Make the files' names durable: without it a new file may be gone after a power cut. Raises OSError."""
        os.fsync(self._directory)

    def was_last_at(self, fd: int) -> bool:
        """Whether no other object of ours has got this number since it was kept here."""
        return _owners.get(fd) is self._owner

    def close(self) -> None:
        """Close the descriptors that are ours. Never unlocks: after a fork the lock may be the parent's."""
        self._owner.is_done = True
        while self._known:  # forgotten last, for an interrupt may come in between
            fd = next(iter(self._known))
            if self.is_open(fd):
                os.close(fd)
            # Not forgotten in _owners: another thread may have opened a file under this number already.
            self._known.pop(fd, None)
        self._owner = _Owner()


def when_lost(callback: Callable[[], None]) -> None:
    """Call *callback* whenever it is found that other code has closed descriptors of ours."""
    _callbacks.append(callback)


def identity(fd: int) -> tuple[int, int] | None:
    """Return what tells an open file from all others; None if it is not open."""
    try:
        return _identity_of(os.fstat(fd))
    except OSError:
        return None


def _identity_of(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


_owners: dict[int, _Owner] = {}  # the object that has opened each descriptor last; this must keep no object alive
_callbacks: list[Callable[[], None]] = []
