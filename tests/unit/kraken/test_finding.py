"""Which of the orders that Kraken lists is the one that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import UnknownAsset
from krakenonce.kraken.finding import Found, Window, find, pair_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.kraken.request import Steps

SENT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}
AT = 1_800_000_000.0


def listed(**more: Any) -> dict[str, Any]:
    """An order as Kraken lists it, opened when it was sent."""
    descr = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "100.0", "price2": "0", "leverage": "none"}
    return {"opentm": AT, "vol": "1.00000000", "oflags": "fciq", "userref": None, "descr": descr, **more}


def found(
    sent: Mapping[str, Any],
    order: Mapping[str, Any],
    window: Window,
    *,
    pair: str = "XBTUSD",
    closed: Mapping[str, Any] | None = None,
) -> Found:
    """Look for an order among one that is open, and perhaps some that are closed."""

    def private(method: str, _: Mapping[str, Any]) -> Steps[Any]:
        yield from ()
        return {"open": {"OABCDE": order}} if method == "OpenOrders" else {"closed": closed or {}}

    steps = find(private, sent, pair, window)
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


def test_an_order_that_was_amended_meanwhile_is_neither_the_one_nor_none() -> None:
    """Another program has changed its volume or its price: it has what was sent no more, or another one has it now."""
    for more in ({"vol": "3.00000000"}, {"vol": "1.00000000"}):
        amended = listed(misc="partial,amended", **more)
        assert found(SENT, amended, Window(AT, AT)) == Found({}, in_doubt=True)
        assert not found({**SENT, "type": "sell"}, amended, Window(AT, AT)).in_doubt


def test_digits_of_a_volume_that_kraken_does_not_list_are_not_compared() -> None:
    """Clients send what their division gives; Kraken has eight digits of it."""
    order = listed(vol="0.33333333")
    assert found({**SENT, "volume": "0.333333333333333"}, order, Window(AT, AT)) == Found(
        {"OABCDE": order}, in_doubt=False
    )
    assert not found({**SENT, "volume": "0.33333334"}, order, Window(AT, AT)).orders


def test_an_order_of_a_pair_without_a_name_is_neither_the_one_nor_none() -> None:
    """The name that Kraken's lists have for the pair was not told."""
    assert found(SENT, listed(), Window(AT, AT), pair="") == Found({}, in_doubt=True)
    assert found(SENT, listed(vol="7.0"), Window(AT, AT), pair="") == Found({}, in_doubt=False)


def test_an_equal_order_that_is_closed_leaves_it_open_which_is_the_one() -> None:
    """The one that was sent may be filled already, and the open one another program's."""
    assert found(SENT, listed(), Window(AT, AT), closed={"OFGHIJ": listed()}).in_doubt
    named = {**SENT, "cl_ord_id": "a"}
    assert not found(named, listed(cl_ord_id="a"), Window(AT, AT), closed={"OFGHIJ": listed()}).in_doubt


def test_the_pair_of_a_tokenized_asset_is_asked_for_as_one() -> None:
    """Without its class, Kraken does not know it; and what it does not know has no name."""
    stock = {**SENT, "pair": "AAPLx/USD", "asset_class": "tokenized_asset"}
    asked: list[Mapping[str, Any]] = []

    def public(_: str, params: Mapping[str, Any]) -> Steps[Any]:
        yield from ()
        asked.append(params)
        if params.get("aclass_base") != "tokenized_asset":
            raise UnknownAsset("EQuery:Unknown asset pair")
        return {"AAPLxUSD": {"altname": "AAPLxUSD"}}

    names = []
    for order in (stock, {**stock, "asset_class": None}):
        with pytest.raises(StopIteration) as end:
            next(pair_name(public, order))
        names.append(end.value.value)
    assert names == ["AAPLxUSD", ""]
    assert asked[0] == {"pair": "AAPLx/USD", "aclass_base": "tokenized_asset"}


def test_numbers_that_kraken_lists_as_text_are_read() -> None:
    """Answers seen in 2024 have the time and the userref as text, and 0 for no userref."""
    order = listed(opentm=f"{AT:.6f}", userref="0", starttm="0", expiretm="0", reason=None)
    assert found(SENT, order, Window(AT, AT)) == Found({"OABCDE": order}, in_doubt=False)
    assert found({**SENT, "userref": 5}, listed(opentm=f"{AT:.6f}", userref="5"), Window(AT, AT)).orders
    assert found(SENT, listed(opentm=f"{AT - 100:.6f}", userref="0"), Window(AT, AT)) == Found({}, in_doubt=False)
