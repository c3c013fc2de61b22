"""The time of a key's state over clocks that differ, step and begin again."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakenonce.key.state_time import FAR, Anchor, Reading, begin, go_on

HOST, BOX = 1, 2
WALL = 1.8e9


def never() -> float:
    """The last time that was noted, where nobody needs it."""
    raise AssertionError


def test_with_one_clock_the_wall_clock_does_not_matter() -> None:
    """Whatever it shows, as many seconds have passed as that clock has counted."""
    now, anchor = begin(Reading(HOST, 100.0, WALL))
    assert now == 100
    for passed, wall in ((1.0, WALL + 1), (2.0, WALL - 1e9), (3.0, WALL + 1e9), (4.0, math.nan)):
        now, anchor = go_on(anchor, Reading(HOST, 100 + passed, wall), never)
        assert now == 100 + passed


def test_only_a_step_of_the_wall_clock_changes_the_anchor() -> None:
    """Small corrections do not: they would cost a write each."""
    _, anchor = begin(Reading(HOST, 100.0, WALL))
    for moved, same in ((0.0, True), (0.04, True), (-0.04, True), (0.06, False), (-0.06, False)):
        assert (go_on(anchor, Reading(HOST, 105.0, WALL + 5 + moved), never)[1] == anchor) is same


@pytest.mark.parametrize("boot", [1.0, 100.0, 5e6])
def test_another_clock_goes_on_by_the_wall_clock_and_then_by_itself(boot: float) -> None:
    """Whatever its own seconds since boot are."""
    _, anchor = begin(Reading(HOST, 100.0, WALL))
    now, anchor = go_on(anchor, Reading(BOX, boot, WALL + 10), lambda: 100.0)
    assert now == pytest.approx(110)
    now, anchor = go_on(anchor, Reading(BOX, boot + 5, WALL + 1000), never)
    assert now == pytest.approx(115)
    now, _ = go_on(anchor, Reading(HOST, 117.0, WALL + 1002), lambda: 115.0)
    assert now == pytest.approx(117)


def test_after_a_step_back_time_goes_on_from_what_was_noted_last() -> None:
    """No time that is in the state is in the future."""
    _, anchor = begin(Reading(HOST, 100.0, WALL))
    now, anchor = go_on(anchor, Reading(BOX, 7.0, 0.0), lambda: 130.0)
    assert now == 130
    now, anchor = go_on(anchor, Reading(BOX, 8.0, WALL), never)
    assert now == 131
    assert go_on(anchor, Reading(HOST, 0.0, WALL + 2), lambda: 131.0)[0] == pytest.approx(133)


def test_a_wall_clock_that_cannot_be_right_is_not_used() -> None:
    """Nor is it compared later with one that is right."""
    _, anchor = begin(Reading(HOST, 100.0, WALL))
    assert go_on(anchor, Reading(HOST, 105.0, math.nan), never) == (105, anchor)
    now, anchor = go_on(anchor, Reading(BOX, 7.0, math.nan), lambda: 130.0)
    assert now == 130
    assert go_on(anchor, Reading(HOST, 200.0, WALL + 100), lambda: 131.0)[0] == 131
    now, anchor = go_on(anchor, Reading(BOX, 9.0, WALL + 1000), never)
    assert now == 132
    assert go_on(anchor, Reading(HOST, 200.0, WALL + 1001), lambda: 132.0)[0] == 133


@pytest.mark.parametrize("damage", [math.nan, math.inf, -math.inf, 1e12, -1e12])
@pytest.mark.parametrize("clock", [HOST, BOX])
def test_a_damaged_anchor_is_replaced(damage: float, clock: int) -> None:
    """Time goes on from what was noted last, by this clock."""
    now, anchor = go_on(Anchor(HOST, damage, damage), Reading(clock, 7.0, WALL), lambda: 130.0)
    assert now == 130
    assert go_on(anchor, Reading(clock, 9.0, WALL + 2), never) == (132, anchor)


STEPS = st.tuples(st.sampled_from([HOST, BOX]), st.floats(0, 1e4), st.floats(-1e4, 1e4))


@example([(HOST, 0.0, 0.0), (BOX, 10.0, -3600.0), (HOST, 10.0, 0.0)])
@given(st.lists(STEPS, min_size=1, max_size=20))
def test_no_more_time_passes_than_the_clocks_have_seen(steps: list[tuple[int, float, float]]) -> None:
    """It is never more than what has passed and what the wall clock was set forward, and it never goes back."""
    boots, wall = {HOST: 1e5, BOX: 10.0}, WALL
    now, anchor = begin(Reading(HOST, boots[HOST], wall))
    for clock, passed, stepped in steps:
        boots = {each: boot + passed for each, boot in boots.items()}
        wall += passed + stepped
        before = now
        now, anchor = go_on(anchor, Reading(clock, boots[clock], wall), lambda latest=before: latest)  # type: ignore[misc]
        assert before - 1e-6 <= now < FAR
        assert now - before <= passed + max(0.0, stepped) + 0.06
