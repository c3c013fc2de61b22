from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from tests.integration.kraken.helpers import signed
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken

TOO_EXACT = "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."
UUID = "6d1b345e-2821-40e2-ad83-4ecb18a06876"
CLOSE = {"close[ordertype]": "limit", "close[price]": "60000"}


def at(seconds: float) -> str:
    """That many seconds from now on, as RFC 3339."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


def test_an_order_looks_as_kraken_shows_it(caller: Caller) -> None:
    """All fields of an open order, in Kraken's types and spelling."""
    txid = caller.place(userref="7", oflags="post", timeinforce="GTD", expiretm="+100")
    assert caller.result("OpenOrders")["open"] == {
        txid: {
            "refid": None,
            "userref": 7,
            "status": "open",
            "opentm": NOW,
            "starttm": 0,
            "expiretm": NOW + 100,
            "descr": {
                "pair": "XBTUSD",
                "aclass": "forex",
                "type": "buy",
                "ordertype": "limit",
                "price": "37500.0",
                "price2": "0",
                "leverage": "none",
                "order": "buy 1.25000000 XBTUSD @ limit 37500.0",
                "close": "",
            },
            "vol": "1.25000000",
            "vol_exec": "0.00000000",
            "cost": "0.00000",
            "fee": "0.00000",
            "price": "0.00000",
            "stopprice": "0.00000",
            "limitprice": "0.00000",
            "misc": "",
            "oflags": "post,fciq",
            "time_in_force": "gtd",
        }
    }


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"timeinforce": "IOC"}, "canceled"),
        ({"timeinforce": "FOK", "volume": "101", "price": "60030"}, "canceled"),
        ({"timeinforce": "FOK", "volume": "100", "price": "60030"}, "closed"),
        ({"oflags": "post", "price": "60030"}, "canceled"),
        ({"oflags": "post", "price": "60029.9"}, "open"),
        ({"timeinforce": "GTC"}, "open"),
    ],
)
def test_an_order_rests_only_where_it_may(caller: Caller, params: dict[str, Any], status: str) -> None:
    """IOC never rests, FOK fills wholly or not at all, post never takes."""
    order = caller.look(caller.place(**params))
    assert order["status"] == status
    assert order["vol_exec"] == (order["vol"] if status == "closed" else "0.00000000")


def test_what_ioc_could_not_fill_is_cancelled(caller: Caller) -> None:
    """The part that was there is filled."""
    order = caller.look(caller.place(timeinforce="IOC", volume="120", price="60030"))
    assert (order["status"], order["vol_exec"]) == ("canceled", "100.00000000")


