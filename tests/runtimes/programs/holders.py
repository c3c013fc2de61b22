"""Notes who holds a lane at the same time, and what those got who did not get it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from krakenonce.errors import LaneError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from krakenonce.key.lane import Lane

TURNS, HELD = 5, 0.03


class Holders:
    """``most`` is how many held it at once at the worst; ``errors`` has the LaneErrors of the others."""

    def __init__(self) -> None:
        self.most = self.turns = self._now = 0
        self.errors: list[str] = []

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """To be entered within the turn."""
        self._now += 1
        self.turns += 1
        self.most = max(self.most, self._now)
        try:
            yield
        finally:
            self._now -= 1

    @contextlib.contextmanager
    def noting_errors(self) -> Iterator[None]:
        """To be entered around the turn: a LaneError ends it quietly."""
        try:
            yield
        except LaneError as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def hold(self, lane: Callable[[], Lane], pause: Callable[[float], Any]) -> Generator[Any, Any, None]:
        """Hold the lane some times, as a generator that yields what its library waits for."""
        for _ in range(TURNS):
            with self.noting_errors(), lane(), self.inside():
                yield pause(HELD)
            yield pause(0)

    def print(self, **more: Any) -> None:
        """Print all that as JSON."""
        print(json.dumps({"most": self.most, "turns": self.turns, "errors": self.errors, **more}))
