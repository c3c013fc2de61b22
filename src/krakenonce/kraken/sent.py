"""Orders on their way: what each is given so that it can be found again, and how to find out what became of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from krakenonce.key.answers import Reading
from krakenonce.key.methods import METHODS, Kind, kind_of, orders_in
from krakenonce.kraken.request import PrivateCall, Sleep, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LIFETIME", "Reconciled", "SentOrder", "prepared", "reconcile"]

LIFETIME = 10.0  # seconds an order may take to reach the engine, if the caller does not say
MARGIN = timedelta(seconds=3)  # after the deadline, for an order that is placed but not visible yet
WITHOUT_DEADLINE = timedelta(seconds=90)  # Kraken's own, from a remark in its API specification
SKEW = 60.0  # seconds by which our clock may have changed since, when orders are told by their time
POLL = 1.0  # seconds between two looks


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order or a batch of orders that may have reached Kraken.

    Args:
        method: ``AddOrder`` or ``AddOrderBatch``.
        params: What was sent, without nonce and signature.
        cl_ord_ids: The ids by which it can be found; none if it was sent without.
        deadline: When the engine refuses it, by Kraken's clock; None if it was sent without.
        sent_at: When it was signed, by this machine's clock.
    """

    method: str
    params: Mapping[str, Any]
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
        stands: True: it was placed, and may be filled, cancelled or still open; of a batch at least one of its orders.
            False: it was not placed and cannot be any more. None: *orders* may be it or not, as it has no
            ``cl_ord_id``, or one that looks otherwise has the same.
        orders: The orders found, by Kraken's id, as OpenOrders and ClosedOrders describe them.
    """

    stands: bool | None
    orders: dict[str, dict[str, Any]]


class _Calls(Protocol):
    def public(self, method: str, params: Mapping[str, Any]) -> Steps[Any]: ...
    def private(self, method: str, params: Mapping[str, Any]) -> Steps[Any]: ...


def prepared(method: str, params: Mapping[str, Any]) -> PrivateCall:
    """Return the call to make: an order gets a ``cl_ord_id`` and a ``deadline`` of its own if it has none.

    Args:
        method: Kraken's name for it.
        params: Its parameters; not changed. One that is None is left out, and no default takes its place. No
            ``cl_ord_id`` is given where Kraken takes none: beside ``userref`` and conditional closes.
    """
    fields = {name: value for name, value in params.items() if value is not None}
    if kind_of(method, fields) is not Kind.ORDER:
        return PrivateCall(method, fields)
    named = [_with_id(each) for each in orders_in(method, params)]
    if named:
        fields = {**fields, "orders": named} if METHODS[method].batch else named[0]
    return PrivateCall(method, fields, None if "deadline" in params else LIFETIME)


def _with_id(order: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in order.items() if value is not None}
    taken = "cl_ord_id" in order or "userref" in fields or any(name.startswith("close") for name in fields)
    return fields if taken else {**fields, "cl_ord_id": str(uuid.uuid4())}


def reconcile(calls: _Calls, order: SentOrder, clock: Callable[[], float]) -> Steps[Reconciled]:
    """Look for *order* until it is found, or until Kraken's own clock says that its deadline is over.

    Open orders are asked for before closed ones, so that one which is filled in between is not missed.

    Args:
        calls: The key's calls.
        order: What to look for.
        clock: This machine's clock, in seconds since 1970, by which *order* was signed.

    Raises:
        KrakenError: Kraken could not be asked; nothing is known.
    """
    until = order.deadline
    while True:
        now = yield from _kraken_time(calls)  # before looking: what is not there after this moment never will be
        if until is None:
            until = now + WITHOUT_DEADLINE
        ahead = max(0.0, clock() - now.timestamp())
        found = yield from _find(calls, order, ahead + SKEW)
        if found and len(found) >= len(order.cl_ord_ids) > 0:
            break
        if now > until + MARGIN:
            break
        yield Sleep(POLL)
    with Reading("OpenOrders"):
        if found and not (order.cl_ord_ids and all(_alike(each, order) for each in found.values())):
            return Reconciled(stands=None, orders=found)
        return Reconciled(stands=bool(found), orders=found)


def _kraken_time(calls: _Calls) -> Steps[datetime]:
    answer = yield from calls.public("Time", {})
    with Reading("Time"):
        return datetime.fromtimestamp(int(answer["unixtime"]), UTC)


def _find(calls: _Calls, order: SentOrder, skew: float) -> Steps[dict[str, dict[str, Any]]]:
    since = order.sent_at.timestamp() - skew if order.sent_at else 0.0
    found: dict[str, dict[str, Any]] = {}
    if order.cl_ord_ids:
        for cl_ord_id in order.cl_ord_ids:
            for method, part in (("OpenOrders", "open"), ("ClosedOrders", "closed")):
                answer = yield from calls.private(method, {"cl_ord_id": cl_ord_id})
                # An id may have been used before, for an order that is closed by now; and should Kraken ignore the
                # filter, others would come along.
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
    is_open = yield from calls.private("OpenOrders", {})
    closed = yield from _closed_since(calls, int(since))
    with Reading("OpenOrders"):
        listed = {**is_open["open"], **closed}
        return {txid: each for txid, each in listed.items() if _is_new(each, since) and _alike(each, order)}


def _closed_since(calls: _Calls, since: int) -> Steps[dict[str, dict[str, Any]]]:
    """All pages: the newest come first, so the order may be on the last one."""
    found: dict[str, dict[str, Any]] = {}
    offset = 0
    while True:
        answer = yield from calls.private("ClosedOrders", {"start": since, "ofs": offset or None})
        with Reading("ClosedOrders"):
            page = answer["closed"]
            found |= page
            offset += len(page)
            if not page or offset >= int(answer.get("count", 0)):
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