def test_an_order_expires(caller: Caller) -> None:
    """GTD ends at expiretm, whenever that is looked at."""
    txid = caller.place(timeinforce="GTD", expiretm=str(int(NOW) + 30))
    caller.now += 29
    assert caller.look(txid)["status"] == "open"
    caller.now += 100
    order = caller.look(txid)
    assert (order["status"], order["closetm"]) == ("expired", int(NOW) + 30)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"pair": "GUESS"}, "EQuery:Unknown asset pair"),
        ({"timeinforce": "guess"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"timeinforce": "GTD"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expiretm": "1"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expiretm": "soon"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expiretm": "+4"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expiretm": f"+{32 * 86400}"}, "EGeneral:Invalid arguments:expiretm"),
        ({"starttm": "1"}, "EGeneral:Invalid arguments:starttm"),
        ({"starttm": "+60", "expiretm": "+60"}, "EGeneral:Invalid arguments:expiretm"),
        ({"leverage": "2:1"}, "EGeneral:Not simulated:leverage"),
        ({"reduce_only": "true"}, "EGeneral:Not simulated:reduce_only"),
        ({"ordertype": "settle-position"}, "EGeneral:Not simulated:settle-position"),
        ({"timeinforce": "FOK", "ordertype": "market"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"stptype": "guess"}, "EGeneral:Invalid arguments:stptype"),
        ({"trigger": "guess"}, "EGeneral:Invalid arguments:trigger"),
        ({"oflags": "guess"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "post", "ordertype": "market"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "post", "ordertype": "stop-loss"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "viqc"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "viqc", "ordertype": "market", "type": "sell"}, "EGeneral:Invalid arguments:oflags"),
        ({"ordertype": "guess"}, "EGeneral:Invalid arguments:ordertype"),
        ({"ordertype": "trailing-stop"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop", "price": "-5%"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "trailing-stop-limit", "price": "+5%", "price2": "5"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss-limit"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss", "price": "1.23"}, TOO_EXACT),
        ({"ordertype": "stop-loss-limit", "price2": "1.23"}, TOO_EXACT),
        ({"price": "-200%"}, "EOrder:Invalid price"),
        ({"price": "5%"}, "EGeneral:Invalid arguments:price"),
        ({"price": "1.2.3e5"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "iceberg"}, "EGeneral:Invalid arguments:displayvol"),
        ({"ordertype": "iceberg", "displayvol": "0.08"}, "EGeneral:Invalid arguments:display volume minimum not met"),
        ({"ordertype": "iceberg", "displayvol": "1.3"}, "EGeneral:Invalid arguments:display-volume"),
        ({"displayvol": "1"}, "EGeneral:Invalid arguments:iceberg:ordertype"),
        ({"close[ordertype]": "market"}, "EGeneral:Invalid arguments:close[ordertype]"),
        ({"close": "limit"}, "EGeneral:Invalid arguments:close"),
        ({"close[ordertype]": "limit"}, "EGeneral:Invalid arguments:close[price]"),
        ({**CLOSE, "close[ordertype]": "stop-loss-limit"}, "EGeneral:Invalid arguments:close[price2]"),
        ({**CLOSE, "close[price]": "1.23"}, TOO_EXACT),
        ({"userref": "2147483648"}, "EGeneral:Invalid arguments:userref"),
        ({"cl_ord_id": "nineteen characters"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "é"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "a", "userref": "1"}, "EGeneral:Invalid arguments:cl_ord_id"),
        (
            {"cl_ord_id": "a", "close[ordertype]": "limit", "close[price]": "60000"},
            "EGeneral:Invalid arguments:cl_ord_id",
        ),
        ({"volume": "0.000001"}, "EOrder:Order minimum not met"),
        ({"volume": "0.001", "price": "0.1", "pair": "USDTUSD"}, "EOrder:Order minimum not met"),
        ({"volume": "0.00005", "price": "0.1"}, "EOrder:Cost minimum not met"),
        ({"volume": "1.000000001"}, "EGeneral:Invalid arguments:volume"),
        ({"price": "1.23"}, TOO_EXACT),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": at(1.9)}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": at(60.1)}, "EGeneral:Invalid arguments:deadline"),
        ({"deadline": at(-0.1)}, "EService:Deadline elapsed"),
    ],
)
def test_a_wrong_order_is_refused(caller: Caller, params: dict[str, Any], error: str) -> None:
    """The answer says what is wrong, and nothing is placed."""
    assert caller.error("AddOrder", **ORDER | params) == error
    assert (caller.account.orders, caller.account.done) == ({}, {})


@pytest.mark.parametrize("cl_ord_id", [UUID, UUID.replace("-", ""), "eighteen signs 123", "a"])
def test_a_name_of_krakens_form_is_taken(caller: Caller, cl_ord_id: str) -> None:
    """A UUID with or without dashes, or up to 18 signs; it comes back with the order."""
    assert caller.look(caller.place(cl_ord_id=cl_ord_id))["cl_ord_id"] == cl_ord_id


def test_a_name_is_taken_while_its_order_is_open(fake: FakeKraken, caller: Caller, payer: Caller) -> None:
    """Not longer, and not by another account's order; the error's text is a switch."""
    txid = caller.place(cl_ord_id="mine")
    assert caller.error("AddOrder", **ORDER, cl_ord_id="mine") == "EOrder:Duplicate cl_ord_id"
    fake.rules.duplicate_cl_ord_id_error = "EOrder:Other words"
    assert caller.error("AddOrder", **ORDER, cl_ord_id="mine") == "EOrder:Other words"
    payer.place(volume="0.01", cl_ord_id="mine")
    caller.result("CancelOrder", txid=txid)
    assert caller.place(cl_ord_id="mine") != txid


