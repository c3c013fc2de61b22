"""The methods that place, change and cancel orders."""

from __future__ import annotations

import copy
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, is_on, listed, positive, required, whole
from krakenonce.testing.markets import find_pair
from krakenonce.testing.order import Order, new_id
from krakenonce.testing.placing import (
    check_deadline,
    check_mode,
    check_new,
    check_price,
    check_volume,
    order_from,
)
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.testing.private import Call

__all__ = ["TRADING"]

_BATCH = range(2, 16)
_MOST_CANCELLED = 50
_DAY = 86400


def _add_order(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    call.limits.add(call.account, pair.name, call.now)
    order = order_from(call, pair, call.params)
    check_deadline(call, call.params)
    check_new(call, order)
    descr = {"order": order.text, **({"close": order.close} if order.close else {})}
    if is_on(call.params, "validate"):
        return {"descr": descr}
    _place(call, order)
    return {"descr": descr, "txid": [order.txid]}


def _add_order_batch(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    lines = call.params.get("orders")
    if not isinstance(lines, list) or len(lines) not in _BATCH or not all(isinstance(line, dict) for line in lines):
        raise invalid("orders")
    call.limits.add(call.account, pair.name, call.now, orders=len(lines))
    check_deadline(call, call.params)
    orders = [order_from(call, pair, line) for line in lines]
    is_real = not is_on(call.params, "validate")
    return {"orders": [_batch_line(call, order, is_real=is_real) for order in orders]}


def _batch_line(call: Call, order: Order, *, is_real: bool) -> dict[str, Any]:
    descr = {"order": order.text, **({"close": order.close} if order.close else {})}
    try:
        check_new(call, order)
        if not is_real:
            return {"descr": descr}
        _place(call, order)
    except Refused as refusal:
        return {"error": str(refusal)}
    return {"txid": order.txid, "descr": descr}


def _place(call: Call, order: Order) -> None:
    call.limits.check_open(call.account, order.pair.name)
    call.engine.check_funds(order)
    call.engine.place(order, call.now)


def _amend_order(call: Call) -> dict[str, Any]:
    order = _one_open(call, call.params)
    call.limits.amend(order, call.now)
    check_deadline(call, call.params)
    wanted = copy.copy(order)
    if call.params.get("order_qty"):
        wanted.volume = positive(call.params, "order_qty")
    if call.params.get("limit_price"):
        wanted.price = positive(call.params, "limit_price")
    if is_on(call.params, "post_only"):
        wanted.flags = (*order.flags, "post")
    check_mode(call, is_post_only="post" in wanted.flags)
    check_price(wanted)
    check_volume(wanted)
    if wanted.left <= 0:
        raise invalid("order_qty")
    if "post" in wanted.flags and call.engine.books[order.pair.name].meet(wanted) != ([], False):
        raise Refused("EOrder:Post only order")
    call.engine.check_funds(wanted, instead_of=order)
    order.volume, order.price, order.touched = wanted.volume, wanted.price, call.now
    call.engine.replace(order, call.now)
    return {"amend_id": new_id("T")}


def _edit_order(call: Call) -> dict[str, Any]:
    pair = find_pair(required(call.params, "pair"))
    order = _one_open(call, {"txid": required(call.params, "txid")})
    if order.pair is not pair:
        raise invalid("pair")
    call.limits.edit(order, call.now)
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
    answer = {
        "status": "ok",
        "txid": new.txid,
        "originaltxid": order.txid,
        "volume": f"{new.volume:.8f}",
        "price": pair.price_text(new.price),
        "orders_cancelled": 1,
        "descr": {"order": new.text},
    }
    if is_on(call.params, "validate"):
        return {"status": "ok", "descr": answer["descr"]}
    call.engine.finish(order, "canceled", call.now, "Order replaced")
    call.engine.place(new, call.now)
    return answer


_EDITABLE = ("volume", "price", "oflags", "userref")


def _cancel_order(call: Call) -> dict[str, Any]:
    orders = _open(call, call.params)
    for order in orders:
        call.limits.cancel(order, call.now)
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
    found: list[Order] = []
    for line in wanted:
        found += [order for order in _matching(call, line) if order not in found]
    if not found:
        raise Refused(call.engine.rules.unknown_order_error)
    call.limits.cancel_many(found, call.now)
    for order in found:
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(found)}


def _cancel_all(call: Call) -> dict[str, Any]:
    orders = list(call.account.orders.values())
    call.limits.cancel_all(call.account, {order.pair.name for order in orders}, call.now)
    for order in orders:
        call.engine.finish(order, "canceled", call.now, "User requested")
    return {"count": len(orders)}


def _cancel_all_orders_after(call: Call) -> dict[str, Any]:
    required(call.params, "timeout")
    timeout = whole(call.params, "timeout")
    if not 0 <= timeout < _DAY:
        raise invalid("timeout")
    call.account.cancel_all_at = call.now + timeout if timeout else None
    return {
        "currentTime": _rfc3339(call.now),
        "triggerTime": _rfc3339(call.now + timeout) if timeout else "0",
    }


def _web_sockets_token(call: Call) -> dict[str, Any]:  # noqa: ARG001 - all methods are called alike
    return {"token": secrets.token_urlsafe(32), "expires": 900}


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _one_open(call: Call, params: Mapping[str, Any]) -> Order:
    return _open(call, params)[0]


def _open(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders that ``txid`` (also a userref) or ``cl_ord_id`` names, one at least."""
    if not params.get("txid") and not params.get("cl_ord_id"):
        raise invalid("txid")
    orders = _matching(call, params)
    if not orders:
        raise Refused(call.engine.rules.unknown_order_error)
    return orders


def _matching(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders with this ``txid``, with this userref in place of it, or with this ``cl_ord_id``."""
    orders = call.account.orders
    if cl_ord_id := params.get("cl_ord_id"):
        return [order for order in orders.values() if order.cl_ord_id == cl_ord_id]
    txid = params.get("txid")
    return [order for order in orders.values() if txid in (order.txid, str(order.userref))]


TRADING: dict[str, Callable[[Call], Any]] = {
    "AddOrder": _add_order,
    "AddOrderBatch": _add_order_batch,
    "AmendOrder": _amend_order,
    "CancelAll": _cancel_all,
    "CancelAllOrdersAfter": _cancel_all_orders_after,
    "CancelOrder": _cancel_order,
    "CancelOrderBatch": _cancel_order_batch,
    "EditOrder": _edit_order,
    "GetWebSocketsToken": _web_sockets_token,
}
