"""Trades of one incoming order as one trade."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUMS = {"cost": 5, "fee": 5, "vol": 8}  # with their digits after the point


def consolidated(trades: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the trades with those of one incoming order at one time as one, under the id of the first.

    Args:
        trades: The trades by id, as TradesHistory shows them.
    """
    found: dict[str, dict[str, Any]] = {}
    first: dict[tuple[str, float], str] = {}
    for txid, trade in trades.items():
        one = txid if trade["maker"] else first.setdefault((trade["ordertxid"], trade["time"]), txid)
        found[one] = trade if one == txid else _sum(found[one], trade)
    return found


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    sums = {name: Decimal(one[name]) + Decimal(other[name]) for name in _SUMS}
    shown = {name: f"{value:.{_SUMS[name]}f}" for name, value in sums.items()}
    price = f"{sums['cost'] / sums['vol']:.5f}"
    return {**one, **shown, "price": price, "ledgers": one["ledgers"] + other["ledgers"]}