def test_a_deadline_is_looked_at_when_the_order_is_processed(fake: FakeKraken, caller: Caller) -> None:
    """An order that had to wait on its way is refused after its deadline, whatever it was when it came."""
    params = {**ORDER, "deadline": at(5)}
    late = signed(caller.account, "AddOrder", 1, params)
    assert fake.answer(*late, NOW + 5.1, received=NOW) == {"error": ["EService:Deadline elapsed"]}
    in_time = signed(caller.account, "AddOrder", 2, params)
    assert fake.answer(*in_time, NOW + 4.9, received=NOW)["error"] == []


def test_a_conditional_close_is_described(caller: Caller) -> None:
    """It is in the description, as text."""
    close = {"close[ordertype]": "stop-loss-limit", "close[price]": "22000", "close[price2]": "21000"}
    descr = caller.result("AddOrder", **ORDER, **close)["descr"]
    assert descr["close"] == "close position @ stop loss 22000.0 -> limit 21000.0"


def test_a_volume_may_be_given_in_dollars(caller: Caller) -> None:
    """With viqc, a market order buys what the amount buys at the best price."""
    order = caller.look(caller.place(ordertype="market", price=None, volume="6003", oflags="viqc"))
    assert (order["vol"], order["cost"]) == ("0.10000000", "6003.00000")


@pytest.mark.parametrize("name", ["txid", "cl_ord_id", "userref"])
def test_an_order_is_cancelled_by_any_of_its_names(caller: Caller, name: str) -> None:
    """The id, the client's name, or its userref in place of the id; afterwards it is gone."""
    names = {} if name == "txid" else {name: "42"}
    txid = caller.place(**names)
    asked = {"cl_ord_id": "42"} if name == "cl_ord_id" else {"txid": txid if name == "txid" else "42"}
    assert caller.result("CancelOrder", **asked) == {"count": 1, "pending": False}
    order = caller.look(txid)
    assert (order["status"], order["reason"], order["closetm"]) == ("canceled", "User requested", NOW)
    assert caller.error("CancelOrder", **asked) == "EOrder:Invalid order"
    caller.fake.rules.unknown_order_error = "EOrder:Unknown order"
    assert caller.error("CancelOrder", **asked) == "EOrder:Unknown order"


def test_another_accounts_order_is_not_there(caller: Caller, payer: Caller) -> None:
    """It cannot be seen, cancelled or amended."""
    txid = caller.place()
    assert payer.result("OpenOrders") == {"open": {}}
    for method, params in (("QueryOrders", {}), ("CancelOrder", {}), ("AmendOrder", {"order_qty": "1"})):
        assert payer.error(method, txid=txid, **params) == "EOrder:Invalid order"


def test_both_names_of_an_order_have_to_be_its_own(caller: Caller) -> None:
    """An order is neither cancelled nor amended by one name if the other one is of another order."""
    named, other = caller.place(cl_ord_id="mine"), caller.place(userref="7")
    for txid in (other, "7", "gone"):
        assert caller.error("CancelOrder", txid=txid, cl_ord_id="mine") == "EOrder:Invalid order"
        assert caller.error("AmendOrder", txid=txid, cl_ord_id="mine", order_qty="1") == "EOrder:Invalid order"
    assert caller.result("CancelOrder", txid=named, cl_ord_id="mine")["count"] == 1
    assert list(caller.account.orders) == [other]


def test_cancelling_without_a_name_is_refused(caller: Caller) -> None:
    """Nothing is cancelled by mistake."""
    caller.place()
    assert caller.error("CancelOrder") == "EGeneral:Invalid arguments:txid"
    assert caller.error("CancelOrder", txid="") == "EOrder:Invalid order"
    assert caller.error("CancelOrder", cl_ord_id="none") == "EOrder:Invalid order"
    assert caller.error("CancelOrder", as_json=True, cl_ord_id=["none"]) == "EGeneral:Invalid arguments:cl_ord_id"
    assert caller.error("CancelOrder", as_json=True, txid=["none"]) == "EGeneral:Invalid arguments:txid"
    assert len(caller.account.orders) == 1


def test_a_bot_may_ask_whether_it_may_cancel(caller: Caller) -> None:
    """They send an empty id and the name of no order: infinity-grid 1.3.6 does at each start."""
    caller.place()
    assert caller.error("CancelOrder", txid="", cl_ord_id="none") == "EOrder:Invalid order"
    caller.place(cl_ord_id="mine")
    assert caller.result("CancelOrder", txid="", cl_ord_id="mine")["count"] == 1
    assert len(caller.account.orders) == 1


