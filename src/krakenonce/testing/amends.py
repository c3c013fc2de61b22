"""The history of amended orders, for OrderAmends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.testing.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.orders import Order
    from krakenonce.testing.private import Call

    Method = Callable[[Call], Any]


def noting_amends(amend: Method) -> Method:
    """Return AmendOrder so that it notes what an order was and what it became."""

    def amend_and_note(call: Call) -> Any:
        before = {order.txid: _entry(order, "original", new_id("T"), order.opened) for order in _named(call)}
        there = {order.txid: order for order in _named(call)}
        answer = amend(call)
        history = call.account.holdings.amends
        for txid, original in before.items():
            changed = _entry(there[txid], "user", answer["amend_id"], call.now)
            history.setdefault(txid, [original]).append(changed)
        return answer

    return amend_and_note


def order_amends(call: Call) -> dict[str, Any]:
    """Return the history of one order, the original first; no order, or one of another account, has none."""
    txid = call.params["order_id"]
    amends = call.account.holdings.amends.get(txid)
    if amends is None:
        there = call.account.orders.get(txid) or call.account.done.get(txid)
        if there is None:
            return {"count": 0, "amends": []}
        amends = [_entry(there, "original", new_id("T"), there.opened)]
    return {"count": len(amends), "amends": amends}


def _named(call: Call) -> list[Order]:
    params = call.params
    return [
        order
        for order in call.account.orders.values()
        if order.txid == params.get("txid") or order.cl_ord_id == params.get("cl_ord_id", "")
    ]


def _entry(order: Order, kind: str, amend_id: str, at: float) -> dict[str, Any]:
    limit = {"limit_price": order.pair.price_text(order.price)} if order.price else {}
    return {
        "amend_id": amend_id,
        "amend_type": kind,
        "order_qty": f"{order.volume:.8f}",
        "remaining_qty": f"{order.left:.8f}",
        **limit,
        "timestamp": int(at * 1e9),
    }
