"""The turn between processes: a blocking ``flock`` on one file per lane, and in it who holds it since when."""

from __future__ import annotations

import contextlib
import os
import weakref
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from krakenonce.backends.file.descriptors import Held
from krakenonce.backends.file.filesystem import make_directory, open_regular, opening, store_error
from krakenonce.clock import SystemClock

__all__ = ["FileGate", "gate_at"]

_KEPT_OPEN = 32  # lanes whose files stay open while nobody holds them


class FileGate:
    """At most one process holds the gate; the kernel keeps the queue and frees it when its holder dies.

    There are two locks: who wants the gate first takes the head of the line, and keeps it until the gate is theirs.
    With one lock, a process that lets go and comes back at once overtakes those that the kernel is just waking; now it
    finds the head of the line taken.

    Args:
        path: The lane's file; made when first needed. It must never be deleted while in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = self._line_fd = -1
        self._held = Held()
        self._place = os.fspath(path)
        self._identity = (0, 0)

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        return self._lock(LOCK_EX | LOCK_NB)

    def acquire(self) -> None:
        """Wait in the kernel until the gate is ours."""
        self._lock(LOCK_EX)

    def release(self) -> None:
        """Let the next process in. The file stays open for the next turn, unless many are open."""
        if self._held.is_ours(self._fd):  # else the kernel has freed it already
            flock(self._fd, LOCK_UN)
            if len(_open) > _KEPT_OPEN:
                self.abandon()

    def holder(self) -> str:
        """Who holds the gate and since when, in words."""
        try:
            pid, since = self.path.read_bytes().split()  # by its path: ours may be one that was deleted
            seconds = (SystemClock.boot_ns() - int(since)) / 1e9
        except (OSError, ValueError):
            return "its holder is not known"
        return f"process {int(pid)} has held it for {seconds:.1f} s"

    def abandon(self) -> None:
        """Close the descriptor without unlocking: after a fork the lock is the parent's."""
        _open.discard(self)
        self._held.close()
        self._fd = self._line_fd = -1

    def _lock(self, how: int) -> bool:
        while True:
            try:
                self._open_files()
                try:
                    flock(self._line_fd, how)
                    flock(self._fd, how)
                finally:
                    flock(self._line_fd, LOCK_UN)
                if self._is_the_gate():
                    break
                self.abandon()  # deleted or moved away while we waited: others may be using a new one
            except BlockingIOError:
                return False
            except OSError as error:
                raise store_error("lock the lane", self.path, error) from error
        with contextlib.suppress(OSError):  # the signature is for messages only; a full disk must not stop a call
            os.pwrite(self._fd, b"%10d %20d\n" % (os.getpid(), SystemClock.boot_ns()), 0)
        return True

    def _open_files(self) -> None:
        if self._held.are_ours():
            return
        self.abandon()  # nothing is open, or it was closed under us
        make_directory(self.path.parent)
        try:
            with opening:
                self._line_fd = self._held.keep(open_regular(self.path.with_suffix(".line"), os.O_RDWR | os.O_CREAT))
                self._fd = self._held.keep(open_regular(self.path, os.O_RDWR | os.O_CREAT))
        except BaseException:
            self.abandon()
            raise
        _open.add(self)
        self._identity = _identity(os.fstat(self._fd))

    def _is_the_gate(self) -> bool:
        """Whether the locked file is still the one at the path."""
        try:
            return _identity(os.stat(self._place)) == self._identity
        except FileNotFoundError:
            return False


def gate_at(path: str) -> FileGate:
    """Return the gate whose file is at *path*: one object for all of this process."""
    gate = _gates.get(path)
    if gate is None:
        gate = _gates[path] = FileGate(Path(path))
    return gate


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


_gates: weakref.WeakValueDictionary[str, FileGate] = weakref.WeakValueDictionary()
_open: weakref.WeakSet[FileGate] = weakref.WeakSet()  # those that have their files open
