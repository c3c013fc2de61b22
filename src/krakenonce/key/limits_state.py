"""The rate counters of one API key as bytes, which a backend keeps and locks while they are used.

A state has, in this order: its format and the boot, the end of the key's lockout, the REST counter, the calls that
wait to be sent, a table of the pairs' counters and a table of orders. Nothing is synced: after a power cut Kraken's
counters have come down as well.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.backends.protocol import RateCounters


MAGIC = b"KNLIMIT2"  # the last character is the version
HEAD = struct.Struct("<8sQ")  # magic, boot
UNTIL = struct.Struct("<d")  # end of the lockout, in seconds since boot
COUNTER = struct.Struct("<dd")  # level, time
ORDER = struct.Struct("<QQd")  # hash of the id, hash of the pair, time
WAITING = 256  # entries of calls that wait
PAIRS = 1024
ORDERS = 1024  # slots
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
_START = _ENTRIES_AT + 8 * _ENTRY.size  # read at once; seldom more calls than these wait


class Waiting(NamedTuple):
    """What a call that has not been sent yet will add to one counter.

    Args:
        call_id: A random id of the call.
        seen: When the call has asked last, in seconds since boot.
        counter: The counter's offset.
        how: 0, or ``URGENT``, ``DUE`` or both.
        cost: What the call will add.
    """

    call_id: int
    seen: float
    counter: int
    how: int
    cost: float


URGENT = 1  # it goes before calls that are not urgent
DUE = 2  # it may be sent, and at most waits for its turn


class State:
    """The state of one key, while it is locked.

    Args:
        counters: Where it is kept.
        head: How it has to begin; else it is new, damaged or of another boot, and is emptied.
    """

    __slots__ = ("_counters", "_start", "write")

    def __init__(self, counters: RateCounters, head: bytes) -> None:
        self._counters = counters
        self.write = counters.write
        self._start = counters.read(0, _START)
        if not self._start.startswith(head):
            counters.write(0, bytes(SIZE))  # takes all disk space now, so that a full disk does no harm later
            counters.write(0, head)
            self._start = counters.read(0, _START)

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes at an offset."""
        data = self._start[offset : offset + size] if offset + size <= _START else self._counters.read(offset, size)
        return data if len(data) == size else bytes(size)  # cut short: as if nothing had been written

    def counter(self, offset: int) -> tuple[float, float]:
        """Return the level and the time of a counter."""
        level, at = COUNTER.unpack(self.read(offset, COUNTER.size))
        return level, at

    def pairs(self) -> Iterator[tuple[float, float]]:
        """Return the level and the time of each pair's counter; the pairs' names are not stored."""
        yield from COUNTER.iter_unpack(self.read(PAIRS_AT, PAIRS * COUNTER.size))

    def waiting(self) -> list[Waiting]:
        """Return the calls that wait, in the order of the queue."""
        (count,) = _COUNT.unpack(self.read(_COUNT_AT, _COUNT.size))
        data = self.read(_ENTRIES_AT, min(count, WAITING) * _ENTRY.size) if count else b""
        return [Waiting(*entry) for entry in _ENTRY.iter_unpack(data)]

    def keep_waiting(self, entries: list[Waiting]) -> None:
        """Replace the calls that wait. Raises OSError if not all of them can be written."""
        self.write(_COUNT_AT, _COUNT.pack(len(entries)) + b"".join(_ENTRY.pack(*entry) for entry in entries))

    def until(self) -> float:
        """Return the end of the lockout, in seconds since boot."""
        (until,) = UNTIL.unpack(self.read(UNTIL_AT, UNTIL.size))
        return float(until)
