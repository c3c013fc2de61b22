"""The arithmetic of the benchmarks: what is made of the times that were measured."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from bench.alternation import alternate, quantile, ratios, spread
from bench.bots import Burst, at_once, burst_of
from bench.crowd import Turn, farthest_from_mean, hand_overs, out_of_order
from bench.keys import reads_before, rows


def test_a_spread_is_the_middle_and_where_nine_tenths_are() -> None:
    """In whatever order the figures come; between two of them in proportion."""
    assert spread([float(each) for each in range(100, -1, -1)]) == (50.0, 5.0, 95.0)
    assert spread([1.0, 2.0]) == pytest.approx((1.5, 1.05, 1.95))
    assert spread([3.0]) == (3.0, 3.0, 3.0)


def test_a_quantile_has_a_share_of_the_figures_below_it() -> None:
    """In whatever order the figures come; none is invented beyond the largest."""
    assert quantile([float(each) for each in range(100, -1, -1)], 0.99) == 99.0
    assert quantile([1.0, 3.0], 0.25) == 1.5
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([1.0, 2.0], 1.0) == 2.0


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


def test_a_burst_lasts_until_the_last_answer_of_any_process() -> None:
    """All processes are served when the last of them has its first answer."""
    answers = [[(11.0, "a"), (20.0, "b")], [(15.0, "c")], [(19.0, "e"), (15.5, "d")]]
    assert burst_of(answers, began=10.0) == Burst(10.0, 5.5, ["a", "b", "c", "e", "d"])


def test_all_calls_are_made_at_the_same_time() -> None:
    """Each in a thread of its own, none before the time, and with the time at which it ended."""
    at, together = time.monotonic() + 0.1, threading.Barrier(3, timeout=20)
    begun: list[float] = []

    def call() -> str:
        begun.append(time.monotonic())
        together.wait()
        return "placed"

    ended = at_once([call] * 3, at)
    assert [result for _, result in ended] == ["placed"] * 3
    assert at <= min(begun) <= max(begun) <= min(when for when, _ in ended)


def test_the_rows_of_several_keys_are_ratios_of_one_run() -> None:
    """Each round with all keys by the same round with one, and by the round trips that it needs at least."""
    measured: dict[str, Any] = {
        "seconds": {"one key": [3.0, 3.6, 3.2], "keys": [0.5, 0.4, 0.4], "processes": [0.5] * 3, "gateway": [0.6] * 3},
        "new_seconds": {"keys": [0.7], "processes": [0.8]},
        "served_seconds": [0.2, 0.1, 0.2],
        "refused": 0,
        "placed_twice": 0,
        "reads_before_a_cancel": 1,
        "urgent_seconds": {"cancel": [0.05, 0.1, 0.075], "read": [0.25]},
    }
    figures = [figure for _, figure, _ in rows(measured)]
    assert figures[:3] == ["0.40 s (0.40 to 0.50)", "8.00 x (6.00 to 9.00)", "1.00 x (1.00 to 1.25)"]
    assert figures[4] == "4.00 round trips (2.00 to 4.00)"
    assert figures[-4:] == ["0 / 0", "1.50 / 1.99 / 2.00 round trips", "1", "5.00 / 5.00 / 5.00 round trips"]


def test_the_reads_before_a_cancel_are_those_after_it_was_asked_for() -> None:
    """Whatever else arrives, and in whatever order the reads are."""
    arrivals = [
        (1.0, "Balance", None),
        (2.0, "Balance", None),
        (2.5, "AddOrder", None),
        (3.0, "CancelOrder", None),
        (4.0, "Balance", None),
        (5.0, "CancelOrder", None),
    ]
    assert reads_before([1.5, 4.5], arrivals) == [1, 0]
