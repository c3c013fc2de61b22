"""What happened in each minute of the last hour, in a fixed amount of memory. No I/O: the time is an argument."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any

MINUTES = 60  # that are kept
ACCOUNTS = 1000  # of which the minutes are kept; those of the one that was idle for the longest are forgotten
_SHORTEST = 0.001  # seconds; shorter waits count as this long
_STEPS = 4  # of waits between a duration and its double: a median is at most a fifth too long
_LONGEST = 60  # steps: 0.001 s * 2 ** (60 / 4) are about nine hours


class Minute:
    """One minute.

    Args:
        number: Minutes since the beginning of the clock that is used.

    Attributes:
        calls: Answers of Kraken.
        refused: Calls that were refused, by Kraken or by the gateway.
        unknown: Calls that were sent and got no answer.
        longest: The longest wait for an answer, in seconds.
    """

    __slots__ = ("_waits", "calls", "longest", "number", "refused", "unknown")

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = self.refused = self.unknown = 0
        self.longest = 0.0
        self._waits: Counter[int] = Counter()  # how many, by length in steps

    def waited(self, seconds: float) -> None:
        """Count one wait for an answer."""
        self.longest = max(self.longest, seconds)
        steps = math.ceil(math.log2(max(seconds, _SHORTEST) / _SHORTEST) * _STEPS)
        self._waits[min(steps, _LONGEST)] += 1

    @property
    def median(self) -> float:
        """The wait that half of the calls did not exceed, in seconds, a fifth too long at most; 0.0: there was none."""
        waits = sorted(self._waits.copy().items())  # calls go on in another thread
        left = sum(count for _, count in waits) / 2
        for steps, count in waits:
            left -= count
            if left <= 0:
                return float(min(self.longest, _SHORTEST * 2 ** (steps / _STEPS)))
        return 0.0


class Ring:
    """The last minutes in which something happened, at most ``MINUTES``."""

    def __init__(self) -> None:
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)

    @property
    def newest(self) -> int:
        """The number of the last minute in which something happened; -1: there is none."""
        return self._minutes[-1].number if self._minutes else -1

    def at(self, now: float) -> Minute:
        """Return the minute of a moment, to count in it.

        Args:
            now: Seconds of a clock that does not go back. A moment before the newest minute counts as that minute.
        """
        number = int(now // 60)
        if number > self.newest:
            self._minutes.append(Minute(number))
        return self._minutes[-1]

    def hour(self, now: float) -> list[Minute]:
        """Return the last ``MINUTES`` minutes, the oldest first; the last is the one that has not ended."""
        last = int(now // 60)
        there = {minute.number: minute for minute in self._minutes.copy()}
        return [there.get(number) or Minute(number) for number in range(last - MINUTES + 1, last + 1)]


class History:
    """The last hour of the gateway and of each account."""

    def __init__(self) -> None:
        self.all = Ring()
        self._accounts: dict[str, Ring] = {}

    def minutes(self, account: str, now: float) -> list[Minute]:
        """Return the minutes in which a call counts: the gateway's, and the account's if it is known.

        Args:
            account: The account's name; empty: it is not known.
            now: As for :meth:`Ring.at`.
        """
        return [self.all.at(now), *([self._ring(account).at(now)] if account else ())]

    def seen(self, now: float) -> dict[str, list[Any]]:
        """Return the gateway's hour for the status page: a list of 60 values, the oldest first, of each figure."""
        hour = self.all.hour(now)
        return {
            "calls": [each.calls for each in hour],
            "refused": [each.refused for each in hour],
            "unknown": [each.unknown for each in hour],
            "median_wait": [round(each.median, 4) for each in hour],
            "longest_wait": [round(each.longest, 4) for each in hour],
        }

    def seen_of(self, account: str, now: float) -> dict[str, list[int]]:
        """Return an account's hour: its calls, and those refused or unknown; empty lists if there were none."""
        ring = self._accounts.get(account)
        if ring is None or ring.newest <= int(now // 60) - MINUTES:
            return {"calls": [], "bad": []}
        hour = ring.hour(now)
        return {"calls": [each.calls for each in hour], "bad": [each.refused + each.unknown for each in hour]}

    def _ring(self, account: str) -> Ring:
        ring = self._accounts.get(account)
        if ring is None:
            if len(self._accounts) >= ACCOUNTS:
                del self._accounts[min(self._accounts, key=lambda name: self._accounts[name].newest)]
            ring = self._accounts[account] = Ring()
        return ring
