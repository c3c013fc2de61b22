"""A journal in short: what is counted, and what a row of refusals shows."""

from __future__ import annotations

import tracemalloc
from typing import Any

from krakenonce.doctor.history import History, read
from krakenonce.journal.event import Event, to_line

AT = 1_796_000_000.0
REFUSED = Event(
    AT, "invalid_nonce", key="k", method="Balance", nonce=100, before=90, in_a_row=1, host="h", pid=1, program="bot.py"
)


def told(*events: Event) -> History:
    """Return the history of events."""
    return read(map(to_line, events))


def refusal(at: float, nonce: int, before: int, **more: Any) -> Event:
    """Return an Invalid nonce, so many seconds after the first."""
    return REFUSED._replace(at=AT + at, nonce=nonce, before=before, **more)


def test_events_that_differ_in_time_alone_are_counted_as_one_kind() -> None:
    """However they are read: with their nonces, and with the counts that stand for many."""
    first = Event(AT, "permission", "k", "MASTER", "Ledgers", nonce=5, text="EGeneral:x", host="h", pid=1, program="b")
    lines = [first, *(first._replace(at=AT + second, nonce=5 + second) for second in range(1, 5))]
    history = told(*lines, first._replace(at=AT + 60, more=7, nonce=0, text=""))
    group = history.groups["permission", "k"]
    assert (group.count, group.first, group.last, history.lines) == (12, AT, AT + 60, 6)
    assert (group.account, dict(group.methods), dict(group.by)) == ("MASTER", {"Ledgers": 12}, {("h", 1, "b"): 12})
    assert group.texts["EGeneral:x"] == 5


def test_lines_that_are_no_events_are_skipped() -> None:
    """Torn ones, and those of somebody else; those of a newer version are read."""
    torn = to_line(REFUSED)[:40]
    newer = to_line(REFUSED._replace(what="permission", at=AT + 5)).replace(b'"key"', b'"later":[1],"key"')
    history = read([torn, b"\n", b"{}\n", b'{"at":1,"what":5}\n', to_line(REFUSED), newer])
    assert sorted(history.groups) == [("invalid_nonce", "k"), ("permission", "k")]


def test_events_before_a_time_are_left_out() -> None:
    """Whether they are looked at or counted."""
    refused = Event(AT, "refused", "k", text="EOrder:x", pid=1)
    lines = [to_line(each._replace(at=AT + second)) for each in (refused, REFUSED) for second in range(10)]
    history = read(lines, since=AT + 7)
    assert {name: group.count for name, group in history.groups.items()} == {
        ("refused", "k"): 3,
        ("invalid_nonce", "k"): 3,
    }


def test_refusals_one_after_the_other_are_a_row() -> None:
    """As the process that got them has counted."""
    history = told(refusal(0, 100, 0), refusal(1, 110, 100, in_a_row=2), refusal(2, 120, 110, in_a_row=3))
    row = history.refusals["k"].longest()
    assert row is not None
    assert (row.length, row.first.nonce, row.last.nonce) == (3, 100, 120)
    assert history.refusals["k"].singles == 0


def test_a_refusal_after_an_accepted_nonce_is_single() -> None:
    """The nonce before it was another one than the refused one."""
    history = told(refusal(0, 100, 0), refusal(1, 120, 110), refusal(2, 140, 130))
    assert history.refusals["k"].singles == 2


def test_the_refusals_of_two_processes_are_no_row() -> None:
    """Each process has rows of its own."""
    history = told(refusal(0, 100, 0), refusal(1, 110, 0, pid=2))
    row = history.refusals["k"].longest()
    assert row is not None
    assert row.length == 1
    assert history.refusals["k"].singles == 0


def test_refusals_that_were_counted_only_are_in_the_row() -> None:
    """The process writes three of a kind in a minute, and knows of all."""
    rows = [refusal(second, 100 + second, 99 + second, in_a_row=second + 1) for second in (0, 1, 2, 70)]
    history = told(rows[0]._replace(before=0), *rows[1:])
    row = history.refusals["k"].longest()
    assert row is not None
    assert (row.length, row.seconds, history.refusals["k"].singles) == (71, 70.0, 0)


def test_an_order_that_was_found_placed_after_its_refusal_was_sent_twice() -> None:
    """Not one whose answer was lost, and not one that was not placed."""
    order: dict[str, Any] = {"method": "AddOrder", "order": "mine"}
    found = REFUSED._replace(at=AT + 1, what="found_out", nonce=0, before=0, text="placed: O1", **order)
    refused = REFUSED._replace(method="AddOrder")
    assert [event.order for event in told(refused, found).twice] == ["mine"]
    assert not told(refused, found._replace(text="not placed")).twice
    lost = found._replace(at=AT + 0.5, what="unknown", text="CallTimeout")
    assert not told(refused, lost, found).twice
    assert not told(refused, lost, found).open
    assert told(refused, lost).open


def test_a_long_journal_needs_little_memory() -> None:
    """However many orders, processes and refusals it has."""
    whats = ("invalid_nonce", "unknown", "permission", "adopted")

    def lines() -> Any:
        for number in range(20_000):
            what = whats[number % 4]
            event = REFUSED._replace(at=AT + number, what=what, nonce=number, order=f"o{number}", pid=number)
            yield to_line(event)

    tracemalloc.start()
    try:
        history = read(lines())
        assert history.lines == 20_000
        assert tracemalloc.get_traced_memory()[0] < 30_000_000
    finally:
        tracemalloc.stop()
