import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenonce.errors import ClockError, InvalidFloor, InvalidScope, NonceExhausted
from krakenonce.rule import (
    EARLIEST,
    LATEST,
    MARK_STEP,
    NONCE_MAX,
    SECOND,
    STEP_LASTS,
    STEP_LIMIT,
    Anchor,
    check_floor,
    check_scope,
    judge_clock,
    mark_for,
    next_nonce,
)

NOW = 1_800_000_000 * SECOND
sane_times = st.integers(EARLIEST, LATEST - 1)


@given(last=st.none() | st.integers(0, NONCE_MAX - 1), now=sane_times)
def test_the_next_nonce_is_the_clock_or_one_more_than_the_last(last: int | None, now: int) -> None:
    """The rule is max(last + 1, now)."""
    assert next_nonce(last, now) == max(-1 if last is None else last + 1, now)


@given(last=st.integers(EARLIEST, NONCE_MAX - 1), now=st.integers())
def test_no_clock_lowers_the_nonce(last: int, now: int) -> None:
    """A clock reading of any size never makes the number fall."""
    assert next_nonce(last, now) > last


@pytest.mark.parametrize("now", [0, -1, EARLIEST - 1, LATEST, 2**64, 16_725_225_600 * SECOND])
def test_an_impossible_clock_is_never_the_nonce(now: int) -> None:
    """A clock before 2020 or after 2200 is passed over, or refused when there is nothing else to go by."""
    assert next_nonce(NOW, now) == NOW + 1
    said = rf"^the system clock is at {now / SECOND:.0f} s since 1970, .* no earlier nonce; .*; set the clock$"
    with pytest.raises(ClockError, match=said):
        next_nonce(None, now)


def test_the_largest_nonce_can_be_issued_and_no_other_after_it() -> None:
    """2^63 - 1 is issued, and then nothing more."""
    assert next_nonce(NONCE_MAX - 1, NOW) == NONCE_MAX
    with pytest.raises(NonceExhausted, match=r"^the counter has reached 2\^63 - 1, .*; use a new API key and counter$"):
        next_nonce(NONCE_MAX, NOW)


def test_the_largest_nonce_is_that_of_signed_integers() -> None:
    """2^63 - 1 in digits, as Kraken's schema has it (invariant 8)."""
    assert NONCE_MAX == 9_223_372_036_854_775_807


def test_the_mark_is_one_step_ahead_but_not_above_the_largest_nonce() -> None:
    """The mark is the number plus ten seconds, at most 2^63 - 1."""
    assert mark_for(NOW) == NOW + MARK_STEP
    assert mark_for(NONCE_MAX - 1) == NONCE_MAX


@pytest.mark.parametrize("floor", [-1, NONCE_MAX, 2**64, 1.5, "7", None, True])
def test_a_floor_that_is_no_integer_in_range_is_refused(floor: object) -> None:
    """A floor must be an integer from 0 to 2^63 - 2."""
    what = str(floor) if type(floor) is int else type(floor).__name__
    with pytest.raises(InvalidFloor, match=rf"^a floor must be an integer from 0 to 2\^63 - 2, not .*{what}$"):
        check_floor(floor)


@pytest.mark.parametrize("scope", ["", "a/b", "..", "a.b", "ключ", "x" * 65, "x" * 300, "a b", "a\0", None, 7])
def test_a_scope_that_cannot_name_a_file_is_refused(scope: object) -> None:
    """The name of a counter has 1 to 64 letters, digits, - or _."""
    with pytest.raises(InvalidScope, match=r"^the name of a counter has 1 to 64 letters, digits, '-' or '_'; "):
        check_scope(scope)


@pytest.mark.parametrize("scope", ["a", "-", "Z_9", "x" * 64])
def test_a_scope_of_one_letter_and_of_sixty_four_is_fine(scope: str) -> None:
    """Both ends belong to what is allowed."""
    check_scope(scope)


def test_a_key_passed_as_scope_is_not_repeated_in_the_message() -> None:
    """The message shows the wrong letter and its position, not the name."""
    key = "4/SDrDBcOOPnm3nPlNfEMMJDeRcIVqPz+QhRxIodyZbI9po/aVRiHsgX"
    with pytest.raises(InvalidScope) as caught:
        check_scope(key)
    assert key[2:12] not in str(caught.value)
    assert str(caught.value).endswith("; this name has '/' at position 2")
    with pytest.raises(InvalidScope, match=r", not of type int$"):
        check_scope(7)


