"""Where the counters of one API key are: in memory, or in a file that processes share under the kernel's lock.

What a state holds, in this order: its kind and the boot, the end of the key's lockout, the REST counter, the calls
that wait to be sent, a table of pairs' counters and a table of orders. Nothing is synced: after a power cut Kraken's
counters have come down as well.
"""

from __future__ import annotations

import errno
import os
import struct
from fcntl import LOCK_EX, LOCK_UN, flock
from os import fstat, pread
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.stores.descriptors import Held
from krakenonce.stores.filesystem import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "COUNTER",
    "DUE",
    "HEAD",
    "MAGIC",
    "ORDER",
    "ORDERS",
    "ORDERS_AT",
    "PAIRS",
    "PAIRS_AT",
    "PER_PLACE",
    "PLACE_SIZE",
    "REST_AT",
    "UNTIL",
    "UNTIL_AT",
    "URGENT",
    "WAITING",
    "FileState",
    "MemoryState",
    "Waiting",
]

MAGIC = b"KNLIMIT2"  # the last character is the version
HEAD = struct.Struct("<8sQ")  # magic, boot
UNTIL = struct.Struct("<d")  # end of the lockout, in seconds since boot
COUNTER = struct.Struct("<dd")  # level, time
ORDER = struct.Struct("<QQd")  # hash of the id, hash of the pair, time
WAITING = 256  # entries of calls that wait
PAIRS = 1024
ORDERS = 1024  # places
PER_PLACE = 4
PLACE_SIZE = PER_PLACE * ORDER.size

UNTIL_AT = HEAD.size
REST_AT = UNTIL_AT + UNTIL.size
_COUNT = struct.Struct("<Q")  # how many entries follow
_ENTRY = struct.Struct("<QdIId")  # as Waiting
_COUNT_AT = REST_AT + COUNTER.size
_ENTRIES_AT = _COUNT_AT + _COUNT.size
PAIRS_AT = _ENTRIES_AT + WAITING * _ENTRY.size
ORDERS_AT = PAIRS_AT + PAIRS * COUNTER.size
SIZE = ORDERS_AT + ORDERS * PLACE_SIZE
_START = _ENTRIES_AT + 8 * _ENTRY.size  # read with the lock; more calls than these seldom wait


class Waiting(NamedTuple):
    """What a call that has not been sent yet will add to one counter.

    Args:
        number: The call's own.
        seen: When its process has asked for it last, in seconds since boot.
        counter: Where the counter is.
        how: 0, or ``URGENT``, ``DUE`` or both.
        cost: What the call will add.
    """

    number: int
    seen: float
    counter: int
    how: int
    cost: float


URGENT = 1  # it goes before those that are not
DUE = 2  # it was told to go, and waits for its turn at most


class MemoryState:
    """The state of one key, in this process. Needs no lock but the limiter's."""

    def __init__(self) -> None:
        self._slots: dict[int, bytes] = {}
        self._waiting: list[Waiting] = []

    def lock(self) -> bool:
        """Nothing to wait for: always True."""
        return True

    def unlock(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; zeros where nothing was written."""
        return self._slots.get(offset) or bytes(size)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there; it is read again with the same offset."""
        self._slots[offset] = data

    def counter(self, offset: int) -> tuple[float, float]:
        """Return the level and the time of a counter."""
        level, at = COUNTER.unpack(self.read(offset, COUNTER.size))
        return level, at

    def pairs(self) -> Iterator[tuple[float, float]]:
        """Return the counters of the pairs; which pair each is of is not known."""
        for offset in self._slots:
            if PAIRS_AT <= offset < ORDERS_AT:
                yield self.counter(offset)

    def waiting(self) -> list[Waiting]:
        """Return the calls that wait, in the order in which they asked."""
        return self._waiting

    def keep_waiting(self, entries: list[Waiting]) -> None:
        """Put other calls in the place of those that wait."""
        self._waiting = entries

    def until(self) -> float:
        """Return the end of the lockout, in seconds since boot."""
        (until,) = UNTIL.unpack(self.read(UNTIL_AT, UNTIL.size))
        return float(until)


class FileState(MemoryState):
    """The state of one key, in its file, with the kernel's lock."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._held = Held()
        self._fd = self._held.keep(open_regular(path, os.O_RDWR | os.O_CREAT))
        self._head = head
        self._start = b""  # what is before the tables, as read with the lock

    def lock(self) -> bool:
        """Wait for the lock, a few microseconds. False: the file was deleted meanwhile, or closed under us."""
        if not self._held.are_ours():
            return False
        flock(self._fd, LOCK_EX)
        if not fstat(self._fd).st_nlink:
            return False
        self._start = pread(self._fd, _START, 0)
        if not self._start.startswith(self._head):  # new, damaged, or of another boot
            self.write(0, bytes(SIZE))  # takes its space on the disk now, so that a full disk does no harm later
            self.write(0, self._head)
            self._start = pread(self._fd, _START, 0)
        return True

    def unlock(self) -> None:
        """Let the next one in."""
        if self._held.are_ours():
            flock(self._fd, LOCK_UN)

    def close(self) -> None:
        """Close the descriptor. Never unlocks: after a fork the lock may be the parent's."""
        self._held.close()

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there."""
        data = self._start[offset : offset + size] if offset + size <= _START else pread(self._fd, size, offset)
        return data if len(data) == size else bytes(size)  # cut short: as if nothing had been noted

    def pairs(self) -> Iterator[tuple[float, float]]:
        """Return the counters of the pairs; which pair each is of is not known."""
        yield from COUNTER.iter_unpack(self.read(PAIRS_AT, PAIRS * COUNTER.size))

    def waiting(self) -> list[Waiting]:
        """Return the calls that wait, in the order in which they asked."""
        (count,) = _COUNT.unpack(self.read(_COUNT_AT, _COUNT.size))
        data = self.read(_ENTRIES_AT, min(count, WAITING) * _ENTRY.size) if count else b""
        return [Waiting(*entry) for entry in _ENTRY.iter_unpack(data)]

    def keep_waiting(self, entries: list[Waiting]) -> None:
        """Put other calls in the place of those that wait. Raises OSError if they do not all go."""
        self.write(_COUNT_AT, _COUNT.pack(len(entries)) + b"".join(_ENTRY.pack(*entry) for entry in entries))

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there. Raises OSError if it does not all go."""
        if os.pwrite(self._fd, data, offset) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
