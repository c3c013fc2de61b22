"""The rate counters of one API key as bytes, which a backend keeps and locks while they are used.

A state has, in this order: its format, how its time follows from the clocks, the key's lockout, the REST counter, which
account the key belongs to, the calls that wait to be sent, a table of the pairs' counters, a table of orders, and what
was cancelled. All times in it are the state's, see :mod:`krakenonce.key.state_time`. Nothing is synced: after a power
cut Kraken's counters have come down as well.

The keys of an account with several have a state each, and their account has one. The account's has what concerns the
trading engine, which counts for all of them together: the pairs' counters, the orders, and what was cancelled.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.key.naming import ACCOUNT
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
CANCELS = struct.Struct("<dQddQ")  # as Moment: when CancelAll was sent; latest time of a name; names ever noted
_CANCELLED = struct.Struct("<QdQd")  # hash of a name that was cancelled; as Moment: when that cancel began to wait
WAITING = 256  # entries of calls that wait
PAIRS = 1024
ORDERS = 1024  # slots
PER_PLACE = 4
PLACE_SIZE = PER_PLACE * ORDER.size
NAMES = 64  # of cancels: the last ones

LOCKED_AT = _HEAD.size
REST_AT = LOCKED_AT + LOCKED.size
_COUNT = struct.Struct("<H6s")  # how many entries follow; the number of the key's account, 0: its own state has all
_ENTRY = struct.Struct("<QdIId")  # as Waiting
_COUNT_AT = REST_AT + COUNTER.size
_ENTRIES_AT = _COUNT_AT + _COUNT.size
PAIRS_AT = _ENTRIES_AT + WAITING * _ENTRY.size
ORDERS_AT = PAIRS_AT + PAIRS * COUNTER.size
CANCELS_AT = ORDERS_AT + ORDERS * PLACE_SIZE  # older states end here
_CANCELLED_AT = CANCELS_AT + CANCELS.size
SIZE = _CANCELLED_AT + NAMES * _CANCELLED.size
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


class Moment(NamedTuple):
    """When something was, by two clocks.

    Args:
        at: The state's time, which is exact to a few milliseconds if several hosts share the state.
        clock: Another clock, that of one host: the same number, the same clock.
        boot: Its time, in seconds.
    """

    at: float
    clock: int
    boot: float

    def is_before(self, other: Moment) -> bool:
        """Return whether it was before another one: exactly, if both were on one host."""
        return self.boot < other.boot if self.clock == other.clock else self.at < other.at

    def later(self, seconds: float) -> Moment:
        """Return the same in another state's time; 0.0 stays 0.0."""
        return self._replace(at=self.at and self.at + seconds)


URGENT = 1  # it goes before calls that are not urgent
DUE = 2  # it may be sent, and at most waits for its turn


def is_open_for_sure(start: bytes, reading: Reading) -> bool:
    """Whether a state has no lockout, and a step would not write what the clocks show. False: only a step can tell.

    Args:
        start: The first ``REST_AT`` bytes, perhaps read while another caller has written them.
        reading: What the clocks of this process show now.
    """
    if len(start) != REST_AT or not start.startswith(_MAGIC) or any(start[LOCKED_AT:]):
        return False
    before = Anchor._make(_HEAD.unpack_from(start)[1:])
    return before.clock == reading.clock and go_on(before, reading, lambda: 0.0)[1] == before


