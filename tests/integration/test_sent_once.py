"""A call whose second execution could differ from its first is sent once, whichever way it takes to Kraken."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import ccxt
import krakenex
import pytest

from krakenonce import global_manager
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, KrakenBroker
from krakenonce.errors import OutcomeUnknown
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.guards import guard
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.forked import run_forked
from tests.integration.guard.families import ccxt_private, make_ccxt, make_krakenex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Way = Callable[[FakeAccount, str, NonceManager, str, Mapping[str, Any]], object]


def by_client(account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]) -> None:
    """Our client."""
    with Kraken(account.key, account.secret, manager=manager, tier="none", base_url=url) as kraken:
        kraken.private(method, **params)


def by_async_client(
    account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]
) -> None:
    """Our async client."""

    async def main() -> None:
        async with AsyncKraken(account.key, account.secret, manager=manager, tier="none", base_url=url) as kraken:
            await kraken.private(method, **params)

    asyncio.run(main())


def by_broker(account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]) -> None:
    """A broker with a client of its own."""
    nonces = GlobalKrakenNonceManager(manager)
    credentials = Account("MASTER", account.key, account.secret, "none")
    KrakenBroker("MASTER", credentials=credentials, nonces=nonces, base_url=url).call(method, params)


def by_broker_of_krakenex(
    account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]
) -> None:
    """A broker with a krakenex API."""
    with contextlib.closing(make_krakenex(krakenex.API)(account.key, account.secret, url)) as api:
        KrakenBroker("MASTER", api, nonces=GlobalKrakenNonceManager(manager)).call(method, params)


def by_all_brokers(
    account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]
) -> None:
    """All brokers at the same time."""
    accounts = [Account("MASTER", account.key, account.secret, "none")]
    with BrokerManager(accounts, nonces=GlobalKrakenNonceManager(manager), base_url=url) as brokers:
        brokers.call_all(method, params)["MASTER"].get()


def by_all_async_brokers(
    account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]
) -> None:
    """The same with tasks."""
    accounts = [Account("MASTER", account.key, account.secret, "none")]

    async def main() -> None:
        nonces = GlobalKrakenNonceManager(manager)
        async with AsyncBrokerManager(accounts, nonces=nonces, base_url=url) as brokers:
            (await brokers.call_all(method, params))["MASTER"].get()

    asyncio.run(main())


def by_ccxt(account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]) -> None:
    """A guarded ccxt that was told to repeat calls."""
    exchange = guard(make_ccxt(ccxt.kraken)(account.key, account.secret, url), manager)
    exchange.options["maxRetriesOnFailure"] = 3
    with contextlib.closing(exchange.session):
        ccxt_private(exchange, method, dict(params))


def by_command(command: str) -> Way:
    """Return a way over the command line."""

    def call(account: FakeAccount, url: str, manager: NonceManager, method: str, params: Mapping[str, Any]) -> None:
        env = os.environ | {"KRAKEN_MASTER_API_KEY": account.key, "KRAKEN_MASTER_API_SECRET": account.secret}
        words = [command, method, *(f"{name}={value}" for name, value in params.items()), "--base-url", url]
        code, out, err = run_forked(words, env)
        if code:
            raise RuntimeError(out + err)

    return call


OURS: dict[str, Way] = {
    "client": by_client,
    "async client": by_async_client,
    "broker": by_broker,
    "all brokers": by_all_brokers,
    "all async brokers": by_all_async_brokers,
    "call": by_command("call"),
    "call-all": by_command("call-all"),
}
WAYS: dict[str, Way] = {**OURS, "broker of krakenex": by_broker_of_krakenex, "ccxt": by_ccxt}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
our_ways = pytest.mark.parametrize("way", OURS.values(), ids=OURS)

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "20000"}


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of its own, as in a new process."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(global_manager, "_manager", None)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NonceManager]:
    """A manager on the state that the commands use, too."""
    with NonceManager(tmp_path / "state") as made:
        yield made


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken without accounts."""
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


def times(fake: FakeKraken, method: str) -> int:
    """How often a method arrived."""
    return sum(each.method == method for each in fake.arrivals)


@ways
@pytest.mark.parametrize(
    ("method", "params", "order"),
    [
        ("CancelAllOrdersAfter", {"timeout": "60"}, {}),
        ("CancelAll", {}, {}),
        ("CancelOrder", {"txid": "42"}, {"userref": "42"}),
        ("CancelOrder", {"cl_ord_id": "mine"}, {"cl_ord_id": "mine"}),
    ],
    ids=["dead man's switch", "all", "userref", "cl_ord_id"],
)
def test_a_cancel_that_could_hit_a_younger_order_is_sent_once(
    way: Way,
    method: str,
    params: dict[str, str],
    order: dict[str, str],
    fake: FakeKraken,
    account: FakeAccount,
    server: FakeKrakenServer,
    manager: NonceManager,
) -> None:
    """Executed and not answered: it is an error, and the order that is placed meanwhile under the same name stays."""
    with Kraken(account.key, account.secret, manager=manager, tier="none", base_url=server.url) as other:
        other.private("AddOrder", **ORDER, **order)
        fake.faults.add(method, "process_then_cut")
        with pytest.raises(Exception, match=r"may have been executed|Connection aborted|kraken POST"):
            way(account, server.url, manager, method, params)
        assert times(fake, method) == 1
        other.private("CancelAllOrdersAfter", timeout=0)
        placed = other.private("AddOrder", **ORDER, **order)
        assert placed["txid"][0] in other.open_orders()


@our_ways
def test_a_cancel_by_txid_is_sent_again(
    way: Way, fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """No other order gets its txid, so the second cancel can do nothing that the first did not do."""
    with Kraken(account.key, account.secret, manager=manager, tier="none", base_url=server.url) as other:
        (txid,) = other.private("AddOrder", **ORDER)["txid"]
        fake.faults.add("CancelOrder", "drop")
        way(account, server.url, manager, "CancelOrder", {"txid": txid})
        assert other.open_orders() == {}


@ways
@pytest.mark.parametrize("method", ["Balance", "CancelOrder"])
def test_a_refusal_in_unknown_words_is_not_tried_again(
    way: Way, method: str, fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Not even by a read: it may cost the account's limits, or be a wrong code of the second factor."""
    fake.faults.add(method, "process_then_error", error="EAuth:Something new", times=3)
    with pytest.raises(Exception, match="EAuth:Something new"):
        way(account, server.url, manager, method, {"txid": "OQCLML-BW3P3-BUCMWZ"} if method == "CancelOrder" else {})
    assert times(fake, method) == 1


@pytest.mark.parametrize("params", [{"orders": ["OQCLML-BW3P3-BUCMWZ", "42"]}, {"cl_ord_ids": ["mine"]}], ids=str)
@pytest.mark.parametrize("way", [by_client, by_async_client, by_broker, by_all_brokers])
def test_a_batch_by_another_name_is_sent_once(
    way: Way,
    params: dict[str, Any],
    fake: FakeKraken,
    account: FakeAccount,
    server: FakeKrakenServer,
    manager: NonceManager,
) -> None:
    """One order that is named by its userref or its cl_ord_id is enough."""
    fake.faults.add("CancelOrderBatch", "process_then_cut")
    with pytest.raises(OutcomeUnknown):
        way(account, server.url, manager, "CancelOrderBatch", params)
    assert times(fake, "CancelOrderBatch") == 1
