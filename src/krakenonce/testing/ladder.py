"""Orders by price: at each price, the first that came is the first to go."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from krakenonce.testing.sorted_keys import SortedKeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from krakenonce.testing.orders import Order


class Ladder:
    """Orders by price, the best price first; no step looks at all orders.

    Args:
        is_highest_first: Whether the highest price is the best one.
    """

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, *, is_highest_first: bool) -> None:
        self._sign = -1 if is_highest_first else 1
        self._keys = SortedKeys()  # prices; below 0 if the highest is the best
        self._levels: dict[Decimal, OrderedDict[str, Order]] = {}  # taking the first out is quick

    @property
    def best(self) -> Decimal | None:
        """The best price, ``None`` if there are no orders."""
        first = self._keys.first
        return None if first is None else first * self._sign

    @property
    def first(self) -> Order | None:
        """The order that goes first, ``None`` if there are no orders."""
        price = self.best
        return None if price is None else next(iter(self._levels[price].values()))

    def add(self, order: Order, price: Decimal) -> None:
        """Add an order behind those of the same price."""
        level = self._levels.get(price)
        if level is None:
            level = self._levels[price] = OrderedDict()
            self._keys.add(price * self._sign)
        level[order.txid] = order

    def remove(self, order: Order, price: Decimal) -> bool:
        """Remove an order; return whether it was there, at this price."""
        level = self._levels.get(price)
        if level is None or level.pop(order.txid, None) is None:
            return False
        if not level:
            del self._levels[price]
            self._keys.remove(price * self._sign)
        return True

    def orders(self) -> Iterator[tuple[Decimal, Order]]:
        """Give the prices and orders, the best first; nothing may be changed meanwhile."""
        for key in self._keys:
            price = key * self._sign
            for order in self._levels[price].values():
                yield price, order

    def reached(self, price: Decimal) -> list[Order]:
        """Return the orders whose price is this one or better, the best first."""
        found: list[Order] = []
        for own, order in self.orders():
            if own * self._sign > price * self._sign:
                break
            found.append(order)
        return found
