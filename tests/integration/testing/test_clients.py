"""Clients that people have, against the fake Kraken: what they send is understood, what they read is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import krakenex
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


@pytest.fixture
def rich(fake: FakeKraken) -> FakeAccount:
    """An account that can pay."""
    return fake.add_account("rich", balances={"ZUSD": "100000", "XXBT": "2"})


@pytest.fixture
def ccxt_client(rich: FakeAccount, server: FakeKrakenServer) -> Iterator[Any]:
    """A ccxt client with nonces in nanoseconds."""
    ccxt = pytest.importorskip("ccxt")
    client = ccxt.kraken({"apiKey": rich.key, "secret": rich.secret, "enableRateLimit": False})
    client.urls["api"] = dict.fromkeys(client.urls["api"], server.url)
    client.nonce = time.time_ns
    yield client
    client.session.close()


def test_ccxt_trades(fake: FakeKraken, ccxt_client: Any) -> None:
    """Markets, orders of every kind, what became of them, and the balance."""
    markets = ccxt_client.load_markets()
    assert markets["BTC/USD"]["precision"] == {"amount": 1e-8, "price": 0.1}
    order = ccxt_client.create_order("BTC/USD", "limit", "buy", 0.5, 50000, {"clientOrderId": "mine"})
    assert (order["amount"], order["price"]) == (0.5, 50000)
    assert [each["clientOrderId"] for each in ccxt_client.fetch_open_orders("BTC/USD")] == ["mine"]
    ccxt_client.edit_order(order["id"], "BTC/USD", "limit", "buy", 0.6, 50001)
    assert ccxt_client.fetch_order(order["id"])["price"] == 50001
    ccxt_client.cancel_order(order["id"])
    bought = ccxt_client.create_order("BTC/USD", "market", "buy", 0.5)
    filled = ccxt_client.fetch_order(bought["id"])
    assert (filled["status"], filled["filled"], filled["average"]) == ("closed", 0.5, 60030)
    assert [(trade["side"], trade["amount"]) for trade in ccxt_client.fetch_my_trades("BTC/USD")] == [("buy", 0.5)]
    assert ccxt_client.fetch_balance()["BTC"]["total"] == 2.5
    line = {"symbol": "BTC/USD", "type": "limit", "side": "buy", "amount": 0.1, "price": 40000}
    assert len(ccxt_client.create_orders([line, line])) == 2
    ccxt_client.cancel_all_orders()
    assert len(ccxt_client.fetch_closed_orders()) == 4
    assert len(ccxt_client.fetch_ledger()) == 2
    fake.assert_no_invalid_nonce()


def test_ccxt_reads_the_market(ccxt_client: Any) -> None:
    """Ticker, book, trades, candles, time and status."""
    assert ccxt_client.fetch_ticker("BTC/USD")["ask"] == 60030
    assert ccxt_client.fetch_order_book("BTC/USD", 1)["bids"][0][0] == 59970
    assert ccxt_client.fetch_trades("BTC/USD") == []
    assert ccxt_client.fetch_ohlcv("BTC/USD")[-1][4] == 60000
    assert ccxt_client.fetch_status()["status"] == "ok"
    assert ccxt_client.fetch_time() > 1_600_000_000_000


def test_python_kraken_sdk_trades(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> None:
    """Orders, an edit, a batch as JSON, and the lists."""
    spot = pytest.importorskip("kraken.spot")
    with (
        spot.User(rich.key, rich.secret, url=server.url) as user,
        spot.Trade(rich.key, rich.secret, url=server.url) as trade,
        spot.Market(url=server.url) as market,
    ):
        for client in (user, trade):
            client.get_nonce = lambda: str(time.time_ns())
        placed = trade.create_order(ordertype="limit", side="buy", pair="BTC/USD", volume=0.01, price=30000, userref=5)
        edited = trade.edit_order(txid=placed["txid"][0], pair="XBTUSD", volume=0.02)
        assert edited["originaltxid"] == placed["txid"][0]
        line = {"ordertype": "limit", "type": "buy", "volume": 1, "price": 25000}
        batch = trade.create_order_batch(orders=[line, line], pair="BTC/USD")
        assert all("txid" in each for each in batch["orders"])
        assert len(user.get_open_orders()["open"]) == 3
        assert trade.cancel_all_orders() == {"count": 3}
        assert user.get_closed_orders()["count"] == 4
        assert user.get_account_balance() == {"ZUSD": "100000.0000", "XXBT": "2.0000000000"}
        assert list(market.get_asset_pairs(pair=["BTCUSD"])) == ["XXBTZUSD"]
    fake.assert_no_invalid_nonce()


def test_krakenex_trades(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> None:
    """Forms with relative times, and public methods by POST."""
    api = krakenex.API(rich.key, rich.secret)
    api.uri = server.url
    api._nonce = time.time_ns
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}
    assert api.query_private("AddOrder", {**order, "timeinforce": "GTD", "expiretm": "+60"})["error"] == []
    (found,) = api.query_private("OpenOrders")["result"]["open"].values()
    assert found["expiretm"] > time.time()
    assert list(api.query_public("Ticker", {"pair": "XBTUSD"})["result"]) == ["XXBTZUSD"]
    api.close()
    fake.assert_no_invalid_nonce()
