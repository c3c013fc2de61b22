"""The turn between processes: a blocking ``flock`` on one file per lane, and in it who holds it since when."""

from __future__ import annotations

import contextlib
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from typing import TYPE_CHECKING

from ..clock import SystemClock
from ..stores.filesystem import make_directory, open_regular, store_error

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileGate"]


class FileGate:
    """At most one process holds the gate; the kernel keeps the queue and frees it when its holder dies.

    Args:
        path: The lane's file; made when first needed. It must never be deleted while in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        while True:
            self._open()
            try:
                flock(self._fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_the_gate():
                return True

    def acquire(self) -> None:
        """Wait in the kernel until the gate is ours."""
        while True:
            self._open()
            try:
                flock(self._fd, LOCK_EX)
            except OSError as error:
                raise store_error("lock the lane", self.path, error) from error
            if self._is_the_gate():
                return

    def release(self) -> None:
        """Let the next process in."""
        if self._fd >= 0:
            flock(self._fd, LOCK_UN)

    def holder(self) -> str:
        """Who holds the gate and since when, in words."""
        try:
            pid, since = os.pread(self._fd, 64, 0).split()
            seconds = (SystemClock.boot_ns() - int(since)) / 1e9
        except (OSError, ValueError):
            return "its holder is not known"
        return f"process {int(pid)} has held it for {seconds:.1f} s"

    def abandon(self) -> None:
        """Close the descriptor without unlocking: after a fork the lock is the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    __del__ = abandon

    def _open(self) -> None:
        if self._fd >= 0:
            return
        try:
            make_directory(self.path.parent)
            self._fd = open_regular(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise store_error("open the lane", self.path, error) from error

    def _is_the_gate(self) -> bool:
        """Whether the locked file is still the one at the path; if so, sign it."""
        if not os.fstat(self._fd).st_nlink:
            self.abandon()  # deleted while we waited: others may be using a new one
            return False
        with contextlib.suppress(OSError):  # the signature is for messages only; a full disk must not stop a call
            os.pwrite(self._fd, b"%10d %20d\n" % (os.getpid(), SystemClock.boot_ns()), 0)
        return True
