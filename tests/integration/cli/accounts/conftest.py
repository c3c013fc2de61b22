"""A fake Kraken with three accounts, and a shell that has their credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers.credentials import Account, variables
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing import ApiKey
    from tests.integration.cli.conftest import Shell

ORDER = ("pair=XBTUSD", "type=buy", "ordertype=limit", "volume=0.1", "price=20000")
NAMES = ["MASTER", "USER:alice", "USER:bob"]


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken with MASTER and two users."""
    fake = FakeKraken()
    for name in NAMES:
        fake.add_account(name, balances={"ZUSD": "5000.0000"})
    return fake


@pytest.fixture
def url(fake: FakeKraken) -> Iterator[str]:
    """Where it is."""
    with FakeKrakenServer(fake) as server:
        yield server.url


@pytest.fixture
def trader(shell: Shell, fake: FakeKraken) -> Shell:
    """A shell with the credentials of all accounts."""
    for each in fake.accounts.values():
        prefix = f"KRAKEN_{each.name.replace(':', '_').upper()}_API_"
        shell.env |= {f"{prefix}KEY": each.key, f"{prefix}SECRET": each.secret}
    return shell


def add_keys(trader: Shell, fake: FakeKraken, count: int) -> list[ApiKey]:
    """Give MASTER more keys, and the shell their credentials; return all keys of MASTER."""
    master = next(each for each in fake.accounts.values() if each.name == "MASTER")
    for _ in range(count):
        fake.add_key(master)
    trader.env |= variables(Account("MASTER", keys=[(each.key, each.secret) for each in master.keys]))
    return master.keys


def placed(fake: FakeKraken) -> list[str]:
    """Whose orders the fake Kraken has taken."""
    return sorted(each.account or "" for each in fake.arrivals if each.method == "AddOrder" and each.error is None)