class State:
    """The state of one key, while it is locked.

    Args:
        counters: Where it is kept; if it is new or of another version there, it is emptied.
        reading: What the clocks show now: those of this process, or the server's.
        here: What this process's own clocks show, at the same time or a little later; None: the same.
        late: Seconds by which that may be later.
    """

    __slots__ = ("_counters", "_start", "here", "late", "now", "write")

    def __init__(
        self, counters: RateCounters, reading: Reading, here: Reading | None = None, late: float = 0.0
    ) -> None:
        self._counters = counters
        self.here, self.late = here or reading, late
        self.write = counters.write
        self._start = counters.read(0, _START)
        if self._start.startswith(_MAGIC):
            before = Anchor._make(self._unpack(_HEAD, 0)[1:])
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

    def _unpack(self, form: struct.Struct, offset: int) -> tuple[Any, ...]:
        if offset + form.size <= len(self._start):  # as usual
            return form.unpack_from(self._start, offset)
        return form.unpack(self.read(offset, form.size))

    def counter(self, offset: int) -> tuple[float, float]:
        """Return the level and the time of a counter."""
        level, at = self._unpack(COUNTER, offset)
        return level, at

    def pairs(self) -> Iterator[tuple[float, float]]:
        """Return the level and the time of each pair's counter; the pairs' names are not stored."""
        yield from COUNTER.iter_unpack(self.read(PAIRS_AT, PAIRS * COUNTER.size))

    def account(self) -> str:
        """Return the name of the state of the key's account; empty: it has none."""
        _, number = self._waiting_and_account()
        return ACCOUNT + number.hex() if any(number) else ""

    def belongs_to(self, account: str) -> None:
        """Note the name of the state of the key's account. Empty: the key has none."""
        count, _ = self._waiting_and_account()
        number = bytes.fromhex(account.removeprefix(ACCOUNT)).ljust(6, b"\0")
        self.write(_COUNT_AT, _COUNT.pack(count, number))

    def orders(self) -> list[tuple[int, int, float]]:
        """Return the orders that are noted, in their slots: the hashes of the id and of the pair, and the time."""
        return list(ORDER.iter_unpack(self.read(ORDERS_AT, ORDERS * PLACE_SIZE)))

    def waiting(self) -> list[Waiting]:
        """Return the calls that wait, in the order of the queue."""
        count, _ = self._waiting_and_account()
        if not count:
            return []
        data = self.read(_ENTRIES_AT, min(count, WAITING) * _ENTRY.size)
        return [Waiting(*entry) for entry in _ENTRY.iter_unpack(data)]

    def keep_waiting(self, entries: list[Waiting]) -> None:
        """Replace the calls that wait. Raises OSError if not all of them can be written."""
        count = _COUNT.pack(len(entries), self._waiting_and_account()[1])
        self.write(_COUNT_AT, count + b"".join(_ENTRY.pack(*entry) for entry in entries))

    def cancels(self) -> tuple[Moment, float, int]:
        """Return when CancelAll was sent, when the latest cancel by name began, and how many names were noted."""
        *all_at, latest, count = CANCELS.unpack(self.read(CANCELS_AT, CANCELS.size))
        return Moment(*all_at), latest, count

    def keep_cancels(self, all_at: Moment, latest: float, count: int) -> None:
        """Replace what :meth:`cancels` returns."""
        self.write(CANCELS_AT, CANCELS.pack(*all_at, latest, count))

    def cancelled(self) -> list[tuple[int, Moment]]:
        """Return the names that were cancelled last: the hash of each, and when its cancel began to wait."""
        size = NAMES * _CANCELLED.size
        data = self._counters.read(_CANCELLED_AT, size).ljust(size, b"\0")  # an older state ends before, or within
        return [(name, Moment(*began)) for name, *began in _CANCELLED.iter_unpack(data)]

    def keep_cancelled(self, number: int, name: int, began: Moment) -> None:
        """Replace one of them."""
        self.write(_CANCELLED_AT + number % NAMES * _CANCELLED.size, _CANCELLED.pack(name, *began))

    def lockout(self) -> tuple[float, float]:
        """Return when the key's lockout was noted, and its end."""
        noted, until = self._unpack(LOCKED, LOCKED_AT)
        return noted, until

    def copy(self) -> Callable[[State], None]:
        """Read all but the calls that wait; return what writes it to a state that has another time."""
        lockout, counters, account = self.lockout(), [self.counter(REST_AT), *self.pairs()], self.account()
        orders = self.orders()
        (all_at, latest, count), names = self.cancels(), self.cancelled()

        def write_to(other: State) -> None:
            ahead = other.now - self.now
            other.write(LOCKED_AT, LOCKED.pack(*(time and time + ahead for time in lockout)))
            packed = [COUNTER.pack(level, at and at + ahead) for level, at in counters]
            other.write(REST_AT, packed[0])
            other.write(PAIRS_AT, b"".join(packed[1:]))
            other.write(ORDERS_AT, b"".join(ORDER.pack(order, pair, at and at + ahead) for order, pair, at in orders))
            other.belongs_to(account)
            other.keep_cancels(all_at.later(ahead), latest and latest + ahead, count)
            for number, (name, began) in enumerate(names):
                other.keep_cancelled(number, name, began.later(ahead))

        return write_to

    def _waiting_and_account(self) -> tuple[int, bytes]:
        count, number = self._unpack(_COUNT, _COUNT_AT)
        return count, number

    def _latest(self) -> float:
        """The last time at which something was counted or noted."""
        counters = [self.counter(REST_AT), *self.pairs()]
        times = [self.lockout()[0], *(at for _, at in counters), *(entry.seen for entry in self.waiting())]
        return max((time for time in times if 0.0 <= time < FAR), default=0.0)
