"""The trading messages of Kraken's WebSocket API v2, as calls of the REST methods that do the same.

There is no second implementation of trading: names are translated, and the answers are given the form of this API.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.testing.arguments import invalid, rfc3339
from krakenonce.testing.message import Message, pair_of
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[str, Message], Any]  # calls a REST method, by its name, with its parameters

# The fields of a message, and what REST calls them. A field that is not here is translated below.
_ORDER = {
    "side": "type",
    "order_type": "ordertype",
    "order_qty": "volume",
    "time_in_force": "timeinforce",
    "order_userref": "userref",
    "cl_ord_id": "cl_ord_id",
    "display_qty": "displayvol",
    "reduce_only": "reduce_only",
}
_TIMES = {"effective_time": "starttm", "expire_time": "expiretm"}
_ALSO = (
    *_TIMES,
    "stp_type",
    "limit_price",
    "limit_price_type",
    "triggers",
    "margin",
    "post_only",
    "fee_preference",
    "no_mpp",
)
_ALSO += ("cash_order_qty", "conditional", "sender_sub_id")
_AMEND = {
    "order_id": "txid",
    "cl_ord_id": "cl_ord_id",
    "order_qty": "order_qty",
    "display_qty": "display_qty",
    "limit_price": "limit_price",
    "trigger_price": "trigger_price",
    "post_only": "post_only",
    "deadline": "deadline",
}
_NUMBERS = ("order_qty", "limit_price", "cash_order_qty", "display_qty", "trigger_price")
_FLAGS = {"post_only": "post", "no_mpp": "nompp"}
_FEES = {"base": "fcib", "quote": "fciq"}
_SWITCHES = ("post_only", "no_mpp", "margin", "reduce_only", "validate")
_TRIGGERS = {"reference", "price", "price_type"}
_CONDITIONAL = {"order_type", "limit_price", "limit_price_type", "trigger_price", "trigger_price_type"}
_SENDER = ("token", "req_id", "sender_sub_id")


class Answer(NamedTuple):
    """What one answer has besides the method and the times: ``result`` and the like, or an ``error``."""

    success: bool
    rest: Message


def answers(method: str, params: Message, run: Run) -> Iterator[Answer]:
    """Carry out a trading message, and return its answers: one, but for ``cancel_order`` one for each order.

    Args:
        method: A name in ``METHODS``.
        params: Its parameters.
        run: Calls a REST method; it raises what the REST method raises.
    """
    try:
        yield from METHODS[method](params, run)
    except Refused as refusal:
        yield Answer(False, {"error": str(refusal)})


def _add_order(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, (*_ORDER, *_ALSO, "symbol", "deadline", "validate"), "add order")
    placed = run("AddOrder", {**_order(params), **_common(params)})
    yield Answer(True, {"result": {"order_id": placed.get("txid", [""])[0], **_names(params)}})


def _batch_add(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, ("orders", "symbol", "deadline", "validate"), "batch add")
    orders = params.get("orders")
    if not isinstance(orders, list) or not all(isinstance(order, dict) for order in orders):
        raise invalid("orders")
    for order in orders:
        _check_fields(order, (*_ORDER, *_ALSO), "batch add")
    placed = run("AddOrderBatch", {"orders": [_order(order) for order in orders], **_common(params)})["orders"]
    rows = [
        {"error": row["error"]} if "error" in row else {"order_id": row.get("txid", ""), **_names(order)}
        for order, row in zip(orders, placed, strict=True)
    ]
    yield Answer(not any("error" in row for row in rows), {"result": rows})


def _amend_order(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, (*_AMEND, "limit_price_type", "trigger_price_type", "symbol"), "amend order")
    wanted = {rest: _text(params[name]) for name, rest in _AMEND.items() if name in params}
    for name in ("limit_price", "trigger_price"):
        if name in params:
            wanted[name] = _price(params[name], params.get(f"{name}_type"), name)
    amended = run("AmendOrder", wanted)
    named = {name: params[name] for name in ("order_id", "cl_ord_id") if name in params}
    yield Answer(True, {"result": {"amend_id": amended["amend_id"], **named}})


def _cancel_order(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, tuple(_CANCEL), "cancel order")
    given = [name for name in _CANCEL if params.get(name)]
    if len(given) != 1 or not isinstance(params[given[0]], list):
        raise invalid(given[-1] if given else "order_id")
    for value in params[given[0]]:
        try:
            run("CancelOrder", {_CANCEL[given[0]]: _text(value)})
        except Refused as refusal:
            yield Answer(False, {"error": str(refusal)})
        else:
            yield Answer(True, {"result": {given[0]: value}})


_CANCEL = {"order_id": "txid", "cl_ord_id": "cl_ord_id", "order_userref": "txid"}


def _batch_cancel(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, ("orders", "cl_ord_id"), "batch cancel")
    wanted = {"orders": _text(params.get("orders", [])), "cl_ord_ids": _text(params.get("cl_ord_id", []))}
    if not all(isinstance(each, list) for each in wanted.values()) or sum(map(len, wanted.values())) < _LEAST_BATCH:
        raise invalid("orders")
    given = {name: each for name, each in wanted.items() if each}
    yield Answer(True, {"orders_cancelled": run("CancelOrderBatch", given)["count"]})


_LEAST_BATCH = 2


def _cancel_all(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, (), "cancel all")
    yield Answer(True, {"result": {"count": run("CancelAll", {})["count"]}})


def _cancel_all_orders_after(params: Message, run: Run) -> Iterator[Answer]:
    _check_fields(params, ("timeout",), "cancel all orders after")
    yield Answer(True, {"result": run("CancelAllOrdersAfter", {"timeout": _text(params.get("timeout", ""))})})


METHODS: dict[str, Callable[[Message, Run], Iterator[Answer]]] = {
    "add_order": _add_order,
    "amend_order": _amend_order,
    "batch_add": _batch_add,
    "batch_cancel": _batch_cancel,
    "cancel_all": _cancel_all,
    "cancel_all_orders_after": _cancel_all_orders_after,
    "cancel_order": _cancel_order,
}


def _check_fields(params: Message, known: tuple[str, ...], message: str) -> None:
    """Refuse a field that the message does not have, and a text in place of a number, in Kraken's words."""
    for name, value in params.items():
        if name not in known and name not in _SENDER:
            raise Refused(f"Unsupported field: '{name}' for the given msg type: {message}")
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | Decimal)):
            raise Refused(f"{name.capitalize()} field must be a number_float")
        if name in _SWITCHES and not isinstance(value, bool):
            raise invalid(name)


