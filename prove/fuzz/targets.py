"""What is fuzzed: a strategy for inputs, and a check that raises Broken if one of them breaks a promise."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import Phase

from prove.campaign import Broken

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hypothesis.strategies import SearchStrategy

__all__ = ["Target", "fuzz", "pure", "require"]


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed.

    Args:
        name: Its name in the figures.
        inputs: What it is given.
        opened: Makes it ready for one batch; the block gets the check.
        batch: Examples in one batch.
    """

    name: str
    inputs: SearchStrategy[Any]
    opened: Callable[[], AbstractContextManager[Callable[[Any], None]]]
    batch: int = 25


def pure(name: str, inputs: SearchStrategy[Any], check: Callable[[Any], None]) -> Target:
    """Return a target that keeps nothing from one example to the next."""
    return Target(name, inputs, lambda: contextlib.nullcontext(check))


def require(kept: object, promise: str, *seen: object) -> None:
    """Raise Broken unless a promise is kept; *seen* is what shows that it is not."""
    if not kept:
        raise Broken(": ".join((promise, *map(_shown, seen))))


def _shown(seen: object) -> str:
    try:
        return repr(seen)
    except ValueError:  # a number with more digits than Python writes
        return "(longer than Python writes)"


def fuzz(target: Target, seed: int, batch: int = 0, *, shrink: bool = True) -> int:
    """Run one batch and return how many examples there were.

    Args:
        target: What is fuzzed.
        seed: The trial's.
        batch: Which batch of that trial it is.
        shrink: Whether to look for the smallest input that breaks the promise, which takes longer.

    Raises:
        Broken: A promise is broken; the message has the input that did it.
    """
    tried = 0
    with target.opened() as check:

        def one(given: Any) -> None:
            nonlocal tried
            tried += 1
            check(given)

        try:
            _examples(target, random.Random(f"{seed} {target.name} {batch}").getrandbits(64), shrink)(one)()
        except (Exception, ExceptionGroup) as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            raise Broken(f"{target.name}: {type(error).__name__}: {error}\n{notes}") from error
    return tried


def _examples(target: Target, seed: int, shrink: bool) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    settings = hypothesis.settings(
        max_examples=target.batch,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def made(check: Callable[[Any], None]) -> Callable[[], None]:
        test: Callable[[], None] = hypothesis.seed(seed)(settings(hypothesis.given(target.inputs)(check)))
        return test

    return made
