"""The orders of one pair that wait for their trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.testing.ladder import Ladder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from krakenonce.testing.orders import Order


class Waiting:
    """Orders by the price that triggers them.

    Only trailing orders are looked at one by one when a price moves.
    """

    __slots__ = ("_count", "_ladders", "_seen", "_trailing")

    def __init__(self) -> None:
        self._count = 0
        self._ladders = {
            (trigger, rises): Ladder(is_highest_first=not rises)
            for trigger in ("last", "index")
            for rises in (True, False)
        }
        self._trailing: dict[str, Order] = {}
        self._seen: Mapping[str, Decimal] = {}

    def __len__(self) -> int:
        """Return how many orders wait."""
        return self._count

    def add(self, order: Order) -> None:
        """Add an order; its ``stop`` is known."""
        self._ladders[order.trigger, order.rises].add(order, order.stop)
        self._count += 1
        if order.trail is not None:
            self._trailing[order.txid] = order
            self._seen = {}

    def remove(self, order: Order) -> bool:
        """Remove an order; return whether it was here."""
        self._trailing.pop(order.txid, None)
        was_there = self._ladders[order.trigger, order.rises].remove(order, order.stop)
        self._count -= was_there
        return was_there

    def reached(self, prices: Mapping[str, Decimal]) -> Order | None:
        """Take out one order whose trigger is reached, ``None`` if there is none.

        Args:
            prices: The prices ``last`` and ``index``.
        """
        if self._trailing and prices != self._seen:
            self._seen = dict(prices)
            self._follow(prices)
        for (trigger, rises), ladder in self._ladders.items():
            order, price = ladder.first, prices[trigger]
            if order is not None and (price >= order.stop if rises else price <= order.stop):
                self.remove(order)
                return order
        return None

    def _follow(self, prices: Mapping[str, Decimal]) -> None:
        """Move the stops of trailing orders after a price that moves away from them."""
        for order in self._trailing.values():
            stop = order.trailing_stop(prices[order.trigger])
            if stop < order.stop if order.rises else stop > order.stop:
                ladder = self._ladders[order.trigger, order.rises]
                ladder.remove(order, order.stop)
                order.stop = stop
                ladder.add(order, stop)
