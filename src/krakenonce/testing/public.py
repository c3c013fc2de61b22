"""The public methods by name."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import listed, optional, required, whole
from krakenonce.testing.markets import ASSETS, PAIRS, Pair, find_asset, find_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.testing.book import Book, Level
    from krakenonce.testing.engine import MatchingEngine, PublicTrade

    Method = Callable[[MatchingEngine, Mapping[str, Any], float], Any]


_CANDLES = 10
_MOST_TRADES = 1000


def _time(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    rfc1123 = datetime.fromtimestamp(now, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
    return {"unixtime": int(now), "rfc1123": rfc1123}


def _system_status(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    timestamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"status": engine.rules.status, "timestamp": timestamp}


def _assets(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    asked = [find_asset(name) for name in listed(params, "asset")]
    return {asset.name: asset.described() for asset in asked or ASSETS.values()}


def _asset_pairs(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    asked = [find_pair(name) for name in listed(params, "pair")]
    return {pair.name: pair.described() for pair in asked or PAIRS.values()}


def _ticker(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    asked = [find_pair(name) for name in listed(params, "pair")]
    return {pair.name: _tick(engine, pair) for pair in asked or PAIRS.values()}


def _tick(engine: MatchingEngine, pair: Pair) -> dict[str, Any]:
    book, trades = engine.books[pair.name], engine.trades[pair.name]
    price, volume = (trades[-1].price, trades[-1].volume) if trades else (book.reference, Decimal(0))
    prices = [trade.price for trade in trades] or [price]
    total = sum((trade.volume for trade in trades), Decimal(0))
    cost = sum((trade.price * trade.volume for trade in trades), Decimal(0))

    # Two values are for today and for the last 24 hours.
    return {
        "a": _best(book, book.levels("sell")[0]),
        "b": _best(book, book.levels("buy")[0]),
        "c": [pair.cost_text(price), f"{volume:.8f}"],
        "v": [f"{total:.8f}"] * 2,
        "p": [pair.cost_text(cost / total if total else price)] * 2,
        "t": [len(trades)] * 2,
        "l": [pair.cost_text(min(prices))] * 2,
        "h": [pair.cost_text(max(prices))] * 2,
        "o": pair.cost_text(prices[0]),
    }


def _best(book: Book, level: Level) -> list[str]:
    return [book.pair.cost_text(level.price), str(int(level.volume)), f"{level.volume:.3f}"]


def _depth(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    pair = find_pair(required(params, "pair"))
    count = whole(params, "count", 100, allowed=range(1, 501))
    book = engine.books[pair.name]

    def shown(levels: list[Level]) -> list[list[Any]]:
        at_price: dict[Decimal, Decimal] = {}
        for level in levels:
            at_price[level.price] = at_price.get(level.price, Decimal(0)) + level.volume
        return [[pair.cost_text(price), f"{volume:.3f}", int(now)] for price, volume in at_price.items()][:count]

    return {pair.name: {"asks": shown(book.levels("sell")), "bids": shown(book.levels("buy"))}}


def _ohlc(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    pair = find_pair(required(params, "pair"))
    seconds = whole(params, "interval", 1, allowed=range(1, 2**31)) * 60
    begin = int(now) // seconds * seconds
    since = whole(params, "since")
    starts = [begin - seconds * ago for ago in reversed(range(_CANDLES))]
    candles = [_candle(engine, pair, start, seconds) for start in starts if start > since]
    return {pair.name: candles, "last": begin - seconds}


def _candle(engine: MatchingEngine, pair: Pair, start: int, seconds: int) -> list[Any]:
    """Return one candle; without trades it has the reference price."""
    trades = [trade for trade in engine.trades[pair.name] if start <= trade.time < start + seconds]
    prices = [trade.price for trade in trades] or [engine.books[pair.name].reference]
    volume = sum((trade.volume for trade in trades), Decimal(0))
    cost = sum((trade.price * trade.volume for trade in trades), Decimal(0))
    shown = (prices[0], max(prices), min(prices), prices[-1], cost / volume if volume else Decimal(0))
    return [start, *map(pair.price_text, shown), f"{volume:.8f}", len(trades)]


def _trades(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    pair = find_pair(required(params, "pair"))
    since = optional(params, "since", r"[0-9]{1,20}(\.[0-9]{0,9})?") or "0"
    count = whole(params, "count", _MOST_TRADES)
    # Kraken takes seconds as well as the nanoseconds that it gives as "last".
    after = int(since) if len(since) > 15 and since.isdigit() else _nanoseconds(float(since))
    chosen = [trade for trade in engine.trades[pair.name] if _nanoseconds(trade.time) > after][:count]
    last = chosen[-1].time if chosen else now
    return {pair.name: [_shown(pair, trade) for trade in chosen], "last": str(_nanoseconds(last))}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _shown(pair: Pair, trade: PublicTrade) -> list[Any]:
    price, volume = pair.cost_text(trade.price), f"{trade.volume:.8f}"
    return [price, volume, trade.time, trade.side[0], trade.kind[0], "", trade.number]


def _spread(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    pair = find_pair(required(params, "pair"))
    book = engine.books[pair.name]
    bid, ask = (pair.cost_text(book.levels(side)[0].price) for side in ("buy", "sell"))
    return {pair.name: [[int(now), bid, ask]], "last": int(now)}


PUBLIC: dict[str, Method] = {
    "AssetPairs": _asset_pairs,
    "Assets": _assets,
    "Depth": _depth,
    "OHLC": _ohlc,
    "Spread": _spread,
    "SystemStatus": _system_status,
    "Ticker": _ticker,
    "Time": _time,
    "Trades": _trades,
}
