"""The public methods by name."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import listed, optional, required, rfc3339, whole
from krakenonce.testing.book_views import described, grouped_book, iso, pre_trade
from krakenonce.testing.markets import ASSETS, PAIRS, Pair, find_asset, find_pair
from krakenonce.testing.message import short_name

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


_OLD_NAMES = {name.upper() for asset in ASSETS.values() for name in (asset.name, asset.altname)}


def _assets(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    names = listed(params, "asset")
    asked = [find_asset(name) for name in names]
    aclass = _aclass(params, "aclass")
    # One name that only the new APIs have, such as BTC, and all of the answer are theirs: EUR, not ZEUR. Seen by
    # infinity-grid 1.3.6, which reads them.
    is_new = any(name.upper() not in _OLD_NAMES for name in names)
    return {
        short_name(asset) if is_new else asset.name: asset.described()
        for asset in asked or ASSETS.values()
        if asset.aclass == aclass
    }


def _asset_pairs(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    wanted = _PARTS.get(params.get("info", "info"))
    return {
        shown: {name: value for name, value in pair.described().items() if wanted is None or name in wanted}
        for shown, pair in _pairs(params, "aclass_base").items()
    }


_PARTS = {  # of a pair, by the parameter info
    "leverage": ("leverage_buy", "leverage_sell"),
    "fees": ("fees", "fees_maker", "fee_volume_currency"),
    "margin": ("margin_call", "margin_stop"),
}


def _pairs(params: Mapping[str, Any], name: str) -> dict[str, Pair]:
    """Return the pairs of a call, or all of the class that it has in a parameter, by their name in the answer."""
    aclass = _aclass(params, name)
    asked = dict(_shown_as(each, aclass) for each in listed(params, "pair"))
    return asked or {pair.name: pair for pair in PAIRS.values() if pair.base.aclass == aclass}


def _pair(params: Mapping[str, Any]) -> tuple[str, Pair]:
    return _shown_as(required(params, "pair"), _aclass(params, "asset_class"))


def _shown_as(name: str, aclass: str) -> tuple[str, Pair]:
    """Return the name that an answer gives to a pair, and the pair.

    A name with a slash comes back as it was asked for: Kraken's own client (krakenfx/kraken-api-sdk) reads Ticker
    under BTC/USD, Home Assistant under XBT/USD, and the order book of python-kraken-sdk AssetPairs under BTC/USD.
    """
    pair = find_pair(name, aclass)
    return name if "/" in name else pair.name, pair


def _aclass(params: Mapping[str, Any], name: str) -> str:
    return "tokenized_asset" if params.get(name) == "tokenized_asset" else "currency"


def _ticker(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:  # noqa: ARG001 - all are called alike
    return {shown: _tick(engine, pair) for shown, pair in _pairs(params, "asset_class").items()}


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
    name, pair = _pair(params)
    count = whole(params, "count", 100, allowed=range(1, 501))
    book = engine.books[pair.name]

    def shown(levels: list[Level]) -> list[list[Any]]:
        at_price: dict[Decimal, Decimal] = {}
        for level in levels:
            at_price[level.price] = at_price.get(level.price, Decimal(0)) + level.volume
        return [[pair.cost_text(price), f"{volume:.3f}", int(now)] for price, volume in at_price.items()][:count]

    return {name: {"asks": shown(book.levels("sell")), "bids": shown(book.levels("buy"))}}


def _ohlc(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    name, pair = _pair(params)
    seconds = whole(params, "interval", 1, allowed=range(1, 2**31)) * 60
    begin = int(now) // seconds * seconds
    since = float(params.get("since", 0))
    starts = [begin - seconds * ago for ago in reversed(range(_CANDLES))]
    candles = [_candle(engine, pair, start, seconds) for start in starts if start > since]
    return {name: candles, "last": begin - seconds}


def _candle(engine: MatchingEngine, pair: Pair, start: int, seconds: int) -> list[Any]:
    """Return one candle; without trades it has the reference price."""
    trades = [trade for trade in engine.trades[pair.name] if start <= trade.time < start + seconds]
    prices = [trade.price for trade in trades] or [engine.books[pair.name].reference]
    volume = sum((trade.volume for trade in trades), Decimal(0))
    cost = sum((trade.price * trade.volume for trade in trades), Decimal(0))
    shown = (prices[0], max(prices), min(prices), prices[-1], cost / volume if volume else Decimal(0))
    return [start, *map(pair.price_text, shown), f"{volume:.8f}", len(trades)]


def _trades(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    name, pair = _pair(params)
    since = optional(params, "since", r"[0-9]{1,20}(\.[0-9]{0,9})?") or "0"
    count = whole(params, "count", _MOST_TRADES)
    # Kraken takes seconds as well as the nanoseconds that it gives as "last".
    after = int(since) if len(since) > 15 and since.isdigit() else _nanoseconds(float(since))
    chosen = [trade for trade in engine.trades[pair.name] if _nanoseconds(trade.time) > after][:count]
    last = chosen[-1].time if chosen else now
    return {name: [_shown(pair, trade) for trade in chosen], "last": str(_nanoseconds(last))}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _shown(pair: Pair, trade: PublicTrade) -> list[Any]:
    price, volume = pair.cost_text(trade.price), f"{trade.volume:.8f}"
    return [price, volume, trade.time, trade.side[0], trade.kind[0], "", trade.number]


def _post_trade(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the trades of a pair or of all, after one time and until another, as PreTrade shows prices."""
    pairs = [find_pair(params["symbol"])] if "symbol" in params else list(PAIRS.values())
    after, until = rfc3339(params, "from_ts") or 0.0, rfc3339(params, "to_ts") or now
    count = whole(params, "count", _MOST_TRADES)
    found = sorted(
        ((trade, pair) for pair in pairs for trade in engine.trades[pair.name] if after < trade.time <= until),
        key=lambda each: each[0].time,
    )
    # From a time on, the first trades come, so that a client can go on from there; else the last.
    found = found[:count] if "from_ts" in params else found[-count:]
    trades = [_published(pair, trade) for trade, pair in found]
    return {"last_ts": trades[-1]["trade_ts"] if trades else iso(until), "count": len(trades), "trades": trades}


def _published(pair: Pair, trade: PublicTrade) -> dict[str, Any]:
    return {
        **described(pair),
        "trade_id": f"T{pair.altname[:5]:X<5}-FAKES-{trade.number:06}",
        "price": pair.price_text(trade.price),
        "quantity": f"{trade.volume:.8f}",
        "base_notation": "UNIT",
        "trade_venue": "PGSL",
        "trade_ts": iso(trade.time),
        "publication_venue": "PGSL",
        "publication_ts": iso(trade.time),
    }


def _spread(engine: MatchingEngine, params: Mapping[str, Any], now: float) -> dict[str, Any]:
    name, pair = _pair(params)
    book = engine.books[pair.name]
    bid, ask = (pair.cost_text(book.levels(side)[0].price) for side in ("buy", "sell"))
    return {name: [[int(now), bid, ask]], "last": int(now)}


PUBLIC: dict[str, Method] = {
    "AssetPairs": _asset_pairs,
    "Assets": _assets,
    "Depth": _depth,
    "GroupedBook": grouped_book,
    "OHLC": _ohlc,
    "PostTrade": _post_trade,
    "PreTrade": pre_trade,
    "Spread": _spread,
    "SystemStatus": _system_status,
    "Ticker": _ticker,
    "Time": _time,
    "Trades": _trades,
}