def test_a_currency_may_be_called_one(caller: Caller) -> None:
    """Kraken documents only tokenized_asset; infinity-grid 1.3.6 sends currency in each order."""
    txid = caller.place(asset_class="currency")
    assert caller.look(txid)["status"] == "open"
    assert caller.error("AddOrder", **ORDER, asset_class="tokenized_asset") == "EGeneral:Not simulated:tokenized_asset"
    assert caller.error("AddOrder", **ORDER, asset_class="forex") == "EGeneral:Invalid arguments:asset_class"


def test_an_order_may_name_its_broker(caller: Caller) -> None:
    """As each order of nautilus_trader 1.231.0 does. To the order itself it makes no difference."""
    txid = caller.place(broker="AA98+N84G+GOPN+GL6Y")
    assert caller.look(txid)["status"] == "open"


def test_all_orders_are_cancelled(caller: Caller) -> None:
    """And counted."""
    caller.place()
    caller.place(pair="ETHUSD", price="100")
    assert caller.result("CancelAll") == {"count": 2}
    assert caller.result("CancelAll") == {"count": 0}


def test_several_orders_are_cancelled(caller: Caller) -> None:
    """By id and by name in one call, as JSON; those that are gone are not counted."""
    one, two = caller.place(), caller.place(cl_ord_id="two")
    caller.place(cl_ord_id="three")
    caller.place(cl_ord_id="four")
    orders, names = [one, {"txid": "gone"}], ["two", {"cl_ord_id": "four"}]
    answer = caller.result("CancelOrderBatch", as_json=True, orders=orders, cl_ord_ids=names)
    assert answer == {"count": 3}
    assert [order.cl_ord_id for order in caller.account.orders.values()] == ["three"]
    assert caller.error("CancelOrderBatch", as_json=True, orders=[one, two]) == "EOrder:Invalid order"
    assert caller.error("CancelOrderBatch", as_json=True, orders=["x"] * 51) == "EGeneral:Invalid arguments:orders"


def test_the_dead_mans_switch_cancels_all_orders(caller: Caller) -> None:
    """When its time has come all orders are cancelled; another call puts it off, 0 switches it off."""
    txid = caller.place()
    assert caller.result("CancelAllOrdersAfter", timeout=60) == {
        "currentTime": "2023-11-14T22:13:20Z",
        "triggerTime": "2023-11-14T22:14:20Z",
    }
    caller.now += 50
    caller.result("CancelAllOrdersAfter", timeout=60)
    caller.now += 50
    assert caller.look(txid)["status"] == "open"
    caller.now += 11
    assert caller.look(txid)["closetm"] == NOW + 110
    kept = caller.place()
    caller.result("CancelAllOrdersAfter", timeout=1)
    assert caller.result("CancelAllOrdersAfter", timeout=0)["triggerTime"] == "0"
    caller.now += 100
    assert caller.look(kept)["status"] == "open"
    assert caller.error("CancelAllOrdersAfter", timeout=86400) == "EGeneral:Invalid arguments:timeout"


def test_an_order_that_has_ended_is_not_filled(caller: Caller) -> None:
    """The switch has cancelled it, or it has expired, although no call has come since then."""
    txid = caller.place()
    caller.result("CancelAllOrdersAfter", timeout=1)
    caller.fake.set_price("XBTUSD", "30000", NOW + 2)
    assert (caller.look(txid)["status"], caller.look(txid)["vol_exec"]) == ("canceled", "0.00000000")
    txid = caller.place(price="10000", timeinforce="GTD", expiretm=str(int(NOW) + 30))
    with pytest.raises(ConfigError, match="No order"):
        caller.fake.fill(txid, now=NOW + 31)


@pytest.mark.parametrize(("expires", "status", "ended"), [(5, "expired", 5), (30, "canceled", 10)])
def test_an_order_ends_once(caller: Caller, expires: int, status: str, ended: int) -> None:
    """What came first has ended it, also when both are looked at later."""
    caller.now = int(NOW)
    txid = caller.place(timeinforce="GTD", expiretm=str(caller.now + expires))
    caller.result("CancelAllOrdersAfter", timeout=10)
    caller.now += 100
    order = caller.look(txid)
    assert (order["status"], order["closetm"]) == (status, int(NOW) + ended)


