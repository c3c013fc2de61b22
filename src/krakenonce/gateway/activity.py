"""What the gateway has done since its start: counted as it happens, shown by the metrics and by the status page."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.gateway.history import History
from krakenonce.gateway.replies import UNKNOWN_OUTCOME
from krakenonce.key.answers import shown

if TYPE_CHECKING:
    from krakenonce.gateway.answered import Answered, CallRow
    from krakenonce.gateway.audit import Audit
    from krakenonce.gateway.replies import Reply
    from krakenonce.gateway.upstream import Forwarded
    from krakenonce.gateway.waiting import TurnDetails


_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
KRAKEN, MEMORY = "kraken", "memory"  # where the answer to a public call comes from
_REFUSALS = 40  # shown by the status page
_METHOD = 60  # characters of a method that are kept: a client may write anything
REFUSED, NOT_SENT, UNKNOWN = "refused", "not_sent", "unknown"  # what became of a call without a result
LAST = 200  # calls that are kept to be shown, also after a restart


class Histogram:
    """How many times something took how long."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.total += seconds
        self.counts[bisect_left(_BUCKETS, seconds)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many up to it), as Prometheus wants them."""
        return list(zip((*map(str, _BUCKETS), "+Inf"), map(float, accumulate(self.counts)), strict=True))


class Call(NamedTuple):
    """One call without a result, as the status page shows it.

    Args:
        at: When it ended, in seconds since 1970.
        local_key: The name of the local key; empty: it is not known.
        account: The account; empty: it is not known.
        method: Kraken's name of the method; empty if the local key is not known: the sender may have written anything.
        outcome: ``refused`` by Kraken, or what is in front of it; ``not_sent``; or ``unknown``.
        reason: Why it has no result.
    """

    at: float
    local_key: str
    account: str
    method: str
    outcome: str
    reason: str = ""


class PublicActivity:
    """Counts of the public calls."""

    def __init__(self) -> None:
        self.answered = dict.fromkeys((KRAKEN, MEMORY), 0)  # by source
        self.refused: Counter[str] = Counter()  # by Kraken or what is in front of it, by reason
        self.not_sent: Counter[str] = Counter()  # by reason
        self.unanswered = 0

    def reply(self, reply: Reply, source: str) -> None:
        """Count one answer to a client.

        Args:
            reply: The answer.
            source: ``KRAKEN`` if the call was made for this client, ``MEMORY`` if it was made for another.
        """
        if not reply.reason:
            self.answered[source] += 1
        elif reply.reason == UNKNOWN_OUTCOME:
            self.unanswered += 1
        else:
            self.not_sent[reply.reason] += 1


class Activity:
    """Counts since the gateway was started, and the last calls, also those before that.

    Args:
        audit: Where each private call is written; None: nowhere.
    """

    def __init__(self, audit: Audit | None = None) -> None:
        self.audit = audit
        self._before: list[CallRow] = [] if audit is None else audit.last(LAST)
        self._calls: deque[Answered] = deque(maxlen=LAST)
        self.started = time.time()
        self.answered: Counter[str] = Counter()  # by Kraken, by local key
        self.not_sent: Counter[str] = Counter()  # by reason
        self.unknown_outcomes = 0
        self.public = PublicActivity()
        self.refusals: deque[Call] = deque(maxlen=_REFUSALS)  # the last, the newest first
        self.history = History()
        self.waited: defaultdict[str, Histogram] = defaultdict(Histogram)  # for the turn, by account
        self.held: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.kraken: defaultdict[str, Histogram] = defaultdict(Histogram)  # from sending to Kraken's answer

    def turn(self, turn: TurnDetails) -> None:
        """Count one turn."""
        self.waited[turn.account].add(turn.waited)
        self.held[turn.account].add(turn.held)

    def forwarded(self, local_key: str, account: str, method: str, done: Forwarded) -> None:
        """Count one call that Kraken has answered, even if its client has disconnected."""
        self.kraken[account].add(done.seconds)
        for minute in self.history.minutes(account, time.monotonic()):
            minute.calls += 1
        if done.refusal is not None:
            self._ended(local_key, account, method, REFUSED, f"Kraken: {shown(done.refusal.errors)}")
        elif done.answer.status != 200:
            why = f"a page with HTTP status {done.answer.status}, not from Kraken's API"
            self._ended(local_key, account, method, REFUSED, why)

    def reply(self, local_key: str, account: str, method: str, reply: Reply, seconds: float) -> None:
        """Count one answer to a client, by Kraken or by the gateway.

        Args:
            local_key: The name of the local key; empty: it is not known.
            account: Its account.
            method: Kraken's name of the method.
            reply: The answer.
            seconds: Seconds that the client waited for it.
        """
        if local_key:
            self.history.all.at(time.monotonic()).waited(seconds)
        if not reply.reason:
            self.answered[local_key] += 1
        elif reply.reason == UNKNOWN_OUTCOME:
            self.unknown_outcomes += 1
            self._ended(local_key, account, method, UNKNOWN, reply.reason)
        else:
            self.not_sent[reply.reason] += 1
            self._ended(local_key, account, method, NOT_SENT, reply.reason)

    def over(self, call: Answered) -> None:
        """Keep one private call that is over, and write it into the audit log."""
        self._calls.append(call)
        if self.audit is not None:
            self.audit.add(call)

    @property
    def recent(self) -> list[CallRow]:
        """The last private calls, the newest first; also of the gateway before this one, if its audit log is there."""
        calls = self._calls.copy()  # calls go on in another thread
        return [*(call.row for call in reversed(calls)), *reversed(self._before)][:LAST]

    def _ended(self, local_key: str, account: str, method: str, outcome: str, why: str = "") -> None:
        call = Call(time.time(), local_key, account, method[:_METHOD], outcome, why)
        self.refusals.appendleft(call)
        for minute in self.history.minutes(account, time.monotonic()):
            if outcome == UNKNOWN:
                minute.unknown += 1
            else:
                minute.refused += 1
