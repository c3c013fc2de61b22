"""A fake Kraken with one account, served over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.kraken import Kraken
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.kraken.helpers import Twin

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken without accounts."""
    return FakeKraken()


@pytest.fixture
def account(fake: FakeKraken) -> FakeAccount:
    """An account with some dollars."""
    return fake.add_account("bot", balances={"ZUSD": "100.0000"})


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP; 2 ms per call, so that a clock in milliseconds moves on between calls."""
    with FakeKrakenServer(fake, latency=0.002) as running:
        yield running


@pytest.fixture
def kraken(account: FakeAccount, server: FakeKrakenServer) -> Iterator[Kraken]:
    """A client of the account."""
    manager = NonceManager("memory:")
    with Kraken(account.key, account.secret, manager=manager, tier="none", base_url=server.url) as client:
        yield client


@pytest.fixture
def rich(fake: FakeKraken) -> FakeAccount:
    """An account with enough of everything to trade."""
    return fake.add_account("rich", balances={"ZUSD": "100000.1234", "XXBT": "2.0000000001"})


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest, rich: FakeAccount, server: FakeKrakenServer) -> Iterator[Twin]:
    """Each of the two clients of the rich account, one after the other."""
    manager = NonceManager("memory:")
    with Twin(request.param, rich.key, rich.secret, manager=manager, tier="none", base_url=server.url) as made:
        yield made
