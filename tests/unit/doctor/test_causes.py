"""What is concluded from facts, and what is not."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from krakenonce.doctor.examining import findings
from krakenonce.doctor.facts import Counter, Facts, Limit, OtherState, Process, StateFacts
from krakenonce.doctor.history import read
from krakenonce.doctor.report import about, verdict
from krakenonce.journal.event import Event, What, to_line

NOW = 1_796_000_000.0
KEY = "k" * 16
NONCE = int(NOW * 1e9)


def facts(*events: Event, **more: Any) -> Facts:
    """Return facts with these events in the journal."""
    state = StateFacts("/state", "a test says so", keys={KEY: NOW})
    return Facts(NOW, NOW - 86_400, "h", **{"state": state, "history": read(map(to_line, events)), **more})


def event(what: str, ago: float = 60.0, **more: Any) -> Event:
    """Return an event so many seconds ago."""
    return Event(NOW - ago, what, **{"key": KEY, "method": "Balance", "host": "h", "pid": 1, "program": "b", **more})


def causes(seen: Facts) -> list[str]:
    """Return what is wrong, or was."""
    return [each.cause for each in findings(seen)]


def rows(*lengths: int, every: float = 61.0) -> list[Event]:
    """Return refusals, so many in a row, with an accepted nonce before each row; so many seconds between two."""
    made, nonce = [], NONCE - 10**15
    for length in lengths:
        nonce += 5_000
        for in_a_row in range(1, length + 1):
            before, nonce = nonce, nonce + 1_000_000
            made.append((nonce, before, in_a_row))
    return [
        event("invalid_nonce", every * (len(made) - at), nonce=nonce, before=before, in_a_row=in_a_row)
        for at, (nonce, before, in_a_row) in enumerate(made)
    ]


def test_a_journal_without_events_shows_nothing() -> None:
    """Whatever limits, lanes and other processes there are."""
    state = StateFacts("/state", "", keys={KEY: NOW}, limits=(Limit(KEY, 3.0, 0),))
    other = Process(5, "python", lanes={"/other": frozenset(["x" * 16])})
    assert causes(facts(state=state, processes=(other,))) == []
    assert verdict([]) == "nothing is wrong"


@pytest.mark.parametrize(
    ("lengths", "cause"),
    [
        ([1], "not_known"),
        ([2], "not_known"),
        ([1, 1], "not_known"),
        ([1, 1, 1], "another_user"),
        ([2, 1, 2], "another_user"),
        ([3], "poisoned_key"),
        ([1, 4], "poisoned_key"),
        ([5, 1], "not_known"),
        ([4, 1, 1], "another_user"),
    ],
)
def test_a_row_is_a_poisoned_key_and_singles_are_another_user(lengths: list[int], cause: str) -> None:
    """A key from which Kraken has accepted a nonce since the row is not poisoned."""
    assert causes(facts(*rows(*lengths))) == [cause]


@pytest.mark.parametrize(("length", "cause"), [(1, "not_known"), (3, "poisoned_key")])
def test_the_first_refusals_of_several_bots_are_no_other_user(length: int, cause: str) -> None:
    """Each had an accepted nonce before, but that was before the key was poisoned."""
    first = [each._replace(pid=1) for each in rows(length, every=5.0)]
    others = [
        event("invalid_nonce", 3.0, nonce=first[-1].nonce + pid, before=first[0].before - pid, in_a_row=1, pid=pid)
        for pid in range(2, 6)
    ]
    assert causes(facts(*first, *others)) == [cause]


@pytest.mark.parametrize(("length", "cause"), [(7, "not_known"), (8, "poisoned_key")])
def test_a_row_within_a_second_must_be_longer(length: int, cause: str) -> None:
    """A busy rival may be faster some times in a row."""
    assert causes(facts(*rows(length, every=0.01))) == [cause]


@pytest.mark.parametrize(("before", "is_told"), [(0, True), (NONCE, False)])
def test_processes_that_end_soon_may_show_a_poisoned_key(before: int, is_told: bool) -> None:
    """They cannot show that nothing is accepted: the step is for whoever sees that no call succeeds."""
    short = [
        event("invalid_nonce", 5.0 * pid, nonce=NONCE + at, before=(before, NONCE)[at - 1], in_a_row=at, pid=pid)
        for pid in range(3, 0, -1)
        for at in (1, 2)
    ]
    (found,) = findings(facts(*short))
    assert (found.cause, found.certainty) == ("not_known", "not known")
    assert any("krakenonce adopt" in each for each in found.do) is is_told
    assert any("3 processes got Invalid nonce for their first two nonces" in each for each in found.evidence) is is_told


@pytest.mark.parametrize("lengths", [(5,), (1, 1, 1)])
def test_what_to_do_if_nothing_is_accepted_is_told_of_a_single_bot_and_of_single_calls(
    lengths: tuple[int, ...],
) -> None:
    """A bot that a lockout has stopped at once, and a job that makes one call each time."""
    short = [
        event(
            "invalid_nonce", 5.0 * pid, nonce=NONCE + at, before=NONCE + at - 1 if at > 1 else 0, in_a_row=at, pid=pid
        )
        for pid, length in enumerate(lengths)
        for at in range(1, length + 1)
    ]
    (found,) = findings(facts(*short))
    assert found.cause == "not_known"
    assert any("krakenonce adopt" in each for each in found.do)
    assert len(found.do) <= 3


@pytest.mark.parametrize(("lengths", "is_told"), [((3,), True), ((1, 3), True), ((2,), False), ((3, 1), False)])
def test_what_to_do_if_nothing_is_accepted_is_told_after_a_row(lengths: tuple[int, ...], is_told: bool) -> None:
    """A bot that was fine before, and makes its calls one right after the other."""
    (found,) = findings(facts(*rows(*lengths, every=0.5)))
    assert found.cause == "not_known"
    assert any("krakenonce adopt" in each for each in found.do) is is_told


@pytest.mark.parametrize(
    ("events", "is_told"),
    [
        ([("invalid_signature", 600.0)], True),
        ([("invalid_signature", 60.0)], False),
        ([("invalid_signature", 600.0), ("held_back", 300.0)], False),
        ([("permission", 600.0)], False),
    ],
)
def test_a_secret_that_may_be_mended_is_told(events: list[tuple[str, float]], is_told: bool) -> None:
    """The key had a turn later, and nothing was refused or held back. It counts as wrong all the same."""
    found = findings(facts(*(event(what, ago) for what, ago in events)))[0]
    assert any("it may be mended by now" in each for each in found.evidence) is is_told
    assert not found.is_over


@pytest.mark.parametrize(("count", "runs", "is_told"), [(3, True, True), (3, False, False), (2, True, False)])
def test_a_process_that_runs_may_have_counted_more(count: int, runs: bool, is_told: bool) -> None:
    """It writes the first three of a minute, and the count of the rest later."""
    alive = frozenset([("h", 1)]) if runs else frozenset()
    (found,) = findings(facts(*(event("permission", 5.0) for _ in range(count)), alive=alive))
    assert (f"at least {count} times" in found.evidence[0]) is is_told


def test_a_key_of_two_states_is_named_for_that_alone() -> None:
    """Its refusals have their reason."""
    other = Process(5, "python", lanes={"/other": frozenset([KEY])})
    (found,) = findings(facts(*rows(3), processes=(other,)))
    assert (found.cause, found.certainty) == ("several_states", "sure")


@pytest.mark.parametrize(("ago", "cause"), [(100.0, "several_states"), (7200.0, "not_known")])
def test_a_use_of_another_state_counts_near_a_refusal_only(ago: float, cause: str) -> None:
    """One long before it is a switch of state."""
    seen = facts(*rows(1), others=(OtherState("/other", {KEY: NOW - ago}),))
    (found,) = findings(seen)
    assert (found.cause, found.certainty) == (cause, "likely" if cause == "several_states" else "not known")


def test_a_lockout_now_is_wrong_and_one_before_is_over() -> None:
    """The state knows until when."""
    state = StateFacts("/state", "", limits=(Limit(KEY, 0.0, 0, locked_out=300.0),))
    (now,) = findings(facts(state=state))
    assert (now.cause, now.is_over) == ("locked_out", False)
    assert any("no refusal before it" in line for line in now.evidence)
    (before,) = findings(facts(event("locked_out", 5000.0)))
    assert (before.cause, before.is_over) == ("locked_out", True)


def test_refusals_after_a_lockout_are_not_its_cause() -> None:
    """Only those before it are named."""
    found = findings(facts(event("locked_out", 600.0), event("permission", 60.0)))
    lockout = next(each for each in found if each.cause == "locked_out")
    assert not any(line.startswith("before it") for line in lockout.evidence)


def test_what_passes_is_over_after_an_hour() -> None:
    """Rate limits and networks; not a key that Kraken does not know."""
    old = [event(what, 4000.0) for what in ("rate_limit", "over_limit", "blocked", "unknown", "invalid_key")]
    wrong = [each.cause for each in findings(facts(*old)) if not each.is_over]
    assert wrong == ["invalid_key"]


def test_an_order_that_nobody_has_found_is_never_over() -> None:
    """It may have been placed."""
    (found,) = findings(facts(event("unknown", 80_000.0, order="mine", text="CallTimeout")))
    assert (found.cause, found.is_over) == ("no_answer", False)


def test_each_finding_has_evidence_and_what_to_do() -> None:
    """Of every kind of event, whether a process runs, has ended or is on another host."""
    events = [event(what, host=host) for what in get_args(What) for host in ("h", "other")]
    for alive in (frozenset(), frozenset([("h", 1)])):
        for each in findings(facts(*events, alive=alive)):
            assert each.what
            assert each.evidence, each
            assert 1 <= len(each.do) <= 3, each


def test_a_process_that_still_runs_may_go_on() -> None:
    """One that has ended does not, and what was long ago has stopped."""
    for alive, ago, says in (
        (frozenset([("h", 1)]), 60.0, "may still be going on"),
        (frozenset(), 60.0, "that process has ended"),
        (frozenset([("h", 1)]), 3000.0, "it has stopped"),
    ):
        (found,) = findings(facts(event("permission", ago), alive=alive))
        assert any(says in line for line in found.evidence)


def test_what_came_before_is_said() -> None:
    """A floor that was raised, or a process that began: shortly before, and another one than that of the event."""
    floor = event("floor_raised", 200.0, key="", method="", text="the nonces of counter global are larger than 5")
    begun = (
        Process(7, "new.py", begun=NOW - 150),
        Process(8, "old.py", begun=NOW - 5000),
        Process(1, "b", begun=NOW - 150),
    )
    (found,) = findings(facts(floor, event("invalid_nonce", 100.0, nonce=NONCE), processes=begun))
    before = [line for line in found.evidence if line.startswith("shortly before")]
    assert len(before) == 2
    assert "a floor was raised" in before[0]
    assert "new.py 7 began" in before[1]


def test_a_lead_over_the_clock_has_its_reason() -> None:
    """It is no finding."""
    adopted = event("adopted", 500.0, nonce=2**62, text=f"it uses the counter key-{KEY}")
    state = StateFacts("/state", "", counters=(Counter(f"key-{KEY}", 2**62, 3e9), Counter("global", 1, -5.0)))
    seen = facts(adopted, state=state)
    assert findings(seen) == []
    assert "the key was adopted" in dict(about(seen))["counters"]


def test_of_many_findings_of_one_cause_a_few_are_shown() -> None:
    """And how many more there are."""
    found = findings(facts(*(event("permission", key=f"{number:016}") for number in range(100))))
    assert len(found) == 6
    assert "95 more keys" in found[-1].what
    assert verdict(found).endswith("; and 1 more")
