"""WebSocket clients that people have, against the fake Kraken."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.testing.socket_client import run

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

_PATIENCE = 20  # seconds


@pytest.fixture
def rich(fake: FakeKraken) -> FakeAccount:
    """An account that can pay."""
    return fake.add_account("rich", balances={"ZUSD": "100000", "XXBT": "2"})


def ccxt_client(rich: FakeAccount, server: FakeKrakenServer) -> Any:
    """A ccxt.pro client, set up as docs/how-to/test-your-bot.md shows it."""
    ccxt = pytest.importorskip("ccxt.pro")
    client = ccxt.kraken({"apiKey": rich.key, "secret": rich.secret, "enableRateLimit": False})
    sockets = server.url.replace("http", "ws")
    client.urls["api"] = {**dict.fromkeys(client.urls["api"], server.url)}
    client.urls["api"]["ws"] = dict.fromkeys(("public", "private", "publicV2", "privateV2"), f"{sockets}/v2")
    client.nonce = time.time_ns
    return client


async def watching(client: Any, host: str, what: str, watch: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin to watch with ccxt, and return when it waits for the next message: it keeps none that come before."""
    task = asyncio.create_task(watch)
    while what not in client.client(client.urls["api"]["ws"][host]).futures and not task.done():  # noqa: ASYNC110 - ccxt has no event
        await asyncio.sleep(0)
    return task


def test_ccxt_watches_the_market(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> None:
    """Ticker, book, trades and candles."""

    async def work() -> None:
        client = ccxt_client(rich, server)
        try:
            assert (await client.watch_ticker("BTC/USD"))["ask"] == 60030
            fake.set_price("XBTUSD", "61000")
            assert (await client.watch_ticker("BTC/USD"))["ask"] == 61030.5
            book = await client.watch_order_book("BTC/USD")
            assert book["bids"][0] == [60969.5, 100]
            assert len(await client.watch_ohlcv("BTC/USD", "1m")) > 0
            trades = await watching(client, "publicV2", "trade@BTC/USD", client.watch_trades("BTC/USD"))
            await client.create_order_ws("BTC/USD", "market", "buy", 0.5)
            assert [each["amount"] for each in await trades] == [0.5]
        finally:
            await client.close()

    run(asyncio.wait_for(work(), _PATIENCE))


def test_ccxt_trades_over_the_socket(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> None:
    """Orders are placed, changed and cancelled, and watched."""

    async def work() -> None:
        client = ccxt_client(rich, server)
        try:
            orders = await watching(client, "privateV2", "orders", client.watch_orders())
            placed = await client.create_order_ws("BTC/USD", "limit", "buy", 0.5, 50000, {"clientOrderId": "mine"})
            (seen,) = await orders
            assert (seen["id"], seen["symbol"], seen["price"], seen["amount"]) == (placed["id"], "BTC/USD", 50000, 0.5)
            await client.edit_order_ws(placed["id"], "BTC/USD", "limit", "buy", 0.6, 50001)
            assert rich.orders[placed["id"]].price == 50001
            trades = await watching(client, "privateV2", "myTrades", client.watch_my_trades())
            fake.set_price("XBTUSD", "49000")
            (trade,) = await trades
            assert (trade["order"], trade["amount"], trade["fee"]["currency"]) == (placed["id"], 0.6, "USD")
            assert (await client.watch_balance())["BTC"]["total"] == 2.6
            other = await client.create_order_ws("BTC/USD", "limit", "buy", 0.1, 40000)
            await client.cancel_order_ws(other["id"])
            assert rich.done[other["id"]].status == "canceled"
            ccxt = pytest.importorskip("ccxt")
            with pytest.raises(ccxt.ExchangeError, match=fake.rules.unknown_order_error):
                await client.cancel_order_ws(other["id"])
        finally:
            await client.close()

    run(asyncio.wait_for(work(), _PATIENCE))


def test_python_kraken_sdk_watches_and_trades(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> None:
    """Its client has one connection for the market and one for its account, and the token from REST."""
    spot = pytest.importorskip("kraken.spot")
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sockets = server.url.replace("http", "ws")

    async def until(**wanted: Any) -> dict[str, Any]:
        while True:
            message = await heard.get()
            if wanted.items() <= message.items():
                return message

    async def work() -> None:
        client = spot.SpotWSClient(
            key=rich.key,
            secret=rich.secret,
            callback=heard.put,
            rest_url=server.url,
            ws_url=sockets,
            auth_ws_url=sockets,
        )
        client.get_nonce = lambda: str(time.time_ns())
        try:
            await client.start()
            await client.subscribe(params={"channel": "book", "symbol": ["BTC/USD"]})
            assert (await until(channel="book"))["data"][0]["asks"][0] == {"price": 60030, "qty": 100}
            await client.subscribe(params={"channel": "executions", "snap_trades": True})
            assert (await until(channel="executions", type="snapshot"))["data"] == []
            order = {"order_type": "limit", "side": "buy", "symbol": "BTC/USD", "order_qty": 0.5, "limit_price": 50000}
            await client.send_message({"method": "add_order", "req_id": 5, "params": order})
            placed = await until(method="add_order")
            assert (placed["success"], placed["req_id"], placed["result"]["order_id"]) == (True, 5, *rich.orders)
            fake.set_price("XBTUSD", "49000")
            while (await until(channel="executions"))["data"][0]["exec_type"] != "filled":
                pass
            assert rich.balances["XXBT"] == 2.5
        finally:
            await client.close()

    run(asyncio.wait_for(work(), _PATIENCE))