def test_an_order_is_amended_in_place(caller: Caller) -> None:
    """It keeps its id; a new limit within the market is filled."""
    txid = caller.place(cl_ord_id="mine")
    amend_id = caller.result("AmendOrder", cl_ord_id="mine", order_qty="2", limit_price="40000.5")["amend_id"]
    assert amend_id.startswith("T")
    order = caller.look(txid)
    assert (order["vol"], order["descr"]["price"], order["status"]) == ("2.00000000", "40000.5", "open")
    caller.result("AmendOrder", txid=txid, limit_price="60030")
    assert caller.look(txid)["status"] == "closed"


def test_an_amended_order_is_paid_with_what_it_had_set_aside(payer: Caller) -> None:
    """A little more than before is asked for, not all of it once more."""
    txid = payer.place(volume="0.19", price="50000")
    assert payer.result("AmendOrder", txid=txid, limit_price="51000")
    assert payer.error("AmendOrder", txid=txid, limit_price="53000") == "EOrder:Insufficient funds"
    assert payer.look(txid)["descr"]["price"] == "51000.0"


def test_a_wrong_amendment_changes_nothing(payer: Caller) -> None:
    """Nothing to change, too many decimals, too dear, a price it does not have, or taking what it should not take."""
    txid = payer.place(volume="0.1")
    payer.fake.fill(txid, "0.05", NOW)
    before = payer.look(txid)
    for same in ({}, {"limit_price": "37500.0"}, {"order_qty": "0.10"}, {"post_only": "true"}):
        assert payer.error("AmendOrder", txid=txid, **same) == "EOrder:No amendable parameters specified"
    assert payer.error("AmendOrder", txid=txid, trigger_price="40000") == "EGeneral:Invalid arguments:trigger_price"
    assert payer.error("AmendOrder", txid=txid, display_qty="0.05") == "EGeneral:Invalid arguments:display_qty"
    assert payer.error("AmendOrder", txid=txid, limit_price="1.23").startswith("EOrder:Invalid price")
    assert payer.error("AmendOrder", txid=txid, order_qty="10") == "EOrder:Insufficient funds"
    assert payer.error("AmendOrder", txid=txid, limit_price="60030", post_only="true") == "EOrder:Post only order"
    assert payer.look(txid) == before


def test_an_amendment_below_what_is_filled_cancels_the_rest(caller: Caller) -> None:
    """The filled part stays."""
    txid = caller.place()
    caller.fake.fill(txid, "0.5", NOW)
    caller.result("AmendOrder", txid=txid, order_qty="0.5")
    order = caller.look(txid)
    assert (order["status"], order["vol_exec"]) == ("canceled", "0.50000000")


def test_an_amended_order_keeps_its_place_if_it_becomes_smaller(fake: FakeKraken, caller: Caller) -> None:
    """If it becomes larger, or its limit changes, it goes behind the others."""
    first, second = (Caller(fake, fake.add_account(name)) for name in "ab")
    one, two = first.place(price="60000", volume="2"), second.place(price="60000", volume="1")
    first.result("AmendOrder", txid=one, order_qty="1")
    caller.place(type="sell", ordertype="market", volume="0.1")
    assert [first.look(one)["vol_exec"], second.look(two)["vol_exec"]] == ["0.10000000", "0.00000000"]
    first.result("AmendOrder", txid=one, order_qty="1.5")
    caller.place(type="sell", ordertype="market", volume="0.2")
    assert [first.look(one)["vol_exec"], second.look(two)["vol_exec"]] == ["0.10000000", "0.20000000"]


def test_an_amended_limit_may_be_relative_to_the_market(caller: Caller) -> None:
    """In dollars or percent."""
    txid = caller.place()
    caller.fake.set_price("XBTUSD", "58000", NOW)
    caller.result("AmendOrder", txid=txid, limit_price="-1000")
    assert caller.look(txid)["descr"]["price"] == "57000.0"
    caller.result("AmendOrder", txid=txid, limit_price="-1%")
    assert caller.look(txid)["descr"]["price"] == "57420.0"


