import random

import pytest

from krakenonce.testing.checker import Issue, violations


def test_rising_numbers_are_in_order() -> None:
    """Calls one after the other, with rising nonces, are fine."""
    assert violations([Issue(1, 2, 10), Issue(3, 4, 11), Issue(5, 6, 20)]) == []


def test_calls_at_the_same_time_may_get_numbers_in_any_order() -> None:
    """Whoever overlaps has no claim."""
    assert violations([Issue(1, 9, 12), Issue(2, 8, 11), Issue(3, 7, 10)]) == []


def test_a_number_given_twice_is_found() -> None:
    """Also when the two calls overlap."""
    (wrong,) = violations([Issue(1, 9, 10), Issue(2, 8, 10)])
    assert wrong.kind == "twice"


def test_a_revived_number_is_found() -> None:
    """Given again to one who asked after it had been given: as after a restart that has forgotten it."""
    (wrong,) = violations([Issue(1, 2, 10, "first life"), Issue(3, 4, 10, "second life")])
    assert (wrong.kind, wrong.before.who) == ("revived", "first life")


def test_a_smaller_number_after_a_larger_answer_is_found() -> None:
    """B was asked for after A was answered, and B is not larger."""
    (wrong,) = violations([Issue(1, 2, 10, "a"), Issue(3, 4, 9, "b"), Issue(5, 6, 11, "a")])
    assert (wrong.kind, wrong.issue.who, wrong.before.who) == ("order", "b", "a")


def test_a_caller_that_falls_behind_itself_is_told_apart() -> None:
    """One process out of its own order is another bug than two that do not agree."""
    (wrong,) = violations([Issue(1, 2, 10, "a"), Issue(1, 2, 12, "b"), Issue(3, 4, 9, "a"), Issue(5, 6, 13, "b")])
    assert wrong.kind == "own order"


@pytest.mark.parametrize("seed", range(20))
def test_it_says_what_comparing_every_pair_says(seed: int) -> None:
    """The quick sweep finds exactly what a slow look at all pairs finds, in any order of the calls."""
    rng = random.Random(seed)
    issues = [Issue(at, at + rng.randint(1, 9), rng.randint(0, 25), rng.choice("ab")) for at in range(25)]
    late = [(a, b) for a in issues for b in issues if a.answered < b.asked and b.number < a.number]
    repeated = {b for a in issues for b in issues if a.asked < b.asked and a.number == b.number}
    rng.shuffle(issues)
    found = violations(iter(issues))
    assert {each.issue for each in found if "order" in each.kind} == {b for _, b in late}
    assert {each.issue for each in found if each.kind == "own order"} == {b for a, b in late if a.who == b.who}
    assert {each.issue for each in found if "order" not in each.kind} == repeated
    assert len(found) == len({b for _, b in late}) + len(repeated)
