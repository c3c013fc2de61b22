"""The channel ``executions`` of Kraken's WebSocket API v2: the orders of an account and their trades. No I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.markets import PAIRS
from krakenonce.testing.message import LOT, Message, entries, rfc3339, short_name, symbol_of
from krakenonce.testing.orders import TRIGGERED

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.executions import Execution
    from krakenonce.testing.orders import Order

_RECENT = 50  # trades in a snapshot
_CENT = Decimal("0.00001")
_ENDS = ("new", "filled", "canceled", "expired")  # what is sent without order_status
_MOST = {"starter": 60, "intermediate": 125, "pro": 180, None: 180}  # of the trading counter


class Executions:
    """The channel ``executions``: the orders of an account and their trades.

    Args:
        engine: For the value of fees in dollars, and the rate limit.
        account: The account.
        params: ``snap_orders``, ``snap_trades`` and ``order_status`` of the subscription.
    """

    def __init__(self, engine: MatchingEngine, account: FakeAccount, params: Message) -> None:
        self.account, self._engine = account, engine
        self._orders, self._trades = params.get("snap_orders") is not False, params.get("snap_trades") is True
        self._all = params.get("order_status") is not False
        self.described = {
            "channel": "executions",
            "maxratecount": _MOST[engine.rules.tier],
            "order_status": self._all,
            "snap_orders": self._orders,
            "snap_trades": self._trades,
        }
        self._new: list[Message] = []
        self._sequence = 0

    def first(self, now: float) -> list[Message]:
        """Return the open orders, and the last trades."""
        account = self.account
        orders = [each for each in account.orders.values() if each.visible_from <= now] if self._orders else []
        trades = list(account.trades)[-_RECENT:] if self._trades else []
        if not (self._orders or self._trades):
            return []
        there = account.done | account.orders
        shown = [_whole(order, "new") for order in orders]
        shown += [self._trade(there[account.trades[txid]["ordertxid"]], txid) for txid in trades]
        return [self._message("snapshot", shown)]

    def hear(self, event: Execution) -> None:
        """Note what happened to an order of the account; an order that changes later does not change the note."""
        order = event.order
        if event.change == "new":
            self._note(_whole(order, "pending_new"))
            self._note(_changed(order, "new", event.at))
        elif event.change == "trade":
            # Also the last trade is reported as a part: "filled" comes in an update of its own.
            self._note({**self._trade(order, str(event.trade_id)), "order_status": "partially_filled"})
        elif event.change == "amended":
            self._note(_amended(order, event.at))
        elif event.change == "triggered":
            self._note(_changed(order, "status", event.at) | _triggers(order))
        else:
            self._note(self._ended(order, event.change, event.at))

    def changes(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return what was noted, each in a message of its own."""
        new, self._new = self._new, []
        return [self._message("update", [each]) for each in new]

    def _note(self, entry: Message) -> None:
        if self._all or entry["exec_type"] in _ENDS:
            self._new.append(entry)

    def _message(self, kind: str, data: list[Message]) -> Message:
        self._sequence += 1
        return entries("executions", kind, data, sequence=self._sequence)

    def _trade(self, order: Order, txid: str) -> Message:
        row = order.owner.trades[txid]
        fee = Decimal(row["fee"])
        return {
            "order_id": order.txid,
            **_names(order),
            "exec_id": txid,
            "exec_type": "trade",
            "trade_id": row["trade_id"],
            "symbol": symbol_of(order.pair),
            "side": order.side,
            "last_qty": Decimal(row["vol"]),
            "last_price": Decimal(row["price"]).quantize(order.pair.tick),
            "liquidity_ind": "m" if row["maker"] else "t",
            "cost": Decimal(row["cost"]),
            "order_status": _status(order),
            "order_type": order.kind,
            "timestamp": rfc3339(row["time"]),
            "fee_usd_equiv": self._in_dollars(order, fee),
            "fees": [{"asset": short_name(order.pair.quote), "qty": fee}],
        }

    def _ended(self, order: Order, kind: str, now: float) -> Message:
        reasons = {"cancel_reason": order.reason, "reason": order.reason} if order.reason else {}
        return _changed(order, kind, now) | {
            "order_qty": order.volume.quantize(LOT),
            "cum_qty": order.filled.quantize(LOT),
            "cum_cost": order.cost.quantize(_CENT),
            "avg_price": (order.cost / order.filled if order.filled else Decimal(0)).quantize(_CENT),
            "fee_usd_equiv": self._in_dollars(order, order.fee),
            **reasons,
        }

    def _in_dollars(self, order: Order, amount: Decimal) -> Decimal:
        """Return what an amount of the quote currency of an order is worth in dollars."""
        books, quote = self._engine.books, order.pair.quote.name
        if quote == "ZEUR":
            amount *= books["XXBTZUSD"].reference / books["XXBTZEUR"].reference
        elif quote != "ZUSD":
            pairs = [each for each in PAIRS.values() if (each.base.name, each.quote.name) == (quote, "ZUSD")]
            amount *= books[pairs[0].name].reference
        return amount.quantize(_CENT)


