"""Whose lanes a backend's are: all managers over one object share them, and over one directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.backends import MemoryStore
from krakenonce.backends.memory import OpenGate
from krakenonce.clock import SystemClock
from krakenonce.errors import LaneError
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import in_thread, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Opener


@pytest.mark.parametrize("count", [1, 2])
def test_two_managers_over_one_state_share_a_key_s_lane(tmp_path: Path, opener: Opener, count: int) -> None:
    """While one has the turn, a thread with the other waits for it; and the thread that has it may enter again."""
    backends = [opener(tmp_path / "state", SystemClock()) for _ in range(count)]
    if backends[0].shared == "process":
        backends[1:] = []  # another one would have a state of its own
    first, second = NonceManager(backends[0]), NonceManager(backends[-1])
    said: list[str] = []
    with first.lane("key"):
        in_thread(lambda: said.append(refusal(second.lane("key", timeout=0)))).join()
        with second.lane("key", timeout=0):
            pass
    assert "has held it for" in said[0]
    assert refusal(second.lane("key", timeout=0)) == "taken"


def test_two_memory_backends_have_lanes_of_their_own() -> None:
    """What is in memory is shared by those who share the object."""
    with NonceManager(MemoryStore()).lane("key"):
        said: list[str] = []
        in_thread(lambda: said.append(refusal(NonceManager(MemoryStore()).lane("key", timeout=0)))).join()
    assert said == ["taken"]


class Forgetful(MemoryStore):
    """Makes another gate each time."""

    def gate(self, _name: str) -> OpenGate:
        """A gate that no other lane has."""
        return OpenGate()


def test_a_backend_that_gives_another_gate_each_time_is_refused() -> None:
    """With two gates two calls would have the turn at the same time."""
    with pytest.raises(LaneError, match="must return the same object"):
        NonceManager(Forgetful()).lane("key")
