"""The order book of one pair: orders of accounts, and a market maker who is always there.

The market maker offers a large volume on ten price levels on each side of a reference price, and its volume never
ends. It does not trade with the orders of accounts by itself: it has no level on the other side at the price of such
an order or at a better one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.accounts import OPPOSITE, Order, Side

if TYPE_CHECKING:
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


class Book:
    """The order book of one pair.

    Args:
        pair: What is traded.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.reference = pair.reference
        self._orders: dict[Side, list[Order]] = {"buy": [], "sell": []}

    def add(self, order: Order) -> None:
        """Add a resting order, behind those of the same price."""
        resting = self._orders[order.side]
        resting.append(order)
        resting.sort(key=lambda each: -each.price if each.side == "buy" else each.price)  # stable: first come, first

    def remove(self, order: Order) -> None:
        """Remove an order if it is in the book."""
        self._orders[order.side] = [each for each in self._orders[order.side] if each is not order]

    def levels(self, side: Side) -> list[Level]:
        """Return the levels of one side, the best price first; at one price, orders of accounts come first."""
        facing = self._orders[OPPOSITE[side]]
        found = [Level(order.price, order.left, order) for order in self._orders[side]]
        found += [
            Level(price, DEPTH)
            for price in self._maker_prices(side)
            if not facing or _is_beyond(OPPOSITE[side], facing[0].price, price)
        ]
        return sorted(found, key=lambda level: -level.price if side == "buy" else level.price)

    def meet(self, order: Order) -> tuple[list[Level], bool]:
        """Return the fills of an incoming order, and whether it would then meet an order of the same account.

        The book is not changed.
        """
        left, fills = order.left, list[Level]()
        for level in self.levels(OPPOSITE[order.side]):
            if not left or (order.kind == "limit" and _is_beyond(order.side, order.price, level.price)):
                break
            if level.resting is not None and level.resting.owner is order.owner:
                return fills, True
            fills.append(replace(level, volume=min(left, level.volume)))
            left -= fills[-1].volume
        return fills, False

    def passed(self) -> list[Order]:
        """Return the resting orders that the market maker trades with after the reference price has changed."""
        bid, ask = self._maker_prices("buy")[0], self._maker_prices("sell")[0]
        bids = [order for order in self._orders["buy"] if order.price >= ask]
        asks = [order for order in self._orders["sell"] if order.price <= bid]
        return bids + asks

    def _maker_prices(self, side: Side) -> list[Decimal]:
        sign = -1 if side == "buy" else 1
        prices = [self.reference * (1 + sign * _STEP * step) for step in range(1, _LEVELS + 1)]
        return [price.quantize(self.pair.tick) for price in prices]


def _is_beyond(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Return whether an order with this limit does not trade at this price."""
    return price > limit if side == "buy" else price < limit
