"""The public channels of the WebSocket API: exact messages, and a book that a client can keep."""

from __future__ import annotations

import asyncio
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.integration.testing.helpers import ORDER, Wire
from tests.integration.testing.socket_client import TIME, Client, run

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken, FakeKrakenServer

SYMBOL = {"symbol": ["BTC/USD"]}


def summed(book: dict[str, dict[Decimal, Decimal]]) -> int:
    """The checksum of a book, as the documentation describes it, from the texts of the numbers."""
    asks, bids = sorted(book["asks"].items())[:10], sorted(book["bids"].items(), reverse=True)[:10]
    text = ""
    for price, quantity in asks + bids:
        text += f"{price:.1f}".replace(".", "").lstrip("0") + f"{quantity:.8f}".replace(".", "").lstrip("0")
    return zlib.crc32(text.encode())


def kept(book: dict[str, dict[Decimal, Decimal]], entry: dict[str, Any], depth: int) -> None:
    """Keep a book as the documentation says: enter all levels, remove those with nothing, cut it at the depth."""
    for side in ("asks", "bids"):
        levels = book.setdefault(side, {})
        levels |= {level["price"]: level["qty"] for level in entry[side]}
        best = sorted((price for price in levels if levels[price]), reverse=side == "bids")[:depth]
        book[side] = {price: levels[price] for price in best}


def test_a_book_can_be_kept_and_checked(fake: FakeKraken, server: FakeKrakenServer, wire: Wire) -> None:
    """Through orders between the levels, fills, cancels and new prices, every checksum is that of the client's book."""
    buy = {**ORDER, "price": "59950", "volume": "0.001"}

    def trade() -> None:
        for step in range(12):  # more orders than the depth: levels fall out of the book, and come back
            assert wire.reply("AddOrder", **{**buy, "price": str(59971 + step), "userref": "1"})["error"] == []
        (txid,) = wire.reply("AddOrder", **buy)["result"]["txid"]
        fake.fill(txid, "0.0004")
        wire.reply("CancelOrder", txid="1")
        fake.set_price("XBTUSD", "59900")
        fake.set_price("XBTUSD", "65000.5")

    async def work() -> None:
        async with Client(server.url) as client:
            book: dict[str, dict[Decimal, Decimal]] = {}
            first = await client.follow("book", **SYMBOL)
            (entry,) = first["data"]
            assert (first["type"], entry["symbol"], len(entry["bids"])) == ("snapshot", "BTC/USD", 10)
            assert entry["asks"][0] == {"price": Decimal("60030.0"), "qty": Decimal("100.00000000")}
            kept(book, entry, 10)
            assert summed(book) == entry["checksum"]
            await asyncio.to_thread(trade)
            updates = 0
            while Decimal("64968.0") not in book["bids"]:
                message = await client.heard("book")
                (entry,) = message["data"]
                assert message["type"] == "update"
                assert TIME.fullmatch(entry["timestamp"])
                kept(book, entry, 10)
                assert summed(book) == entry["checksum"]
                updates += 1
            assert updates == 15  # the order below the ten best, and its fill, are not seen

    run(work())


