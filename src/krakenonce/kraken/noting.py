"""What the journal is told of calls whose outcome was unknown, and of what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from krakenonce.errors import AccessBlocked, ServiceUnavailable
from krakenonce.key.methods import Kind, kind_of, orders_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from krakenonce.errors import KrakenonceError
    from krakenonce.key.api_key import ApiKey
    from krakenonce.kraken.request import PrivateCall


_SHOWN = 5  # ids of a batch


def note_failure(api_key: ApiKey, call: PrivateCall, error: KrakenonceError) -> None:
    """Note the error with which a call ends, if it leaves open whether it was executed, or Kraken has not sent it."""
    if isinstance(error, AccessBlocked):
        api_key.note("blocked", call.method, text=str(error).partition(". ")[0])
    elif error.may_have_executed == "unknown" and kind_of(call.method, call.params) is not Kind.READ:
        is_fault = isinstance(error, ServiceUnavailable)
        note_unknown(api_key, call.method, call.params, "a fault at Kraken" if is_fault else type(error).__name__)


def note_unknown(api_key: ApiKey, method: str, params: Mapping[str, Any], why: str) -> None:
    """Note that it is not known whether a call was executed."""
    api_key.note("unknown", method, order=order_of(method, params), text=why)


def note_found(
    api_key: ApiKey, method: str, params: Mapping[str, Any], placed: bool | None, txids: Iterable[str]
) -> None:
    """Note what became of an order.

    Args:
        api_key: The key with which it was sent.
        method: Kraken's name of the method.
        params: What was sent.
        placed: Whether it was placed; None: that cannot be told.
        txids: Kraken's ids of the orders found.
    """
    ids = ", ".join(list(txids)[:_SHOWN])
    said = {True: f"placed: {ids}", False: "not placed", None: f"perhaps placed: {ids}"}[placed]
    api_key.note("found_out", method, order=order_of(method, params), text=said)


def order_of(method: str, params: Mapping[str, Any]) -> str:
    """Return by what the orders of a call can be found: each one's ``cl_ord_id``, ``userref`` or ``txid``."""
    orders = [each for each in (params, *orders_in(method, params)) if isinstance(each, Mapping)]
    named = (each.get("cl_ord_id") or each.get("userref") or each.get("txid") for each in orders)
    return ", ".join(dict.fromkeys(str(each) for each in named if each))
