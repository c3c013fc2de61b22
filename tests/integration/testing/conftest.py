"""A fake Kraken with one account, over HTTP, and clients of it that send exactly what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.testing.helpers import Caller, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken without accounts."""
    return FakeKraken()


@pytest.fixture
def account(fake: FakeKraken) -> FakeAccount:
    """An account that may trade freely, as it was given no balances."""
    return fake.add_account("bot")


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP."""
    with FakeKrakenServer(fake) as running:
        yield running


@pytest.fixture
def wire(server: FakeKrakenServer, account: FakeAccount) -> Wire:
    """A client of the account that sends each call once, with rising nonces."""
    return Wire(server.url, account)


@pytest.fixture
def caller(fake: FakeKraken, account: FakeAccount) -> Caller:
    """A caller of the fake itself, as the account that trades freely."""
    return Caller(fake, account)


@pytest.fixture
def payer(fake: FakeKraken) -> Caller:
    """A caller whose account has to pay: 10,000 dollars and half a bitcoin."""
    return Caller(fake, fake.add_account("payer", balances={"ZUSD": "10000", "XXBT": "0.5"}))
