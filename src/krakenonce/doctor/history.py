"""A journal in short: how often what has happened, when, by whom, and after what. No I/O, and little memory."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from functools import cached_property
from typing import TYPE_CHECKING, Any

from krakenonce.doctor.rows import Refusals
from krakenonce.journal.event import from_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.doctor.rows import Process
    from krakenonce.journal.event import Event


_MINUTE = 60.0  # seconds
_TURNING = ("clock_step", "recovered", "floor_raised", "adopted")
_MOST = 200  # processes, orders and turning points that are kept; the rest is counted only
_TALLIES = 20_000
_TEXT = rb'"[^"\\]*"'
_LINE = re.compile(
    rb'{"at":([0-9.]+),"what":("\w+")((?:,"(?:key|account|method)":' + _TEXT + rb")*)"
    rb'(?:,"nonce":[0-9]+)?(?:,"before":[0-9]+)?(?:,"seconds":[0-9.]+)?(?:,"order":' + _TEXT + rb")?"
    rb'(?:,"text":(?:("[^"\\0-9]*")|' + _TEXT + rb'))?(?:,"more":([0-9]+))?'
    rb'((?:,"host":' + _TEXT + rb')?,"pid":[0-9]+[^{}]*)}\n'
)  # what most lines look like; texts that differ in a number are not told apart
_LOOKED_AT = frozenset(name.encode() for name in ("invalid_nonce", "unknown", "found_out", *_TURNING))


class Tally:
    """Events that differ in their times and nonces alone.

    Attributes:
        event: The first one that was read.
        count: How many there were.
        first: When the first one was, in seconds since 1970.
        last: When the last one was.
        with_nonce: How many had a nonce of ours.
    """

    __slots__ = ("count", "event", "first", "last", "with_nonce")

    def __init__(self, event: Event) -> None:
        self.event, self.first, self.last = event, event.at, event.at
        self.count = self.with_nonce = 0

    def add(self, at: float, more: int) -> None:
        """Count an event, or the *more* ones that a line stands for."""
        self.count += more or 1
        if at > self.last:
            self.last = at
        elif at < self.first:
            self.first = at

    @property
    def by(self) -> Process:
        """The process."""
        return self.event.host, self.event.pid, self.event.program


class Group:
    """All events of one kind and one key.

    Args:
        tallies: Their tallies, at least one.
    """

    def __init__(self, tallies: list[Tally]) -> None:
        self.what, self.key = tallies[0].event.what, tallies[0].event.key
        self.account = next((each.event.account for each in tallies if each.event.account), "")
        self.count = sum(each.count for each in tallies)
        self.with_nonce = sum(each.with_nonce for each in tallies)
        self.first = min(each.first for each in tallies)
        latest = max(tallies, key=lambda each: each.last)
        self.last, self.last_process = latest.last, latest.by
        self._tallies = tallies

    @property
    def by(self) -> Counter[Process]:
        """How many each process had."""
        return self._sum(lambda each: each.by)

    @property
    def methods(self) -> Counter[str]:
        """How many each method had."""
        return self._sum(lambda each: each.event.method)

    @property
    def texts(self) -> Counter[str]:
        """How many had each text, of kinds whose texts tell something."""
        return self._sum(lambda each: each.event.text)

    @property
    def last_by(self) -> dict[Process, float]:
        """When each process had its last one, in seconds since 1970."""
        return {each.by: each.last for each in sorted(self._tallies, key=lambda each: each.last)}

    def _sum(self, name: Callable[[Tally], Any]) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for each in self._tallies:
            if name(each):
                found[name(each)] += each.count
        return found


class History:
    """What the journal says.

    Attributes:
        refusals: The Invalid nonces of each key.
        turning: What may have changed something for all: clock steps, recoveries, floors, adoptions; the last ones.
        open: The calls whose outcome is not known yet, by key and order; the last ones.
        twice: The orders that were placed although Kraken has refused their nonce.
        lines: How many events were read.
    """

    def __init__(self) -> None:
        self.refusals: dict[str, Refusals] = defaultdict(Refusals)
        self.turning: deque[Event] = deque(maxlen=_MOST)
        self.open: dict[tuple[str, str], Event] = {}
        self.twice: deque[Event] = deque(maxlen=_MOST)
        self.lines = 0
        self._tallies: dict[tuple[object, ...], Tally] = {}
        self._refused: dict[tuple[str, str, int], Event] = {}
        self._look: dict[str, Callable[[Event], object]] = {
            **dict.fromkeys(_TURNING, self.turning.append),
            "invalid_nonce": self._invalid_nonce,
            "unknown": self._unknown,
            "found_out": self._found_out,
        }

    def read(self, line: bytes, since: float) -> None:
        """Add the event of a line, if it is a whole one and not before *since*.

        Most lines differ from one before in their times and nonces alone. They are counted without a closer look, which
        takes a fifth of the time.
        """
        begins = line.find(b'"what":"', 0, 50) + 8
        if line[begins : line.find(b'"', begins)] not in _LOOKED_AT and (match := _LINE.match(line)) is not None:
            name = match.group(2, 3, 4, 6)
            if (tally := self._tallies.get(name)) is not None:
                at = float(match[1])
                if at >= since:
                    self.lines += 1
                    tally.add(at, int(match[5] or 0))
                return
        else:
            name = None
        event = from_line(line)
        if event is not None and event.at >= since:
            self.add(event, name)

    def add(self, event: Event, name: tuple[object, ...] | None = None) -> None:
        """Add an event. Those with the same name differ in their times and nonces alone."""
        self.count(event, name)
        if not event.more and (look := self._look.get(event.what)) is not None:
            look(event)

    def count(self, event: Event, name: tuple[object, ...] | None = None) -> None:
        """Count an event, and conclude nothing from its nonces: those before it may be missing."""
        self.lines += 1
        name = name or (event.what, event.key, event.method, event.host, event.pid)
        if name not in self._tallies and len(self._tallies) >= _TALLIES:
            name = (event.what, event.key)
        tally = self._tallies.get(name) or self._tallies.setdefault(name, Tally(event))
        tally.add(event.at, event.more)
        tally.with_nonce += bool(event.nonce)

    @cached_property
    def groups(self) -> dict[tuple[str, str], Group]:
        """All events, by kind and key. Asked for when all were added."""
        found: dict[tuple[str, str], list[Tally]] = defaultdict(list)
        for tally in self._tallies.values():
            found[tally.event.what, tally.event.key].append(tally)
        return {name: Group(tallies) for name, tallies in found.items()}

    def get(self, what: str, key: str = "") -> Group | None:
        """Return the events of a kind and a key."""
        return self.groups.get((what, key))

    def of(self, *whats: str) -> list[Group]:
        """Return the events of these kinds, by key."""
        return [group for (what, _), group in self.groups.items() if what in whats]

    def _invalid_nonce(self, event: Event) -> None:
        if event.nonce:
            self.refusals[event.key].add(event)
        name = event.key, event.method, event.pid
        if len(self._refused) < _MOST or name in self._refused:
            self._refused[name] = event

    def _unknown(self, event: Event) -> None:
        if event.order:
            self.open[event.key, event.order] = event
            if len(self.open) > _MOST:
                del self.open[next(iter(self.open))]

    def _found_out(self, event: Event) -> None:
        refused = self._refused.get((event.key, event.method, event.pid))
        lost = self.open.pop((event.key, event.order), None)
        is_next = refused is not None and 0 <= event.at - refused.at < _MINUTE
        if is_next and lost is None and event.text.startswith("placed"):
            self.twice.append(event)


def read(lines: Iterable[bytes], since: float = 0.0) -> History:
    """Return the history that the lines of a journal tell, without the events before *since*."""
    history = History()
    for line in lines:
        history.read(line, since)
    return history
