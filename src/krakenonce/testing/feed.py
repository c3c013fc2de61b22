"""What the public channels of Kraken's WebSocket API v2 say about the market. No I/O; the time is passed in.

Prices and amounts are numbers with all their digits, as Kraken sends them: the checksum of a book is made of them.
"""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.message import LOT, Message, entries, rfc3339, symbol_of
from krakenonce.testing.public import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krakenonce.testing.engine import MatchingEngine, PublicTrade
    from krakenonce.testing.markets import Pair
    from krakenonce.testing.orders import Side

_SIDES: dict[str, Side] = {"bids": "buy", "asks": "sell"}
_RECENT = 50  # trades in a snapshot
_IN_CHECKSUM = 10  # levels of each side


def checksum(asks: Mapping[Decimal, Decimal], bids: Mapping[Decimal, Decimal]) -> int:
    """Return the CRC32 of the ten best levels of each side, as Kraken's guide "Book checksum (WebSocket v2)" makes it.

    Args:
        asks: Price to quantity, with all their digits, the best first.
        bids: The same for the other side.
    """
    best = [*list(asks.items())[:_IN_CHECKSUM], *list(bids.items())[:_IN_CHECKSUM]]
    text = "".join(format(number, "f").replace(".", "").lstrip("0") for level in best for number in level)
    return zlib.crc32(text.encode())


class Book:
    """The channel ``book``: the price levels of one pair."""

    def __init__(self, engine: MatchingEngine, pair: Pair, depth: int, *, snapshot: bool) -> None:
        self.described = {"channel": "book", "depth": depth, "snapshot": snapshot, "symbol": symbol_of(pair)}
        self._engine, self._pair, self._depth, self._snapshot = engine, pair, depth, snapshot
        self._sent = {side: self._best(side) for side in _SIDES.values()}

    def first(self, now: float) -> list[Message]:
        """Return all levels down to the depth."""
        return [self._message("snapshot", self._sent, now)] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:
        """Return the levels that have changed; one that is gone has the quantity 0.

        A level that is too deep now is not sent, there or not: a client cuts its book at the depth.
        """
        changed: dict[Side, dict[Decimal, Decimal]] = {}
        for side, sent in self._sent.items():
            best = self._best(side)
            deepest = list(best)[-1] if len(best) == self._depth else None
            gone = [price for price in sent if price not in best and not _is_deeper(side, price, deepest)]
            changed[side] = {price: quantity for price, quantity in best.items() if sent.get(price) != quantity}
            changed[side] |= dict.fromkeys(gone, Decimal(0).quantize(LOT))
            self._sent[side] = best
        return [self._message("update", changed, now)] if any(changed.values()) else []

    def _best(self, side: Side) -> dict[Decimal, Decimal]:
        found: dict[Decimal, Decimal] = {}
        for level in self._engine.books[self._pair.name].shown(side):
            price = level.price.quantize(self._pair.tick)
            if price not in found and len(found) == self._depth:
                break
            found[price] = (found.get(price, Decimal(0)) + level.volume).quantize(LOT)
        return found

    def _message(self, kind: str, sides: Mapping[Side, Mapping[Decimal, Decimal]], now: float) -> Message:
        shown = {
            name: [{"price": price, "qty": quantity} for price, quantity in sides[side].items()]
            for name, side in _SIDES.items()
        }
        of_all = checksum(self._sent["sell"], self._sent["buy"])
        at = {"timestamp": rfc3339(now)} if kind == "update" else {}
        return entries("book", kind, [{"symbol": symbol_of(self._pair), **shown, "checksum": of_all, **at}])


def _is_deeper(side: Side, price: Decimal, deepest: Decimal | None) -> bool:
    return deepest is not None and (price < deepest if side == "buy" else price > deepest)


