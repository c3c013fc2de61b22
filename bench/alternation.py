"""Ratios by turns: so many operations of one kind, as many of the other, and again, so that noise hits both alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ALTERNATIONS = 30
OPERATIONS = 24


class Spread(NamedTuple):
    """The middle of some figures, and between which two nine tenths of them are.

    Args:
        p50: The middle.
        p5: A twentieth is below.
        p95: A twentieth is above.
    """

    p50: float
    p5: float
    p95: float


def spread(figures: Iterable[float]) -> Spread:
    """Return the middle and the range of some figures, which need not be sorted."""
    ranked = sorted(figures)
    return Spread(*(quantile(ranked, share) for share in (0.5, 0.05, 0.95)))


def quantile(figures: Iterable[float], share: float) -> float:
    """Return the figure below which a share of them is, from 0 to 1; between two of them, in proportion."""
    ranked = sorted(figures)
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def alternate(
    bare: Callable[[], object], ours: Callable[[], tuple[float, ...]], rounds: int, operations: int
) -> list[tuple[float, ...]]:
    """Do both by turns; return the mean seconds of each round: of the bare one, and of each part of ours.

    Args:
        bare: Is timed from its beginning to its end.
        ours: Returns the seconds of its parts that count.
        rounds: How often.
        operations: How many of each at a time.
    """
    for _ in range(3):
        bare()
        ours()
    measured = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(operations):
            bare()
        without = time.perf_counter() - began
        parts = [sum(part) for part in zip(*(ours() for _ in range(operations)), strict=True)]
        measured.append(tuple(each / operations for each in (without, *parts)))
    return measured


def ratios(rounds: list[tuple[float, ...]], part: int = 1) -> list[float]:
    """Return a part of ours divided by the bare one, for each round."""
    return [each[part] / each[0] for each in rounds]
