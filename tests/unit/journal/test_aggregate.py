"""Of each kind of event the first few in a minute are told, and the rest is counted: no event is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from krakenonce.journal.aggregate import Counts, Kind

KINDS: list[Kind] = [
    ("invalid_nonce", "k", "", "Balance"),
    ("invalid_nonce", "k", "", "AddOrder"),
    ("locked_out", "k", "", ""),
]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 40))))
def test_what_is_told_and_what_is_counted_add_up(events: list[tuple[Kind, float]]) -> None:
    """For each kind, over any number of minutes."""
    counts, now = Counts(), 0.0
    there: Counter[Kind] = Counter()
    for kind, pause in events:
        now += pause
        for rest in counts.over(now):
            there[rest.kind] += rest.number
        there[kind] += counts.add(kind, now) > 0
    for rest in counts.all():
        there[rest.kind] += rest.number
    assert there == Counter(kind for kind, _ in events)


def test_the_first_three_of_each_kind_are_told_in_each_minute() -> None:
    """The rest once the minute is over; then the next three are told."""
    counts = Counts()
    assert [counts.add(KINDS[0], 0.0) for _ in range(5)] == [1, 2, 3, 0, 0]
    assert counts.add(KINDS[1], 1.0) == 1
    assert counts.over(59.9) == []
    assert counts.over(60.0) == [(KINDS[0], 2)]
    assert counts.add(KINDS[0], 60.0) == 1
    assert counts.all() == []


def test_kinds_without_end_need_no_memory_without_end() -> None:
    """Of a thousand kinds the oldest is told early."""
    counts = Counts()
    for each in range(5000):
        rests = counts.over(0.0)
        counts.add(("refused", "k", "", str(each)), 0.0)
        assert len(counts._begun) <= 1000
        assert rests == []
