"""The order book as Level3, GroupedBook and PreTrade show it."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import required, whole
from krakenonce.testing.markets import Asset, Pair, find_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.book import Book, Level
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.orders import Side
    from krakenonce.testing.private import Call


_SIDES: tuple[tuple[str, Side], ...] = (("bids", "buy"), ("asks", "sell"))
_PRE_TRADE_LEVELS = 10
_NAMES = {"USD": "US Dollars", "EUR": "Euro", "XBT": "Bitcoin", "ETH": "Ethereum"}


def level3(call: Call) -> dict[str, Any]:
    """Return the orders of a book one by one, of so many prices on each side."""
    pair = find_pair(required(call.params, "pair"))
    depth = whole(call.params, "depth", 100)
    book = call.engine.books[pair.name]
    return {"pair": display_name(pair)} | {
        name: [_order(pair, level, call.now) for level in _of_prices(book.levels(side), depth)] for name, side in _SIDES
    }


def _of_prices(levels: list[Level], depth: int) -> list[Level]:
    """Return the levels with the best prices; all of them for 0."""
    prices = list(dict.fromkeys(level.price for level in levels))
    wanted = set(prices[:depth] if depth else prices)
    return [level for level in levels if level.price in wanted]


def _order(pair: Pair, level: Level, now: float) -> dict[str, Any]:
    opened = level.resting.opened if level.resting else now
    return {
        "price": pair.cost_text(level.price),
        "qty": f"{level.volume:.8f}",
        "order_id": level.resting.txid if level.resting else _id_of_maker(pair, level.price),
        "timestamp": int(opened * 1e9),
    }


def _id_of_maker(pair: Pair, price: Decimal) -> str:
    """Return the id of the order of the market maker at a price; it is the same each time."""
    signs = "O" + hashlib.sha256(f"{pair.name} {price}".encode()).hexdigest()[:16].upper()
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"


def grouped_book(engine: MatchingEngine, params: Mapping[str, Any], _: float) -> dict[str, Any]:
    """Return the volume between prices that are so many ticks apart: asks are rounded up, bids down."""
    pair = find_pair(required(params, "pair"))
    grouping, depth = whole(params, "grouping", 1), whole(params, "depth", 10)
    step = pair.tick * grouping
    book = engine.books[pair.name]
    shown = {name: _grouped(pair, book, side, step)[:depth] for name, side in _SIDES}
    return {"pair": display_name(pair), "grouping": grouping, **shown}


def _grouped(pair: Pair, book: Book, side: Side, step: Decimal) -> list[dict[str, str]]:
    rounding = ROUND_FLOOR if side == "buy" else ROUND_CEILING
    volumes: dict[Decimal, Decimal] = {}
    for level in book.levels(side):
        price = (level.price / step).to_integral_value(rounding) * step
        volumes[price] = volumes.get(price, Decimal(0)) + level.volume
    return [{"price": pair.cost_text(price), "qty": f"{volume:.8f}"} for price, volume in volumes.items()]


def pre_trade(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the best prices of a pair, as the rules on transparency want them shown."""
    pair = find_pair(required(params, "symbol"))
    shown: dict[str, Any] = {}
    for (name, side), word in zip(_SIDES, ("BUY", "SELL"), strict=True):
        levels = engine.books[pair.name].levels(side)
        counts = Counter(level.price for level in levels)
        prices = list(counts)[:_PRE_TRADE_LEVELS]
        shown[name] = [
            {
                "side": word,
                "price": pair.price_text(price),
                "qty": f"{sum(level.volume for level in levels if level.price == price):.8f}",
                "count": counts[price],
                "submission_ts": iso(now),
                "publication_ts": iso(now),
            }
            for price in prices
        ]
    return {**described(pair), "base_notation": "NOML", "venue": "PGSL", "system": "CLOB", **shown}


def described(pair: Pair) -> dict[str, str]:
    """Return what PreTrade and PostTrade say of a pair."""
    return {
        "symbol": display_name(pair),
        "description": f"{_word(pair.base)} / {_word(pair.quote)}",
        "base_asset": _display(pair.base),
        "quote_asset": _display(pair.quote),
        "quote_notation": "MONE",
    }


def display_name(pair: Pair) -> str:
    """Return such a name as ``BTC/USD``."""
    return f"{_display(pair.base)}/{_display(pair.quote)}"


def _display(asset: Asset) -> str:
    return asset.altname.replace("XBT", "BTC")


def _word(asset: Asset) -> str:
    return _NAMES.get(asset.altname, asset.altname)


def iso(at: float) -> str:
    """Return a time as PreTrade and PostTrade show it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