def _status(order: Order) -> str:
    """Return the state of an order, with the words of this API."""
    if order.status in ("open", "closed"):
        return ("partially_filled" if order.left else "filled") if order.filled else "new"
    return "pending_new" if order.status == "pending" else order.status


def _names(order: Order) -> Message:
    named = {} if order.cl_ord_id is None else {"cl_ord_id": order.cl_ord_id}
    return {"order_userref": order.userref or 0, **named}


def _whole(order: Order, exec_type: str) -> Message:
    """Return all of an order: as it comes in, ``pending_new``, or as it is now, ``new``."""
    is_new = exec_type == "pending_new"
    return {
        "order_id": order.txid,
        **_names(order),
        "symbol": symbol_of(order.pair),
        "order_qty": order.volume.quantize(LOT),
        **({} if is_new else {"cum_qty": order.filled.quantize(LOT)}),
        "cum_cost": Decimal(0 if is_new else order.cost).quantize(_CENT),
        "time_in_force": order.timeinforce,
        **({"effective_time": rfc3339(order.starts)} if order.starts else {}),
        **({"expire_time": rfc3339(order.expires)} if order.expires else {}),
        "exec_type": exec_type,
        "side": order.side,
        "order_type": order.kind,
        **_limit(order),
        **({"display_qty": order.display.quantize(LOT)} if order.display else {}),
        **({"post_only": True} if "post" in order.flags else {}),
        "stop_price": order.stop.quantize(order.pair.tick),
        **(_triggers(order) | {"trigger": order.trigger} if order.kind in TRIGGERED else {}),
        "order_status": exec_type if is_new else _status(order),
        "fee_usd_equiv": Decimal(0).quantize(_CENT),
        "fee_ccy_pref": "fcib" if "fcib" in order.flags else "fciq",
        "timestamp": rfc3339(order.opened),
    }


def _limit(order: Order) -> Message:
    if not order.price:
        return {}
    return {"limit_price_type": "static", "limit_price": order.price.quantize(order.pair.tick)}


def _triggers(order: Order) -> Message:
    status = "triggered" if order.is_triggered else "untriggered"
    price = order.stop.quantize(order.pair.tick)
    return {"triggers": {"price": price, "price_type": "static", "reference": order.trigger, "status": status}}


def _changed(order: Order, exec_type: str, now: float) -> Message:
    status = exec_type if exec_type in _ENDS else _status(order)
    return {
        "timestamp": rfc3339(now),
        "exec_type": exec_type,
        "order_status": status,
        **_names(order),
        "order_id": order.txid,
    }


def _amended(order: Order, now: float) -> Message:
    return _changed(order, "amended", now) | {
        "amended": True,
        "reason": "User requested",
        "cum_qty": order.filled.quantize(LOT),
        "order_qty": order.volume.quantize(LOT),
        **_limit(order),
        **(_triggers(order) if order.kind in TRIGGERED else {}),
    }