def test_an_edited_order_is_another_one(caller: Caller) -> None:
    """The old one is cancelled and the new one placed, under another id."""
    old = caller.place(userref="5")
    answer = caller.result("EditOrder", pair="XBTUSD", txid=old, price="38000")
    assert (answer["originaltxid"], answer["status"], answer["orders_cancelled"]) == (old, "ok", 1)
    assert caller.look(old)["status"] == "canceled"
    order = caller.look(answer["txid"])
    assert (order["vol"], order["descr"]["price"], order["userref"]) == ("1.25000000", "38000.0", None)
    assert caller.error("EditOrder", pair="ETHUSD", txid=answer["txid"]) == "EGeneral:Invalid arguments:pair"


def test_an_edit_keeps_the_flags_but_post_and_userref_have_to_be_named(caller: Caller) -> None:
    """Named again, they are there; other flags cannot be changed."""
    old = caller.place(userref="5", oflags="post,fcib")
    assert caller.error("EditOrder", pair="XBTUSD", txid=old, oflags="nompp") == "EGeneral:Invalid arguments:oflags"
    new = caller.result("EditOrder", pair="XBTUSD", txid="5", price="38000")["txid"]
    assert [caller.look(new)[name] for name in ("oflags", "userref")] == ["fcib", None]
    new = caller.result("EditOrder", pair="XBTUSD", txid=new, volume="2", oflags="post", userref="6")["txid"]
    assert [caller.look(new)[name] for name in ("oflags", "userref", "vol")] == ["fcib,post", 6, "2.00000000"]


def test_some_orders_cannot_be_edited(caller: Caller) -> None:
    """One with a client order id, with a conditional close, triggered, not the only one of its userref, or filled."""
    close = {"close[ordertype]": "limit", "close[price]": "70000"}
    stop = {"ordertype": "stop-loss-limit", "price": "59900", "price2": "59000", "type": "sell"}
    triggered, filled = caller.place(**stop), caller.place(price="10000")
    caller.fake.set_price("XBTUSD", "58000", NOW)
    assert caller.look(triggered)["status"] == "open"
    for txid in (caller.place(cl_ord_id="x"), caller.place(**close), triggered):
        assert caller.error("EditOrder", pair="XBTUSD", txid=txid, price="60000") == "EOrder:Order not editable"
    caller.fake.rules.edits_named_orders = True
    assert caller.result("EditOrder", pair="XBTUSD", txid=caller.place(cl_ord_id="y"), price="38000")["txid"]
    caller.place(userref="1")
    caller.place(userref="1")
    assert caller.error("EditOrder", pair="XBTUSD", txid="1", price="38000") == "EOrder:Order not editable"
    caller.fake.fill(filled, "1", NOW)
    assert caller.error("EditOrder", pair="XBTUSD", txid=filled, volume="0.9") == "EOrder:Not enough leaves qty"
    assert caller.result("EditOrder", pair="XBTUSD", txid=filled, volume="1")["txid"]


def test_an_edit_may_be_tried_first(caller: Caller) -> None:
    """With validate nothing changes."""
    txid = caller.place()
    assert "txid" not in caller.result("EditOrder", pair="XBTUSD", txid=txid, price="38000", validate="true")
    assert list(caller.account.orders) == [txid]


def line(**params: str) -> dict[str, str]:
    """One line of a batch."""
    return {"type": "buy", "ordertype": "limit", "volume": "0.1", "price": "50000"} | params


def test_a_batch_places_what_it_can(payer: Caller) -> None:
    """Each line has an id of its own, or an error; the call itself succeeds."""
    lines = [line(cl_ord_id="one"), line(cl_ord_id="one"), line(type="sell", price="70000", volume="0.2")]
    first, second, third = payer.result("AddOrderBatch", as_json=True, pair="XBTUSD", orders=lines)["orders"]
    assert first["descr"] == {"order": "buy 0.10000000 XBTUSD @ limit 50000.0"}
    assert second == {"error": "EOrder:Duplicate cl_ord_id"}
    assert list(payer.account.orders) == [first["txid"], third["txid"]]
    (fourth,) = payer.result("AddOrderBatch", as_json=True, pair="XBTUSD", orders=[line(), line()])["orders"][:1]
    assert fourth == {"error": "EOrder:Insufficient funds"}


