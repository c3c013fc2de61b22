"""The methods that place, change and cancel orders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, is_on, required, whole
from krakenonce.testing.changing import amend_order, edit_order, matching, open_orders
from krakenonce.testing.limits import cost_of
from krakenonce.testing.markets import find_pair
from krakenonce.testing.placing import (
    check_deadline,
    check_new,
    order_from,
)
from krakenonce.testing.request import Refused
from krakenonce.testing.tokens import LIFETIME, issue

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.orders import Order
    from krakenonce.testing.private import Call


_BATCH = range(2, 16)
_MOST_CANCELLED = 50
_DAY = 86400


def _add_order(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    call.limits.require(call.account, pair.name, 1, call.now)
    order = order_from(call, pair, call.params)
    check_deadline(call, call.params)
    return {"descr": order.descr, "txid": [order.txid]} if _place(call, order) else {"descr": order.descr}


def _add_order_batch(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    lines = call.params.get("orders")
    if not isinstance(lines, list) or len(lines) not in _BATCH or not all(isinstance(line, dict) for line in lines):
        raise invalid("orders")
    call.limits.require(call.account, pair.name, len(lines) / 2, call.now)
    check_deadline(call, call.params)
    orders = [order_from(call, pair, line) for line in lines]
    return {"orders": [_batch_line(call, order) for order in orders]}


def _batch_line(call: Call, order: Order) -> dict[str, Any]:
    try:
        return {"descr": order.descr, "txid": order.txid} if _place(call, order) else {"descr": order.descr}
    except Refused as refusal:
        return {"error": str(refusal)}


def _place(call: Call, order: Order) -> bool:
    """Place a new order, or only check it if the call has ``validate``; return whether it was placed."""
    check_new(call, order)
    if is_on(call.params, "validate"):
        return False
    call.limits.check_open(call.account, order.pair.name)
    call.engine.check_funds(order)
    call.engine.place(order, call.now)
    return True


def _cancel_order(call: Call) -> dict[str, Any]:
    orders = open_orders(call, call.params)
    for order in orders:
        cost = cost_of("cancel", order, call.now)
        call.limits.require(call.account, order.pair.name, cost, call.now, even_if_full=False)
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(orders), "pending": False}


def _cancel_order_batch(call: Call) -> dict[str, Any]:
    lines = call.params.get("orders") or []
    if not isinstance(lines, list):
        raise invalid("orders")
    wanted = [line if isinstance(line, dict) else {"txid": line} for line in lines]
    # Kraken's specification has objects in this list, its clients send texts.
    names = call.params.get("cl_ord_ids") or []
    names = names.split(",") if isinstance(names, str) else names
    wanted += [name if isinstance(name, dict) else {"cl_ord_id": name.strip()} for name in names]
    if not 1 <= len(wanted) <= _MOST_CANCELLED:
        raise invalid("orders")
    found = list(dict.fromkeys(order for line in wanted for order in matching(call, line)))
    if not found:
        raise Refused(call.engine.rules.unknown_order_error)
    for order in found:
        call.limits.count(call.account, order.pair.name, cost_of("cancel", order, call.now), call.now)
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(found)}


def _cancel_all(call: Call) -> dict[str, Any]:
    orders = list(call.account.orders.values())
    for pair in {order.pair.name for order in orders}:
        call.limits.count(call.account, pair, 1, call.now)
    for order in orders:
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(orders)}


def _cancel_all_orders_after(call: Call) -> dict[str, Any]:
    timeout = whole(call.params, "timeout", -1, allowed=range(_DAY))
    call.engine.cancel_all_at(call.account, call.now + timeout if timeout else None)
    return {
        "currentTime": _rfc3339(call.now),
        "triggerTime": _rfc3339(call.now + timeout) if timeout else "0",
    }


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


TRADING: dict[str, Callable[[Call], Any]] = {
    "AddOrder": _add_order,
    "AddOrderBatch": _add_order_batch,
    "AmendOrder": amend_order,
    "CancelAll": _cancel_all,
    "CancelAllOrdersAfter": _cancel_all_orders_after,
    "CancelOrder": _cancel_order,
    "CancelOrderBatch": _cancel_order_batch,
    "EditOrder": edit_order,
    "GetWebSocketsToken": lambda call: {"token": issue(call.key, call.now), "expires": LIFETIME},
}