@pytest.mark.parametrize(
    ("step", "event", "believed"),
    [
        (0, "steady", True),
        (-SECOND, "steady", True),
        (-SECOND - 1, "back", True),
        (-3600 * SECOND, "back", True),
        (STEP_LIMIT, "steady", True),
        (STEP_LIMIT + 1, "forward", False),
        (3600 * SECOND, "forward", False),
    ],
)
def test_a_step_of_the_wall_clock_is_judged_by_the_time_since_boot(step: int, event: str, believed: bool) -> None:
    """Back and small steps are believed; forward by more than a minute is not, at first."""
    verdict = judge_clock(Anchor(NOW, 5 * SECOND), NOW + 10 * SECOND + step, 15 * SECOND)
    assert verdict.event == event
    assert verdict.now_ns == NOW + 10 * SECOND + (step if believed else 0)


@pytest.mark.parametrize(("wall", "event"), [(NOW, "steady"), (0, "absurd"), (LATEST, "absurd")])
@pytest.mark.parametrize("anchor", [None, Anchor(0, 5)])
def test_without_a_reading_to_go_by_the_clock_is_remembered_as_it_is(
    anchor: Anchor | None, wall: int, event: str
) -> None:
    """There is nothing to hold it against; whether it can be right at all is said."""
    assert judge_clock(anchor, wall, SECOND) == (wall, Anchor(wall, SECOND), event)


def test_an_impossible_clock_is_replaced_by_the_time_that_has_passed() -> None:
    """The next judgement goes on from there, and a step that was seen before is not forgotten."""
    verdict = judge_clock(Anchor(NOW, SECOND, 7, 8), 0, 3 * SECOND)
    assert verdict == (NOW + 2 * SECOND, Anchor(NOW + 2 * SECOND, 3 * SECOND, 7, 8), "absurd")


def test_a_step_that_lasts_is_trusted_in_the_end() -> None:
    """After a minute at the new time, the new time is right."""
    hour = 3600 * SECOND
    first = judge_clock(Anchor(NOW, SECOND), NOW + hour, SECOND)
    almost = judge_clock(first.anchor, NOW + hour + STEP_LASTS - 1, STEP_LASTS + SECOND - 1)
    assert (first.event, almost.event) == ("forward", "forward")
    lasted = judge_clock(almost.anchor, NOW + hour + STEP_LASTS, STEP_LASTS + SECOND)
    assert (lasted.event, lasted.now_ns) == ("accepted", NOW + hour + STEP_LASTS)


def test_a_step_that_was_taken_back_counts_for_nothing() -> None:
    """A clock that jumps, comes back and jumps again has to last anew."""
    hour = 3600 * SECOND
    jumped = judge_clock(Anchor(NOW, SECOND), NOW + hour, SECOND)
    back = judge_clock(jumped.anchor, NOW + 50 * SECOND, 51 * SECOND)
    again = judge_clock(back.anchor, NOW + hour + 70 * SECOND, 71 * SECOND)
    assert (back.event, again.event) == ("steady", "forward")


def test_a_step_that_grows_has_to_last_again() -> None:
    """A clock that was a minute ahead, which nobody had to look at for a while, and is an hour ahead now."""
    minute, hour = 61 * SECOND, 3600 * SECOND
    small = judge_clock(Anchor(NOW, SECOND), NOW + minute, SECOND)
    grown = judge_clock(small.anchor, NOW + hour + 100 * SECOND, 101 * SECOND)
    assert (small.event, grown.event, grown.now_ns) == ("forward", "forward", NOW + 100 * SECOND)
    less = judge_clock(grown.anchor, NOW + minute + 110 * SECOND, 111 * SECOND)
    again = judge_clock(less.anchor, NOW + hour + 165 * SECOND, 166 * SECOND)
    assert (less.event, again.event) == ("forward", "forward")
    lasted = judge_clock(again.anchor, NOW + hour + 226 * SECOND, 226 * SECOND)
    assert (lasted.event, lasted.now_ns) == ("accepted", NOW + hour + 226 * SECOND)


def test_a_step_that_shrinks_goes_on_lasting() -> None:
    """A clock that is set right in small steps, but still ahead after a minute, is believed."""
    first = judge_clock(Anchor(NOW, SECOND), NOW + 3600 * SECOND, SECOND)
    less = judge_clock(first.anchor, NOW + 3000 * SECOND, 31 * SECOND)
    assert judge_clock(less.anchor, NOW + 3000 * SECOND, 61 * SECOND).event == "accepted"


@given(
    anchor=st.builds(Anchor, sane_times, st.integers(0, 10**18), st.just(0)),
    wall=st.integers(0, 2**64),
    slept=st.integers(0),
)
def test_the_trusted_time_is_never_far_ahead_of_what_has_passed(anchor: Anchor, wall: int, slept: int) -> None:
    """A step that is new is never believed beyond a minute."""
    verdict = judge_clock(anchor, wall, anchor.boot_ns + slept)
    assert verdict.now_ns <= anchor.wall_ns + slept + STEP_LIMIT
