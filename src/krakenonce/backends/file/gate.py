"""The turn between processes: a blocking ``flock`` on one file per lane, which also says who holds it since when."""

from __future__ import annotations

import contextlib
import os
import weakref
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from krakenonce.backends.file.filesystem import make_directory, opening, store_error
from krakenonce.backends.file.holder import entry, here, who
from krakenonce.backends.file.open_files import OpenFiles

_KEPT_OPEN = 32  # lanes whose files stay open while no caller of this process holds them


class FileGate:
    """At most one process holds the gate; the kernel keeps the queue and frees the gate when its holder dies.

    There are two locks: a process that wants the gate first locks the second file, and is then the next one to get the
    gate. With one lock, a process that releases the gate and comes back at once would overtake those that the kernel
    is just waking.

    Args:
        path: The lane's file; made when first needed. It must never be deleted while in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = self._next_fd = -1
        self._files = OpenFiles()

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        return self._lock(LOCK_EX | LOCK_NB)

    def acquire(self) -> None:
        """Wait in the kernel until this process has the gate."""
        self._lock(LOCK_EX)

    def release(self) -> None:
        """Let the next process in. The file stays open for the next turn, unless many are open."""
        if self._files.is_open(self._fd):  # else the kernel has freed it already
            flock(self._fd, LOCK_UN)
            if len(_open) > _KEPT_OPEN:
                self.abandon()

    def holder(self) -> str:
        """Return who holds the gate and for how long, in words."""
        return who(self.path)  # by its path: ours may be one that was deleted

    def abandon(self) -> None:
        """Close the files without unlocking: after a fork the lock is the parent's."""
        _open.discard(self)
        self._files.close()

    def _lock(self, how: int) -> bool:
        while True:
            try:
                self._open_files()
                try:
                    flock(self._next_fd, how)
                    flock(self._fd, how)
                finally:
                    flock(self._next_fd, LOCK_UN)
                if self._files.is_at_path(self._fd):
                    break
                self.abandon()  # deleted or moved away during the wait: others may be using a new one
            except BlockingIOError:
                return False
            except OSError as error:
                raise store_error("lock the lane", self.path, error) from error
        with contextlib.suppress(OSError):  # this is for messages only; a full disk must not stop a call
            os.pwrite(self._fd, entry(), 0)
        return True

    def _open_files(self) -> None:
        if self._files.are_open():
            return
        self.abandon()  # no file is open, or other code has closed one
        here()  # now and not with the lock: macOS asks another process for it
        make_directory(self.path.parent)
        try:
            with opening.lock:
                self._next_fd = self._files.open(self.path.with_suffix(".line"))
                self._fd = self._files.open(self.path)
        except BaseException:
            self.abandon()
            raise
        _open.add(self)


def gate_at(path: str) -> FileGate:
    """Return the gate whose file is at *path*: one object for all of this process."""
    gate = _gates.get(path)
    if gate is None:
        gate = _gates[path] = FileGate(Path(path))
    return gate


_gates: weakref.WeakValueDictionary[str, FileGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[FileGate] = weakref.WeakSet()  # those that have their files open
