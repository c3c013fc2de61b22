"""Rounds of a campaign: what was reported in one is checked, together with what came before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from krakenonce.manager import NonceManager
from krakenonce.testing.checker import Issue
from prove.campaign import check_order

if TYPE_CHECKING:
    from pathlib import Path

    from prove.pipe import Reported

__all__ = ["Maker", "Rounds"]

Maker = Callable[..., NonceManager]  # from a state directory, and for some campaigns a clock


class Rounds:
    """The order of the nonces over all rounds.

    After each round a new manager's nonce has to be above all that were reported. The next round checks against that
    nonce alone, so that what is checked does not grow.

    Args:
        state: The state directory.
    """

    def __init__(self, state: Path) -> None:
        self.nonces = 0
        self._state = state
        self._largest: list[Issue] = []

    def check(self, reported: Reported, maker: Maker) -> Issue:
        """Raise Broken if a nonce was wrong; return the one that a new manager of *maker* issues."""
        asked = time.monotonic_ns()
        with maker(self._state) as manager:
            nonce = manager.next()
        last = Issue(asked, time.monotonic_ns(), nonce, "afterwards")
        check_order([*self._largest, *reported.issues, last])
        self._largest = [last]
        self.nonces += len(reported.issues)
        return last
