"""Kraken's two rate limits, as its pages on REST and on trading limits describe them.

Both are counters that rise with each call and fall with time. A refused call counts as well, but no counter rises
further above its limit than by one call: after a wait the next call is accepted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.orders import Order
    from krakenonce.testing.rules import Rules


@dataclass(frozen=True, slots=True)
class _Limit:
    most: float
    decay: float  # per second


_REST = {"starter": _Limit(15, 0.33), "intermediate": _Limit(20, 0.5), "pro": _Limit(20, 1)}
_TRADING = {"starter": _Limit(60, 1), "intermediate": _Limit(125, 2.34), "pro": _Limit(180, 3.75)}
_OPEN_ORDERS = {"starter": 60, "intermediate": 80, "pro": 225}

_COSTS = {"Ledgers": 2, "QueryLedgers": 2, "TradesHistory": 2}  # in the REST counter; other calls cost 1
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

Change = Literal["amend", "edit", "cancel"]
# What changing an order costs: a fixed part, and a part by the seconds since it was placed or last amended.
# {5: 3, 10: 2} is 3 below 5 seconds, and 2 from there to 10.
_CHANGES: dict[Change, tuple[int, dict[int, int]]] = {
    "amend": (1, {5: 3, 10: 2, 15: 1}),
    "edit": (1, {5: 6, 10: 5, 15: 4, 45: 2, 90: 1}),
    "cancel": (0, {5: 8, 10: 6, 15: 5, 45: 4, 90: 2, 300: 1}),
}


@dataclass(slots=True)
class Counter:
    """A counter that rises with calls and falls with time."""

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


class Limits:
    """The REST counter of each key, and the trading counter of each account and pair.

    Args:
        rules: The switches: ``tier`` has the limits.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # For REST by key and without a pair; for trading by the account's first key, and pair.
        self._counters: defaultdict[tuple[str, str], Counter] = defaultdict(Counter)

    def count_call(self, key: ApiKey, method: str, now: float) -> None:
        """Count a call of *method* in the REST counter.

        Raises:
            Refused: ``EAPI:Rate limit exceeded``.
        """
        if self._rules.tier is None or method in _COUNTED_ELSEWHERE:
            return
        cost = self._rules.closed_orders_cost if method == "ClosedOrders" else _COSTS.get(method, 1)
        if not self._counters[key.key, ""].add(cost, _REST[self._rules.tier], now):
            raise Refused("EAPI:Rate limit exceeded")

    def count(self, account: FakeAccount, pair: str, cost: float, now: float, *, even_if_full: bool = True) -> bool:
        """Count a transaction in the trading counter; return whether it is within the limit.

        Arguments as for :meth:`Counter.add`.
        """
        if self._rules.tier is None:
            return True
        return self._counters[account.key, pair].add(cost, _TRADING[self._rules.tier], now, even_if_full=even_if_full)

    def require(self, account: FakeAccount, pair: str, cost: float, now: float, *, even_if_full: bool = True) -> None:
        """Count a transaction, and refuse it beyond the limit; arguments as for ``count``.

        Raises:
            Refused: ``EOrder:Rate limit exceeded``.
        """
        if not self.count(account, pair, cost, now, even_if_full=even_if_full):
            raise Refused("EOrder:Rate limit exceeded")

    def check_open(self, account: FakeAccount, pair: str) -> None:
        """Refuse one more open order if there are too many.

        Raises:
            Refused: ``EOrder:Orders limit exceeded``.
        """
        if self._rules.tier is not None and account.open_in[pair] >= _OPEN_ORDERS[self._rules.tier]:
            raise Refused("EOrder:Orders limit exceeded")


def cost_of(change: Change, order: Order, now: float) -> int:
    """Return what changing an order costs in the trading counter: a young order costs more."""
    fixed, by_age = _CHANGES[change]
    return fixed + next((cost for age, cost in by_age.items() if now - order.touched < age), 0)
