import random

import pytest

from krakenonce.testing.checker import Issue, violations


def test_rising_nonces_are_in_order() -> None:
    """Calls one after the other, with rising nonces, are fine."""
    assert violations([Issue(1, 2, 10), Issue(3, 4, 11), Issue(5, 6, 20)]) == []


def test_calls_at_the_same_time_may_get_nonces_in_any_order() -> None:
    """Calls that overlap may be answered in any order."""
    assert violations([Issue(1, 9, 12), Issue(2, 8, 11), Issue(3, 7, 10)]) == []


def test_a_nonce_issued_twice_is_found() -> None:
    """Also when the two calls overlap."""
    (wrong,) = violations([Issue(1, 9, 10), Issue(2, 8, 10)])
    assert wrong.kind == "twice"


def test_a_nonce_issued_again_is_found() -> None:
    """Issued to a call that began after it had been returned, as after a restart that has lost it."""
    (wrong,) = violations([Issue(1, 2, 10, "first life"), Issue(3, 4, 10, "second life")])
    assert (wrong.kind, wrong.before.caller) == ("issued again", "first life")


def test_a_smaller_nonce_after_a_larger_one_was_returned_is_found() -> None:
    """B was asked for after A was returned, and B is not larger."""
    (wrong,) = violations([Issue(1, 2, 10, "a"), Issue(3, 4, 9, "b"), Issue(5, 6, 11, "a")])
    assert (wrong.kind, wrong.issue.caller, wrong.before.caller) == ("order", "b", "a")


def test_a_caller_out_of_its_own_order_is_distinguished() -> None:
    """One caller that gets a smaller nonce than before is another bug than two callers that do not agree."""
    (wrong,) = violations([Issue(1, 2, 10, "a"), Issue(1, 2, 12, "b"), Issue(3, 4, 9, "a"), Issue(5, 6, 13, "b")])
    assert wrong.kind == "own order"


@pytest.mark.parametrize("seed", range(20))
def test_it_says_what_comparing_every_pair_says(seed: int) -> None:
    """It finds exactly what a comparison of all pairs finds, whatever the order of the calls is."""
    rng = random.Random(seed)
    issues = [Issue(at, at + rng.randint(1, 9), rng.randint(0, 25), rng.choice("ab")) for at in range(25)]
    late = [(a, b) for a in issues for b in issues if a.answered < b.asked and b.nonce < a.nonce]
    repeated = {b for a in issues for b in issues if a.asked < b.asked and a.nonce == b.nonce}
    rng.shuffle(issues)
    found = violations(iter(issues))
    assert {each.issue for each in found if "order" in each.kind} == {b for _, b in late}
    assert {each.issue for each in found if each.kind == "own order"} == {b for a, b in late if a.caller == b.caller}
    assert {each.issue for each in found if "order" not in each.kind} == repeated
    assert len(found) == len({b for _, b in late}) + len(repeated)
