"""Files that are locked while they are used: for each API key's rate limits, beside each record, for sent calls."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.file.filesystem import (
    make_directory,
    open_regular,
    opening,
    store_error,
    sync,
    sync_directory,
    write_whole,
)
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section, call_in_children, may_stay_open

if TYPE_CHECKING:
    from collections.abc import Callable


_REOPENINGS = 100  # a file that is deleted this often within one step is deleted by a program, not by accident

_T = TypeVar("_T")


class LockedFiles:
    """Files of one kind in one directory. Nothing is opened before the first step, and nothing is synced by a step.

    Args:
        directory: Made (0700) when first needed.
        pattern: The file name, with ``{}`` for the name that callers use.
        use: What is done with the files, for messages.
    """

    def __init__(self, directory: str, pattern: str, use: str) -> None:
        self._directory = directory
        self._pattern = pattern
        self._use = use
        self._files: OrderedDict[str, LockedFile] = OrderedDict()  # the least recently used first
        self._named: set[str] = set()  # the files whose names are on stable storage
        call_in_children(self)

    def exist(self, name: str) -> bool:
        """Whether there is a file for *name*; makes nothing."""
        return name in self._files or os.path.exists(self._path(name))

    def names(self) -> list[str]:
        """Return the names for which there are files, sorted. Raises NonceStoreError."""
        before, after = self._pattern.split("{}")
        return sorted(
            name[len(before) : len(name) - len(after)]
            for name in names_in(self._directory)
            if name.startswith(before) and name.endswith(after)
        )

    def step(self, name: str, step: Callable[[LockedFile], _T]) -> _T:
        """Call *step* with the file locked, and return what it returns.

        Raises:
            NonceStoreError: The file cannot be read or written, or a signal handler has interrupted such a step.
        """
        _section.refuse_interrupter()
        with _section.lock:
            try:
                return step(self._locked(name))
            except OSError as error:
                if file := self._files.pop(name, None):
                    file.close()  # which unlocks it, too
                raise store_error(self._use, Path(self._path(name)), error) from error
            finally:
                if file := self._files.get(name):
                    file.unlock()

    def sync(self, name: str) -> None:
        """Put a file and its name on stable storage, while steps go on. Raises NonceStoreError."""
        path = Path(self._path(name))
        try:
            fd = open_regular(path, os.O_RDWR)
            try:
                sync(fd)
            finally:
                os.close(fd)
            if name not in self._named:
                sync_directory(path.parent)
                self._named.add(name)
        except OSError as error:
            raise store_error("sync", path, error) from error

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without the lock: perhaps half of what is being written. None: a step has to open it.

        For a look that a step repeats if there is something.
        """
        file = self._files.get(name)
        return None if file is None else file.peek(offset, size)

    def beginning(self, name: str, size: int) -> bytes | None:
        """Return the first bytes as :meth:`peek` does."""
        return self.peek(name, 0, size)

    def close(self) -> None:
        """Close the files, unless a step is being taken. A later step opens them again."""
        with contextlib.suppress(NonceStoreError):  # of a signal handler that has interrupted a step
            _section.refuse_interrupter()
            if _section.lock.acquire(blocking=False):
                try:
                    self._after_fork()
                finally:
                    _section.lock.release()

    def _locked(self, name: str) -> LockedFile:
        for _ in range(_REOPENINGS):
            file = self._files.get(name)
            if file is None:
                if not may_stay_open(len(self._files) + 1):
                    self._files.popitem(last=False)[1].close()
                make_directory(Path(self._directory))
                with opening.lock:
                    file = self._files[name] = LockedFile(Path(self._path(name)))
            self._files.move_to_end(name)
            if file.lock():
                return file
            self._files.pop(name).close()
        raise NonceStoreError(
            f"{self._path(name)} was deleted again and again while it was used; stop the program that deletes it"
        )

    def _path(self, name: str) -> str:
        return f"{self._directory}/{self._pattern.format(name)}"

    def _after_fork(self) -> None:
        """Close all, without unlocking: in a child the locks are the parent's."""
        while self._files:
            self._files.popitem()[1].close()


def names_in(directory: str) -> list[str]:
    """Return the names of the files in a directory; none if it is not there. Raises NonceStoreError."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise store_error("read", Path(directory), error) from error


class LockedFile:
    """One file, open."""

    def __init__(self, path: Path) -> None:
        self._files = OpenFiles()
        self._fd = self._files.open(path)
        self.close = self._files.close  # never unlocks: after a fork the lock may be the parent's

    def lock(self) -> bool:
        """Wait for the lock, a few microseconds. False: the file was deleted, or closed by other code."""
        files, fd = self._files, self._fd
        if not files.was_last_at(fd):
            return False
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if not files.is_open(fd):  # it is another program's file, whose lock may never come
                return False
            flock(fd, LOCK_EX)
        except OSError:  # closed
            return False
        if files.is_open_and_linked(fd):  # asked only now: one call for both questions
            return True
        self.unlock()  # or another program's file would stay locked
        return False

    def unlock(self) -> None:
        """Let the next caller in."""
        if self._files.was_last_at(self._fd):
            with contextlib.suppress(OSError):  # closed by other code, and so unlocked
                flock(self._fd, LOCK_UN)

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there."""
        return os.pread(self._fd, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there. Raises OSError if it is not written as a whole."""
        write_whole(self._fd, data, offset)

    def peek(self, offset: int, size: int) -> bytes | None:
        """Return what is there; None if the file was deleted, or closed by other code."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError:  # closed
            return None
        # Asked after the read: another thread may have closed it, and something else may have got the descriptor.
        return data if self._files.is_open_and_linked(self._fd) else None


# One for all directories, because two backends may use the same one.
_section = Section(NonceStoreError, "rate limits, records or sent calls were asked for")
