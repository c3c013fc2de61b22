"""The methods that place, change and cancel orders."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, is_on, listed, positive, required, whole
from krakenonce.testing.ids import new_id
from krakenonce.testing.limits import cost_of
from krakenonce.testing.markets import find_pair
from krakenonce.testing.placing import (
    check_deadline,
    check_mode,
    check_new,
    check_size,
    order_from,
)
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def _amend_order(call: Call) -> dict[str, Any]:
    order = _open(call, call.params)[0]
    call.limits.require(call.account, order.pair.name, cost_of("amend", order, call.now), call.now)
    check_deadline(call, call.params)
    wanted = replace(
        order,
        volume=positive(call.params, "order_qty", order.volume),
        price=positive(call.params, "limit_price", order.price),
        flags=(*order.flags, "post") if is_on(call.params, "post_only") else order.flags,
    )
    check_mode(call, is_post_only="post" in wanted.flags)
    check_size(wanted)
    if wanted.left <= 0:
        raise invalid("order_qty")
    meeting = call.engine.books[order.pair.name].meet(wanted)
    if "post" in wanted.flags and (meeting.fills or meeting.own):
        raise Refused("EOrder:Post only order")
    call.engine.check_funds(wanted, instead_of=order)
    call.engine.amend(order, call.now, volume=wanted.volume, price=wanted.price)
    return {"amend_id": new_id("T")}


def _edit_order(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    order = _open(call, {"txid": required(call.params, "txid")})[0]
    if order.pair is not pair:
        raise invalid("pair")
    call.limits.require(call.account, pair.name, cost_of("edit", order, call.now), call.now)
    as_it_was = {
        "type": order.side,
        "ordertype": order.kind,
        "volume": str(order.left),
        "price": str(order.price),
        "oflags": ",".join(order.flags),
        "userref": str(order.userref or 0),
        "timeinforce": order.timeinforce,
        "expiretm": repr(order.expires) if order.expires else "0",
    }
    new = order_from(call, pair, as_it_was | {k: v for k, v in call.params.items() if v != "" and k in _EDITABLE})
    check_deadline(call, call.params)
    check_mode(call, is_post_only="post" in new.flags)
    call.engine.check_funds(new, instead_of=order)
    if is_on(call.params, "validate"):
        return {"status": "ok", "descr": new.descr}
    call.engine.finish(order, "canceled", call.now, "Order replaced")
    call.engine.place(new, call.now)
    return {
        "status": "ok",
        "txid": new.txid,
        "originaltxid": order.txid,
        "volume": f"{new.volume:.8f}",
        "price": pair.price_text(new.price),
        "orders_cancelled": 1,
        "descr": new.descr,
    }


_EDITABLE = ("volume", "price", "oflags", "userref")


def _cancel_order(call: Call) -> dict[str, Any]:
    orders = _open(call, call.params)
    for order in orders:
        cost = cost_of("cancel", order, call.now)
        call.limits.require(call.account, order.pair.name, cost, call.now, even_if_full=False)
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(orders)}


def _cancel_order_batch(call: Call) -> dict[str, Any]:
    lines = call.params.get("orders") or []
    if not isinstance(lines, list):
        raise invalid("orders")
    wanted = [line if isinstance(line, dict) else {"txid": line} for line in lines]
    wanted += [{"cl_ord_id": name} for name in listed(call.params, "cl_ord_ids")]
    if not 1 <= len(wanted) <= _MOST_CANCELLED:
        raise invalid("orders")
    found = list(dict.fromkeys(order for line in wanted for order in _matching(call, line)))
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


def _open(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders with a ``txid`` (or userref) or ``cl_ord_id``; there is at least one."""
    if not params.get("txid") and not params.get("cl_ord_id"):
        raise invalid("txid")
    orders = _matching(call, params)
    if not orders:
        raise Refused(call.engine.rules.unknown_order_error)
    return orders


def _matching(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders with the ``txid``, the userref in its place, or the ``cl_ord_id`` of the parameters."""
    account = call.account
    if cl_ord_id := params.get("cl_ord_id"):
        return account.open_with(cl_ord_id=cl_ord_id)
    txid = params.get("txid")
    if isinstance(txid, str) and txid in account.orders:
        return [account.orders[txid]]
    return account.open_with(userref=txid)


TRADING: dict[str, Callable[[Call], Any]] = {
    "AddOrder": _add_order,
    "AddOrderBatch": _add_order_batch,
    "AmendOrder": _amend_order,
    "CancelAll": _cancel_all,
    "CancelAllOrdersAfter": _cancel_all_orders_after,
    "CancelOrder": _cancel_order,
    "CancelOrderBatch": _cancel_order_batch,
    "EditOrder": _edit_order,
    "GetWebSocketsToken": lambda _: {"token": secrets.token_urlsafe(32), "expires": 900},
}
