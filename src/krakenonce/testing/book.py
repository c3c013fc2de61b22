"""The order book of one pair: orders of accounts, and a market maker who is always there.

The market maker offers a large volume on ten price levels on each side of a reference price, and its volume never
ends. It does not trade with the orders of accounts by itself: it has no level on the other side at the price of such
an order or at a better one.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.ladder import Ladder
from krakenonce.testing.orders import OPPOSITE, Order, Side
from krakenonce.testing.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing.markets import Pair


_LEVELS = 10
_STEP = Decimal("0.0005")  # between levels, and from the reference price to the first of them
DEPTH = Decimal(100)  # of the base, on each level


@dataclass(frozen=True, slots=True)
class Level:
    """Some volume at a price, or what an incoming order takes of it: a fill.

    Args:
        price: The price.
        volume: The amount of the base asset.
        resting: The order of an account; ``None`` for the market maker.
    """

    price: Decimal
    volume: Decimal
    resting: Order | None = None


@dataclass(frozen=True, slots=True)
class Meeting:
    """What an incoming order meets.

    Args:
        fills: What it takes.
        own: Orders of the same account that it would trade with.
        stops: Whether it ends there.
    """

    fills: list[Level]
    own: list[Order]
    stops: bool = False


class Book:
    """The order book of one pair.

    Args:
        pair: What is traded.

    ``last`` is the last price: of a trade, or the reference price if that was set later. ``waiting`` has the orders
    that wait for their trigger.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.last = pair.reference
        self.waiting = Waiting()
        self._orders: dict[Side, Ladder] = {
            "buy": Ladder(is_highest_first=True),
            "sell": Ladder(is_highest_first=False),
        }
        self.reference = pair.reference

    @property
    def reference(self) -> Decimal:
        """The price around which the market maker is."""
        return self._reference

    @reference.setter
    def reference(self, price: Decimal) -> None:
        self._reference = price
        self._maker_prices: dict[Side, list[Decimal]] = {
            "buy": [(price * (1 - _STEP * step)).quantize(self.pair.tick) for step in range(1, _LEVELS + 1)],
            "sell": [(price * (1 + _STEP * step)).quantize(self.pair.tick) for step in range(1, _LEVELS + 1)],
        }

    def price(self, trigger: str) -> Decimal:
        """Return the price that a trigger looks at: ``last`` or ``index``; the index is the reference price."""
        return self.last if trigger == "last" else self._reference

    def add(self, order: Order) -> None:
        """Add a resting order, behind those of the same price."""
        self._orders[order.side].add(order, order.price)

    def remove(self, order: Order) -> bool:
        """Remove an order; return whether it was in the book."""
        return self._orders[order.side].remove(order, order.price)

    def best(self, side: Side) -> Decimal:
        """Return the best price of one side."""
        own, maker = self._orders[side].best, self._maker_prices[side][0]
        facing = self._orders[OPPOSITE[side]].best
        if facing is not None and not _is_beyond(OPPOSITE[side], facing, maker):
            maker = next((level.price for level in self._maker_levels(side)), own or facing)
        if own is None:
            return maker
        return max(own, maker) if side == "buy" else min(own, maker)

    def levels(self, side: Side) -> list[Level]:
        """Return what the book shows of one side, the best price first; at one price, orders of accounts come first."""
        return list(self.shown(side))

    def shown(self, side: Side) -> Iterator[Level]:
        """Give the ``levels`` one by one; nothing may be changed meanwhile."""
        for level in self._walk(side):
            if level.resting is not None and level.resting.display:
                yield replace(level, volume=min(level.volume, level.resting.display))
            else:
                yield level

    def meet(self, order: Order) -> Meeting:
        """Return what an incoming order meets; the book is not changed.

        An iceberg order gives all of its volume at once: which part of it is shown makes no difference to others.
        """
        left, fills, own = order.left, list[Level](), list[Order]()
        side = OPPOSITE[order.side]
        if order.is_limited and _is_beyond(order.side, order.price, self.best(side)):
            return Meeting(fills, own)
        for level in self._walk(side):
            if not left or (order.is_limited and _is_beyond(order.side, order.price, level.price)):
                break
            if level.resting is not None and level.resting.owner is order.owner:
                own.append(level.resting)
                if order.stptype == "cancel-oldest":
                    continue
                return Meeting(fills, own, stops=True)
            fills.append(replace(level, volume=min(left, level.volume)))
            left -= fills[-1].volume
        return Meeting(fills, own)

    def passed(self) -> list[Order]:
        """Return the resting orders that the market maker trades with after the reference price has changed."""
        bid, ask = self._maker_prices["buy"][0], self._maker_prices["sell"][0]
        return self._orders["buy"].reached(ask) + self._orders["sell"].reached(bid)

    def _walk(self, side: Side) -> Iterator[Level]:
        """Give all levels of one side, the best price first; nothing may be changed meanwhile."""
        accounts = (Level(price, order.left, order) for price, order in self._orders[side].orders())
        sign = -1 if side == "buy" else 1
        return heapq.merge(accounts, self._maker_levels(side), key=lambda level: sign * level.price)

    def _maker_levels(self, side: Side) -> Iterator[Level]:
        facing = self._orders[OPPOSITE[side]].best
        for price in self._maker_prices[side]:
            if facing is None or _is_beyond(OPPOSITE[side], facing, price):
                yield Level(price, DEPTH)


def _is_beyond(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Return whether an order with this limit does not trade at this price."""
    return price > limit if side == "buy" else price < limit
