"""The matching engine: it fills orders and changes balances. Every call gives it the time."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.book import Book
from krakenonce.testing.executions import Change, Execution
from krakenonce.testing.fills import enter_fill
from krakenonce.testing.markets import PAIRS, Pair
from krakenonce.testing.orders import OPPOSITE, Order, Side
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.rules import Rules

_OPEN = ("open", "pending")
_EXPIRES, _STARTS, _CANCELS = range(3)  # what comes at a time; of those that come at once, the first comes first


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

    Each of the ``listeners`` is told of each change of an order.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.books = {name: Book(pair) for name, pair in PAIRS.items()}
        self.trades: defaultdict[str, list[PublicTrade]] = defaultdict(list)
        self.listeners: list[Callable[[Execution], None]] = []
        self._coming: list[tuple[float, int, int, Any]] = []  # a heap: when, what, and which order or account
        self._numbers = itertools.count()
        self._to_follow: deque[Order] = deque()  # orders with a conditional close of which something was filled

    def pass_time(self, now: float) -> None:
        """Start and end the orders, and cancel those of accounts, whose time has come, in the order of these times."""
        while self._coming and self._coming[0][0] <= now:
            at, what, _, whose = heapq.heappop(self._coming)
            if what == _CANCELS:
                self._cancel_all(whose, at)
            elif what == _EXPIRES and whose.status in _OPEN:
                self.finish(whose, "expired", at, "Expired")
            elif what == _STARTS and whose.status == "pending":
                if self._is_paid(whose, at):
                    self._begin(whose, at)
                self._go_on(self.books[whose.pair.name], at)

    def cancel_all_at(self, account: FakeAccount, at: float | None) -> None:
        """Cancel all orders of an account at this time, and not at the one set before; ``None`` for never."""
        account.cancel_all_at = at
        if at is not None:
            self._expect(at, _CANCELS, account)

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
        fee = self.rules.held_fee
        needed, free = order.to_hold, instead_of.held if instead_of else Decimal(0)
        asset = order.pair.base
        if order.side == "buy":
            asset = order.pair.quote
            if not order.waits:  # what it takes at once may cost less than its limit
                fills = self.books[order.pair.name].meet(order).fills
                needed -= sum(((order.price or order.stop) - fill.price) * fill.volume for fill in fills)
            needed, free = needed * (1 + fee), free * (1 + fee)
        if needed > order.owner.available(asset.name, fee) + free:
            raise Refused("EOrder:Insufficient funds")

    def has_to_pay(self, account: FakeAccount) -> bool:
        """Return whether an account needs funds for its orders."""
        return account.is_counted if self.rules.check_funds is None else self.rules.check_funds

    def place(self, order: Order, now: float) -> None:
        """Place a new order: it starts at its time, waits for its trigger, or is matched.

        The rest of it stays in the book, or is cancelled if it must not.
        """
        self._enter(order, now)
        if order.status == "open":
            self._begin(order, now)
        self._go_on(self.books[order.pair.name], now)

    def amend(self, order: Order, now: float, **changes: Any) -> None:
        """Change an open order; it keeps its place in the book if only its volume becomes smaller.

        Args:
            order: The order.
            now: Seconds since 1970.
            **changes: Fields of :class:`Order` with their new values.
        """
        keeps_place = not set(changes) - {"volume", "display"} and changes.get("volume", order.volume) <= order.volume
        if not keeps_place:
            self._leave(order)
        for name, value in changes.items():
            setattr(order, name, value)
        order.touched, order.is_amended = now, True
        order.owner.hold(order)
        self._tell("amended", order, now)
        if not keeps_place and order.status == "open":
            self._begin(order, now)
            self._go_on(self.books[order.pair.name], now)

    def finish(self, order: Order, status: str, now: float, reason: str | None = None) -> None:
        """End an open order."""
        self._leave(order)
        order.status, order.closed, order.reason = status, now, reason
        order.owner.put_away(order)
        order.owner.hold(order)
        change: dict[str, Change] = {"closed": "filled", "canceled": "canceled", "expired": "expired"}
        self._tell(change[status], order, now)

    def set_price(self, pair: str, price: Decimal, now: float) -> None:
        """Set the reference price, at which the market then is.

        The market maker fills the resting orders that it reaches, at their own price.
        """
        book = self.books[pair]
        book.reference = price
        for order in book.passed():
            self._fill(order, order.left, now)
        book.last = price
        self._go_on(book, now)

    def take(self, order: Order, volume: Decimal, now: float) -> None:
        """Fill some of a resting order at its own price, by the market maker."""
        self._fill(order, volume, now)
        self._go_on(self.books[order.pair.name], now)

    def _enter(self, order: Order, now: float) -> None:
        order.owner.take_in(order)
        order.owner.hold(order)
        if order.expires:
            self._expect(order.expires, _EXPIRES, order)
        if order.starts > now:
            order.status = "pending"
            self._expect(order.starts, _STARTS, order)
        self._tell("new", order, now)

    def _is_paid(self, order: Order, now: float) -> bool:
        """Return whether the account can still pay for an order that goes to the market now; if not, it is cancelled.

        What an order will cost at its start, or after its trigger, is not known when it is placed.
        """
        try:
            self.check_funds(order, instead_of=order)
        except Refused:
            self.finish(order, "canceled", now, "Insufficient funds")
            return False
        return True

    def _expect(self, at: float, what: int, whose: Order | FakeAccount) -> None:
        heapq.heappush(self._coming, (at, what, next(self._numbers), whose))

    def _cancel_all(self, account: FakeAccount, at: float) -> None:
        if account.cancel_all_at != at:
            return  # it was put off, or is off
        account.cancel_all_at = None
        for order in list(account.orders.values()):
            self.finish(order, "canceled", at, "User requested")

    def _begin(self, order: Order, now: float) -> None:
        """Let an order wait for its trigger, or match it."""
        order.status = "open"
        if not order.waits:
            self._match(order, now)
            return
        book = self.books[order.pair.name]
        if order.trail is not None:
            order.stop = order.trailing_stop(book.price(order.trigger))
        book.waiting.add(order)

    def _go_on(self, book: Book, now: float) -> None:
        """Do what follows from new prices and fills, until nothing follows."""
        while True:
            if self._to_follow:
                self._follow(self._to_follow.popleft(), now)
            elif book.waiting and (order := book.waiting.reached({"last": book.last, "index": book.reference})):
                order.is_triggered = True
                if order.limit_offset is not None:
                    order.price = order.limit_offset.on(order.stop, order.pair, is_up=order.side == "buy")
                self._tell("triggered", order, now)
                if self._is_paid(order, now):
                    order.owner.hold(order)
                    self._match(order, now)
            else:
                return

    def _follow(self, order: Order, now: float) -> None:
        """Place the conditional close of what has been filled of an order."""
        volume, order.followed = order.filled - order.followed, order.filled
        if order.close is None or not volume:
            return
        book = self.books[order.pair.name]
        following = order.close.order(order, volume, book.price(order.trigger), now)
        self._enter(following, now)
        if self._is_paid(following, now):
            self._begin(following, now)

    def _match(self, order: Order, now: float) -> None:
        """Fill what can be filled of an order that is in no book."""
        book = self.books[order.pair.name]
        meeting = book.meet(order)
        if "post" in order.flags and (meeting.fills or meeting.own):
            self.finish(order, "canceled", now, "Post only order")
            return
        if order.timeinforce == "FOK" and sum(fill.volume for fill in meeting.fills) < order.left:
            self.finish(order, "canceled", now, "Order could not be filled at once")
            return
        for fill in meeting.fills:
            self._publish(order.pair, fill.price, fill.volume, now, order.side, order.matches_as)
            self._settle(order, fill.price, fill.volume, now, is_maker=False)
            if fill.resting is not None:
                self._settle(fill.resting, fill.price, fill.volume, now, is_maker=True)
        if order.stptype != "cancel-newest":
            for own in meeting.own:
                self.finish(own, "canceled", now, "Self trade prevented")
        if order.status == "closed":
            return
        if meeting.stops:
            self.finish(order, "canceled", now, "Self trade prevented")
        elif not order.is_limited or order.timeinforce in ("IOC", "FOK"):
            self.finish(order, "canceled", now, "Order could not be filled at once")
        else:
            book.add(order)

    def _leave(self, order: Order) -> None:
        """Take an order out of where it rests or waits, if it does."""
        book = self.books[order.pair.name]
        if order.waits:
            book.waiting.remove(order)
        else:
            book.remove(order)

    def _fill(self, order: Order, volume: Decimal, now: float) -> None:
        self._publish(order.pair, order.price, volume, now, OPPOSITE[order.side], "market")
        self._settle(order, order.price, volume, now, is_maker=True)

    def _publish(self, pair: Pair, price: Decimal, volume: Decimal, now: float, side: Side, kind: str) -> None:
        trades = self.trades[pair.name]
        trades.append(PublicTrade(price, volume, now, side, kind, len(trades) + 1))
        self.books[pair.name].last = price

    def _settle(self, order: Order, price: Decimal, volume: Decimal, now: float, *, is_maker: bool) -> None:
        """Enter one side of a fill, and close the order if nothing of it is left."""
        pair, owner = order.pair, order.owner
        fee = self.rules.maker_fee if is_maker else self.rules.taker_fee
        number = len(self.trades[pair.name])
        txid = enter_fill(order, price, volume, now, fee=fee, number=number, is_maker=is_maker)
        self._tell("trade", order, now, price, volume, txid)
        if order.close is not None:
            self._to_follow.append(order)
        if order.left:
            owner.hold(order)
        else:
            self.finish(order, "closed", now)

    def _tell(
        self,
        change: Change,
        order: Order,
        now: float,
        price: Decimal | None = None,
        volume: Decimal | None = None,
        trade_id: str | None = None,
    ) -> None:
        if self.listeners:
            execution = Execution(change, order, now, price, volume, trade_id)
            for listener in self.listeners:
                listener(execution)