def _common(params: Message) -> Message:
    found: Message = {name: _text(params[name]) for name in ("deadline", "validate") if name in params}
    return {"pair": pair_of(params.get("symbol")).name, **found}


def _order(params: Message) -> Message:
    """Return the parameters of AddOrder, but for those of ``_common``."""
    order = {rest: _text(params[name]) for name, rest in _ORDER.items() if name in params}
    if "timeinforce" in order:
        order["timeinforce"] = str(order["timeinforce"]).upper()
    order |= {rest: f"{at:.6f}" for name, rest in _TIMES.items() if (at := rfc3339(params, name)) is not None}
    if "stp_type" in params:
        order["stptype"] = str(params["stp_type"]).replace("_", "-")
    flags = [flag for name, flag in _FLAGS.items() if params.get(name) is True]
    if "fee_preference" in params:
        if params["fee_preference"] not in list(_FEES):
            raise invalid("fee_preference")
        flags.append(_FEES[params["fee_preference"]])
    if "cash_order_qty" in params:
        order["volume"] = _text(params["cash_order_qty"])
        flags.append("viqc")
    if flags:
        order["oflags"] = ",".join(flags)
    if params.get("margin") is True:
        order["leverage"] = "2"  # how much is not said here; the fake has none, and refuses it
    return {**order, **_prices(params), **_close(params.get("conditional"))}


def _prices(params: Message) -> Message:
    """Return ``price``, ``price2`` and ``trigger``: an order with a trigger has its limit second."""
    limit = (
        _price(params["limit_price"], params.get("limit_price_type"), "limit_price") if "limit_price" in params else ""
    )
    triggers = params.get("triggers")
    if triggers is None:
        return {"price": limit} if limit else {}
    if not isinstance(triggers, dict) or "price" not in triggers or not triggers.keys() <= _TRIGGERS:
        raise invalid("triggers")
    found = {"price": _price(triggers["price"], triggers.get("price_type"), "triggers"), "price2": limit}
    return {name: value for name, value in found.items() if value} | (
        {"trigger": triggers["reference"]} if "reference" in triggers else {}
    )


def _price(value: Any, kind: object, name: str) -> str:
    """Return a price as REST has it: a relative one has a sign, and a part of the price a percent sign."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or kind not in (None, "static", "quote", "pct"):
        raise invalid(name)
    text = str(_text(value))
    if kind in (None, "static"):
        return text
    return f"{'' if value < 0 else '+'}{text}{'%' if kind == 'pct' else ''}"


def _close(conditional: object) -> Message:
    if conditional is None:
        return {}
    if not isinstance(conditional, dict) or not conditional.keys() <= _CONDITIONAL:
        raise invalid("conditional")
    prices = [name for name in ("trigger_price", "limit_price") if name in conditional]
    close = {"ordertype": _text(conditional["order_type"])} if "order_type" in conditional else {}
    for rest, name in zip(("price", "price2"), prices, strict=False):
        close[rest] = _price(conditional[name], conditional.get(f"{name}_type"), "conditional")
    return {"close": close}


def _names(params: Message) -> Message:
    return {name: params[name] for name in ("order_userref", "cl_ord_id") if name in params}


def _text(value: Any) -> Any:
    """Return a value as a request of REST has it: numbers and switches are texts."""
    match value:
        case list():
            return [_text(each) for each in value]
        case bool():
            return str(value).lower()
        case int() | Decimal():
            return format(value, "f") if isinstance(value, Decimal) and abs(value.adjusted()) < 40 else str(value)
    return "" if value is None else value
