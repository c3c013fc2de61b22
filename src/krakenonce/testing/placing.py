"""Make an order from the parameters of AddOrder, AddOrderBatch and EditOrder, with Kraken's checks."""

from __future__ import annotations

import sys
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.arguments import (
    cl_ord_id,
    invalid,
    is_on,
    listed,
    moment,
    optional,
    positive,
    rfc3339,
    whole,
)
from krakenonce.testing.orders import KINDS, LIMITED, OPPOSITE, TRAILING, TRIGGERED, Close, Order
from krakenonce.testing.prices import Price, price_in
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from krakenonce.testing.markets import Pair
    from krakenonce.testing.private import Call


_FLAGS = ("post", "fcib", "fciq", "nompp", "viqc")
LOT = Decimal("0.00000001")
_SIDES = ("buy", "sell")
_KINDS = (*KINDS, "settle-position")
_TIMES = ("GTC", "IOC", "FOK", "GTD")
_SIGNALS = ("last", "index")
_PREVENTIONS = ("cancel-newest", "cancel-oldest", "cancel-both")
_CLOSES = KINDS - {"market", "iceberg"}
_LEAST_SHOWN = 15  # an iceberg order shows at least one part in so many
_LEAST_TO_EXPIRE = 5  # seconds, if the end is given from now on
_MONTH = 31 * 86400


def order_from(call: Call, pair: Pair, params: Mapping[str, Any]) -> Order:
    """Return the order that the parameters describe; it is not placed.

    Args:
        call: The call.
        pair: The pair.
        params: The parameters of AddOrder, or of one order of AddOrderBatch.

    Raises:
        Refused: A parameter is wrong; the error names the first one.
    """
    side, kind = _one_of(params, "type", _SIDES), _one_of(params, "ordertype", _KINDS)
    _refuse_margin(params, kind)
    timeinforce = _one_of(params, "timeinforce", _TIMES, "GTC")
    if timeinforce == "FOK" and kind not in LIMITED:
        raise invalid("timeinforce")
    order = Order(
        owner=call.account,
        pair=pair,
        side="buy" if side == "buy" else "sell",
        kind=sys.intern(kind),  # one text for all orders
        volume=positive(params, "volume"),
        opened=call.now,
        touched=call.now,
        timeinforce=timeinforce,
        starts=_starts(params, call.now),
        expires=_expires(params, timeinforce, call.now),
        flags=_flags(params, kind, side),
        userref=whole(params, "userref") or None,
        cl_ord_id=cl_ord_id(params),
        close=_close(params, pair),
        trigger=_one_of(params, "trigger", _SIGNALS, "last"),
        stptype=_one_of(params, "stptype", _PREVENTIONS, "cancel-newest"),
        visible_from=call.now + call.hidden_for,
    )
    if order.cl_ord_id is not None and (order.userref is not None or order.close):
        raise invalid("cl_ord_id")
    if order.expires and order.starts >= order.expires:
        raise invalid("expiretm")
    _set_amounts(call, order, params)
    check_size(order)
    return order


def _one_of(params: Mapping[str, Any], name: str, words: Collection[str], default: str = "") -> str:
    """Return one of the words; if it is missing, the default, unless that is empty."""
    word = params.get(name) or default
    if not isinstance(word, str) or word not in words:
        raise invalid(name)
    return word


def _refuse_margin(params: Mapping[str, Any], kind: str) -> None:
    """Refuse what needs margin, which the fake does not have."""
    if kind == "settle-position":
        raise Refused("EGeneral:Not simulated:settle-position")
    if optional(params, "leverage", r"none|[0-9]{1,3}(:1)?") not in ("", "none", "0", "1"):
        raise Refused("EGeneral:Not simulated:leverage")
    if is_on(params, "reduce_only"):
        raise Refused("EGeneral:Not simulated:reduce_only")


