"""Orders, and how Kraken shows them."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from krakenonce.testing.fake_account import FakeAccount
    from krakenonce.testing.markets import Pair

__all__ = ["OPPOSITE", "Order", "Side", "new_id"]

Side = Literal["buy", "sell"]
OPPOSITE: dict[Side, Side] = {"buy": "sell", "sell": "buy"}


def new_id(first: str) -> str:
    """Return an id of Kraken's form, such as ``OQCLML-BW3P3-BUCMWZ``; *first* is its first letter."""
    signs = first + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(16))
    return f"{signs[:6]}-{signs[6:11]}-{signs[11:]}"


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
            "misc": "",
            "oflags": ",".join(self.flags or ("fciq",)),
            **named,
            **ended,
            **traded,
        }
