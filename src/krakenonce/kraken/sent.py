"""Orders that were sent: the ids by which they can be found, and how to find out whether they were placed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.key.answers import Reading
from krakenonce.key.methods import METHODS, Kind, kind_of, orders_in
from krakenonce.key.parameters import check_parameters
from krakenonce.kraken.queries import closed_orders, open_orders, server_time
from krakenonce.kraken.request import PrivateCall, Sleep, Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.kraken.calling import Calls


LIFETIME = 10.0  # seconds an order may take to reach the engine, if the caller does not say
MARGIN = timedelta(seconds=3)  # after the deadline, for an order that is placed but not visible yet
WITHOUT_DEADLINE = timedelta(seconds=90)  # Kraken's own, from a remark in its API specification
SKEW = 60.0  # seconds by which the time of signing may be wrong, if orders are recognized by their time
POLL = 1.0  # seconds between two queries


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order or a batch of orders that may have reached Kraken.

    Args:
        method: ``AddOrder`` or ``AddOrderBatch``.
        params: What was sent, without nonce and signature. The repr does not show it.
        cl_ord_ids: The ids by which it can be found; none if it was sent without.
        deadline: When the engine refuses it, by Kraken's clock; None if it was sent without.
        sent_at: When it was signed, by Kraken's clock; by this machine's if Kraken's was not known.
    """

    method: str
    params: Mapping[str, Any] = field(repr=False)
    cl_ord_ids: tuple[str, ...]
    deadline: datetime | None
    sent_at: datetime | None

    @classmethod
    def of(cls, call: PrivateCall) -> SentOrder:
        """Return the order in a call that was signed."""
        params = call.params
        listed = orders_in(call.method, params)
        ids = tuple(str(each["cl_ord_id"]) for each in listed if each.get("cl_ord_id"))
        return cls(
            call.method,
            params,
            ids if len(ids) == len(listed) else (),
            call.deadline or _moment(params.get("deadline")),
            call.signed_at,
        )


class Reconciled(NamedTuple):
    """What became of an order.

    Args:
        placed: True: it was placed, and may be filled, cancelled or still open; of a batch at least one order was.
            False: it was not placed and cannot be any more. None: *orders* may be this order or others, because it has
            no ``cl_ord_id``, or an order that looks different has the same one.
        orders: The orders found, by Kraken's id, as OpenOrders and ClosedOrders describe them.
    """

    placed: bool | None
    orders: dict[str, dict[str, Any]]


def prepared(method: str, params: Mapping[str, Any]) -> PrivateCall:
    """Return the call to make. An order gets a ``cl_ord_id`` and a ``deadline`` of its own if it has none.

    Args:
        method: Kraken's name of the method.
        params: Its parameters; not changed. None leaves one out, and its default too. An order with ``userref`` or a
            conditional close gets no ``cl_ord_id``, because Kraken accepts none there.

    Raises:
        ConfigError: Kraken would ignore one of the parameters, or could read it in two ways.
    """
    check_parameters(method, params)
    fields = {name: value for name, value in params.items() if value is not None}
    if kind_of(method, fields) is not Kind.ORDER:
        return PrivateCall(method, fields)
    named = [_with_id(each) for each in orders_in(method, params)]
    if named:
        fields = {**fields, "orders": named} if METHODS[method].batch else named[0]
    return PrivateCall(method, fields, None if "deadline" in params else LIFETIME)


def _with_id(order: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in order.items() if value is not None}
    has_none = "cl_ord_id" in order or "userref" in fields or any(name.startswith("close") for name in fields)
    return fields if has_none else {**fields, "cl_ord_id": str(uuid.uuid4())}


def reconcile(calls: Calls, order: SentOrder) -> Steps[Reconciled]:
    """Look for *order* until it is found, or until its deadline has passed on Kraken's own clock.

    Open orders are queried before closed ones, so that an order which is filled in between is not missed.

    Args:
        calls: The key's calls.
        order: The order to look for.

    Raises:
        KrakenError: Kraken could not be asked; nothing is known.
    """
    until = order.deadline
    while True:
        # Before looking: an order that is not there after its deadline will never be there.
        now = datetime.fromtimestamp((yield from server_time(calls)), UTC)
        if until is None:
            until = now + WITHOUT_DEADLINE
        ahead = max(0.0, calls.time.local() - now.timestamp())  # it was signed by this clock if no other was known
        found = yield from _find(calls, order, ahead + SKEW)
        if found and len(found) >= len(order.cl_ord_ids) > 0:
            break
        if now > until + MARGIN:
            break
        yield Sleep(POLL)
    with Reading("OpenOrders"):
        if found and not (order.cl_ord_ids and all(_alike(each, order) for each in found.values())):
            return Reconciled(placed=None, orders=found)
        return Reconciled(placed=bool(found), orders=found)


def _find(calls: Calls, order: SentOrder, skew: float) -> Steps[dict[str, dict[str, Any]]]:
    since = order.sent_at.timestamp() - skew if order.sent_at else 0.0
    found: dict[str, dict[str, Any]] = {}
    if order.cl_ord_ids:
        for cl_ord_id in order.cl_ord_ids:
            for method, part in (("OpenOrders", "open"), ("ClosedOrders", "closed")):
                answer = yield from calls.private(method, {"cl_ord_id": cl_ord_id})
                # The id may have been used before, for an order that is closed by now. And if Kraken ignored the
                # filter, there would be other orders, too.
                with Reading(method):
                    these = {
                        txid: each
                        for txid, each in answer[part].items()
                        if each.get("cl_ord_id", cl_ord_id) == cl_ord_id and _is_new(each, since)
                    }
                found |= these
                if these:
                    break
        return found
    listed = yield from open_orders(calls)
    listed |= yield from _closed_since(calls, int(since))
    with Reading("OpenOrders"):
        return {txid: each for txid, each in listed.items() if _is_new(each, since) and _alike(each, order)}


def _closed_since(calls: Calls, since: int) -> Steps[dict[str, dict[str, Any]]]:
    """Return the orders of all pages: the newest come first, so the order may be on the last page."""
    found: dict[str, dict[str, Any]] = {}
    offset = 0
    while True:
        page = yield from closed_orders(calls, start=since, offset=offset)
        found |= page.entries
        offset += len(page.entries)
        if not page.entries or offset >= page.total:
            return found


def _is_new(seen: Mapping[str, Any], since: float) -> bool:
    return float(seen.get("opentm", since)) >= since


def _alike(seen: Mapping[str, Any], order: SentOrder) -> bool:
    """Whether an order that Kraken has looks like one that was sent. Pairs have many names and are not compared."""
    descr = seen.get("descr", {})
    return any(
        descr.get("type") == sent.get("type")
        and descr.get("ordertype") == sent.get("ordertype")
        and _number(seen.get("vol")) == _number(sent.get("volume"))
        and str(seen.get("userref") or "0") == str(sent.get("userref") or "0")
        for sent in orders_in(order.method, order.params)
    )


def _number(text: object) -> Decimal | None:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
