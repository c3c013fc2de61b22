"""What a process remembers of the clocks: what is news, what is counted, and whose readings are the last ones."""

from pathlib import Path

import pytest

from krakenonce.backends.file.scope_state import ScopeState
from krakenonce.rule import Anchor
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import SECOND

BACK = "the clock stepped back; nonces continue from the last one"
ABSURD = "the clock is at {} ns, which is before 2020 or after 2200; ignored"
JUMPED = "the clock jumped forward to {} ns; ignored until it has lasted for a minute"
ACCEPTED = "the clock's jump forward has lasted for a minute and is trusted now"


@pytest.fixture
def known() -> ScopeState:
    """What a process knows of a scope at first: nothing."""
    return ScopeState(Path("state"), "alice")


def test_a_scope_has_its_name_and_counts_nothing_at_first(known: ScopeState) -> None:
    """The last number and the mark are told by the disk."""
    assert known.stats(5, 6) == ("alice", 5, 6, 0, 0, 0, 0, 0, 0, None)


def test_each_step_back_is_reported_and_counted(known: ScopeState, clock: ManualClock) -> None:
    """Two in a row are two."""
    notes = [known.judge(clock, None)[1]]
    for _ in range(2):
        clock.step(-100)
        notes.append(known.judge(clock, None)[1])
    notes.append(known.judge(clock, None)[1])
    assert notes == ["", BACK, BACK, ""]
    assert (known.clock_back, known.clock_forward) == (2, 0)


@pytest.mark.parametrize(("wall", "note"), [(3600 * SECOND, JUMPED), (-(10**19), ABSURD)])
def test_a_jump_is_logged_once_and_counted_each_time_it_comes(
    known: ScopeState, clock: ManualClock, wall: int, note: str
) -> None:
    """Forward or impossible; with the clock that was seen."""
    known.judge(clock, None)
    now, notes = clock.now_ns(), []
    for seen in (now + wall, now + wall, now) * 2:
        clock.set_wall(seen)
        notes.append(known.judge(clock, None)[1].replace(str(seen), "{}"))
    assert notes == [note, "", ""] * 2
    assert (known.clock_back, known.clock_forward) == (0, 2)


def test_a_jump_that_has_lasted_is_reported_each_time(known: ScopeState, clock: ManualClock) -> None:
    """Also the second time, if another process has seen how it began."""
    known.judge(clock, None)
    notes = []
    for _ in range(2):
        clock.pass_time(1)
        clock.step(3600)
        began = Anchor(clock.now_ns() - 3600 * SECOND, clock.boot_ns(), clock.boot_ns(), 3600 * SECOND)
        clock.pass_time(61)
        notes.append(known.judge(clock, began)[1])
    assert notes == [ACCEPTED, ACCEPTED]


def test_of_two_readings_the_later_one_counts(known: ScopeState, clock: ManualClock) -> None:
    """Another process has accepted a jump: it is no jump any more; what it knew before this one looked is old."""
    earlier = Anchor(clock.now_ns() - 3600 * SECOND, clock.boot_ns())
    clock.pass_time(1)
    assert known.judge(clock, None) == (clock.now_ns(), "")
    assert known.judge(clock, earlier) == (clock.now_ns(), "")
    clock.step(3600)
    clock.pass_time(10)
    later = Anchor(clock.now_ns(), clock.boot_ns())
    assert known.judge(clock, later) == (clock.now_ns(), "")
