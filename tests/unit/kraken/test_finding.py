"""Which of the orders that Kraken lists is the one that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.kraken.finding import Found, Window, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.kraken.request import Steps

SENT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}
AT = 1_800_000_000.0


def listed(**more: Any) -> dict[str, Any]:
    """An order as Kraken lists it, opened when it was sent."""
    descr = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "100.0", "price2": "0", "leverage": "none"}
    return {"opentm": AT, "vol": "1.00000000", "oflags": "fciq", "userref": None, "descr": descr, **more}


def found(sent: Mapping[str, Any], order: Mapping[str, Any], window: Window) -> Found:
    """Look for an order among one that is open."""

    def private(method: str, _: Mapping[str, Any]) -> Steps[Any]:
        yield from ()
        return {"open": {"OABCDE": order}} if method == "OpenOrders" else {"closed": {}, "count": 0}

    steps = find(private, sent, "XBTUSD", window)
    with pytest.raises(StopIteration) as end:
        next(steps)
    result: Found = end.value.value
    return result


def test_a_volume_of_zero_is_not_compared() -> None:
    """It closes a position: Kraken's lists have the volume that it had to be."""
    order = listed(vol="0.25000000")
    assert found({**SENT, "volume": "0"}, order, Window(AT, AT)).orders
    assert not found(SENT, order, Window(AT, AT)).orders


def test_a_cl_ord_id_of_digits_may_be_a_number_in_json() -> None:
    """Kraken's lists have text."""
    assert found({**SENT, "cl_ord_id": 5}, listed(cl_ord_id="5"), Window(AT, AT)).orders


def test_an_order_in_the_doubtful_part_of_the_window_is_neither_the_one_nor_none() -> None:
    """When it was sent is not known well enough; with its own cl_ord_id it is the one."""
    doubtful, order = Window(AT + 5, AT + 9, doubt=60), listed()
    assert found(SENT, order, doubtful).in_doubt
    assert found(SENT, listed(opentm=AT - 100), doubtful) == Found({}, in_doubt=False)
    assert not found({**SENT, "cl_ord_id": "a"}, listed(cl_ord_id="a"), doubtful).in_doubt
