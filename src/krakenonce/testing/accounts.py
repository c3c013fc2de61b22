"""An API key of the fake Kraken with its balances and trades, and its orders as Kraken shows them."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from krakenonce.testing.markets import Pair, amount_text

Side = Literal["buy", "sell"]
OPPOSITE: dict[Side, Side] = {"buy": "sell", "sell": "buy"}

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


def new_id(first: str) -> str:
    """Return an id of Kraken's form, such as ``OQCLML-BW3P3-BUCMWZ``; *first* is its first letter."""
    signs = first + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16))
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"


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


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order, open or done.

    Args:
        owner: The account.
        pair: The pair.
        side: ``buy`` or ``sell``.
        kind: ``limit`` or ``market``.
        volume: The amount of the base asset.
        price: The limit; 0 for a market order.
        opened: When it was placed, in seconds since 1970.
        timeinforce: ``GTC``, ``IOC``, ``FOK`` or ``GTD``.
        expires: When it ends; 0 for never.
        flags: The ``oflags``.
        userref: The client's number for a group of orders.
        cl_ord_id: The client order id.
        close: The conditional close in words; empty for none.
        visible_from: When lists and queries begin to show it.
        txid: Its id.
        status: ``open``, ``closed``, ``canceled`` or ``expired``.
        reason: Why it was cancelled.
        filled: How much of the volume is filled.
        cost: What that cost, in the quote currency.
        fee: The fee for that.
        touched: When it was placed or last amended.
        is_amended: Whether it was amended.
        closed: When it ended; 0 while it is open.
        trades: Ids of its trades.
    """

    owner: FakeAccount = field(repr=False)
    pair: Pair
    side: Side
    kind: str
    volume: Decimal
    price: Decimal
    opened: float
    timeinforce: str = "GTC"
    expires: float = 0.0
    flags: tuple[str, ...] = ()
    userref: int | None = None
    cl_ord_id: str | None = None
    close: str = ""
    visible_from: float = 0.0
    txid: str = field(default_factory=lambda: new_id("O"))
    status: str = "open"
    reason: str | None = None
    filled: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    touched: float = 0.0
    is_amended: bool = False
    closed: float = 0.0
    trades: list[str] = field(default_factory=list)

    @property
    def left(self) -> Decimal:
        """How much is not filled yet."""
        return self.volume - self.filled

    def reserved(self, fee: Decimal) -> tuple[str, Decimal]:
        """Return the asset and the amount that are set aside while it is open.

        Args:
            fee: The fee that buyers set aside, as a part of the cost.
        """
        if self.side == "sell":
            return self.pair.base.name, self.left
        return self.pair.quote.name, self.left * self.price * (1 + fee)

    @property
    def text(self) -> str:
        """The order in words."""
        limit = f" {self.pair.price_text(self.price)}" if self.kind == "limit" else ""
        return f"{self.side} {self.volume:.8f} {self.pair.altname} @ {self.kind}{limit}"

    @property
    def descr(self) -> dict[str, str]:
        """The ``descr`` in the answer to AddOrder, AddOrderBatch and EditOrder."""
        return {"order": self.text, **({"close": self.close} if self.close else {})}

    def shown(self, *, with_trades: bool = False) -> dict[str, Any]:
        """Return it as OpenOrders, ClosedOrders and QueryOrders show it."""
        average = self.cost / self.filled if self.filled else Decimal(0)
        limit = self.pair.price_text(self.price) if self.kind == "limit" else "0"
        named = {} if self.cl_ord_id is None else {"cl_ord_id": self.cl_ord_id}
        ended = {} if self.status == "open" else {"reason": self.reason, "closetm": round(self.closed, 4)}
        traded = {"trades": list(self.trades)} if with_trades and self.trades else {}
        return {
            "refid": None,
            "userref": self.userref or 0,
            "status": self.status,
            "opentm": round(self.opened, 4),
            "starttm": 0,
            "expiretm": self.expires,
            "descr": {
                "pair": self.pair.altname,
                "type": self.side,
                "ordertype": self.kind,
                "price": limit,
                "price2": "0",
                "leverage": "none",
                "order": self.text,
                "close": self.close,
            },
            "vol": f"{self.volume:.8f}",
            "vol_exec": f"{self.filled:.8f}",
            "cost": self.pair.cost_text(self.cost),
            "fee": self.pair.cost_text(self.fee),
            "price": self.pair.cost_text(average),
            "stopprice": "0.00000",
            "limitprice": "0.00000",
            "misc": "amended" if self.is_amended else "",
            "oflags": ",".join(self.flags or ("fciq",)),
            **named,
            **ended,
            **traded,
        }
