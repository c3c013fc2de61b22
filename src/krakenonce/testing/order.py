"""An order, a trade and a ledger entry, and how Kraken shows them."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from krakenonce.testing.fake_account import FakeAccount
    from krakenonce.testing.markets import Pair

__all__ = ["LedgerEntry", "Order", "Side", "Trade", "new_id"]

Side = Literal["buy", "sell"]


def new_id(first: str) -> str:
    """Return an id of Kraken's form, such as ``OQCLML-BW3P3-BUCMWZ``; *first* is its first letter."""
    signs = first + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16))
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order, open or done.

    Args:
        owner: Whose it is.
        pair: What is traded.
        side: ``buy`` or ``sell``.
        kind: ``limit`` or ``market``.
        volume: How much of the base.
        price: The limit; 0 for a market order.
        opened: When it was placed, in seconds since 1970.
        timeinforce: ``GTC``, ``IOC``, ``FOK`` or ``GTD``.
        expires: When a ``GTD`` order ends; 0 for never.
        flags: What ``oflags`` said.
        userref: The client's own number for a group of orders.
        cl_ord_id: The client's own name for this order.
        close: What the conditional close says.
        visible_from: When it may be seen.
        txid: Its id.
        status: ``open``, ``closed``, ``canceled`` or ``expired``.
        reason: Why it was cancelled.
        filled: How much of the volume was traded.
        cost: What that cost, in the quote currency.
        fee: What that cost on top.
        touched: When it was placed or last amended.
        closed: When it was done; 0 while open.
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
    closed: float = 0.0
    trades: list[str] = field(default_factory=list)

    @property
    def left(self) -> Decimal:
        """How much is still to be traded."""
        return self.volume - self.filled

    def reserved(self, fee: Decimal) -> tuple[str, Decimal]:
        """Return the asset and the amount that are set aside while it is open.

        Args:
            fee: The part of the cost that buyers set aside on top.
        """
        if self.side == "sell":
            return self.pair.base.name, self.left
        return self.pair.quote.name, self.left * self.price * (1 + fee)

    @property
    def text(self) -> str:
        """What it says in words."""
        limit = f" {self.pair.price_text(self.price)}" if self.kind == "limit" else ""
        return f"{self.side} {self.volume:.8f} {self.pair.altname} @ {self.kind}{limit}"

    @property
    def descr(self) -> dict[str, str]:
        """What answers to a new order say of it."""
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
            "misc": "",
            "oflags": ",".join(self.flags or ("fciq",)),
            **named,
            **ended,
            **traded,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill of one order.

    Args:
        order: Whose fill.
        price: At which price.
        volume: How much of the base.
        fee: In the quote currency.
        time: When, in seconds since 1970.
        is_maker: Whether the order was the one that rested.
        number: Counts the pair's trades.
        txid: Its id.
        ledgers: Ids of the ledger entries it made.
    """

    order: Order
    price: Decimal
    volume: Decimal
    fee: Decimal
    time: float
    is_maker: bool
    number: int
    ledgers: tuple[str, ...]
    txid: str

    def shown(self, *, with_ledgers: bool = False) -> dict[str, Any]:
        """Return it as TradesHistory and QueryTrades show it."""
        pair = self.order.pair
        return {
            "ordertxid": self.order.txid,
            "postxid": "TKH2SE-M7IF5-CFI7LT",
            "pair": pair.name,
            "time": round(self.time, 7),
            "type": self.order.side,
            "ordertype": self.order.kind,
            "price": pair.cost_text(self.price),
            "cost": pair.cost_text(self.price * self.volume),
            "fee": pair.cost_text(self.fee),
            "vol": f"{self.volume:.8f}",
            "margin": "0.00000",
            "leverage": "0",
            "misc": "",
            "trade_id": self.number,
            "maker": self.is_maker,
            **({"ledgers": list(self.ledgers)} if with_ledgers else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One change of a balance.

    Args:
        kind: ``trade``, ``withdrawal`` or ``transfer``.
        refid: The trade's or withdrawal's id.
        asset: Of what.
        amount: By how much, without the fee.
        fee: On top.
        balance: What was there then.
        time: When, in seconds since 1970.
    """

    kind: str
    refid: str
    asset: str
    amount: str
    fee: str
    balance: str
    time: float

    def shown(self) -> dict[str, Any]:
        """Return it as Ledgers and QueryLedgers show it."""
        return {
            "refid": self.refid,
            "time": round(self.time, 4),
            "type": self.kind,
            "subtype": "",
            "aclass": "currency",
            "asset": self.asset,
            "amount": self.amount,
            "fee": self.fee,
            "balance": self.balance,
        }
