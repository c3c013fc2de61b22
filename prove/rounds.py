"""Rounds of a campaign: what was told in one is judged, and whatever came before it with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from krakenonce.manager import NonceManager
from krakenonce.testing.checker import Issue
from prove.campaign import check_order

if TYPE_CHECKING:
    from pathlib import Path

    from prove.telling import Told

__all__ = ["Maker", "Rounds"]

Maker = Callable[..., NonceManager]  # from a state directory, and for some campaigns a clock


class Rounds:
    """The order of the numbers over all rounds.

    After each round a new manager's number has to be above all that were told. It stands for them in the next round,
    so that what is judged does not grow.

    Args:
        state: The state directory.
    """

    def __init__(self, state: Path) -> None:
        self.numbers = 0
        self._state = state
        self._largest: list[Issue] = []

    def judge(self, told: Told, maker: Maker) -> Issue:
        """Raise Broken if a number was wrong; return the one that a new manager of *maker* gives."""
        asked = time.monotonic_ns()
        with maker(self._state) as manager:
            number = manager.next()
        last = Issue(asked, time.monotonic_ns(), number, "afterwards")
        check_order([*self._largest, *told.issues, last])
        self._largest = [last]
        self.numbers += len(told.issues)
        return last
