"""What a bot calls daily, on both clients over HTTP: each test is written once and runs on either."""

from __future__ import annotations

import inspect
import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import errors
from krakenonce.kraken import AsyncKraken, Kraken, repeating
from krakenonce.kraken.orders import Cancelled, Placed
from krakenonce.kraken.queries import AssetBalance
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import ScriptedServer, Twin

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

LIMIT = {"type": "buy", "ordertype": "limit", "price": "30000", "volume": "0.001"}


def methods_called(fake: FakeKraken) -> list[str]:
    """What arrived, in order."""
    return [arrival.method for arrival in fake.arrivals]


# --- balances --------------------------------------------------------------------------------------------------


def test_balances_are_exact(twin: Twin) -> None:
    """Kraken's digits become Decimals, not floats."""
    assert twin("balances") == {"ZUSD": Decimal("100000.1234"), "XXBT": Decimal("2.0000000001")}
    assert {type(amount) for amount in twin("balances").values()} == {Decimal}


def test_extended_balances_tell_what_is_held(twin: Twin) -> None:
    """What an open order holds is not available."""
    twin("add_order", "XBTUSD", "sell", "0.5", "90000")
    held = twin("extended_balances")
    assert held["XXBT"] == AssetBalance(Decimal("2.0000000001"), Decimal("0.5"))
    assert held["XXBT"].available == Decimal("1.5000000001")
    assert {type(part) for part in held["XXBT"]} == {Decimal}


def test_what_earns_automatically_is_available(fake: FakeKraken, server: FakeKrakenServer) -> None:
    """Kraken has it under another name, and holds it for orders under the first one."""
    held = {"XXBT": "0", "XBT.F": "2", "AVAX": "1", "AVAX.F": "3", "ZUSD": "5", "USDT.F": "7", "ETH.B": "9"}
    held |= {"ZETA": "1", "ETA": "2", "ETA.F": "4"}  # three assets' names that look like two
    one = fake.add_account("earner", balances=held)
    with Twin("sync", one.key, one.secret, manager=NonceManager("memory:"), tier="none", base_url=server.url) as twin:
        found = twin("extended_balances")
    available = {asset: each.available for asset, each in found.items()}
    assert available == {"XXBT": 2, "XBT.F": 2, "AVAX": 4, "AVAX.F": 3, "ZUSD": 5, "USDT.F": 7, "ETH.B": 9} | {
        "ZETA": 1,
        "ETA": 6,
        "ETA.F": 4,
    }


def test_credit_counts_as_available() -> None:
    """A credit line can be spent, and what is used of it cannot."""
    assert AssetBalance(Decimal(5), Decimal(1), Decimal(10), Decimal(3)).available == Decimal(11)


def test_the_trade_balance_is_exact(twin: Twin) -> None:
    """Each of Kraken's short names has a Decimal."""
    balance = twin("trade_balance")
    assert balance["eb"] == Decimal("220000.1234")  # bitcoin at 60,000
    assert {type(amount) for amount in balance.values()} == {Decimal}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("content", [b"PK\x03\x04 and more", b"no zip"], ids=["a zip", "another"])
@pytest.mark.parametrize("method", ["RetrieveExport", "Balance"])
def test_an_export_is_the_bytes_of_a_file(kind: str, method: str, content: bytes) -> None:
    """What is no zip file, or another call's answer, is no result."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(content)}\r\n\r\n"
    options = {"manager": NonceManager("memory:"), "tier": "none"}
    with ScriptedServer(*[head.encode() + content] * 3) as kraken, pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeating, "PAUSES", ())
        with Twin(kind, "key", "c2VjcmV0", base_url=kraken.url, **options) as twin:
            try:
                result = twin("private", method, id="AAAA")
            except errors.OutcomeUnknown:
                result = None
    assert result == (content if (method, content[:2]) == ("RetrieveExport", b"PK") else None)


# --- orders ----------------------------------------------------------------------------------------------------


def test_a_limit_order_is_placed(twin: Twin, rich: FakeAccount) -> None:
    """Its price makes it a limit order; the answer has both ids and Kraken's words."""
    placed = twin("add_order", "XBTUSD", "buy", Decimal("0.001"), "30000")
    assert placed.description == "buy 0.00100000 XBTUSD @ limit 30000.0"
    assert rich.orders[placed.txid].cl_ord_id == placed.cl_ord_id is not None


def test_a_tiny_amount_is_sent_in_digits(twin: Twin) -> None:
    """A Decimal that Python would print as 5E-5 arrives as it is."""
    assert twin("add_order", "XBTUSD", "buy", Decimal("5E-5"), 30000).description.startswith("buy 0.00005000 ")


