"""An API key of the fake Kraken, with its balances, orders and trades."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.markets import amount_text
from krakenonce.testing.order import new_id

if TYPE_CHECKING:
    from krakenonce.testing.order import Order

__all__ = ["PERMISSIONS", "FakeAccount"]

PERMISSIONS = (
    "query-funds",
    "add-funds",
    "withdraw-funds",
    "earn-funds",
    "query-open-trades",
    "query-closed-trades",
    "modify-trades",
    "close-trades",
    "query-ledger",
    "export-data",
    "create-ws-token",
    "add-withdraw-address",
    "update-withdraw-address",
)


@dataclass(slots=True, eq=False)
class FakeAccount:
    """An API key of the fake Kraken; each key has balances and orders of its own.

    Args:
        name: Its name in the log.
        key: The ``API-Key``.
        secret: Its secret in base64.
        balances: Asset name to amount.
        is_counted: Whether fills change the balances; an account without balances needs no funds.
        permissions: The permissions of the key, named as in GetApiKeyInfo.
        otp: The second factor that each call needs, ``None`` for none.
        nonce_window: Nonces above ``last_nonce`` minus this are accepted, too; 0 for none.
        last_nonce: The largest nonce accepted so far.
        orders: The open orders, by id.
        done: The closed, cancelled and expired orders, by id.
        trades: The fills, by id, as TradesHistory shows them with ``ledgers``.
        ledger: The changes of the balances, by id, as Ledgers shows them.
        withdrawals: The withdrawals, by reference id, as WithdrawStatus shows them.
        cancel_all_at: When CancelAllOrdersAfter cancels all orders; ``None`` if it is off.
    """

    name: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    balances: dict[str, Decimal] = field(default_factory=dict)
    is_counted: bool = False
    permissions: frozenset[str] = field(default=frozenset(PERMISSIONS), repr=False)
    otp: str | None = field(default=None, repr=False)
    nonce_window: int = 0
    last_nonce: int = 0
    orders: dict[str, Order] = field(default_factory=dict, repr=False)
    done: dict[str, Order] = field(default_factory=dict, repr=False)
    trades: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    withdrawals: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    cancel_all_at: float | None = field(default=None, repr=False)

    def held(self, asset: str, fee: Decimal) -> Decimal:
        """Return how much of an asset is set aside for open orders.

        Args:
            asset: Such as ``ZUSD``.
            fee: The fee that buyers set aside, as a part of the cost.
        """
        reserved = [order.reserved(fee) for order in self.orders.values()]
        return sum((amount for held, amount in reserved if held == asset), Decimal(0))

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
