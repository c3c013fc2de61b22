"""A fake Kraken over HTTP, a state directory, and what its journal says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.journal import Reader
from krakenonce.journal.recorder import _recorders
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.journal import Event


class Told:
    """What the journal of a state directory says."""

    def __init__(self, state: Path) -> None:
        self.place = state / "journal"

    def __call__(self, what: str = "") -> list[Event]:
        """Return the events of a kind, or all."""
        return [event for event in Reader(self.place).events() if what in ("", event.what)]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory, which is not made yet. What was counted of its events is forgotten in the end."""
    yield tmp_path / "state"
    _recorders.pop(str(tmp_path / "state" / "journal"), None)


@pytest.fixture
def told(state: Path) -> Told:
    """What its journal says."""
    return Told(state)


@pytest.fixture
def manager(state: Path) -> Iterator[NonceManager]:
    """A manager on it."""
    with NonceManager(state) as made:
        yield made


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken."""
    return FakeKraken()


@pytest.fixture
def account(fake: FakeKraken) -> FakeAccount:
    """An account with many dollars."""
    return fake.add_account("MASTER", balances={"ZUSD": "100000.0000"})


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP."""
    with FakeKrakenServer(fake) as running:
        yield running