def test_a_market_order_has_no_price(twin: Twin, rich: FakeAccount) -> None:
    """Without a price it is a market order, and filled at once."""
    placed = twin("add_order", "XBTUSD", "buy", "0.001")
    assert placed.description == "buy 0.00100000 XBTUSD @ market"
    assert rich.done[placed.txid].status == "closed"


def test_an_order_that_is_only_checked_is_not_placed(twin: Twin, rich: FakeAccount) -> None:
    """With validate there is a description and no Kraken id."""
    placed = twin("add_order", "XBTUSD", "buy", "0.001", "30000", validate=True)
    assert (placed.txid, placed.description) == (None, "buy 0.00100000 XBTUSD @ limit 30000.0")
    assert (rich.orders, rich.done) == ({}, {})


def test_a_float_is_no_amount(twin: Twin, fake: FakeKraken) -> None:
    """Floats are refused before anything is sent, in a batch and in a change too."""
    for name, args, more in (
        ("add_order", ("XBTUSD", "buy", 0.1, "1"), {}),
        ("add_orders", ("XBTUSD", [{**LIMIT, "price": 0.5}, LIMIT]), {}),
        ("amend_order", ("OABCDE-FGHIJ-KLMNOP",), {"order_qty": 0.5}),
    ):
        with pytest.raises(errors.ConfigError, match="float"):
            twin(name, *args, **more)
    assert fake.arrivals == []


def test_of_a_batch_each_line_tells_its_own_end(twin: Twin, rich: FakeAccount) -> None:
    """One of three is refused: an error in its place, and the other two stand."""
    lines = [LIMIT, {**LIMIT, "volume": "1000"}, {**LIMIT, "cl_ord_id": "mine"}]
    first, second, third = twin("add_orders", "XBTUSD", lines)
    assert isinstance(first, Placed)
    assert isinstance(second, errors.InsufficientFunds)
    assert isinstance(third, Placed)
    assert set(rich.orders) == {first.txid, third.txid}
    assert (rich.orders[str(first.txid)].cl_ord_id, third.cl_ord_id) == (first.cl_ord_id, "mine")
    assert "cl_ord_id" not in lines[0]  # the caller's own list is not touched


def test_a_batch_can_be_only_checked(twin: Twin, rich: FakeAccount) -> None:
    """With validate nothing is placed."""
    checked = twin("add_orders", "XBTUSD", [LIMIT, LIMIT], validate=True)
    assert [each.txid for each in checked] == [None, None]
    assert rich.orders == {}


def test_orders_that_got_no_answer_are_asked_for(twin: Twin, rich: FakeAccount, fake: FakeKraken) -> None:
    """The error of either client finds out about one order and about a batch, open or filled."""
    for name, args in (
        ("add_order", ("XBTUSD", "buy", "0.001", "30000")),
        ("add_order", ("XBTUSD", "buy", "0.001")),
        ("add_orders", ("XBTUSD", [LIMIT, {"type": "buy", "ordertype": "market", "volume": "0.001"}])),
    ):
        there = {*rich.orders, *rich.done}
        fake.faults.add("AddOrder" if name == "add_order" else "AddOrderBatch", "process_then_html", status=504)
        with pytest.raises(errors.OutcomeUnknown) as caught:
            twin(name, *args)
        found = twin.wait(caught.value.reconcile())
        assert (found.placed, set(found.orders)) == (True, {*rich.orders, *rich.done} - there)
        assert twin("reconcile", caught.value.order).orders.keys() == found.orders.keys()


def test_an_order_is_amended_by_either_id(twin: Twin, rich: FakeAccount) -> None:
    """Volume and price change in place."""
    placed = twin("add_order", "XBTUSD", "buy", "0.001", "30000")
    assert twin("amend_order", placed.txid, limit_price=Decimal(31000)).startswith("T")
    assert twin("amend_order", cl_ord_id=placed.cl_ord_id, order_qty="0.002").startswith("T")
    order = rich.orders[placed.txid]
    assert (order.price, order.volume) == (Decimal(31000), Decimal("0.002"))


def test_an_order_is_cancelled_by_either_id(twin: Twin, rich: FakeAccount) -> None:
    """By Kraken's id and by ours; a second time there is none."""
    first, second = (twin("add_order", "XBTUSD", "buy", "0.001", "30000") for _ in range(2))
    assert twin("cancel_order", first.txid) == Cancelled(1, pending=False)
    assert twin("cancel_order", cl_ord_id=second.cl_ord_id).count == 1
    assert rich.orders == {}
    with pytest.raises(errors.UnknownOrder) as caught:
        twin("cancel_order", first.txid)
    assert caught.value.may_have_executed == "no"


