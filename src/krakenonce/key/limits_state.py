"""The rate counters of one API key as bytes, which a backend keeps and locks while they are used.

A state has, in this order: its format, how its time follows from the clocks, the key's lockout, the REST counter, the
calls that wait to be sent, a table of the pairs' counters and a table of orders. All times in it are the state's, see
:mod:`krakenonce.key.state_time`. Nothing is synced: after a power cut Kraken's counters have come down as well.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.key.state_time import FAR, Anchor, begin, go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.backends.protocol import RateCounters
    from krakenonce.key.state_time import Reading


_MAGIC = b"KNLIMIT3"  # the last character is the version
_HEAD = struct.Struct("<8sQdd")  # magic, as Anchor
LOCKED = struct.Struct("<dd")  # when it was noted, its end
COUNTER = struct.Struct("<dd")  # level, time
ORDER = struct.Struct("<QQd")  # hash of the id, hash of the pair, time
WAITING = 256  # entries of calls that wait
PAIRS = 1024
ORDERS = 1024  # slots
PER_PLACE = 4
PLACE_SIZE = PER_PLACE * ORDER.size

LOCKED_AT = _HEAD.size
REST_AT = LOCKED_AT + LOCKED.size
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
        seen: When the call has asked last.
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
        counters: Where it is kept; if it is new or of another version there, it is emptied.
        reading: What the clocks of this process show now.
    """

    __slots__ = ("_counters", "_start", "now", "write")

    def __init__(self, counters: RateCounters, reading: Reading) -> None:
        self._counters = counters
        self.write = counters.write
        self._start = counters.read(0, _START)
        if self._start.startswith(_MAGIC):
            before = Anchor(*_HEAD.unpack(self.read(0, _HEAD.size))[1:])
            self.now, anchor = go_on(before, reading, self._latest)
        else:
            counters.write(0, bytes(SIZE))  # takes all disk space now, so that a full disk does no harm later
            self._start, before = bytes(_START), None
            self.now, anchor = begin(reading)
        if anchor != before:
            counters.write(0, _HEAD.pack(_MAGIC, *anchor))

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

    def lockout(self) -> tuple[float, float]:
        """Return when the key's lockout was noted, and its end."""
        noted, until = LOCKED.unpack(self.read(LOCKED_AT, LOCKED.size))
        return noted, until

    def copy(self) -> Callable[[State], None]:
        """Read the lockout, all counters and all orders; return what writes them to a state that has another time."""
        lockout, counters = self.lockout(), [self.counter(REST_AT), *self.pairs()]
        orders = list(ORDER.iter_unpack(self.read(ORDERS_AT, ORDERS * PLACE_SIZE)))

        def write_to(other: State) -> None:
            ahead = other.now - self.now
            other.write(LOCKED_AT, LOCKED.pack(*(time and time + ahead for time in lockout)))
            packed = [COUNTER.pack(level, at and at + ahead) for level, at in counters]
            other.write(REST_AT, packed[0])
            other.write(PAIRS_AT, b"".join(packed[1:]))
            other.write(ORDERS_AT, b"".join(ORDER.pack(order, pair, at and at + ahead) for order, pair, at in orders))

        return write_to

    def _latest(self) -> float:
        """The last time at which something was counted or noted."""
        counters = [self.counter(REST_AT), *self.pairs()]
        times = [self.lockout()[0], *(at for _, at in counters), *(entry.seen for entry in self.waiting())]
        return max((time for time in times if 0.0 <= time < FAR), default=0.0)
