"""Nonces that were refused one after the other, or between accepted ones: what Invalid nonces show. No I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from krakenonce.journal.event import Event


Process: TypeAlias = tuple[str, int, str]  # host, process id, program

_MOST = 200  # processes of a key; the rest is counted only


class Row(NamedTuple):
    """Nonces of one process that were refused one after the other, without another one between them.

    Args:
        key: The key's fingerprint.
        process: The process.
        length: How many.
        first: The first of these refusals that was written.
        last: The last one.
    """

    key: str
    process: Process
    length: int
    first: Event
    last: Event

    @property
    def seconds(self) -> float:
        """The time from the first to the last."""
        return self.last.at - self.first.at


class Refusals:
    """The Invalid nonces of one key.

    Attributes:
        rows: The longest row of refusals of each process.
        between: The refusals of processes that had one before, and then a nonce that was not refused; the last ones.
        singles: How many of these there were.
        asked: The nonces that Kraken has refused while the key was being adopted; the last ones.
    """

    def __init__(self) -> None:
        self.rows: dict[Process, Row] = {}
        self.between: deque[Event] = deque(maxlen=4)
        self.singles = 0
        self.asked: deque[Event] = deque(maxlen=4)
        self._now: dict[Process, Row] = {}  # the row that goes on

    def add(self, event: Event) -> None:
        """Add a refusal that was written with its nonces."""
        who = (event.host, event.pid, event.program)
        if event.method == "GetApiKeyInfo":
            self.asked.append(event)
        row = self._now.get(who)
        if event.in_a_row > 1 and row is not None and event.in_a_row > row.length:
            row = row._replace(length=event.in_a_row, last=event)
        else:
            if event.in_a_row == 1 and event.before and row is not None:
                self.between.append(event)
                self.singles += 1
            row = Row(event.key, who, event.in_a_row, event, event)
        if who in self._now or len(self._now) < _MOST:
            self._now[who] = row
            longest = self.rows.get(who)
            if longest is None or row.length >= longest.length:
                self.rows[who] = row

    def at_once(self) -> int:
        """Return how many processes had their first two nonces refused: what was accepted later is not known."""
        return sum(row.length > 1 and not row.first.before for row in self.rows.values())

    def from_the_beginning(self) -> int:
        """Return how many nonces were refused of processes of which none was accepted before."""
        return sum(row.length for row in self.rows.values() if not row.first.before)

    def longest(self) -> Row | None:
        """Return the longest row; None: no refusal was written."""
        return max(self.rows.values(), key=lambda row: (row.length, row.last.at), default=None)