def test_a_cancel_that_was_repeated_never_says_that_it_was_not_executed(
    twin: Twin, rich: FakeAccount, fake: FakeKraken
) -> None:
    """The first try was executed and its answer lost; what the second is told does not make that undone."""
    for error in (errors.UnknownOrder, errors.PermissionDenied):
        placed = twin("add_order", "XBTUSD", "buy", "0.001", "30000")
        fake.faults.add("CancelOrder", "process_then_cut")
        if error is errors.PermissionDenied:
            fake.faults.add("CancelOrder", "error", error="EGeneral:Permission denied")
        with pytest.raises(error) as caught:
            twin("cancel_order", placed.txid)
        assert rich.orders == {}
        assert caught.value.may_have_executed == "unknown"


@pytest.mark.parametrize("name", ["cancel_order", "amend_order"])
@pytest.mark.parametrize("both", [{}, {"txid": "O1", "cl_ord_id": "mine"}], ids=["neither", "both"])
def test_an_order_has_to_be_named_by_one_id(twin: Twin, name: str, both: dict[str, str]) -> None:
    """Neither id, or both, is a mistake that is not sent."""
    with pytest.raises(errors.ConfigError, match="cl_ord_id"):
        twin(name, **both)


def test_many_orders_are_cancelled_in_one_call(twin: Twin, rich: FakeAccount, fake: FakeKraken) -> None:
    """A list of Kraken's ids, of our own, or both."""
    placed = twin("add_orders", "XBTUSD", [LIMIT] * 4)
    assert twin("cancel_orders", [placed[0].txid, placed[1].txid]).count == 2
    assert twin("cancel_orders", [placed[2].txid], cl_ord_ids=[placed[3].cl_ord_id]).count == 2
    assert methods_called(fake).count("CancelOrderBatch") == 2
    assert rich.orders == {}


def test_all_orders_are_cancelled(twin: Twin, rich: FakeAccount) -> None:
    """The number of those cancelled is told, 0 if there is none."""
    twin("add_orders", "XBTUSD", [LIMIT] * 3)
    assert twin("cancel_all").count == 3
    assert twin("cancel_all").count == 0
    assert rich.orders == {}


def test_the_dead_man_s_switch_is_set_and_switched_off(twin: Twin, rich: FakeAccount) -> None:
    """Kraken's answer is returned as it is."""
    assert twin("cancel_all_after", 60)["triggerTime"].endswith("Z")
    assert rich.cancel_all_at is not None
    assert twin("cancel_all_after", 0)["triggerTime"] == "0"
    assert rich.cancel_all_at is None


# --- questions -------------------------------------------------------------------------------------------------


def test_open_orders_are_found_by_id_and_by_group(twin: Twin) -> None:
    """All of them, the one with an id, or those of a group."""
    named = twin("add_order", "XBTUSD", "buy", "0.001", "30000")
    grouped = twin("add_order", "XBTUSD", "buy", "0.002", "30000", userref=7)
    assert set(twin("open_orders")) == {named.txid, grouped.txid}
    assert list(twin("open_orders", cl_ord_id=named.cl_ord_id)) == [named.txid]
    assert list(twin("open_orders", userref=7)) == [grouped.txid]
    assert isinstance(twin("open_orders")[named.txid]["opentm"], Decimal)


def test_closed_orders_come_in_pages(twin: Twin, rich: FakeAccount) -> None:
    """The newest first; the total is that of all pages."""
    placed = [each.txid for each in twin("add_orders", "XBTUSD", [LIMIT] * 3)]
    for txid in placed:
        twin("cancel_order", txid)
    page = twin("closed_orders", offset=1)
    assert (list(page.entries), page.total) == (placed[1::-1], 3)
    newest = rich.done[placed[2]]
    assert list(twin("closed_orders", cl_ord_id=newest.cl_ord_id).entries) == [placed[2]]
    closed = {txid: float(order["closetm"]) for txid, order in twin("closed_orders").entries.items()}
    assert list(twin("closed_orders", end=closed[placed[2]] - 0.0001).entries) == placed[1::-1]
    assert list(twin("closed_orders", start=closed[placed[1]]).entries) == [placed[2]]


