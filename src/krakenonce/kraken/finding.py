"""Finds an order among those that Kraken lists: by its id, or by everything else that is known about it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from krakenonce.errors import UnknownAsset
from krakenonce.key.answers import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from krakenonce.kraken.request import Steps


# Makes a call and returns its result: Kraken's name of the method, and its parameters.
Ask: TypeAlias = "Callable[[str, Mapping[str, Any]], Steps[Any]]"
Orders: TypeAlias = dict[str, dict[str, Any]]  # by Kraken's id, as OpenOrders and ClosedOrders describe them

_PAGE = 50  # orders
_LOT = Decimal("0.00000001")  # Kraken's lists have no more digits of a volume, whatever was sent
_PLAIN = frozenset("0123456789.")


class Window(NamedTuple):
    """When an order was opened if it is the one that was sent.

    Args:
        start: The earliest time, in seconds since 1970.
        end: The latest time.
        doubt: Seconds by which these times may be wrong: an order within them is perhaps the one.
    """

    start: float
    end: float = float("inf")
    doubt: float = 0.0


class Found(NamedTuple):
    """What was found.

    Args:
        orders: The orders that may be the one that was sent.
        in_doubt: Whether it is not certain: there are several, or one differs in something that Kraken perhaps only
            shows otherwise.
    """

    orders: Orders
    in_doubt: bool


def find(
    private: Ask, order: Mapping[str, Any], pair: str, window: Window, others: Container[str] = ()
) -> Steps[Found]:
    """Look for an order among the open ones, then among the closed ones.

    In this sequence, an order that is filled in between is not missed. The second list is not asked for if the first
    has an order with its ``cl_ord_id``.

    Args:
        private: Makes a private call.
        order: The parameters with which it was sent.
        pair: What :func:`pair_name` returned; does not count if the order has a ``cl_ord_id``. Empty: a similar order
            of any pair is perhaps this one.
        window: When it was opened.
        others: Kraken's ids of orders that are known to be others. They count only if *order* has no ``cl_ord_id``.
    """
    named = {name: str(order[name]) for name in ("cl_ord_id", "userref") if order.get(name)}
    wide = Window(window.start - window.doubt, window.end + window.doubt)
    orders: Orders = {}
    in_doubt = is_late = False
    for method, part in (("OpenOrders", "open"), ("ClosedOrders", "closed")):
        listed = yield from _listed(private, method, part, named, wide)
        with Reading(method):
            near = {txid: each for txid, each in listed.items() if opened(each, wide)}
            if "cl_ord_id" in named:  # if Kraken ignored the filter, there would be other orders, too
                wanted = named["cl_ord_id"]
                orders = {txid: each for txid, each in near.items() if each.get("cl_ord_id", wanted) == wanted}
                in_doubt = any(not _is_similar(each, order) for each in orders.values())
            else:
                for txid, each in near.items():
                    if txid not in others and _may_be(each, order, pair):
                        same = bool(pair) and is_equal(each, order)
                        orders |= {txid: each} if same else {}
                        in_doubt = in_doubt or not same
                        is_late = is_late or not opened(each, window)
        if orders and "cl_ord_id" in named:
            break
    return Found(orders, len(orders) > 1 or is_late or (in_doubt and (not orders or "cl_ord_id" in named)))


def pair_name(public: Ask, order: Mapping[str, Any]) -> Steps[str]:
    """Return the name that Kraken's lists of orders have for an order's pair, which has several; empty: not known."""
    asset_class = order.get("asset_class")  # AssetPairs has no tokenized assets unless it is asked for them
    more = {"aclass_base": asset_class} if asset_class else {}
    try:
        pairs = yield from public("AssetPairs", {"pair": str(order.get("pair", "")), **more})
    except UnknownAsset:
        return ""
    with Reading("AssetPairs"):
        return str(next(iter(pairs.values()))["altname"]) if len(pairs) == 1 else ""


def _listed(private: Ask, method: str, part: str, named: Mapping[str, Any], window: Window) -> Steps[Orders]:
    if method == "OpenOrders":
        answer = yield from private(method, named)
        with Reading(method):
            return dict(answer[part])
    found: Orders = {}
    while True:
        params = {**named, "start": int(window.start), **({"ofs": len(found)} if found else {})}
        answer = yield from private(method, params)
        with Reading(method):
            page = dict(answer[part])
            before = len(found)
            found |= page
            is_last = len(page) < _PAGE if "count" not in answer else len(found) >= int(answer["count"])
            if len(found) == before or is_last:
                return found


def opened(seen: Mapping[str, Any], window: Window) -> bool:
    """Return whether an order that Kraken lists was opened at a time within *window*."""
    return window.start <= float(seen.get("opentm", window.start)) <= window.end


def is_equal(seen: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Return whether an order that Kraken lists has all that was sent, but for the pair, which has many names.

    What Kraken computes from what was sent (a price such as ``+1%``, a volume in the quote asset or of 0) is not
    compared.
    """
    descr = seen.get("descr", {})
    return (
        _is_similar(seen, sent)
        and not _is_amended(seen)
        and descr.get("ordertype") == sent.get("ordertype")
        and all(_is_price(descr.get(name), sent.get(name)) for name in ("price", "price2"))
        and str(seen.get("userref") or "0") == str(sent.get("userref") or "0")
        and str(seen.get("cl_ord_id") or "") == str(sent.get("cl_ord_id") or "")
        and _leverage(descr.get("leverage")) == _leverage(sent.get("leverage"))
        and _flags(sent) <= set(str(seen.get("oflags", "")).split(","))
    )


def _may_be(seen: Mapping[str, Any], sent: Mapping[str, Any], pair: str) -> bool:
    """Return whether an order that Kraken lists is perhaps the one that was sent, although it looks different now."""
    descr = seen["descr"]
    if pair and descr.get("pair") != pair:
        return False
    return _is_similar(seen, sent) or (_is_amended(seen) and descr.get("type") == sent.get("type"))


def _is_amended(seen: Mapping[str, Any]) -> bool:
    """Whether its volume or its price are no longer those that were sent."""
    return "amended" in str(seen.get("misc", "")).split(",")


def _is_similar(seen: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    volume, listed = _number(sent.get("volume")), _number(seen.get("vol"))
    is_computed = "viqc" in _flags(sent) or volume == 0  # 0: what closes a position
    same_side = seen.get("descr", {}).get("type") == sent.get("type")
    is_near = volume is not None and listed is not None and abs(volume - listed) < _LOT
    return same_side and (is_computed or is_near)


def _flags(sent: Mapping[str, Any]) -> set[str]:
    flags = sent.get("oflags") or ""
    listed = flags if isinstance(flags, list | tuple) else str(flags).split(",")
    return {str(each).strip() for each in listed} - {""}


def _is_price(seen: object, sent: object) -> bool:
    text = str(sent or "0")
    return not set(text) <= _PLAIN or _number(seen or "0") == _number(text)


def _leverage(text: object) -> str:
    short = str(text or "none").partition(":")[0]
    return "none" if short in ("0", "1") else short


def _number(text: object) -> Decimal | None:
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
