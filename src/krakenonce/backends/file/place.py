"""Is it still our file? Whether a scope's paths still lead to the files that are open."""

from __future__ import annotations

import os
import time
from os import fstat
from typing import TYPE_CHECKING

from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Place"]

# How old a change of the directory must be for the next one to have another time. Most file systems stamp with the
# kernel's clock of a few milliseconds, which a busy virtual machine may see stand still; some count seconds, even two.
_FINE_TICK = SECOND // 2
_COARSE_TICK = 3 * SECOND


class Place:
    """Where the open files of a scope should be.

    Every deletion or renaming of a file shows in its directory's change time, so that one call tells that nothing has
    changed. (The files themselves are left alone: asking for their times makes each later write more expensive.)

    Args:
        directory: The directory's descriptor.
        path: Its path.
        files: The files' descriptors, with their paths.
    """

    __slots__ = ("_directory", "_files", "_path", "_since")

    def __init__(self, directory: int, path: Path, files: tuple[tuple[int, Path], ...]) -> None:
        self._directory = directory
        self._path = path
        self._files = files
        self._since = -1

    def is_held(self) -> bool:
        """Whether all files are where they should be, as far as the directory tells."""
        try:
            changed = fstat(self._directory).st_ctime_ns
        except OSError:  # the directory alone was closed
            return False
        return changed == self._since or self.is_surely_held()

    def is_surely_held(self) -> bool:
        """The same, by every path: a directory further up may have been moved, or a link in the path switched."""
        try:
            changed = fstat(self._directory).st_ctime_ns
            held = os.path.samestat(fstat(self._directory), os.stat(self._path)) and all(
                os.path.samestat(fstat(fd), os.lstat(path)) for fd, path in self._files
            )
        except OSError:
            return False  # whatever it is, opening the files again will say it
        age = time.time_ns() - changed
        if held and age > (_FINE_TICK if changed % SECOND else _COARSE_TICK):
            self._since = changed
        return held

    def keep_names(self) -> None:
        """Make the files' names durable: without it a new file may be gone after a power cut. Raises OSError."""
        os.fsync(self._directory)
