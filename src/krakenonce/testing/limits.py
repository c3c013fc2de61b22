"""Kraken's two rate limits, as its pages on REST and on trading limits describe them.

Both are counters that rise with each call and fall with time. A refused call counts as well, but no counter rises
further above its limit than by one call, so that whoever waits gets through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from krakenonce.testing.fake_account import FakeAccount
    from krakenonce.testing.order import Order
    from krakenonce.testing.rules import Rules

__all__ = ["Counter", "RestLimits", "TradingLimits"]


@dataclass(frozen=True, slots=True)
class _Limit:
    most: float
    decay: float  # per second


_REST = {"starter": _Limit(15, 0.33), "intermediate": _Limit(20, 0.5), "pro": _Limit(20, 1)}
_TRADING = {"starter": _Limit(60, 1), "intermediate": _Limit(125, 2.34), "pro": _Limit(180, 3.75)}
_OPEN_ORDERS = {"starter": 60, "intermediate": 80, "pro": 225}

_COSTS_TWO = ("Ledgers", "QueryLedgers", "TradesHistory")
_COUNTED_ELSEWHERE = (
    "AddOrder",
    "AddOrderBatch",
    "AmendOrder",
    "CancelAll",
    "CancelAllOrdersAfter",
    "CancelOrder",
    "CancelOrderBatch",
    "EditOrder",
)

# Seconds since the order was placed or amended, and what doing it before then costs.
_AMEND = ((5, 3), (10, 2), (15, 1))
_EDIT = ((5, 6), (10, 5), (15, 4), (45, 2), (90, 1))
_CANCEL = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))


@dataclass(slots=True)
class Counter:
    """Rises with calls and falls with time."""

    value: float = 0.0
    at: float = 0.0

    def add(self, cost: float, limit: _Limit, now: float, *, even_if_full: bool = True) -> bool:
        """Count a call; return whether it is within the limit.

        Args:
            cost: By how much the counter rises.
            limit: How high it may be, and how fast it falls.
            now: Seconds since 1970.
            even_if_full: Whether a call beyond the limit counts as well.
        """
        present = max(0.0, self.value - max(0.0, now - self.at) * limit.decay)
        is_within = present + cost <= limit.most
        if is_within or even_if_full:
            present = min(present + cost, max(present, limit.most + cost))
        self.value, self.at = present, now
        return is_within


class RestLimits:
    """The REST counter of each key."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._counters: dict[str, Counter] = {}

    def count(self, key: str, method: str, now: float) -> None:
        """Count a call of *method*.

        Raises:
            Refused: ``EAPI:Rate limit exceeded``.
        """
        if self._rules.tier is None or method in _COUNTED_ELSEWHERE:
            return
        cost = 2 if method in _COSTS_TWO else 1
        if method == "ClosedOrders":
            cost = self._rules.closed_orders_cost
        if not self._counters.setdefault(key, Counter()).add(cost, _REST[self._rules.tier], now):
            raise Refused("EAPI:Rate limit exceeded")


class TradingLimits:
    """The trading counter of each account and pair."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._counters: dict[tuple[str, str], Counter] = {}

    def add(self, account: FakeAccount, pair: str, now: float, orders: int = 1) -> None:
        """Count new orders: one costs 1, a batch of n costs n / 2.

        Raises:
            Refused: ``EOrder:Rate limit exceeded``.
        """
        self._count(account, pair, 1 if orders == 1 else orders / 2, now)

    def check_open(self, account: FakeAccount, pair: str) -> None:
        """Refuse one more open order where there are too many.

        Raises:
            Refused: ``EOrder:Orders limit exceeded``.
        """
        if self._rules.tier is None:
            return
        there = sum(order.pair.name == pair for order in account.orders.values())
        if there >= _OPEN_ORDERS[self._rules.tier]:
            raise Refused("EOrder:Orders limit exceeded")

    def amend(self, order: Order, now: float) -> None:
        """Count an amendment; raises as ``add`` does."""
        self._count(order.owner, order.pair.name, 1 + _by_age(_AMEND, order, now), now)

    def edit(self, order: Order, now: float) -> None:
        """Count an edit; raises as ``add`` does."""
        self._count(order.owner, order.pair.name, 1 + _by_age(_EDIT, order, now), now)

    def cancel(self, order: Order, now: float) -> None:
        """Count a cancellation; raises as ``add`` does, and then counts nothing."""
        self._count(order.owner, order.pair.name, _by_age(_CANCEL, order, now), now, even_if_full=False)

    def cancel_many(self, orders: list[Order], now: float) -> None:
        """Count a batch of cancellations, which is accepted also beyond the limit."""
        for order in orders:
            if self._rules.tier is not None:
                limit = _TRADING[self._rules.tier]
                self._counter(order.owner, order.pair.name).add(_by_age(_CANCEL, order, now), limit, now)

    def cancel_all(self, account: FakeAccount, pairs: set[str], now: float) -> None:
        """Count CancelAll: 1 for each pair, accepted also beyond the limit."""
        if self._rules.tier is not None:
            for pair in pairs:
                self._counter(account, pair).add(1, _TRADING[self._rules.tier], now)

    def _count(self, account: FakeAccount, pair: str, cost: float, now: float, *, even_if_full: bool = True) -> None:
        if self._rules.tier is None:
            return
        limit = _TRADING[self._rules.tier]
        if not self._counter(account, pair).add(cost, limit, now, even_if_full=even_if_full):
            raise Refused("EOrder:Rate limit exceeded")

    def _counter(self, account: FakeAccount, pair: str) -> Counter:
        return self._counters.setdefault((account.key, pair), Counter())


def _by_age(costs: tuple[tuple[int, int], ...], order: Order, now: float) -> int:
    age = now - order.touched
    return next((cost for below, cost in costs if age < below), 0)
