"""An account of the fake Kraken with its balances, orders and trades."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.holdings import Holdings
from krakenonce.testing.ids import new_id
from krakenonce.testing.markets import amount_text

if TYPE_CHECKING:
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.orders import Order, Side

_EXACT = Context(prec=200)  # a running sum must come back to what it was


def _new_iban() -> str:
    signs = new_id("").replace("-", "")
    return f"AA{random.randrange(10, 100)} N84G {signs[:4]} {signs[4:8]}"  # noqa: S311 - it opens nothing


@dataclass(slots=True, eq=False)
class FakeAccount:
    """An account of the fake Kraken. It has one API key or more.

    Args:
        name: Its name in the log.
        balances: Asset name to amount.
        is_counted: Whether fills change the balances; an account without balances needs no funds.
        keys: Its API keys.
        iban: Its number in GetApiKeyInfo.
        orders: The open orders, by id.
        done: The closed, cancelled and expired orders, by id.
        trades: The fills, by id, as TradesHistory shows them with ``ledgers``.
        ledger: The changes of the balances, by id, as Ledgers shows them.
        withdrawals: The withdrawals, by reference id, as WithdrawStatus shows them.
        cancel_all_at: When CancelAllOrdersAfter cancels all orders; ``None`` if it is off.
        open_in: How many orders are open, by pair.
        by_cl_ord_id: The open orders that have a client order id.
        by_userref: The open orders that have a userref, by id.
        holdings: What it has besides: addresses, exports, allocations, and the history of amends.
    """

    name: str
    balances: dict[str, Decimal] = field(default_factory=dict)
    is_counted: bool = False
    keys: list[ApiKey] = field(default_factory=list, repr=False)
    iban: str = field(default_factory=_new_iban, repr=False)
    orders: dict[str, Order] = field(default_factory=dict, repr=False)
    done: dict[str, Order] = field(default_factory=dict, repr=False)
    trades: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    withdrawals: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    cancel_all_at: float | None = field(default=None, repr=False)
    open_in: Counter[str] = field(default_factory=Counter, repr=False)
    by_cl_ord_id: dict[str, Order] = field(default_factory=dict, repr=False)
    by_userref: dict[str, dict[str, Order]] = field(default_factory=dict, repr=False)
    holdings: Holdings = field(default_factory=Holdings, repr=False)
    _held: defaultdict[tuple[Side, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal), repr=False)

    @property
    def key(self) -> str:
        """The ``API-Key`` of its first key."""
        return self.keys[0].key

    @property
    def secret(self) -> str:
        """The secret of its first key in base64."""
        return self.keys[0].secret

    @property
    def last_nonce(self) -> int:
        """The largest nonce that its first key has accepted; it may be set."""
        return self.keys[0].last_nonce

    @last_nonce.setter
    def last_nonce(self, nonce: int) -> None:
        self.keys[0].last_nonce = nonce

    def held(self, asset: str, fee: Decimal) -> Decimal:
        """Return how much of an asset is set aside for open orders.

        Args:
            asset: Such as ``ZUSD``.
            fee: The fee that buyers set aside, as a part of the cost.
        """
        return self._held["sell", asset] + self._held["buy", asset] * (1 + fee)

    def available(self, asset: str, fee: Decimal) -> Decimal:
        """Return how much of an asset is not set aside; arguments as for ``held``."""
        return self.balances.get(asset, Decimal(0)) - self.held(asset, fee)

    def enter(self, kind: str, refid: str, asset: str, amount: Decimal, fee: Decimal, now: float) -> list[str]:
        """Change a balance and write it into the ledger; return the ids of the entries: none without ``is_counted``."""
        if not self.is_counted:
            return []
        self.balances[asset] = self.balances.get(asset, Decimal(0)) + amount - fee
        entry = new_id("L")
        self.ledger[entry] = {
            "refid": refid,
            "time": round(now, 4),
            "type": kind,
            "subtype": "",
            "aclass": "currency",
            "asset": asset,
            "amount": amount_text(asset, amount),
            "fee": amount_text(asset, fee),
            "balance": amount_text(asset, self.balances[asset]),
        }
        return [entry]

    def find(self, txid: str) -> Order | None:
        """Return the order of this id, open or done."""
        return self.orders.get(txid) or self.done.get(txid)

    def open_with(self, *, cl_ord_id: object = None, userref: object = None) -> list[Order]:
        """Return the open orders with a client order id and a userref, where these are given; looks at no others."""
        if cl_ord_id is not None:
            named = self.by_cl_ord_id.get(cl_ord_id) if isinstance(cl_ord_id, str) else None
            return [named] if named and userref in (None, str(named.userref)) else []
        if userref is not None:
            return list(self.by_userref.get(userref, {}).values()) if isinstance(userref, str) else []
        return list(self.orders.values())

    def take_in(self, order: Order) -> None:
        """Take in a new order."""
        self.orders[order.txid] = order
        self.open_in[order.pair.name] += 1
        if order.cl_ord_id is not None:
            self.by_cl_ord_id[order.cl_ord_id] = order
        if order.userref is not None:
            self.by_userref.setdefault(str(order.userref), {})[order.txid] = order

    def put_away(self, order: Order) -> None:
        """Put an order that has ended to those that are done."""
        self.done[order.txid] = self.orders.pop(order.txid)
        self.open_in[order.pair.name] -= 1
        if order.cl_ord_id is not None and self.by_cl_ord_id.get(order.cl_ord_id) is order:
            del self.by_cl_ord_id[order.cl_ord_id]
        if order.userref is not None:
            group = self.by_userref[str(order.userref)]
            del group[order.txid]
            if not group:
                del self.by_userref[str(order.userref)]

    def hold(self, order: Order) -> None:
        """Set aside what an order needs now, in place of what was set aside for it."""
        needed = order.to_hold if order.txid in self.orders else Decimal(0)
        asset = order.pair.base if order.side == "sell" else order.pair.quote
        total = self._held[order.side, asset.name]
        self._held[order.side, asset.name] = _EXACT.add(total, _EXACT.subtract(needed, order.held))
        order.held = needed
