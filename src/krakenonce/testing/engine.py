"""The matching engine: it fills orders and changes balances. Every call gives it the time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING

from krakenonce.testing.accounts import OPPOSITE, FakeAccount, Order, Side, new_id
from krakenonce.testing.book import Book
from krakenonce.testing.markets import PAIRS, Pair
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.testing.rules import Rules


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade as the public method Trades shows it."""

    price: Decimal
    volume: Decimal
    time: float
    side: str
    kind: str
    number: int


class MatchingEngine:
    """Matches orders.

    Args:
        rules: The switches.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.books = {name: Book(pair) for name, pair in PAIRS.items()}
        self.trades: defaultdict[str, list[PublicTrade]] = defaultdict(list)

    def pass_time(self, accounts: Iterable[FakeAccount], now: float) -> None:
        """End the orders that have expired by now or that CancelAllOrdersAfter has cancelled, whichever came first."""
        for account in accounts:
            cancelled = inf if account.cancel_all_at is None else account.cancel_all_at
            for order in list(account.orders.values()):
                if 0 < order.expires <= min(now, cancelled):
                    self.finish(order, "expired", order.expires, "Expired")
                elif cancelled <= now:
                    self.finish(order, "canceled", cancelled, "User requested")
            if cancelled <= now:
                account.cancel_all_at = None

    def check_funds(self, order: Order, *, instead_of: Order | None = None) -> None:
        """Refuse an order that the account cannot pay for.

        Args:
            order: An order that is not placed yet.
            instead_of: The order that it replaces: its funds are available, too.

        Raises:
            Refused: ``EOrder:Insufficient funds``.
        """
        if not self.has_to_pay(order.owner):
            return
        fee = self.rules.taker_fee
        asset, needed = order.reserved(fee)
        if order.side == "buy":  # what it takes at once may cost less than its limit
            fills, _ = self.books[order.pair.name].meet(order)
            needed -= sum((order.price - fill.price) * fill.volume for fill in fills) * (1 + fee)
        free = instead_of.reserved(fee)[1] if instead_of else Decimal(0)
        if needed > order.owner.available(asset, fee) + free:
            raise Refused("EOrder:Insufficient funds")

    def has_to_pay(self, account: FakeAccount) -> bool:
        """Return whether an account needs funds for its orders."""
        return account.is_counted if self.rules.check_funds is None else self.rules.check_funds

    def place(self, order: Order, now: float) -> None:
        """Match a new order, or an open one whose limit or volume has changed.

        The rest of it stays in the book, or is cancelled if it must not.
        """
        book = self.books[order.pair.name]
        book.remove(order)
        order.owner.orders[order.txid] = order
        fills, meets_own = book.meet(order)
        if "post" in order.flags and (fills or meets_own):
            self.finish(order, "canceled", now, "Post only order")
            return
        if order.timeinforce == "FOK" and sum(fill.volume for fill in fills) < order.left:
            self.finish(order, "canceled", now, "Order could not be filled at once")
            return
        for fill in fills:
            self._publish(order.pair, fill.price, fill.volume, now, order.side, order.kind)
            self._settle(order, fill.price, fill.volume, now, is_maker=False)
            if fill.resting is not None:
                self._settle(fill.resting, fill.price, fill.volume, now, is_maker=True)
        if order.status == "closed":
            return
        if meets_own:
            self.finish(order, "canceled", now, "Self trade prevented")
        elif order.kind == "market" or order.timeinforce in ("IOC", "FOK"):
            self.finish(order, "canceled", now, "Order could not be filled at once")
        else:
            book.add(order)

    def finish(self, order: Order, status: str, now: float, reason: str | None = None) -> None:
        """End an open order."""
        self.books[order.pair.name].remove(order)
        order.status, order.closed, order.reason = status, now, reason
        order.owner.done[order.txid] = order.owner.orders.pop(order.txid)

    def set_price(self, pair: str, price: Decimal, now: float) -> None:
        """Set the reference price; the market maker fills the resting orders that it reaches, at their own price."""
        book = self.books[pair]
        book.reference = price
        for order in book.passed():
            self.take(order, order.left, now)

    def take(self, order: Order, volume: Decimal, now: float) -> None:
        """Fill some of a resting order at its own price, by the market maker."""
        self._publish(order.pair, order.price, volume, now, OPPOSITE[order.side], "market")
        self._settle(order, order.price, volume, now, is_maker=True)

    def _publish(self, pair: Pair, price: Decimal, volume: Decimal, now: float, side: Side, kind: str) -> None:
        trades = self.trades[pair.name]
        trades.append(PublicTrade(price, volume, now, side, kind, len(trades) + 1))

    def _settle(self, order: Order, price: Decimal, volume: Decimal, now: float, *, is_maker: bool) -> None:
        """Enter one side of a fill, and close the order if nothing of it is left."""
        pair, owner = order.pair, order.owner
        cost = price * volume
        fee = cost * (self.rules.maker_fee if is_maker else self.rules.taker_fee)
        sign = 1 if order.side == "buy" else -1
        txid = new_id("T")
        ledgers = owner.enter("trade", txid, pair.base.name, sign * volume, Decimal(0), now)
        ledgers += owner.enter("trade", txid, pair.quote.name, -sign * cost, fee, now)
        order.filled += volume
        order.cost += cost
        order.fee += fee
        order.trades.append(txid)
        owner.trades[txid] = {
            "ordertxid": order.txid,
            "postxid": "TKH2SE-M7IF5-CFI7LT",
            "pair": pair.name,
            "time": round(now, 7),
            "type": order.side,
            "ordertype": order.kind,
            "price": pair.cost_text(price),
            "cost": pair.cost_text(cost),
            "fee": pair.cost_text(fee),
            "vol": f"{volume:.8f}",
            "margin": "0.00000",
            "leverage": "0",
            "misc": "",
            "trade_id": len(self.trades[pair.name]),
            "maker": is_maker,
            "ledgers": ledgers,
        }
        if not order.left:
            self.finish(order, "closed", now)
