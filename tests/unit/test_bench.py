"""The arithmetic of the benchmarks: what is made of the times that were measured."""

from __future__ import annotations

import pytest

from bench.alternation import alternate, ratios, spread
from bench.crowd import Turn, farthest_from_mean, hand_overs, out_of_order


def test_a_spread_is_the_middle_and_where_nine_tenths_are() -> None:
    """In whatever order the figures come; between two of them in proportion."""
    assert spread([float(each) for each in range(100, -1, -1)]) == (50.0, 5.0, 95.0)
    assert spread([1.0, 2.0]) == pytest.approx((1.5, 1.05, 1.95))
    assert spread([3.0]) == (3.0, 3.0, 3.0)


def test_each_ratio_is_of_one_round() -> None:
    """Each part of ours by the bare one."""
    assert ratios([(2.0, 3.0, 1.0), (4.0, 4.0, 1.0)]) == [1.5, 1.0]
    assert ratios([(2.0, 3.0, 1.0), (4.0, 4.0, 1.0)], 2) == [0.5, 0.25]


def test_both_are_done_by_turns() -> None:
    """After some of each that do not count."""
    done: list[str] = []

    def ours() -> tuple[float, float]:
        done.append("ours")
        return 1.0, 0.5

    rounds = alternate(lambda: done.append("bare"), ours, 2, 2)
    assert done == ["bare", "ours"] * 3 + ["bare", "bare", "ours", "ours"] * 2
    assert [each[1:] for each in rounds] == [(1.0, 0.5)] * 2


def turn(asked: float, got: float, left: float, nonce: int, who: int) -> Turn:
    """A turn."""
    return Turn(asked, got, left, nonce, who)


def test_a_hand_over_counts_if_the_next_one_was_in_the_queue() -> None:
    """Not if it had just asked, and not from a process to itself."""
    turns = [
        turn(0.0, 2.0, 3.0, 1, who=0),
        turn(1.0, 3.5, 4.5, 2, who=1),
        turn(4.0, 5.0, 6.0, 3, who=2),  # it had asked half a second before the turn was given back
        turn(4.6, 6.1, 7.0, 4, who=2),
    ]
    assert hand_overs(reversed(turns), queued=1.0) == [0.5]
    assert hand_overs(turns, queued=0.1) == [0.5, 0.5]


def test_turns_that_overlap_are_counted() -> None:
    """By their nonces."""
    turns = [turn(0.0, 2.0, 3.0, 1, 0), turn(0.0, 3.0, 4.0, 2, 1), turn(0.0, 3.9, 5.0, 3, 2)]
    assert out_of_order(turns) == 1
    assert out_of_order(turns[:2]) == 0


def test_the_share_that_is_farthest_from_the_mean() -> None:
    """In percent of the mean."""
    assert farthest_from_mean([10, 10, 7]) == pytest.approx(22.2, abs=0.1)
    assert farthest_from_mean([5, 5]) == 0.0
