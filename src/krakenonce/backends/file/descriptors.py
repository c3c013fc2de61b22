"""Descriptors that may be closed under us: a daemon closes all it finds, and their numbers then lead to other files.

Nothing may be written, locked or closed through such a number: it may be a stranger's file, or another one of ours.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Held", "when_lost"]


class _Owner:
    """Who has opened some numbers."""

    __slots__ = ("is_done",)

    def __init__(self) -> None:
        self.is_done = False  # it closes them, so that others may have them


class Held:
    """The descriptors of one object, by their number and what they led to when they were opened; closed with it."""

    __slots__ = ("_known", "_owner")

    def __init__(self) -> None:
        self._owner = _Owner()
        self._known: dict[int, tuple[int, int]] = {}

    def __del__(self) -> None:
        # An interrupt may come before there is anything to close; at the end of the process the kernel closes all.
        if hasattr(self, "_known") and _owners is not None:
            self.close()

    def __reduce__(self) -> NoReturn:
        # A copy, even one that fails half-way, would close these descriptors under the original.
        raise TypeError("open files cannot be copied or pickled")

    def keep(self, fd: int) -> int:
        """Take charge of a descriptor that was just opened; return it."""
        seen = os.fstat(fd)
        self._known[fd] = seen.st_dev, seen.st_ino
        before, _owners[fd] = _owners.get(fd), self._owner
        if before and not before.is_done:  # somebody of ours thought it open, and it was closed under them
            for tell in _told:
                tell()
        return fd

    def are_ours(self) -> bool:
        """Whether all of them are open and still lead to the files they were opened for."""
        for fd in self._known:  # no all(): it takes twice as long, and every turn asks
            if not self.is_ours(fd):
                return False
        return bool(self._known)

    def is_ours(self, fd: int) -> bool:
        """Whether one of them is open and still leads to the file it was opened for; no for any other number."""
        if _owners.get(fd) is not self._owner:
            return False
        try:
            seen = os.fstat(fd)
        except OSError:
            return False
        return (seen.st_dev, seen.st_ino) == self._known[fd]

    def was_last_at(self, fd: int) -> bool:
        """Whether none of ours has got this number since it was kept here."""
        return _owners.get(fd) is self._owner

    def close(self) -> None:
        """Close those that are ours. Never unlocks: after a fork the lock may be the parent's."""
        self._owner.is_done = True
        while self._known:  # forgotten last, for an interrupt may come in between
            fd = next(iter(self._known))
            if self.is_ours(fd):
                os.close(fd)
            # Not forgotten in _owners: another thread may have opened a file under this number already.
            self._known.pop(fd, None)
        self._owner = _Owner()


def when_lost(tell: Callable[[], None]) -> None:
    """Have *tell* called when it is seen that descriptors were closed under us."""
    _told.append(tell)


_owners: dict[int, _Owner] = {}  # who has opened each number last; this must keep nobody alive
_told: list[Callable[[], None]] = []
