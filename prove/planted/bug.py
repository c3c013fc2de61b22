"""One planted bug."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Planted"]


@dataclass(frozen=True)
class Planted:
    """A small wrong change of our own code, and the one test that has to notice it.

    Args:
        name: What it breaks.
        promise: The number of the promise in docs/explanation/guarantees.md; ``security`` for what
            docs/explanation/security.md says; ``judge`` for what judges the tests.
        file: Where it is planted, from the root of the tree.
        was: The text that is replaced; it is there exactly once.
        becomes: What it is replaced by.
        test: The test, as pytest names it; one set of parameters, or all of them.
        hangs: The bug lets the test, or what it has started, hang: seconds after which that counts as failing; 0: not.
    """

    name: str
    promise: int | Literal["security", "judge"]
    file: str
    was: str
    becomes: str
    test: str
    hangs: float = 0