class Ticker:
    """The channel ``ticker``. The trigger ``trades`` is a trade or a new reference price; ``bbo`` is the best offers.

    The reference price stands for the trades of all others, which the fake does not have.
    """

    def __init__(self, engine: MatchingEngine, pair: Pair, trigger: str, *, snapshot: bool) -> None:
        self.described = {
            "channel": "ticker",
            "event_trigger": trigger,
            "snapshot": snapshot,
            "symbol": symbol_of(pair),
        }
        self._engine, self._pair, self._trigger, self._snapshot = engine, pair, trigger, snapshot
        self._sent = self._state()

    def first(self, now: float) -> list[Message]:
        """Return the ticker."""
        return [self._message("snapshot", now)] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:
        """Return the ticker if its trigger has changed."""
        before, self._sent = self._sent, self._state()
        return [self._message("update", now)] if before != self._sent else []

    def _state(self) -> object:
        name = self._pair.name
        book = self._engine.books[name]
        if self._trigger == "trades":
            return len(self._engine.trades[name]), book.reference
        return [(level.price, level.volume) for level in (next(book.shown("buy")), next(book.shown("sell")))]

    def _message(self, kind: str, now: float) -> Message:
        pair = self._pair
        tick = PUBLIC["Ticker"](self._engine, {"pair": pair.name}, now)[pair.name]
        book = self._engine.books[pair.name]
        bid, ask = next(book.shown("buy")), next(book.shown("sell"))
        last, opened = Decimal(tick["c"][0]), Decimal(tick["o"])
        prices = {
            "last": last,
            "vwap": Decimal(tick["p"][1]),
            "low": Decimal(tick["l"][1]),
            "high": Decimal(tick["h"][1]),
            "change": last - opened,
        }
        entry = {
            "symbol": symbol_of(pair),
            "bid": bid.price.quantize(pair.tick),
            "bid_qty": bid.volume.quantize(LOT),
            "ask": ask.price.quantize(pair.tick),
            "ask_qty": ask.volume.quantize(LOT),
            "volume": Decimal(tick["v"][1]),
            **{name: price.quantize(pair.tick) for name, price in prices.items()},
            "change_pct": ((last - opened) / opened * 100).quantize(Decimal("0.01")),
            "timestamp": rfc3339(now),
        }
        return entries("ticker", kind, [entry])


class Trades:
    """The channel ``trade``: the trades of one pair."""

    def __init__(self, engine: MatchingEngine, pair: Pair, *, snapshot: bool) -> None:
        self.described = {"channel": "trade", "snapshot": snapshot, "symbol": symbol_of(pair)}
        self._engine, self._pair, self._snapshot = engine, pair, snapshot
        self._seen = len(engine.trades[pair.name])

    def first(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return the last trades."""
        return [self._message("snapshot", self._trades()[-_RECENT:])] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return the trades since the last call, in one message."""
        new, self._seen = self._trades()[self._seen :], len(self._trades())
        return [self._message("update", new)] if new else []

    def _trades(self) -> list[PublicTrade]:
        return self._engine.trades[self._pair.name]

    def _message(self, kind: str, trades: Iterable[PublicTrade]) -> Message:
        return entries("trade", kind, [self._shown(trade) for trade in trades])

    def _shown(self, trade: PublicTrade) -> Message:
        return {
            "symbol": symbol_of(self._pair),
            "side": trade.side,
            "price": trade.price.quantize(self._pair.tick),
            "qty": trade.volume.quantize(LOT),
            "ord_type": trade.kind,
            "trade_id": trade.number,
            "timestamp": rfc3339(trade.time),
        }


class Candles:
    """The channel ``ohlc``: the candles of one pair and one interval, in minutes."""

    def __init__(self, engine: MatchingEngine, pair: Pair, interval: int, *, snapshot: bool) -> None:
        self.described = {"channel": "ohlc", "interval": interval, "snapshot": snapshot, "symbol": symbol_of(pair)}
        self._engine, self._pair, self._interval, self._snapshot = engine, pair, interval, snapshot
        self._sent: object = None

    def first(self, now: float) -> list[Message]:
        """Return the last candles; the present one is the last of them."""
        self._sent = self._state(now)
        return [self._message("snapshot", self._candles(now), now)] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:
        """Return the present candle if there is a new trade or price, or if it has begun."""
        before, self._sent = self._sent, self._state(now)
        if before == self._sent:
            return []
        begin = int(now) // (self._interval * 60) * self._interval * 60
        return [self._message("update", self._candles(now, since=begin - 1), now)]

    def _state(self, now: float) -> object:
        name = self._pair.name
        return len(self._engine.trades[name]), self._engine.books[name].reference, int(now) // (self._interval * 60)

    def _candles(self, now: float, since: int = 0) -> list[list[Any]]:
        asked = {"pair": self._pair.name, "interval": str(self._interval), "since": str(since)}
        return list(PUBLIC["OHLC"](self._engine, asked, now)[self._pair.name])

    def _message(self, kind: str, candles: list[list[Any]], now: float) -> Message:
        return entries("ohlc", kind, [self._shown(candle) for candle in candles], timestamp=rfc3339(now))

    def _shown(self, candle: list[Any]) -> Message:
        start, opened, high, low, close, vwap, volume, trades = candle
        prices = {"open": opened, "high": high, "low": low, "close": close, "vwap": vwap, "volume": volume}
        return {
            "symbol": symbol_of(self._pair),
            **{name: Decimal(value) for name, value in prices.items()},
            "trades": trades,
            "interval_begin": rfc3339(start),
            "interval": self._interval,
            "timestamp": rfc3339(start + self._interval * 60),
        }
