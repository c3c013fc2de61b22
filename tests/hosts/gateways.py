"""Gateways whose state is in a database: the fixtures of the gateway's own tests, for the same tests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers.credentials import Account
from krakenonce.testing import FakeKrakenServer
from tests.hosts.servers import PASSWORD
from tests.integration.gateway.conftest import RunningGateway, WatchedKraken, fake, master, pair
from tests.integration.gateway.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing import FakeAccount
    from tests.hosts.engines import Engine

__all__ = ["fake", "gateway", "master", "order_timeout", "pair", "processes", "server", "state_url"]


@pytest.fixture
def server(fake: WatchedKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP: the tests of the gateway call it so."""
    with FakeKrakenServer(fake) as running:
        yield running


@pytest.fixture
def state_url(engine: Engine) -> str:
    """Where the state is."""
    return engine.url


@pytest.fixture
def order_timeout() -> float:
    """Seconds to wait for the answer to an order."""
    return 1.0


@pytest.fixture
def gateway(
    master: FakeAccount, server: FakeKrakenServer, state_url: str, order_timeout: float
) -> Iterator[RunningGateway]:
    """A gateway with one account, whose calls are not counted. Nothing may be left uncaught in it."""
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], state_url, order_timeout=order_timeout) as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def processes(master: FakeAccount, server: FakeKrakenServer, state_url: str) -> Iterator[Processes]:
    """What starts gateways."""
    made = Processes(state_url, master, server.url)
    made.secrets.append(PASSWORD)
    yield made
    made.close()
