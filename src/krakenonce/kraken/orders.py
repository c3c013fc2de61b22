"""Placing, amending and cancelling orders. Both clients run these procedures."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from krakenonce.errors import ConfigError, KrakenAPIError
from krakenonce.key.answers import Reading, error_from
from krakenonce.kraken.sent import Reconciled, SentOrder, prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from krakenonce.kraken.calling import Calls
    from krakenonce.kraken.request import Steps


Amount: TypeAlias = Decimal | str | int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a cancel.

    Args:
        count: How many orders were cancelled.
        pending: True: Kraken has taken the cancel and has not finished it; until then the orders may still be filled.
    """

    count: int
    pending: bool


class Placed(NamedTuple):
    """An order that was placed, or only checked (``validate``).

    Args:
        txid: Kraken's id; None if the order was only checked.
        cl_ord_id: The id that the order was sent with; None if it had none.
        description: Kraken's description, such as ``buy 1.25 XBTUSD @ limit 37500``.
    """

    txid: str | None
    cl_ord_id: str | None
    description: str


def add_order(
    calls: Calls, /, pair: str, side: str, volume: Amount, price: Amount | None = None, **more: Any
) -> Steps[Placed]:
    """Place one order (AddOrder): a limit order with a price, a market order without.

    It gets a ``cl_ord_id``, and a ``deadline`` in ten seconds, unless *more* has them. Pass None to leave one out.

    Args:
        calls: The key's calls; a client's method has them.
        pair: Such as ``XBTUSD``.
        side: ``buy`` or ``sell``.
        volume: In units of the base asset. A Decimal, text or integer; a float is refused as not exact.
        price: In units of the quote asset.
        more: Any other parameter of Kraken's, such as ``ordertype``, ``timeinforce`` or ``validate=True``.

    Raises:
        OrderRefused: Kraken refused the order. The subclass says why.
        OutcomeUnknown: The order may have been placed: ``reconcile()`` asks Kraken.
    """
    order = {"pair": pair, **_order(side, volume, price), **more}
    call = prepared("AddOrder", order)
    answer = yield from calls.make(call)
    with Reading("AddOrder", SentOrder.of(call)):
        txids = answer.get("txid") or (None,)
        txid = txids if isinstance(txids, str) else txids[0]
        return Placed(txid, call.params.get("cl_ord_id"), answer["descr"]["order"])


def add_orders(
    calls: Calls, /, pair: str, orders: Sequence[Mapping[str, Any]], **more: Any
) -> Steps[list[Placed | KrakenAPIError]]:
    """Place 2 to 15 orders of one pair in one call (AddOrderBatch).

    Args:
        calls: The key's calls; a client's method has them.
        pair: Such as ``XBTUSD``.
        orders: Kraken's parameters of each order, such as
            ``{"type": "buy", "ordertype": "limit", "price": "1", "volume": "2"}``.
        more: Parameters of the whole batch, such as ``deadline`` or ``validate=True``.

    Returns:
        One item for each order, in the same sequence: the placed order, or the error with which Kraken refused it. An
        error of one order does not affect the others.

    Raises:
        OutcomeUnknown: The orders may have been placed: ``reconcile()`` asks Kraken.
    """
    call = prepared("AddOrderBatch", {"pair": pair, "orders": list(orders), **more})
    for order in call.params["orders"]:
        _exact(order)
    answer = yield from calls.make(call)
    with Reading("AddOrderBatch", SentOrder.of(call)):
        return [
            error_from([line["error"]])
            if line.get("error")
            else Placed(line.get("txid"), order.get("cl_ord_id"), line["descr"]["order"])
            for order, line in zip(call.params["orders"], answer["orders"], strict=True)
        ]


def amend_order(
    calls: Calls, /, txid: str | None = None, *, cl_ord_id: str | None = None, **changes: Any
) -> Steps[str]:
    """Change an open order in place (AmendOrder); return Kraken's id of the change.

    Args:
        calls: The key's calls; a client's method has them.
        txid: The order, by Kraken's id,
        cl_ord_id: or by the id that it was sent with.
        changes: Such as ``order_qty`` or ``limit_price``. A Decimal or text; a float is refused as not exact.
    """
    _exact(changes)
    params = {**_one_of(txid, cl_ord_id), **changes}
    return calls.read("AmendOrder", params, lambda result: str(result["amend_id"]))


def cancel_order(calls: Calls, /, txid: str | None = None, *, cl_ord_id: str | None = None) -> Steps[Cancelled]:
    """Cancel an open order (CancelOrder).

    After a lost answer, only a cancel by txid is repeated: by then, a userref or a cl_ord_id may name a younger order.

    Args:
        calls: The key's calls; a client's method has them.
        txid: The order, by Kraken's id (a ``userref`` as text cancels its whole group),
        cl_ord_id: or by the id that it was sent with.

    Raises:
        UnknownOrder: It is not open. If ``may_have_executed`` is ``"unknown"``, an earlier try may have cancelled it.
    """
    return calls.read("CancelOrder", _one_of(txid, cl_ord_id), _cancelled)


def cancel_orders(calls: Calls, /, txids: Iterable[str] = (), *, cl_ord_ids: Iterable[str] = ()) -> Steps[Cancelled]:
    """Cancel up to 50 open orders in one call (CancelOrderBatch)."""
    for ids in (txids, cl_ord_ids):
        if isinstance(ids, str):  # each of its letters would be an id; a digit is a userref
            raise ConfigError(f"Not sent: give the ids of the orders as a list, such as [{ids!r}].")
    lists = {"orders": list(txids), "cl_ord_ids": list(cl_ord_ids)}
    return calls.read("CancelOrderBatch", {name: ids for name, ids in lists.items() if ids}, _cancelled)


def cancel_all(calls: Calls, /) -> Steps[Cancelled]:
    """Cancel all open orders (CancelAll). Not repeated: it could cancel later ones."""
    return calls.read("CancelAll", {}, _cancelled)


def cancel_all_after(calls: Calls, /, seconds: int) -> Steps[dict[str, Any]]:
    """Set Kraken's dead man's switch (CancelAllOrdersAfter); 0 switches it off.

    Kraken cancels all orders unless this is called again within *seconds*. Kraken recommends 60 seconds, and a call
    every 15 to 30. A call without an answer is not repeated, because the repetition could undo a later setting.
    """
    return calls.read("CancelAllOrdersAfter", {"timeout": seconds}, dict)


def reconcile(calls: Calls, /, order: SentOrder) -> Steps[Reconciled]:
    """Ask Kraken what became of an order that may have been placed: ``error.order`` of an error.

    Asks until the order is found, or its deadline has passed on Kraken's clock.

    Raises:
        OutcomeUnknown: Kraken could not be asked; the order may have been placed.
    """
    return calls.reconcile(order)


def _cancelled(result: dict[str, Any]) -> Cancelled:
    return Cancelled(int(result["count"]), result.get("pending") is True)


def _order(side: str, volume: Amount, price: Amount | None) -> dict[str, Any]:
    order = {"type": side, "ordertype": "market" if price is None else "limit", "volume": volume, "price": price}
    _exact(order)
    return {name: value for name, value in order.items() if value is not None}


def _exact(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, float):
            raise ConfigError(f"{name} must be a Decimal or text, not a float, which is not exact.")


def _one_of(txid: str | None, cl_ord_id: str | None) -> dict[str, Any]:
    if (txid is None) == (cl_ord_id is None):
        raise ConfigError("Give the order's txid or its cl_ord_id, and not both.")
    return {"txid": txid} if cl_ord_id is None else {"cl_ord_id": cl_ord_id}
