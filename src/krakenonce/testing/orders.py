"""An order, and how Kraken shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from krakenonce.testing.ids import new_id

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.markets import Pair
    from krakenonce.testing.prices import Price

Side = Literal["buy", "sell"]
OPPOSITE: dict[Side, Side] = {"buy": "sell", "sell": "buy"}

LIMITED = frozenset(("limit", "iceberg", "stop-loss-limit", "take-profit-limit", "trailing-stop-limit"))
TRIGGERED = frozenset(
    ("stop-loss", "take-profit", "trailing-stop", "stop-loss-limit", "take-profit-limit", "trailing-stop-limit")
)
TRAILING = frozenset(("trailing-stop", "trailing-stop-limit"))
KINDS = LIMITED | TRIGGERED | {"market"}

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Close:
    """The conditional close of an order: what is placed for each part of it that is filled.

    Args:
        kind: Its ``ordertype``.
        price: The limit of a ``limit`` order, else what triggers it.
        price2: The limit of the other orders that have one.
    """

    kind: str
    price: Price
    price2: Price | None = None

    def text(self, pair: Pair) -> str:
        """Return it in words."""
        second = self.price2.text(pair) if self.price2 else "0"
        return f"close position @ {_worded(self.kind, self.price.text(pair), second)}"

    def order(self, first: Order, volume: Decimal, market: Decimal, now: float) -> Order:
        """Return the order that closes what has been filled of the first one.

        Args:
            first: The order with this close.
            volume: How much has been filled.
            market: The market price, which offsets are from.
            now: Seconds since 1970.
        """
        order = Order(
            owner=first.owner,
            pair=first.pair,
            side=OPPOSITE[first.side],
            kind=self.kind,
            volume=volume,
            opened=now,
            touched=now,
            trigger=first.trigger,
            refid=first.txid,
            visible_from=first.visible_from,
        )
        order.set_prices(self.price, self.price2, market)
        return order


@dataclass(slots=True, kw_only=True, eq=False)
class Order:
    """An order, open or done.

    Args:
        owner: The account.
        pair: The pair.
        side: ``buy`` or ``sell``.
        kind: Its ``ordertype``.
        volume: The amount of the base asset.
        price: The limit; 0 if it has none.
        opened: When it was placed, in seconds since 1970.
        timeinforce: ``GTC``, ``IOC``, ``FOK`` or ``GTD``.
        starts: When it begins; 0 for at once.
        expires: When it ends; 0 for never.
        flags: The ``oflags``.
        userref: The client's number for a group of orders.
        cl_ord_id: The client order id.
        close: The conditional close.
        stop: The price that triggers it; 0 if none does. That of a trailing order moves.
        trail: How far a trailing order's stop is from the market.
        limit_offset: How far a trailing order's limit is from its stop.
        trigger: The price that is looked at: ``last`` or ``index``.
        display: How much of an iceberg order the book shows; 0 for all.
        stptype: Which orders are cancelled where the account would trade with itself.
        refid: The id of the order whose conditional close it is.
        visible_from: When lists and queries begin to show it.
        txid: Its id.
        status: ``pending``, ``open``, ``closed``, ``canceled`` or ``expired``.
        reason: Why it was cancelled.
        is_triggered: Whether its trigger has been reached.
        filled: How much of the volume is filled.
        cost: What that cost, in the quote currency.
        fee: The fee for that.
        touched: When it was placed or last amended.
        is_amended: Whether it was amended.
        closed: When it ended; 0 while it is open.
        trades: Ids of its trades.
        held: How much is set aside for it, without fees; :class:`FakeAccount` counts that.
        followed: How much of what is filled has been followed by the conditional close.
    """

    owner: FakeAccount = field(repr=False)
    pair: Pair
    side: Side
    kind: str
    volume: Decimal
    price: Decimal = _NOTHING
    opened: float
    timeinforce: str = "GTC"
    starts: float = 0.0
    expires: float = 0.0
    flags: tuple[str, ...] = ()
    userref: int | None = None
    cl_ord_id: str | None = None
    close: Close | None = None
    stop: Decimal = _NOTHING
    trail: Price | None = None
    limit_offset: Price | None = None
    trigger: str = "last"
    display: Decimal = _NOTHING
    stptype: str = "cancel-newest"
    refid: str | None = None
    visible_from: float = 0.0
    txid: str = field(default_factory=lambda: new_id("O"))
    status: str = "open"
    reason: str | None = None
    is_triggered: bool = False
    filled: Decimal = _NOTHING
    cost: Decimal = _NOTHING
    fee: Decimal = _NOTHING
    touched: float = 0.0
    is_amended: bool = False
    closed: float = 0.0
    trades: tuple[str, ...] = ()
    held: Decimal = _NOTHING
    followed: Decimal = _NOTHING

    @property
    def left(self) -> Decimal:
        """How much is not filled yet."""
        return self.volume - self.filled

    @property
    def is_limited(self) -> bool:
        """Whether it has a limit price."""
        return self.kind in LIMITED

    @property
    def waits(self) -> bool:
        """Whether it waits for its trigger."""
        return self.kind in TRIGGERED and not self.is_triggered

    @property
    def rises(self) -> bool:
        """Whether a rising price triggers it."""
        return (self.side == "buy") is not self.kind.startswith("take-profit")

    @property
    def matches_as(self) -> str:
        """The kind of order that it is in the book: ``limit`` or ``market``."""
        return "limit" if self.is_limited else "market"

    @property
    def to_hold(self) -> Decimal:
        """How much has to be set aside for it, without fees: of the base, or if it buys of the quote currency."""
        return self.left if self.side == "sell" else self.left * (self.price or self.stop)

    @property
    def text(self) -> str:
        """The order in words."""
        kind = "limit" if self.is_triggered and self.is_limited else self.kind
        return f"{self.side} {self.volume:.8f} {self.pair.altname} @ {_worded(kind, *self.prices)}"

    @property
    def descr(self) -> dict[str, str]:
        """The ``descr`` in the answer to AddOrder, AddOrderBatch and EditOrder."""
        return {"order": self.text, **({"close": self.close.text(self.pair)} if self.close else {})}

    def set_prices(self, price: Price | None, price2: Price | None, market: Decimal) -> None:
        """Set limit and stop.

        Args:
            price: The limit, or what triggers it; ``None`` for a market order.
            price2: The limit of an order that is triggered; ``None`` if it has none.
            market: The market price, which offsets are from.
        """
        if price is None:
            return
        is_up = self.rises if self.kind in TRIGGERED else self.side == "sell"  # as the price is on its way to it
        if self.kind in TRAILING:
            self.trail, self.limit_offset = price, price2
            self.stop = self.trailing_stop(market)
        elif self.kind in TRIGGERED:
            self.stop = price.on(market, self.pair, is_up=is_up)
            self.price = price2.on(market, self.pair, is_up=is_up) if price2 else _NOTHING
        else:
            self.price = price.on(market, self.pair, is_up=is_up)

    def trailing_stop(self, market: Decimal) -> Decimal:
        """Return the stop of a trailing order at this market price: above it if it buys, below it if it sells."""
        offset = self.trail.on(market, self.pair, is_up=True) - market if self.trail else _NOTHING
        return market + offset if self.rises else market - offset

    def shown(self, *, with_trades: bool = False) -> dict[str, Any]:
        """Return it as OpenOrders, ClosedOrders and QueryOrders show it."""
        pair = self.pair
        average = self.cost / self.filled if self.filled else _NOTHING
        price, price2 = self.prices
        named = {} if self.cl_ord_id is None else {"cl_ord_id": self.cl_ord_id}
        triggered = {"trigger": self.trigger} if self.kind in TRIGGERED else {}
        ended = {} if self.status in ("open", "pending") else {"reason": self.reason, "closetm": round(self.closed, 4)}
        traded = {"trades": list(self.trades)} if with_trades and self.trades else {}
        return {
            "refid": self.refid,
            "userref": self.userref,
            "status": self.status,
            "opentm": round(self.opened, 4),
            "starttm": self.starts or 0,
            "expiretm": self.expires or 0,
            "descr": {
                "pair": pair.altname,
                "aclass": "forex",
                "type": self.side,
                "ordertype": self.kind,
                "price": price,
                "price2": price2,
                "leverage": "none",
                "order": self.text,
                "close": self.close.text(pair) if self.close else "",
            },
            "vol": f"{self.volume:.8f}",
            "vol_exec": f"{self.filled:.8f}",
            "cost": pair.cost_text(self.cost),
            "fee": pair.cost_text(self.fee),
            "price": pair.cost_text(average),
            "stopprice": pair.cost_text(self.stop if self.waits else _NOTHING),
            "limitprice": pair.cost_text(self.price if self.waits else _NOTHING),
            "misc": ",".join(("touched",) * self.is_triggered + ("amended",) * self.is_amended),
            "oflags": ",".join(self.flags if "fcib" in self.flags else dict.fromkeys((*self.flags, "fciq"))),
            "time_in_force": self.timeinforce.lower(),
            **triggered,
            **named,
            **ended,
            **traded,
        }

    @property
    def prices(self) -> tuple[str, str]:
        """Return the ``price`` and ``price2`` of its description."""
        limit = self.pair.price_text(self.price) if self.is_limited else "0"
        if self.kind not in TRIGGERED or (self.is_triggered and self.is_limited):
            return limit, "0"
        if self.trail is not None:
            return self.trail.text(self.pair), self.limit_offset.text(self.pair) if self.limit_offset else "0"
        return self.pair.price_text(self.stop), limit


def _worded(kind: str, price: str, price2: str) -> str:
    """Return a kind of order with its prices in words, such as ``stop loss 22000.0 -> limit 21000.0``."""
    if kind == "market":
        return kind
    words = kind.replace("-", " ")
    if kind in TRIGGERED and kind in LIMITED:
        return f"{words.removesuffix(' limit')} {price} -> limit {price2}"
    return f"{words} {price}"
