"""A fake Kraken with one account over real HTTP, and a state directory of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.guards import turns
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the process's shared manager, which is not made yet, as in a new process."""
    directory = tmp_path / "state"
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(directory))
    monkeypatch.setattr(turns, "_shared", {})
    return directory


@pytest.fixture
def manager(state: Path) -> NonceManager:
    """A manager on the state directory."""
    return NonceManager(state)


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken without accounts."""
    return FakeKraken()


@pytest.fixture
def account(fake: FakeKraken) -> FakeAccount:
    """An account with many dollars."""
    return fake.add_account("bot", balances={"ZUSD": "100000.0000"})


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP; calls that are under way together overtake each other."""
    with FakeKrakenServer(fake, latency=0.002, jitter=0.002) as running:
        yield running