def test_any_number_of_orders_is_asked_for_by_fifties(twin: Twin, fake: FakeKraken) -> None:
    """More than fifty ids take more than one call."""
    txids = [placed.txid for _ in range(4) for placed in twin("add_orders", "XBTUSD", [LIMIT] * 13)]
    assert set(twin("query_orders", txids)) == set(txids)
    assert methods_called(fake).count("QueryOrders") == 2
    assert twin("query_orders", []) == {}


@pytest.mark.parametrize(("name", "method", "per_fill"), [("trades", "TradesHistory", 1), ("ledger", "Ledgers", 2)])
def test_a_history_is_read_page_by_page(
    twin: Twin, rich: FakeAccount, fake: FakeKraken, name: str, method: str, per_fill: int
) -> None:
    """Of 120 entries each comes once, the newest first, whatever happens between two pages."""
    order = twin("add_order", "XBTUSD", "buy", "1", "30000").txid
    since = time.time() - 0.001  # Kraken shows tenths of a millisecond
    for _ in range(120 // per_fill):
        fake.fill(order, "0.001")

    def trade_on(seen: int) -> None:
        if seen in (7, 60):
            fake.fill(order, "0.001")

    listed = twin.each(name, trade_on)
    assert len(listed) == len({txid for txid, _ in listed}) == 120
    times = [Decimal(str(entry["time"])) for _, entry in listed]
    assert times == sorted(times, reverse=True)
    assert methods_called(fake).count(method) == 3
    assert twin.each(name, end=since) == []
    assert len(twin.each(name, start=since)) == 120 + 2 * per_fill


@pytest.mark.parametrize("name", ["trades", "ledger"])
def test_each_entry_comes_once_if_more_than_a_page_is_added_meanwhile(twin: Twin, fake: FakeKraken, name: str) -> None:
    """As by one market order that many small ones fill; no older entry is missing."""
    order = twin("add_order", "XBTUSD", "buy", "1", "30000").txid

    def fill() -> None:
        for _ in range(70):
            fake.fill(order, "0.001")

    fill()
    before = {txid for txid, _ in twin.each(name)}
    listed = [txid for txid, _ in twin.each(name, lambda seen: fill() if seen == 7 else None)]
    assert len(listed) == len(set(listed))
    assert before <= set(listed)


def test_a_token_is_not_told_by_its_repr(twin: Twin) -> None:
    """Whoever logs it does not give the account away."""
    token = twin("websocket_token")
    assert (len(token.token) > 20, token.expires) == (True, 900)
    assert token.token not in repr(token)
    assert token.token not in f"{token}"


def test_the_key_tells_about_itself(twin: Twin, rich: FakeAccount) -> None:
    """The number is the one that the call itself was sent with."""
    info = twin("api_key_info")
    assert (info.name, info.nonce, info.nonce_window) == ("rich", rich.last_nonce, 0)
    assert "query-funds" in info.permissions
    assert rich.key not in repr(info)


def test_public_facts_need_no_key(twin: Twin, fake: FakeKraken) -> None:
    """Kraken's clock and its state."""
    assert isinstance(twin("server_time"), int)
    fake.rules.status = "post_only"
    assert twin("system_status") == "post_only"
    assert fake.arrivals == []


# --- private and public ----------------------------------------------------------------------------------------


def test_private_returns_the_result(twin: Twin) -> None:
    """What is in ``result``, without the envelope."""
    assert twin("private", "Balance") == {"ZUSD": "100000.1234", "XXBT": "2.0000000001"}


def test_public_returns_the_result(twin: Twin) -> None:
    """Parameters go into the query string."""
    assert list(twin("public", "Ticker", pair="XBTUSD", unused=None)) == ["XXBTZUSD"]


@pytest.mark.parametrize(
    ("name", "method", "params", "error"),
    [
        ("private", "Guess", {}, errors.UnknownMethod),
        ("private", "AddOrder", {"pair": "XBTUSD"}, errors.InvalidArguments),
        ("private", "TradeVolume", {"pair": "NOPE"}, errors.UnknownAsset),
        ("public", "Guess", {}, errors.UnknownMethod),
        ("public", "Ticker", {"pair": "NOPE"}, errors.UnknownAsset),
    ],
)
def test_a_refusal_is_one_typed_error(
    twin: Twin, name: str, method: str, params: dict[str, Any], error: type[errors.KrakenAPIError]
) -> None:
    """Kraken's strings are in it."""
    with pytest.raises(error) as caught:
        twin(name, method, **params)
    assert type(caught.value) is error
    assert caught.value.errors
    assert caught.value.may_have_executed == "no"


def test_none_leaves_a_parameter_out(twin: Twin, rich: FakeAccount) -> None:
    """Also those that an order would be given otherwise."""
    twin("private", "AddOrder", pair="XBTUSD", **LIMIT, cl_ord_id=None, deadline=None, oflags=None)
    (order,) = rich.orders.values()
    assert order.cl_ord_id is None


@pytest.mark.parametrize("value", [1, 0, 1.0, Decimal(1), "True", "", []], ids=repr)
def test_a_boolean_is_a_boolean_or_its_name(twin: Twin, fake: FakeKraken, value: Any) -> None:
    """Nobody knows how Kraken reads what is equal to True, and is written as 1.0."""
    with pytest.raises(errors.ConfigError, match="Not sent: validate must be true or false"):
        twin("add_order", "XBTUSD", "buy", "1", "100", validate=value)
    assert fake.arrivals == []


TYPO = {**LIMIT, "close": {"ordertype": "stop-loss", "prise": "1"}}


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("AddOrder", TYPO, "'prise' of close in AddOrder. Did you mean price?"),
        ("AddOrderBatch", {"orders": [LIMIT, TYPO]}, "'prise' of close in AddOrderBatch"),
        ("AddOrderBatch", {"orders": ["buy", LIMIT]}, "each of the orders in AddOrderBatch must have its parameters"),
        ("AddOrderBatch", {"orders": [LIMIT, None]}, "each of the orders in AddOrderBatch must have its parameters"),
        ("AddOrder", {1: "1"}, "no parameter 1 of AddOrder"),
    ],
)
def test_what_kraken_might_ignore_is_refused_inside_of_orders(
    twin: Twin, fake: FakeKraken, method: str, params: dict[Any, Any], said: str
) -> None:
    """The order would be placed without it."""
    with pytest.raises(errors.ConfigError, match=f"Not sent: .*{re.escape(said)}"):
        twin("query_private", method, {"pair": "XBTUSD", **params})
    assert fake.arrivals == []


