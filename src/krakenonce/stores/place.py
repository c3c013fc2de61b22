"""Is it still our file? Whether a scope's paths still lead to the files that are open."""

from __future__ import annotations

import os
import time
from os import fstat
from time import monotonic_ns
from typing import TYPE_CHECKING

from ..rule import SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from .scope_state import ScopeState

__all__ = ["Place"]

_COARSEST_TICK = 20_000_000  # ns; kernels stamp files with a clock of 1 to 10 ms
_SEEN_LASTS = 200_000  # ns; for so long one thread's look at the directory serves the others
_BEGIN_AFTER = 2 * _SEEN_LASTS  # so nobody who finds other files may begin before all who have looked must look again


class Place:
    """Where the open files of a scope should be.

    Every deletion or renaming, also of the directory itself, shows in the directory's change time, so that one call
    tells that nothing has changed. It is trusted only when it is older than the coarsest tick a file system may use.
    (The files themselves are left alone: asking for their times makes each later write more expensive.)

    Args:
        state: What the threads of this process share.
        directory: The directory's descriptor.
        files: The files' descriptors, with their paths.
    """

    __slots__ = ("_directory", "_files", "_opened_at", "_since", "_state")

    def __init__(self, state: ScopeState, directory: int, files: tuple[tuple[int, Path], ...]) -> None:
        self._state = state
        self._directory = directory
        self._files = files
        self._opened_at = monotonic_ns()
        self._since = -1

    def is_held(self) -> bool:
        """Whether all files are where they should be."""
        try:
            changed = fstat(self._directory).st_ctime_ns
        except OSError:  # the directory alone was closed
            return False
        return changed == self._since or self._are_the_ones(changed)

    def was_held_just_now(self) -> bool:
        """The same, where the look of another thread with the same files may serve this one."""
        asked = monotonic_ns()
        since, until = self._state.seen_in_place
        if since == self._since and asked < until:
            return True
        if not self.is_held():
            return False
        if self._since >= 0:
            self._state.seen_in_place = (self._since, asked + _SEEN_LASTS)
        return True

    def let_others_look(self) -> None:
        """Wait until every thread that may rely on a look at other files than ours has to look again."""
        time.sleep(max(self._opened_at + _BEGIN_AFTER - monotonic_ns(), 0) / SECOND)

    def _are_the_ones(self, changed: int) -> bool:
        for fd, path in self._files:
            try:
                if not os.path.samestat(fstat(fd), os.lstat(path)):
                    return False
            except OSError:
                return False  # whatever it is, opening the files again will say it
        if time.time_ns() - changed > _COARSEST_TICK:
            self._since = changed
        return True