@pytest.mark.parametrize("orders", [[line()], [line()] * 16, "x", [line(), "x"], None])
def test_a_batch_has_two_to_fifteen_lines(caller: Caller, orders: Any) -> None:
    """Any other number is refused, and so is what is no list of objects."""
    error = caller.error("AddOrderBatch", as_json=True, pair="XBTUSD", orders=orders)
    assert error == "EGeneral:Invalid arguments:orders"


def test_a_batch_may_be_tried_first(caller: Caller) -> None:
    """With validate nothing is placed."""
    answer = caller.result("AddOrderBatch", as_json=True, pair="XBTUSD", orders=[line(), line()], validate=True)
    assert [list(each) for each in answer["orders"]] == [["descr"], ["descr"]]
    assert caller.account.orders == {}


def test_closed_orders_come_in_pages_of_fifty(caller: Caller) -> None:
    """The newest first, with the grand total; start, end, userref and cl_ord_id choose among them."""
    placed = []
    for second in range(60):
        caller.now = NOW + second
        placed.append(caller.place(timeinforce="IOC", userref=str(second % 2 + 1)))
    first = caller.result("ClosedOrders")
    assert (len(first["closed"]), first["count"]) == (50, 60)
    assert list(first["closed"]) == placed[:9:-1]
    assert list(caller.result("ClosedOrders", ofs=50)["closed"]) == placed[9::-1]
    assert caller.result("ClosedOrders", start=NOW + 10, end=NOW + 20)["count"] == 10
    assert caller.result("ClosedOrders", start=placed[10], end=placed[20])["count"] == 10
    assert caller.result("ClosedOrders", userref=1)["count"] == 30
    assert caller.result("ClosedOrders", cl_ord_id="none") == {"closed": {}, "count": 0}
    assert caller.error("ClosedOrders", ofs="-1") == "EGeneral:Invalid arguments:ofs"
    assert caller.error("ClosedOrders", start="soon") == "EGeneral:Invalid arguments:start"


def test_trades_and_ledgers_come_in_pages_too(payer: Caller) -> None:
    """Fifty at a time, with the grand total."""
    for _ in range(51):
        payer.place(ordertype="market", price=None, volume="0.0001")
    for method, name, count in (("TradesHistory", "trades", 51), ("Ledgers", "ledger", 102)):
        page = payer.result(method)
        assert (len(page[name]), page["count"]) == (50, count)
        rest = payer.result(method, ofs=50)[name]
        assert len(rest) == min(50, count - 50)
        assert not set(rest) & set(page[name])


def test_orders_are_asked_for_by_id(caller: Caller) -> None:
    """Several at once, fifty at most; a userref chooses among them. There is no choice by cl_ord_id."""
    one, two = caller.place(userref="1"), caller.place(cl_ord_id="two")
    assert set(caller.result("QueryOrders", txid=f"{one},{two}")) == {one, two}
    assert caller.error("QueryOrders", txid=one, cl_ord_id="two") == "EGeneral:Invalid arguments:cl_ord_id"
    assert set(caller.result("QueryOrders", txid=f"{one},{two}", userref="1")) == {one}
    assert caller.error("QueryOrders", txid="OAAAAA-BBBBB-CCCCCC") == "EOrder:Invalid order"
    assert caller.error("QueryOrders") == "EGeneral:Invalid arguments:txid"
    assert caller.error("QueryOrders", txid=",".join([one] * 51)) == "EGeneral:Invalid arguments:txid"


def test_a_hidden_order_is_nowhere(caller: Caller) -> None:
    """Neither open nor closed nor by its id, until its time has come; it can be cancelled all the same."""
    txid = caller.result("AddOrder", hidden_for=5.0, cl_ord_id="mine", **ORDER)["txid"][0]
    assert caller.result("OpenOrders")["open"] == {}
    assert caller.error("QueryOrders", txid=txid) == "EOrder:Invalid order"
    assert caller.result("CancelOrder", txid=txid)["count"] == 1
    assert caller.result("ClosedOrders", cl_ord_id="mine")["count"] == 0
    caller.now += 5
    assert caller.result("ClosedOrders", cl_ord_id="mine")["count"] == 1
    assert caller.look(txid)["status"] == "canceled"


def test_a_token_for_the_websocket_is_given(caller: Caller) -> None:
    """Another one each time, for 900 seconds."""
    one, two = (caller.result("GetWebSocketsToken") for _ in range(2))
    assert (one["expires"], one["token"] != two["token"]) == (900, True)
