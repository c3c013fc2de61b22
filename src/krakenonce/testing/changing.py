"""The methods that change an order, and how a call names the orders that it means.

What may be changed: Kraken's REST specification (krakenfx/api-specs 729f278, AmendOrder and EditOrder) and the pages on
both. The errors of EditOrder are from lists that others keep of Kraken's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import invalid, is_on, listed, positive, required
from krakenonce.testing.ids import new_id
from krakenonce.testing.limits import cost_of
from krakenonce.testing.markets import find_pair
from krakenonce.testing.orders import TRIGGERED, Order
from krakenonce.testing.placing import check_deadline, check_display, check_mode, check_size, order_from
from krakenonce.testing.prices import price_in
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.private import Call


_EDITABLE = ("volume", "price", "price2", "displayvol", "userref")


def amend_order(call: Call) -> dict[str, Any]:
    """Change an order in place."""
    order = open_orders(call, call.params)[0]
    call.limits.require(call.account, order.pair.name, cost_of("amend", order, call.now), call.now)
    check_deadline(call, call.params)
    changes = _changes(call, order)
    if not changes:
        raise Refused("EOrder:No amendable parameters specified")
    flags = (*order.flags, "post") if is_on(call.params, "post_only") else order.flags
    check_mode(call, is_post_only="post" in flags)
    if changes.get("volume", order.volume) <= order.filled:
        call.engine.finish(order, "canceled", call.now, "User requested")
        return {"amend_id": new_id("T")}
    wanted = replace(order, flags=flags, **changes)
    check_size(wanted)
    if wanted.display:
        wanted.display = changes["display"] = min(wanted.display, wanted.left)
        check_display(wanted)
    if "post" in flags and not order.waits:
        meeting = call.engine.books[order.pair.name].meet(wanted)
        if meeting.fills or meeting.own:
            raise Refused("EOrder:Post only order")
    call.engine.check_funds(wanted, instead_of=order)
    call.engine.amend(order, call.now, **changes)
    return {"amend_id": new_id("T")}


def _changes(call: Call, order: Order) -> dict[str, Any]:
    """Return the fields of an order that AmendOrder changes, with their new values."""
    params, market = call.params, call.engine.books[order.pair.name].price(order.trigger)
    may_be = {
        "limit_price": order.is_limited,
        "trigger_price": order.waits,
        "display_qty": order.kind == "iceberg",
    }
    for name, is_amendable in may_be.items():
        if params.get(name) and not is_amendable:
            raise invalid(name)
    found: dict[str, Any] = {}
    if params.get("order_qty"):
        found["volume"] = positive(params, "order_qty")
    if params.get("display_qty"):
        found["display"] = positive(params, "display_qty")
    for name, field, offset in (("limit_price", "price", "limit_offset"), ("trigger_price", "stop", "trail")):
        if params.get(name) and order.waits and order.trail is not None:
            found[offset] = price_in(params, name, "+" if field == "stop" else "+-", may_be_absolute=False)
        elif params.get(name):
            found[field] = price_in(params, name, "+-").on(market, order.pair, is_up=False)
    return {name: value for name, value in found.items() if value != getattr(order, name)}


def edit_order(call: Call) -> dict[str, Any]:
    """Cancel an order and place another one like it."""
    pair = find_pair(required(call.params, "pair"))
    orders = open_orders(call, {"txid": required(call.params, "txid")})
    order = orders[0]
    if order.pair is not pair:
        raise invalid("pair")
    call.limits.require(call.account, pair.name, cost_of("edit", order, call.now), call.now)
    is_named = order.cl_ord_id is not None and not call.engine.rules.edits_named_orders
    if len(orders) > 1 or order.is_triggered or order.close or is_named:
        raise Refused("EOrder:Order not editable")
    if order.filled > positive(call.params, "volume", order.volume):
        raise Refused("EOrder:Not enough leaves qty")
    new = order_from(call, pair, _edited(call, order))
    check_deadline(call, call.params)
    check_mode(call, is_post_only="post" in new.flags)
    call.engine.check_funds(new, instead_of=order)
    if is_on(call.params, "validate"):
        return {"status": "ok", "descr": new.descr}
    call.engine.finish(order, "canceled", call.now, "Order replaced")
    call.engine.place(new, call.now)
    price, price2 = new.prices
    return {
        "status": "ok",
        "txid": new.txid,
        "originaltxid": order.txid,
        "volume": f"{new.volume:.8f}",
        "price": price,
        **({"price2": price2} if new.kind in TRIGGERED else {}),
        "orders_cancelled": 1,
        "descr": new.descr,
    }


def _edited(call: Call, order: Order) -> dict[str, Any]:
    """Return the parameters of the new order: the old one's, but for its userref and its post, and the changes."""
    wanted = listed(call.params, "oflags")
    kept = [flag for flag in order.flags if flag != "post"]
    if not set(wanted) <= {"post", *kept}:
        raise invalid("oflags")
    price, price2 = order.stop or order.price, order.price
    as_it_was = {
        "type": order.side,
        "ordertype": order.kind,
        "volume": str(order.left),
        "displayvol": str(min(order.display, order.left)) if order.display else "",
        "price": order.trail.raw if order.trail else str(price),
        "price2": order.limit_offset.raw if order.limit_offset else str(price2) if price2 else "",
        "oflags": ",".join(kept + ["post"] * ("post" in wanted)),
        "trigger": order.trigger,
        "stptype": order.stptype,
        "timeinforce": order.timeinforce,
        "starttm": repr(order.starts) if order.starts > call.now else "0",
        "expiretm": repr(order.expires) if order.expires else "0",
    }
    return as_it_was | {name: call.params[name] for name in _EDITABLE if call.params.get(name, "") != ""}


def open_orders(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders with a ``txid`` (or userref) or ``cl_ord_id``; there is at least one."""
    if "txid" not in params and not params.get("cl_ord_id"):
        raise invalid("txid")
    orders = matching(call, params)
    if not orders:
        raise Refused(call.engine.rules.unknown_order_error)
    return orders


def matching(call: Call, params: Mapping[str, Any]) -> list[Order]:
    """Return the open orders of a ``txid``, of a userref in its place, of a ``cl_ord_id``, or of both names."""
    account, txid = call.account, params.get("txid")
    if cl_ord_id := params.get("cl_ord_id"):
        return [order for order in account.open_with(cl_ord_id=cl_ord_id) if not txid or txid == order.txid]
    if isinstance(txid, str) and txid in account.orders:
        return [account.orders[txid]]
    return account.open_with(userref=txid)
