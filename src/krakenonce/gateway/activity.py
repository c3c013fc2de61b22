"""What the gateway has done: counted as it happens, shown by the metrics and by the status page."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.key.answers import shown

if TYPE_CHECKING:
    from krakenonce.gateway.replies import Reply

__all__ = ["Activity", "Complaint", "Histogram"]

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
_COMPLAINTS = 20  # refusals that the status page shows


class Histogram:
    """How many times something took how long."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.total += seconds
        for index, bound in enumerate(_BUCKETS):
            if seconds <= bound:
                self.counts[index] += 1
                return
        self.counts[-1] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many up to it), as Prometheus wants them."""
        told, so_far = [], 0
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self.counts, strict=True):
            so_far += count
            told.append((bound, float(so_far)))
        return told


class Complaint(NamedTuple):
    """One refusal, by the gateway or by Kraken: when (seconds since 1970), whose, of what, and why."""

    at: float
    local_key: str
    method: str
    reason: str


class Activity:
    """Counts since the gateway was started."""

    def __init__(self) -> None:
        self.started = time.time()
        self.answered: Counter[str] = Counter()  # by local key
        self.refused: Counter[str] = Counter()  # by reason
        self.complaints: deque[Complaint] = deque(maxlen=_COMPLAINTS)
        self.waited: dict[str, Histogram] = {}  # by account
        self.held: dict[str, Histogram] = {}
        self.upstream: dict[str, Histogram] = {}

    def turn(self, account: str, waited: float, held: float) -> None:
        """One call has had its turn; times in seconds."""
        self.waited.setdefault(account, Histogram()).add(waited)
        self.held.setdefault(account, Histogram()).add(held)

    def sent(self, account: str, seconds: float) -> None:
        """One call was answered by Kraken."""
        self.upstream.setdefault(account, Histogram()).add(seconds)

    def reply(self, local_key: str, method: str, reply: Reply) -> None:
        """One call was answered, by Kraken or by the gateway."""
        if not reply.reason:
            self.answered[local_key] += 1
            return
        self.refused[reply.reason] += 1
        self._complain(local_key, method, reply.reason)

    def refused_by_kraken(self, local_key: str, method: str, strings: tuple[str, ...]) -> None:
        """Kraken refused a call, with these strings."""
        self._complain(local_key, method, f"Kraken: {shown(strings)}")

    def _complain(self, local_key: str, method: str, why: str) -> None:
        self.complaints.appendleft(Complaint(time.time(), local_key, method, why))
