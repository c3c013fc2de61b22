"""What a campaign is given, and how it reports what came out."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from krakenonce.testing.checker import violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from krakenonce.testing.checker import Issue

__all__ = ["MAX_WAIT", "Broken", "Campaign", "NotHere", "Trial", "check_order"]

MAX_WAIT = 20.0  # seconds until something that must happen counts as hanging

Figures = dict[str, int]


class Broken(Exception):
    """A promise was broken; the message says how."""


class NotHere(Exception):
    """This machine cannot run the campaign; the message says why."""


@dataclass
class Trial:
    """One run of a campaign.

    Args:
        directory: Empty, on a real disk.
        seed: The seed of all random choices.
        seconds: How long it may go on where more time means more tries.
    """

    directory: Path
    seed: int
    seconds: float
    rng: random.Random = field(init=False)
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self._end = time.monotonic() + self.seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end


@dataclass(frozen=True)
class Campaign:
    """One way of trying to break a promise.

    Args:
        name: For the command line.
        what: What is tried, for the progress and the report.
        run: Does it and returns figures by what they count; raises Broken or NotHere.
        seconds: Seconds of a long run.
        short: Seconds of a short one.
    """

    name: str
    what: str
    run: Callable[[Trial], Figures]
    seconds: float
    short: float


def check_order(issues: Iterable[Issue]) -> None:
    """Raise Broken if any nonce was issued twice, issued again after a restart, or out of order."""
    wrong = violations(issues)
    if wrong:
        lines = "\n".join(map(str, wrong[:10]))
        raise Broken(f"{len(wrong)} nonces are wrong:\n{lines}")
