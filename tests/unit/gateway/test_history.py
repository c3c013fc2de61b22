"""The last hour, minute by minute, as the status page draws it."""

from __future__ import annotations

import pytest

from krakenonce.gateway import history
from krakenonce.gateway.history import MINUTES, History, Minute, Ring

START = 7 * 24 * 3600.0  # seconds since boot
HOUR = 3600.0


def test_each_minute_has_its_own_counts() -> None:
    """The newest comes last; a minute without calls has zeros."""
    kept = History()
    for after in (0.0, 59.0, 130.0):
        for minute in kept.minutes("MASTER", START + after):
            minute.calls += 1
    kept.all.at(START + 130.0).unknown += 1
    seen = kept.seen(START + 150.0)
    assert [len(each) for each in seen.values()] == [MINUTES] * 5
    assert (seen["calls"][-3:], seen["unknown"][-3:]) == ([2, 0, 1], [0, 0, 1])
    assert kept.seen_of("MASTER", START + 150.0)["calls"][-3:] == [2, 0, 1]


def test_what_is_an_hour_old_is_forgotten() -> None:
    """As soon as its minute is the 61st, also if nothing has happened since then."""
    kept = History()
    for minute in kept.minutes("MASTER", START):
        minute.calls += 1
    assert sum(kept.seen(START + HOUR - 1)["calls"]) == sum(kept.seen_of("MASTER", START + HOUR - 1)["calls"]) == 1
    assert sum(kept.seen(START + HOUR)["calls"]) == 0
    assert kept.seen_of("MASTER", START + HOUR) == {"calls": [], "bad": []}


def test_a_year_of_calls_needs_no_more_memory_than_an_hour() -> None:
    """A minute that ends pushes out the oldest."""
    ring = Ring()
    for number in range(365 * 24 * 60):
        ring.at(60.0 * number)
    assert len(ring._minutes) == MINUTES


def test_accounts_that_come_and_go_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minutes of so many accounts are kept; that which was idle for the longest makes room."""
    monkeypatch.setattr(history, "ACCOUNTS", 3)
    kept = History()
    for number, name in enumerate("abcad"):
        for minute in kept.minutes(f"USER:{name}", START + 60 * number):
            minute.calls += 1
    there = [name for name in "abcd" if kept.seen_of(f"USER:{name}", START + 300)["calls"]]
    assert there == ["a", "c", "d"]


def test_a_moment_before_the_newest_minute_counts_in_it() -> None:
    """Two threads may note two calls in another order than they ask for the time."""
    ring = Ring()
    ring.at(START)
    assert ring.at(START - 1) is ring.at(START)


@pytest.mark.parametrize(
    ("waits", "median"),
    [([], 0.0), ([0.25], 0.25), ([0.0, 0.0], 0.0), ([0.01, 0.02, 9.0], 0.02), ([0.1, 0.1, 0.1, 1e6], 0.1)],
    ids=str,
)
def test_the_median_wait_is_right_to_a_fifth(waits: list[float], median: float) -> None:
    """It is never shorter than the real one, and the longest is exact."""
    minute = Minute(0)
    for seconds in waits:
        minute.waited(seconds)
    assert median <= minute.median <= median * 1.19
    assert minute.longest == max(waits, default=0.0)


def test_any_number_of_different_waits_is_kept_in_few_counts() -> None:
    """A minute has as many counts as there are steps of length, however many calls it has."""
    minute = Minute(0)
    for number in range(20_000):
        minute.waited(number * 1.7)
    assert len(minute._waits) <= 61
