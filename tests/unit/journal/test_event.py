"""Events as lines: what is written is read again, and what is no whole line is skipped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenonce.journal.event import Event, at_of, from_line, short, to_line
from krakenonce.journal.hooks import Hook, call_hooks, get_on_event_hooks, log_event, set_on_event_hooks
from krakenonce.journal.reading import chosen
from krakenonce.journal.said import said

EVENT = Event(
    1_790_000_000.123456,
    "invalid_nonce",
    key="0123456789abcdef",
    account="MASTER",
    method="AddOrder",
    nonce=1_790_000_000_000_000_007,
    before=1_790_000_000_000_000_000,
    seconds=0.25,
    order="mine-1",
    text="EAPI:Invalid nonce",
    host="alpha",
    pid=77,
    program="bot.py",
)


def test_a_line_is_read_as_the_event_that_was_written() -> None:
    """Every field of it, with every digit of the nonce."""
    line = to_line(EVENT)
    assert line.count(b"\n") == 1
    assert from_line(line) == EVENT
    assert at_of(line) == EVENT.at


@given(st.text(), st.text(), st.integers(0, 2**63), st.integers(0, 10**9))
def test_any_text_is_one_line(text: str, order: str, nonce: int, more: int) -> None:
    """Whatever Kraken or a bot has written; the rest of a journal can be read."""
    event = EVENT._replace(text=short(text), order=short(order), nonce=nonce, more=more)
    line = to_line(event)
    assert line.endswith(b"}\n")
    assert len(line) < 6000
    assert line.count(b"\n") == 1
    assert from_line(line) == event


@given(st.integers(0, 400))
def test_a_torn_line_is_skipped(length: int) -> None:
    """Wherever it was cut off, and also if another process has written its line behind it."""
    line = to_line(EVENT)
    torn = line[: min(length, len(line) - 2)]
    assert from_line(torn) is None
    assert list(chosen([torn, line])) == [EVENT]
    assert list(chosen([torn + line])) in ([], [EVENT])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b'{"at":1,"wh{"at":2}',
        b"{}",
        b"[]",
        b'{"at":1}',
        b'{"at":1,"what":7}',
        b'{"at":"x","what":"y"}',
        b"\xff" * 9,
    ],
)
def test_what_is_no_line_of_ours_is_skipped(line: bytes) -> None:
    """It is no error."""
    assert list(chosen([line])) == []


def test_a_line_of_a_newer_version_is_read() -> None:
    """What is not known of it is left out."""
    fields = json.loads(to_line(EVENT)) | {"mood": "good"}
    assert from_line(json.dumps(fields, separators=(",", ":")).encode()) == EVENT


def test_only_what_is_wanted_is_chosen() -> None:
    """By time, by account, by USER's name, by the key's fingerprint."""
    early, alice = EVENT._replace(at=5.0), EVENT._replace(account="USER:alice", key="f" * 16)
    lines = [to_line(each) for each in (early, EVENT, alice)]
    assert list(chosen(lines, since=6.0)) == [EVENT, alice]
    assert list(chosen(lines, account="MASTER")) == [early, EVENT]
    assert list(chosen(lines, account="alice")) == list(chosen(lines, account="f" * 16)) == [alice]


def test_an_event_is_said_in_one_line() -> None:
    """With the nonce, how far it is above the one before, and who it was."""
    assert said(EVENT) == (
        "MASTER key 0123456789abcdef, AddOrder: Kraken refused the nonce: EAPI:Invalid nonce; order mine-1; nonce "
        "1790000000000000007, 7 above the one before; 0.250 s after its nonce was taken (bot.py 77 on alpha)"
    )
    rest = EVENT._replace(more=12)
    assert said(rest).startswith("MASTER key 0123456789abcdef, AddOrder: 12 more: Kraken refused the nonce (")
    assert (rest.how_many, EVENT.how_many) == (12, 1)


def test_a_hook_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged; by default one hook logs the events, and with an empty list nothing is called."""
    seen: list[Event] = []

    def broken(_: Event) -> None:
        raise ValueError("of a hook")

    assert get_on_event_hooks() == (log_event,)
    hooks: list[Hook] = [broken, seen.append]
    set_on_event_hooks(hooks)
    try:
        call_hooks(EVENT)
        assert seen == [EVENT]
        assert "a hook for events has failed" in caplog.text
        set_on_event_hooks([])
        assert get_on_event_hooks() == ()
    finally:
        set_on_event_hooks(None)
    assert get_on_event_hooks() == (log_event,)
