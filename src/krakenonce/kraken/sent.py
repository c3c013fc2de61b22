"""Orders that were sent: the ids by which they can be found, and how to find out whether they were placed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.key.methods import METHODS, Kind, kind_of, orders_in
from krakenonce.key.parameters import check_parameters
from krakenonce.kraken.finding import Orders, Window, find, pair_name
from krakenonce.kraken.queries import server_time
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
        key: The fingerprint of the API key with which it was sent.
    """

    method: str
    params: Mapping[str, Any] = field(repr=False)
    cl_ord_ids: tuple[str, ...]
    deadline: datetime | None
    sent_at: datetime | None
    key: str = ""

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
            call.key_name,
        )


class Reconciled(NamedTuple):
    """What became of an order.

    Args:
        placed: True: it was placed, and may be filled, cancelled or still open; of a batch at least one order was.
            False: it was not placed and cannot be any more. None: *orders* may be this order or others: Kraken has
            several that are equal, or one that looks different has the same ``cl_ord_id``.
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

    Without a ``cl_ord_id``, it is recognized by all of its fields and by the time at which it was sent. Kraken is asked
    with the key that sent it: once it has accepted a later nonce of that key, it refuses the order if that is still on
    its way.

    Args:
        calls: The key's calls.
        order: The order to look for.

    Raises:
        KrakenError: Kraken could not be asked; nothing is known.
    """
    pair = "" if order.cl_ord_ids else (yield from pair_name(calls.public, order.params))
    ask = partial(calls.private, only=calls.place_of(order.key), urgent=True)
    until = order.deadline
    while True:
        # Before looking: an order that is not there after its deadline will never be there.
        now = datetime.fromtimestamp((yield from server_time(calls)), UTC)
        if until is None:
            until = now + WITHOUT_DEADLINE
        ahead = max(0.0, calls.time.local() - now.timestamp())  # it was signed by this clock if no other was known
        since = order.sent_at.timestamp() - ahead - SKEW if order.sent_at else 0.0
        orders: Orders = {}
        is_whole, in_doubt = True, False
        for sent in orders_in(order.method, order.params):
            found = yield from find(ask, sent, pair, Window(since), calls.known)
            orders |= found.orders
            is_whole = is_whole and bool(found.orders)
            in_doubt = in_doubt or found.in_doubt
        if in_doubt or (orders and is_whole) or now > until + MARGIN:
            return Reconciled(placed=None if in_doubt else bool(orders), orders=orders)
        yield Sleep(POLL)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