def test_an_order_of_a_batch_that_is_text_is_refused(twin: Twin, fake: FakeKraken) -> None:
    """By both ways to place a batch."""
    with pytest.raises(errors.ConfigError, match="Not sent: each of the orders"):
        twin("add_orders", "XBTUSD", ["buy", "sell"])
    with pytest.raises(errors.ConfigError, match="Not sent: each of the orders"):
        twin("private", "AddOrderBatch", pair="XBTUSD", orders=["buy"])
    assert fake.arrivals == []


@pytest.mark.parametrize("how", [{"txids": "42"}, {"cl_ord_ids": "42"}], ids=str)
def test_one_id_is_no_list_of_ids(twin: Twin, fake: FakeKraken, how: dict[str, str]) -> None:
    """Its digits would be taken for the userrefs 4 and 2, and their orders cancelled."""
    with pytest.raises(errors.ConfigError, match=r"Not sent: give the ids .* such as \['42'\]"):
        twin("cancel_orders", **how)
    assert fake.arrivals == []


def test_a_nonce_is_not_for_the_caller_to_give(twin: Twin, fake: FakeKraken) -> None:
    """The number is taken within the turn, or it would be out of order."""
    with pytest.raises(errors.ConfigError, match="Leave out nonce"):
        twin("private", "Balance", nonce=5)
    assert fake.arrivals == []


# --- the twins -------------------------------------------------------------------------------------------------


def public_names(kind: type) -> set[str]:
    """What a user sees of a class."""
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_twins_offer_the_same() -> None:
    """Whatever one client has, the other has as well."""
    assert public_names(Kraken) == public_names(AsyncKraken)


@pytest.mark.parametrize("name", [*sorted(public_names(Kraken) - {"calls"}), "__init__"])
def test_the_twins_take_the_same_arguments(name: str) -> None:
    """The same names, kinds and defaults; and each method has its description."""
    sync, other = getattr(Kraken, name), getattr(AsyncKraken, name)

    def arguments(method: Any) -> list[tuple[str, object, object]]:
        return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]

    assert arguments(sync) == arguments(other)
    assert name == "__init__" or (sync.__doc__ and other.__doc__)


@pytest.mark.parametrize("name", sorted(public_names(Kraken) - {"calls", "only", "trades", "ledger"}))
def test_each_method_of_the_async_client_is_awaited(name: str) -> None:
    """None of them blocks, and frameworks that ask can see it."""
    assert inspect.iscoroutinefunction(getattr(AsyncKraken, name))
    assert not inspect.iscoroutinefunction(getattr(Kraken, name))