def test_numbers_have_all_their_digits(server: FakeKrakenServer) -> None:
    """As Kraken sends them: a client may make the checksum of the text of a message."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.read()
            await client.say({"method": "subscribe", "params": {"channel": "book", **SYMBOL}})
            await client.read()
            text = await client.socket.receive_str()
            assert '{"price":60030.0,"qty":100.00000000}' in text.replace(" ", "")

    run(work())


def test_the_ticker_moves_with_trades_and_prices(fake: FakeKraken, server: FakeKrakenServer, wire: Wire) -> None:
    """Its trigger is a trade or a new price; "bbo" is also an order at the top of the book."""

    async def work() -> None:
        async with Client(server.url) as client, Client(server.url) as other:
            first = await client.follow("ticker", **SYMBOL)
            (entry,) = first["data"]
            assert TIME.fullmatch(entry.pop("timestamp"))
            assert first["type"] == "snapshot"
            assert entry == {
                "symbol": "BTC/USD",
                "bid": Decimal("59970.0"),
                "bid_qty": 100,
                "ask": Decimal("60030.0"),
                "ask_qty": 100,
                "volume": 0,
                "last": 60000,
                "vwap": 60000,
                "low": 60000,
                "high": 60000,
                "change": 0,
                "change_pct": 0,
            }
            await other.follow("ticker", **SYMBOL, event_trigger="bbo")
            await asyncio.to_thread(lambda: wire.reply("AddOrder", **{**ORDER, "price": "60000"}))
            assert (await other.heard("ticker"))["data"][0]["bid"] == 60000
            await asyncio.to_thread(lambda: fake.set_price("XBTUSD", "61000"))
            assert (await client.heard("ticker"))["data"][0]["ask"] == Decimal("61030.5")
            await asyncio.to_thread(lambda: wire.reply("AddOrder", **{**ORDER, "ordertype": "market", "volume": "2"}))
            (entry,) = (await client.heard("ticker"))["data"]
            assert (entry["last"], entry["volume"]) == (Decimal("61030.5"), 2)

    run(work())


def test_a_trade_is_told_to_all(server: FakeKrakenServer, wire: Wire) -> None:
    """The trades of a pair, and as a snapshot, if one is asked for, the last ones."""

    async def work() -> None:
        async with Client(server.url) as client:
            assert (await client.ask("subscribe", channel="trade", **SYMBOL))["result"]["snapshot"] is False
            await asyncio.to_thread(lambda: wire.reply("AddOrder", **{**ORDER, "ordertype": "market", "volume": "2"}))
            message = await client.heard("trade")
            (entry,) = message["data"]
            assert TIME.fullmatch(entry.pop("timestamp"))
            assert (message["type"], entry) == (
                "update",
                {"symbol": "BTC/USD", "side": "buy", "price": 60030, "qty": 2, "ord_type": "market", "trade_id": 1},
            )
        async with Client(server.url) as client:
            again = await client.follow("trade", **SYMBOL, snapshot=True)
            assert (again["type"], [each["trade_id"] for each in again["data"]]) == ("snapshot", [1])

    run(work())


def test_a_candle_grows_with_trades(server: FakeKrakenServer, wire: Wire) -> None:
    """The last candles first, then the present one when it changes."""

    async def work() -> None:
        async with Client(server.url) as client:
            first = await client.follow("ohlc", **SYMBOL, interval=21600)
            assert (first["type"], len(first["data"])) == ("snapshot", 10)
            await asyncio.to_thread(lambda: wire.reply("AddOrder", **{**ORDER, "ordertype": "market", "volume": "2"}))
            message = await client.heard("ohlc")
            (entry,) = message["data"]
            assert message["type"] == "update"
            begin, end = entry.pop("interval_begin"), entry.pop("timestamp")
            assert begin == first["data"][-1]["interval_begin"] < message["timestamp"] < end
            assert entry == {
                "symbol": "BTC/USD",
                **dict.fromkeys(("open", "high", "low", "close", "vwap"), 60030),
                "trades": 1,
                "volume": 2,
                "interval": 21600,
            }

    run(work())


def test_the_instruments_have_what_orders_need(fake: FakeKraken, server: FakeKrakenServer) -> None:
    """Digits and minimums, with the names of this API; and the mode of Kraken."""

    async def work() -> None:
        async with Client(server.url) as client:
            data = (await client.follow("instrument"))["data"]
            assert [each["id"] for each in data["assets"]][:7] == ["USD", "EUR", "CAD", "BTC", "ETH", "USDT", "SOL"]
            assert data["pairs"][0] == {
                "symbol": "BTC/USD",
                "base": "BTC",
                "quote": "USD",
                "status": "online",
                "qty_precision": 8,
                "qty_increment": Decimal("0.00000001"),
                "price_precision": 1,
                "cost_precision": 5,
                "marginable": False,
                "has_index": False,
                "cost_min": Decimal("0.5"),
                "tick_size": Decimal("0.1"),
                "price_increment": Decimal("0.1"),
                "qty_min": Decimal("0.00005"),
            }
            fake.rules.change(status="post_only")
            fake.set_price("XBTUSD", "60000")
            assert (await client.heard("instrument"))["data"]["pairs"][0]["status"] == "post_only"

    run(work())
