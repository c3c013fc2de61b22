"""Of each kind of event, the first few in a minute; of the rest, how many there were. No I/O and no clock."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Kind: TypeAlias = tuple[str, str, str, str]  # what has happened, the key's fingerprint, the account, the method

FIRST = 3  # of each kind in each minute
MINUTE = 60.0  # seconds
_KINDS = 1000  # that are counted at a time


class Rest(NamedTuple):
    """How many events of a kind were counted only.

    Args:
        kind: The kind.
        number: How many.
    """

    kind: Kind
    number: int


class Counts:
    """Which events are told one by one.

    Args:
        first: How many of each kind in each minute.
        minute: How long that is, in seconds.
    """

    def __init__(self, first: int = FIRST, minute: float = MINUTE) -> None:
        self._first = first
        self._minute = minute
        self._begun: dict[Kind, float] = {}  # when the minute of each kind began, the earliest first
        self._seen: dict[Kind, int] = {}

    def add(self, kind: Kind, now: float) -> int:
        """Count an event; return which one it is in its minute, if it is one of the first; 0: it is only counted.

        Args:
            kind: Its kind.
            now: Seconds, by a clock that does not step.
        """
        if kind not in self._begun:
            self._begun[kind], self._seen[kind] = now, 0
        seen = self._seen[kind] = self._seen[kind] + 1
        return seen if seen <= self._first else 0

    def over(self, now: float) -> list[Rest]:
        """Return the rest of each kind whose minute is over, and begin anew with these. To be called before `add`."""
        rests = []
        while self._begun:
            kind = next(iter(self._begun))
            if now - self._begun[kind] < self._minute and len(self._begun) < _KINDS:
                break
            rests.append(self._end(kind))
        return [rest for rest in rests if rest.number > 0]

    def all(self) -> list[Rest]:
        """Return the rest of every kind, and begin anew: the process ends."""
        return [rest for kind in list(self._begun) if (rest := self._end(kind)).number > 0]

    def _end(self, kind: Kind) -> Rest:
        del self._begun[kind]
        return Rest(kind, self._seen.pop(kind) - self._first)
