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
        order = _named(call)
        was = [_entry(order, "original", new_id("T"), order.opened)] if order else []
        answer = amend(call)
        if order is not None:
            changed = _entry(order, "user", answer["amend_id"], call.now)
            call.account.holdings.amends.setdefault(order.txid, was).append(changed)
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


def _named(call: Call) -> Order | None:
    """Return the order of the call, if it is open."""
    account, params = call.account, call.params
    if "cl_ord_id" in params:
        return account.by_cl_ord_id.get(params["cl_ord_id"])
    return account.orders.get(params.get("txid", ""))


def _entry(order: Order, kind: str, amend_id: str, at: float) -> dict[str, Any]:
    prices = {"limit_price": order.price, "trigger_price": order.stop}
    shown = {name: order.pair.price_text(price) for name, price in prices.items() if price}
    if order.display:
        shown["display_qty"] = f"{order.display:.8f}"
    return {
        "amend_id": amend_id,
        "amend_type": kind,
        "order_qty": f"{order.volume:.8f}",
        "remaining_qty": f"{order.left:.8f}",
        **shown,
        "timestamp": int(at * 1e9),
    }
