"""A manager on an empty directory, and other processes at its lanes."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from krakenonce.manager import NonceManager
from tests.integration.key.helpers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> NonceManager:
    """A manager on a directory of its own."""
    return NonceManager(tmp_path / "state")


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process, in which tests may have opened more, could open 512 files: 64 of a kind stay open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, 512))


@pytest.fixture
def start_peer(tmp_path: Path) -> Iterator[Callable[[], Peer]]:
    """Starts another process that does at the lane ``key`` of *manager*'s directory what it is asked to do."""
    peers: list[Peer] = []

    def start() -> Peer:
        peers.append(Peer(tmp_path / "state"))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture
def peer(start_peer: Callable[[], Peer]) -> Peer:
    """One such process."""
    return start_peer()


@pytest.fixture
def other_peer(start_peer: Callable[[], Peer]) -> Peer:
    """One more."""
    return start_peer()
