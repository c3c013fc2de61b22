"""A journal in short: how often what has happened, when, by whom, and after what. No I/O, and little memory."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.journal.event import Event


Process: TypeAlias = tuple[str, int, str]  # host, process id, program

_MINUTE = 60.0  # seconds; of each kind a process writes three events in a minute
_WRITTEN = 3
_TURNING = ("clock_step", "recovered", "floor_raised", "adopted")
_MOST = 200  # processes, methods, texts, orders and turning points that are kept of each kind; the rest is counted only


class Group:
    """All events of one kind and one key.

    Attributes:
        what: The kind.
        key: The key's fingerprint.
        account: The account's name, if an event has it.
        count: How many there were.
        first: The first one.
        last: The last one.
        by: How many each process had.
        last_by: When each process had its last one, in seconds since 1970.
        methods: How many each method had.
        texts: How many had each text.
        without_nonce: How many had no nonce of ours.
    """

    def __init__(self, event: Event) -> None:
        self.what, self.key, self.account = event.what, event.key, event.account
        self.count = self.without_nonce = 0
        self.first = self.last = event
        self.by: Counter[Process] = Counter()
        self.last_by: dict[Process, float] = {}
        self.methods: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Count an event."""
        many = event.more or 1
        self.count += many
        self.account = self.account or event.account
        if event.at < self.first.at:
            self.first = event
        if event.at >= self.last.at:
            self.last = event
        who = (event.host, event.pid, event.program)
        if who in self.last_by or len(self.last_by) < _MOST:
            self.by[who] += many
            self.last_by[who] = event.at
        _count(self.methods, event.method, many)
        if not event.more:
            _count(self.texts, event.text, 1)
            self.without_nonce += not event.nonce


def _count(counter: Counter[str], name: str, many: int) -> None:
    if name and (name in counter or len(counter) < _MOST):
        counter[name] += many


class Row(NamedTuple):
    """Nonces of one process that were refused one after the other, without another one between them.

    Args:
        key: The key's fingerprint.
        process: The process.
        length: How many.
        first: The first refusal.
        last: The last one.
    """

    key: str
    process: Process
    length: int
    first: Event
    last: Event


class Refusals:
    """The Invalid nonces of one key.

    Attributes:
        rows: The longest row of refusals of each process.
        between: The refusals before which the process had another nonce since its refusal before; the last ones.
        singles: How many of these there were.
        asked: The nonces that Kraken has refused while the key was being adopted.
    """

    def __init__(self) -> None:
        self.rows: dict[Process, Row] = {}
        self.between: deque[Event] = deque(maxlen=20)
        self.singles = 0
        self.asked: deque[Event] = deque(maxlen=20)
        self._now: dict[Process, Row] = {}  # the row that goes on
        self._written: dict[tuple[Process, str], deque[float]] = {}

    def add(self, event: Event) -> None:
        """Add a refusal that was written with its nonces."""
        who = (event.host, event.pid, event.program)
        if event.method == "GetApiKeyInfo":
            self.asked.append(event)
        row, was_left_out = self._now.get(who), self._may_have_left_out(who, event)
        if row is not None and event.before == row.last.nonce:
            row = row._replace(length=row.length + 1, last=event)
        else:
            if row is not None and event.before > row.last.nonce and not was_left_out:
                self.between.append(event)
                self.singles += 1
            row = Row(event.key, who, 1, event, event)
        if who in self._now or len(self._now) < _MOST:
            self._now[who] = row
            longest = self.rows.get(who)
            if longest is None or row.length >= longest.length:
                self.rows[who] = row

    def longest(self) -> Row | None:
        """Return the longest row; None: no refusal was written."""
        return max(self.rows.values(), key=lambda row: (row.length, row.last.at), default=None)

    def _may_have_left_out(self, who: Process, event: Event) -> bool:
        """Whether the process may have had refusals before this one that it has counted only."""
        if (who, event.method) not in self._written and len(self._written) >= _MOST:
            return True
        times = self._written.setdefault((who, event.method), deque(maxlen=_WRITTEN))
        times.append(event.at)
        return any(
            len(each) == _WRITTEN and each[-1] - each[0] <= _MINUTE and event.at - each[-1] <= 2 * _MINUTE
            for (process, _), each in self._written.items()
            if process == who
        )


class History:
    """What the journal says.

    Attributes:
        groups: All events, by kind and key.
        refusals: The Invalid nonces of each key.
        turning: What may have changed something for all: clock steps, recoveries, floors, adoptions; the last ones.
        open: The calls whose outcome is not known yet, by key and order; the last ones.
        twice: The orders that were placed although Kraken has refused their nonce.
        lines: How many events were read.
    """

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self.refusals: dict[str, Refusals] = defaultdict(Refusals)
        self.turning: deque[Event] = deque(maxlen=_MOST)
        self.open: dict[tuple[str, str], Event] = {}
        self.twice: deque[Event] = deque(maxlen=_MOST)
        self.lines = 0
        self._refused: dict[tuple[str, str, int], Event] = {}

    def add(self, event: Event) -> None:
        """Add an event."""
        self.lines += 1
        group = self.groups.get((event.what, event.key))
        if group is None:
            group = self.groups[event.what, event.key] = Group(event)
        group.add(event)
        if event.more:
            return
        what = event.what
        if what == "invalid_nonce":
            if event.nonce:
                self.refusals[event.key].add(event)
            if len(self._refused) < _MOST or (event.key, event.method, event.pid) in self._refused:
                self._refused[event.key, event.method, event.pid] = event
        elif what in _TURNING:
            self.turning.append(event)
        elif what == "unknown" and event.order:
            self.open[event.key, event.order] = event
            if len(self.open) > _MOST:
                del self.open[next(iter(self.open))]
        elif what == "found_out":
            self._found_out(event)

    def get(self, what: str, key: str = "") -> Group | None:
        """Return the events of a kind and a key."""
        return self.groups.get((what, key))

    def of(self, *whats: str) -> list[Group]:
        """Return the events of these kinds, by key."""
        return [group for (what, _), group in self.groups.items() if what in whats]

    def _found_out(self, event: Event) -> None:
        refused = self._refused.get((event.key, event.method, event.pid))
        lost = self.open.pop((event.key, event.order), None)
        is_next = refused is not None and 0 <= event.at - refused.at < _MINUTE
        if is_next and lost is None and event.text.startswith("placed"):
            self.twice.append(event)


def read(events: Iterable[Event]) -> History:
    """Return the history of these events, which are read once."""
    history = History()
    for event in events:
        history.add(event)
    return history
