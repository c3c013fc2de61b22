"""Whose lanes a backend's are: all managers over one object share them, and over one directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.backends import FileStore, MemoryStore
from krakenonce.backends.memory import OpenGate
from krakenonce.errors import LaneError
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import in_thread, refusal

if TYPE_CHECKING:
    from pathlib import Path


def two_managers(kind: str, state: Path) -> list[NonceManager]:
    """Two managers over one state."""
    if kind == "two file stores":
        return [NonceManager(FileStore(state)), NonceManager(FileStore(state))]
    store = MemoryStore() if kind == "one memory store" else FileStore(state)
    return [NonceManager(store), NonceManager(store)]


@pytest.mark.parametrize("kind", ["one memory store", "one file store", "two file stores"])
def test_two_managers_over_one_state_share_a_key_s_lane(tmp_path: Path, kind: str) -> None:
    """While one has the turn, a thread with the other waits for it; and the thread that has it may enter again."""
    first, second = two_managers(kind, tmp_path)
    said: list[str] = []
    with first.lane("key"):
        in_thread(lambda: said.append(refusal(second.lane("key", timeout=0)))).join()
        with second.lane("key", timeout=0):
            pass
    assert "has held it for" in said[0]
    assert refusal(second.lane("key", timeout=0)) == "taken"


def test_two_memory_stores_have_lanes_of_their_own() -> None:
    """What is in memory is shared by those who share the object."""
    with NonceManager(MemoryStore()).lane("key"):
        said: list[str] = []
        in_thread(lambda: said.append(refusal(NonceManager(MemoryStore()).lane("key", timeout=0)))).join()
    assert said == ["taken"]


class Forgetful(MemoryStore):
    """Makes another gate each time."""

    def gate(self, _name: str) -> OpenGate:
        """A gate that nobody else has."""
        return OpenGate()


def test_a_store_that_gives_another_gate_each_time_is_refused() -> None:
    """With two gates two calls would have the turn at the same time."""
    with pytest.raises(LaneError, match="must return the same object"):
        NonceManager(Forgetful()).lane("key")
