"""Make an order from the parameters of AddOrder, AddOrderBatch and EditOrder, with Kraken's checks."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import (
    cl_ord_id,
    invalid,
    listed,
    moment,
    optional,
    positive,
    required,
    rfc3339,
    whole,
)
from krakenonce.testing.orders import KINDS, LIMITED, OPPOSITE, TRAILING, TRIGGERED, Close, Order
from krakenonce.testing.prices import Price, price_in
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.markets import Pair
    from krakenonce.testing.private import Call


_FLAGS = ("post", "fcib", "fciq", "nompp", "viqc")
_LOT = Decimal("0.00000001")
_CLOSES = KINDS - {"market", "iceberg"}


def order_from(call: Call, pair: Pair, params: Mapping[str, Any]) -> Order:
    """Return the order that the parameters describe; it is not placed.

    Args:
        call: The call.
        pair: The pair.
        params: The parameters of AddOrder, or of one order of AddOrderBatch.

    Raises:
        Refused: A parameter is wrong; the error names the first one.
    """
    side, kind = required(params, "type", "buy|sell"), required(params, "ordertype", "market|limit")
    optional(params, "leverage", "none|0|1")  # the fake has neither margin nor a start time, and must not ignore them
    optional(params, "starttm", "0")
    flags, timeinforce = _flags(params, kind), optional(params, "timeinforce", "GTC|IOC|FOK|GTD") or "GTC"
    order = Order(
        owner=call.account,
        pair=pair,
        side="buy" if side == "buy" else "sell",
        kind=kind,
        volume=positive(params, "volume"),
        price=positive(params, "price") if kind == "limit" else Decimal(0),
        opened=call.now,
        touched=call.now,
        timeinforce=timeinforce,
        expires=_expires(params, timeinforce, call.now),
        flags=flags,
        userref=whole(params, "userref") or None,
        cl_ord_id=cl_ord_id(params),
        close=_close(params),
        visible_from=call.now + call.hidden_for,
    )
    if order.cl_ord_id is not None and (order.userref is not None or order.close):
        raise invalid("cl_ord_id")
    if "viqc" in flags:
        order.volume = _volume_for(call, order)
    check_size(order)
    return order


def check_size(order: Order) -> None:
    """Refuse a price or a volume with too many digits, and an order that is too small."""
    if order.kind == "limit" and order.price % order.pair.tick:
        pair = order.pair
        raise Refused(
            f"EOrder:Invalid price:{pair.altname} price can only be specified up to {pair.price_decimals} decimals."
        )
    if order.volume % _LOT:
        raise invalid("volume")
    if order.volume < order.pair.minimum:
        raise Refused("EOrder:Order minimum not met")
    if order.kind == "limit" and order.volume * order.price < order.pair.cost_minimum:
        raise Refused("EOrder:Cost minimum not met")


def check_deadline(call: Call, params: Mapping[str, Any]) -> None:
    """Refuse an order whose ``deadline`` has passed, or was too near or too far ahead when it came in."""
    deadline = rfc3339(params, "deadline")
    if deadline is None:
        return
    if call.now > deadline:
        raise Refused("EService:Deadline elapsed")
    if not call.engine.rules.min_deadline <= deadline - call.received <= call.engine.rules.max_deadline:
        raise invalid("deadline")


def check_mode(call: Call, *, is_post_only: bool) -> None:
    """Refuse an order in the mode ``cancel_only``, and in ``post_only`` if it does not have the flag ``post``."""
    status = call.engine.rules.status
    if status == "cancel_only" or (status == "post_only" and not is_post_only):
        raise Refused(f"EService:Market in {status} mode")


def check_new(call: Call, order: Order) -> None:
    """Refuse a new order because of the mode, or because an open order has its ``cl_ord_id``."""
    check_mode(call, is_post_only="post" in order.flags)
    if order.cl_ord_id is not None and order.cl_ord_id in call.account.by_cl_ord_id:
        raise Refused(call.engine.rules.duplicate_cl_ord_id_error)


def _flags(params: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    flags = tuple(listed(params, "oflags"))
    wrong_for_kind = "post" if kind == "market" else "viqc"
    if wrong_for_kind in flags or not set(flags) <= set(_FLAGS):
        raise invalid("oflags")
    return flags


def _expires(params: Mapping[str, Any], timeinforce: str, now: float) -> float:
    expires = moment(params, "expiretm", now)
    if (timeinforce == "GTD" and not expires) or 0 < expires <= now:
        raise invalid("expiretm")
    return expires


def _close(params: Mapping[str, Any]) -> Close | None:
    close = params.get("close")
    if close is None:
        return None
    kind = close.get("ordertype") if isinstance(close, dict) else None
    if kind not in _CLOSES:
        raise invalid("close[ordertype]")
    try:
        return Close(kind, *_prices(close, kind))
    except Refused as refusal:
        name = str(refusal).rpartition(":")[2]
        raise invalid(f"close[{name}]") from None


def _prices(params: Mapping[str, Any], kind: str) -> tuple[Price, Price | None]:
    """Return ``price`` and ``price2`` of an order of a kind that has at least the first."""
    if kind in TRAILING:
        price = price_in(params, "price", "+", may_be_absolute=False)
        return price, price_in(params, "price2", "+-", may_be_absolute=False) if kind in LIMITED else None
    return price_in(params, "price"), price_in(params, "price2") if kind in TRIGGERED & LIMITED else None


def _volume_for(call: Call, order: Order) -> Decimal:
    """Return the volume that an amount of the quote currency buys at the best price."""
    best = call.engine.books[order.pair.name].best(OPPOSITE[order.side])
    return (order.volume / best).quantize(_LOT, ROUND_DOWN)