def _set_amounts(call: Call, order: Order, params: Mapping[str, Any]) -> None:
    """Set the prices, and the volume where it depends on them."""
    book = call.engine.books[order.pair.name]
    if order.kind != "market":
        price, price2 = _prices(params, order.kind)
        order.set_prices(price, price2, book.price(order.trigger) if order.kind in TRAILING else book.last)
    if "viqc" in order.flags:
        order.volume = (order.volume / book.best(OPPOSITE[order.side])).quantize(LOT, ROUND_DOWN)
    if order.kind == "iceberg":
        order.display = positive(params, "displayvol")
        check_display(order)
    elif params.get("displayvol"):
        raise invalid("iceberg:ordertype")


def check_display(order: Order) -> None:
    """Refuse an iceberg order that shows too little of what is left of it, or more than that."""
    if order.left > order.display * _LEAST_SHOWN:
        raise invalid("display volume minimum not met")
    if order.display > order.left:
        raise invalid("display-volume")


def check_size(order: Order) -> None:
    """Refuse a price or a volume with too many digits, and an order that is too small."""
    for price, is_needed in ((order.price, order.is_limited and order.trail is None), (order.stop, order.waits)):
        if is_needed:
            _check_price(order.pair, price)
    if order.volume % LOT:
        raise invalid("volume")
    if order.volume < order.pair.minimum:
        raise Refused("EOrder:Order minimum not met")
    if order.kind != "market" and order.volume * (order.price or order.stop) < order.pair.cost_minimum:
        raise Refused("EOrder:Cost minimum not met")


def _check_price(pair: Pair, price: Decimal) -> None:
    if price <= 0:
        raise Refused("EOrder:Invalid price")
    if price % pair.tick:
        raise Refused(
            f"EOrder:Invalid price:{pair.altname} price can only be specified up to {pair.price_decimals} decimals."
        )


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


def _flags(params: Mapping[str, Any], kind: str, side: str) -> tuple[str, ...]:
    if not params.get("oflags"):
        return ()
    flags = tuple(listed(params, "oflags"))
    wrong = [
        "post" in flags and kind not in ("limit", "iceberg"),
        "viqc" in flags and (kind, side) != ("market", "buy"),
        "fcib" in flags and "fciq" in flags,
        not set(flags) <= set(_FLAGS),
    ]
    if any(wrong):
        raise invalid("oflags")
    return flags


def _starts(params: Mapping[str, Any], now: float) -> float:
    if not params.get("starttm"):
        return 0.0
    starts = moment(params, "starttm", now)
    if 0 < starts < now:
        raise invalid("starttm")
    return starts if starts > now else 0.0


def _expires(params: Mapping[str, Any], timeinforce: str, now: float) -> float:
    if not params.get("expiretm") and timeinforce != "GTD":
        return 0.0
    expires = moment(params, "expiretm", now)
    least = now + _LEAST_TO_EXPIRE if str(params.get("expiretm", "")).startswith("+") else now
    is_wrong = timeinforce == "GTD" if not expires else not least <= expires <= now + _MONTH or expires == now
    if is_wrong:
        raise invalid("expiretm")
    return expires


def _close(params: Mapping[str, Any], pair: Pair) -> Close | None:
    close = params.get("close")
    if close is None:
        return None
    kind = close.get("ordertype") if isinstance(close, dict) else None
    if not isinstance(kind, str) or kind not in _CLOSES:
        raise invalid("close[ordertype]")
    try:
        price, price2 = _prices(close, kind)
    except Refused as refusal:
        name = str(refusal).rpartition(":")[2]
        raise invalid(f"close[{name}]") from None
    for each in (price, price2):
        if each is not None and not each.sign:
            _check_price(pair, each.amount)
    return Close(kind, price, price2)


def _prices(params: Mapping[str, Any], kind: str) -> tuple[Price, Price | None]:
    """Return ``price`` and ``price2`` of an order of a kind that has at least the first."""
    if kind in TRAILING:
        price = price_in(params, "price", "+", may_be_absolute=False)
        return price, price_in(params, "price2", "+-", may_be_absolute=False) if kind in LIMITED else None
    return price_in(params, "price"), price_in(params, "price2") if kind in TRIGGERED & LIMITED else None
