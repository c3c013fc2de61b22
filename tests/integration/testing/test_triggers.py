"""Orders that wait for a price, hide a part, follow another order, or begin later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from krakenonce.testing.executions import Execution

# XBTUSD is at 60000: the market maker buys 100 at 59970 and less, and sells 100 at 60030 and more.
SMALL: dict[str, Any] = {"volume": "0.1"}


@pytest.mark.parametrize(
    ("kind", "side", "stop", "before", "reached"),
    [
        ("stop-loss", "sell", "58000", "58000.1", "58000"),
        ("stop-loss", "buy", "62000", "61999.9", "62000"),
        ("take-profit", "sell", "62000", "61999.9", "62000"),
        ("take-profit", "buy", "58000", "58000.1", "58000"),
    ],
)
def test_a_price_triggers_an_order(
    fake: FakeKraken, caller: Caller, kind: str, side: str, stop: str, before: str, reached: str
) -> None:
    """From the direction that its kind and side say; then it is a market order."""
    txid = caller.place(**SMALL, ordertype=kind, type=side, price=stop)
    fake.set_price("XBTUSD", before, NOW)
    order = caller.look(txid)
    assert (order["status"], order["stopprice"], order["trigger"]) == ("open", f"{stop}.00000", "last")
    assert order["descr"]["order"] == f"{side} 0.10000000 XBTUSD @ {kind.replace('-', ' ')} {stop}.0"
    fake.set_price("XBTUSD", reached, NOW + 1)
    order = caller.look(txid)
    assert (order["status"], order["closetm"], order["descr"]["ordertype"]) == ("closed", NOW + 1, kind)
    (trade,) = caller.result("TradesHistory")["trades"].values()
    assert (trade["ordertype"], trade["tradeordertype"], trade["maker"]) == (kind, "market", False)


def test_a_triggered_limit_order_rests_at_its_limit(fake: FakeKraken, caller: Caller) -> None:
    """Before, it shows both prices; afterwards the limit, as Kraken does."""
    txid = caller.place(**SMALL, ordertype="stop-loss-limit", type="sell", price="58000", price2="57990")
    order = caller.look(txid)
    assert (order["stopprice"], order["limitprice"]) == ("58000.00000", "57990.00000")
    assert (order["descr"]["price"], order["descr"]["price2"]) == ("58000.0", "57990.0")
    assert order["descr"]["order"] == "sell 0.10000000 XBTUSD @ stop loss 58000.0 -> limit 57990.0"
    assert caller.public("Depth", "pair=XBTUSD&count=1")["XXBTZUSD"]["asks"][0][0] == "60030.00000"
    fake.set_price("XBTUSD", "57000", NOW)
    order = caller.look(txid)
    assert (order["status"], order["stopprice"], order["misc"]) == ("open", "0.00000", "touched")
    assert (order["descr"]["price"], order["descr"]["price2"]) == ("57990.0", "0")
    assert order["descr"]["order"] == "sell 0.10000000 XBTUSD @ limit 57990.0"
    fake.set_price("XBTUSD", "58500", NOW + 1)
    assert caller.look(txid)["status"] == "closed"


def test_a_trade_triggers_an_order_and_the_index_does_not(fake: FakeKraken, caller: Caller) -> None:
    """``last`` looks at trades, ``index`` at the reference price only."""
    other = Caller(fake, fake.add_account("other"))
    stop = {"ordertype": "stop-loss", "type": "buy", "price": "60050"}
    by_index = caller.place(**SMALL, **stop, trigger="index")
    other.place(ordertype="market", volume="150")  # it trades at 60030, then at 60060
    by_last = caller.place(**SMALL, **stop)
    assert (caller.look(by_last)["status"], caller.look(by_index)["status"]) == ("closed", "open")
    fake.set_price("XBTUSD", "60050", NOW)
    assert caller.look(by_index)["status"] == "closed"


def test_one_trigger_may_lead_to_the_next(fake: FakeKraken, caller: Caller) -> None:
    """What a triggered order trades is a price like any other."""
    other = Caller(fake, fake.add_account("other"))
    first = caller.place(ordertype="stop-loss", type="buy", price="60030", volume="150")
    second = caller.place(**SMALL, ordertype="stop-loss", type="buy", price="60060")
    other.place(**SMALL, ordertype="market")
    assert [caller.look(each)["status"] for each in (first, second)] == ["closed", "closed"]


def test_an_order_whose_price_is_passed_already_is_triggered_at_once(caller: Caller) -> None:
    """No source says that Kraken refuses it."""
    assert caller.look(caller.place(**SMALL, ordertype="stop-loss", type="sell", price="61000"))["status"] == "closed"


@pytest.mark.parametrize(
    ("side", "away", "stop", "back"), [("sell", "64000", "60800.0", "60800"), ("buy", "56000", "58800.0", "58800")]
)
def test_a_trailing_stop_follows_the_market(
    fake: FakeKraken, caller: Caller, side: str, away: str, stop: str, back: str
) -> None:
    """In the good direction only; it is triggered when the market comes back by so much."""
    txid = caller.place(**SMALL, ordertype="trailing-stop", type=side, price="+5%")
    order = caller.look(txid)
    assert order["stopprice"] == ("57000.00000" if side == "sell" else "63000.00000")
    assert (order["descr"]["price"], order["descr"]["order"].partition("@ ")[2]) == (
        "+5.0000%",
        "trailing stop +5.0000%",
    )
    fake.set_price("XBTUSD", away, NOW)
    assert caller.look(txid)["stopprice"] == f"{stop}0000"
    fake.set_price("XBTUSD", "61000" if side == "sell" else "58700", NOW)
    order = caller.look(txid)
    assert (order["status"], order["stopprice"]) == ("open", f"{stop}0000")
    fake.set_price("XBTUSD", back, NOW)
    assert caller.look(txid)["status"] == "closed"


def test_a_trailing_limit_is_set_when_it_is_triggered(fake: FakeKraken, caller: Caller) -> None:
    """Its limit is that far from the stop."""
    txid = caller.place(**SMALL, ordertype="trailing-stop-limit", type="sell", price="+1000", price2="+50")
    descr = caller.look(txid)["descr"]
    assert (descr["price"], descr["price2"]) == ("+1000.0", "+50.0")
    assert descr["order"] == "sell 0.10000000 XBTUSD @ trailing stop +1000.0 -> limit +50.0"
    fake.set_price("XBTUSD", "59000", NOW)
    assert (caller.look(txid)["status"], caller.look(txid)["descr"]["price"]) == ("open", "59050.0")


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"price": "-1000"}, ("59000.0", "0")),
        ({"price": "-10%"}, ("54000.0", "0")),
        ({"price": "#1000"}, ("59000.0", "0")),
        ({"price": "#1%", "type": "sell"}, ("60600.0", "0")),
        ({"price": "+0.5", "type": "sell", "ordertype": "take-profit"}, ("60000.5", "0")),
        ({"price": "#100", "type": "sell", "ordertype": "stop-loss"}, ("59900.0", "0")),
        ({"price": "#100", "ordertype": "stop-loss"}, ("60100.0", "0")),
        ({"price": "#100", "price2": "#1%", "ordertype": "take-profit-limit"}, ("59900.0", "59400.0")),
    ],
)
def test_a_price_may_be_relative_to_the_last_one(
    caller: Caller, params: dict[str, Any], shown: tuple[str, str]
) -> None:
    """``+`` and ``-`` say the direction; ``#`` takes that of the order."""
    descr = caller.look(caller.place(**SMALL, **params))["descr"]
    assert (descr["price"], descr["price2"]) == shown


def test_an_iceberg_order_shows_a_part_of_it(fake: FakeKraken, caller: Caller) -> None:
    """The book has the part that it shows; what it trades is all of it. What is shown may be changed."""
    txid = caller.place(ordertype="iceberg", price="60000", volume="3", displayvol="0.5")
    assert caller.look(txid)["descr"]["order"] == "buy 3.00000000 XBTUSD @ iceberg 60000.0"

    def shown() -> list[str]:
        return list(caller.public("Depth", "pair=XBTUSD&count=1")["XXBTZUSD"]["bids"][0][:2])

    assert shown() == ["60000.00000", "0.500"]
    caller.result("AmendOrder", txid=txid, display_qty="1")
    assert shown() == ["60000.00000", "1.000"]
    error = caller.error("AmendOrder", txid=txid, display_qty="0.1")
    assert error == "EGeneral:Invalid arguments:display volume minimum not met"
    Caller(fake, fake.add_account("other")).place(ordertype="market", type="sell", volume="2.6")
    assert (caller.look(txid)["vol_exec"], shown()) == ("2.60000000", ["60000.00000", "0.400"])


def test_a_conditional_close_is_placed_for_what_is_filled(fake: FakeKraken, payer: Caller) -> None:
    """In the opposite direction, with the first order as its ``refid``; offsets are from the price of the fill."""
    close = {"close[ordertype]": "stop-loss-limit", "close[price]": "#5%", "close[price2]": "#6%"}
    first = payer.place(**SMALL, price="50000", **close)
    assert payer.look(first)["descr"]["close"] == "close position @ stop loss #5.0000% -> limit #6.0000%"
    assert list(payer.account.orders) == [first]
    fake.fill(first, "0.04", NOW)
    fake.fill(first, now=NOW)
    rows = payer.result("OpenOrders")["open"].values()
    assert [(row["refid"], row["vol"], row["status"]) for row in rows] == [
        (first, "0.04000000", "open"),
        (first, "0.06000000", "open"),
    ]
    assert {row["descr"]["order"].partition(" @ ")[2] for row in rows} == {"stop loss 47500.0 -> limit 47000.0"}
    assert {row["descr"]["type"] for row in rows} == {"sell"}
    assert payer.result("BalanceEx")["XXBT"]["hold_trade"] == "0.1000000000"


def test_a_close_that_is_reached_is_filled_like_any_order(fake: FakeKraken, caller: Caller) -> None:
    """One call makes both trades."""
    close = {"close[ordertype]": "limit", "close[price]": "59000"}
    txid = caller.place(**SMALL, ordertype="market", **close)
    assert caller.look(txid)["status"] == "closed"
    assert sorted(each["type"] for each in caller.result("TradesHistory")["trades"].values()) == ["buy", "sell"]


def test_an_order_begins_at_its_time(fake: FakeKraken, payer: Caller) -> None:
    """Until then it is pending, holds its funds, and trades with nobody."""
    txid = payer.place(**SMALL, ordertype="market", price=None, starttm="+60")
    resting = payer.place(volume="0.05", price="50000", starttm=str(int(NOW) + 60))
    order = payer.look(resting)
    assert (order["status"], order["starttm"], "closetm" in order) == ("pending", int(NOW) + 60, False)
    assert payer.result("BalanceEx")["ZUSD"]["hold_trade"] == "2506.5000"
    with pytest.raises(ConfigError, match="waits"):
        fake.fill(resting, now=NOW)
    fake.set_price("XBTUSD", "40000", NOW + 1)
    assert payer.look(resting)["status"] == "pending"
    fake.set_price("XBTUSD", "60000", NOW + 2)
    payer.now += 60
    assert (payer.look(txid)["status"], payer.look(resting)["status"]) == ("closed", "open")
    later = payer.place(type="sell", volume="0.1", price="70000", starttm="+60")
    assert payer.result("CancelOrder", txid=later)["count"] == 1
    payer.now += 100
    assert payer.look(later)["status"] == "canceled"


def test_a_waiting_order_is_cancelled_expires_and_is_amended(fake: FakeKraken, caller: Caller) -> None:
    """Like one in the book; then no price triggers it any more."""
    stop: dict[str, Any] = {**SMALL, "ordertype": "stop-loss", "type": "sell", "price": "58000"}
    gone, late, kept = caller.place(**stop), caller.place(**stop, expiretm="+10"), caller.place(**stop)
    trailing = caller.place(**stop | {"ordertype": "trailing-stop", "price": "+100"})
    caller.result("CancelOrder", txid=gone)
    caller.result("AmendOrder", txid=kept, trigger_price="57000")
    caller.result("AmendOrder", txid=trailing, trigger_price="+5000")
    assert caller.look(trailing)["stopprice"] == "55000.00000"
    caller.now += 20
    fake.set_price("XBTUSD", "57500", caller.now)
    statuses = [caller.look(each)["status"] for each in (gone, late, kept, trailing)]
    assert statuses == ["canceled", "expired", "open", "open"]
    fake.set_price("XBTUSD", "57000", caller.now)
    assert caller.look(kept)["status"] == "closed"
    assert caller.error("AmendOrder", txid=trailing, limit_price="1") == "EGeneral:Invalid arguments:limit_price"


def test_a_waiting_order_is_edited(fake: FakeKraken, caller: Caller) -> None:
    """The new one waits for the new price; what is not named stays."""
    old = caller.place(**SMALL, ordertype="stop-loss-limit", type="sell", price="58000", price2="57000")
    answer = caller.result("EditOrder", pair="XBTUSD", txid=old, price="57500", price2="56500")
    assert (answer["price"], answer["price2"]) == ("57500.0", "56500.0")
    trailing = caller.place(**SMALL, ordertype="trailing-stop-limit", type="sell", price="+1%", price2="-5")
    new = caller.result("EditOrder", pair="XBTUSD", txid=trailing, volume="0.2")["txid"]
    assert caller.look(new)["descr"]["order"].endswith("@ trailing stop +1.0000% -> limit -5.0")


def test_a_waiting_order_sets_its_funds_aside(payer: Caller) -> None:
    """A buyer by its stop, as it has no other price."""
    stop: dict[str, Any] = {"ordertype": "stop-loss", "type": "buy", "price": "70000"}
    payer.place(**stop, volume="0.1")
    assert payer.result("BalanceEx")["ZUSD"]["hold_trade"] == "7018.2000"
    assert payer.error("AddOrder", **ORDER | stop | {"volume": "0.1"}) == "EOrder:Insufficient funds"


def test_an_order_that_can_no_longer_be_paid_is_cancelled(fake: FakeKraken, payer: Caller) -> None:
    """When it is triggered, when it starts, and as a conditional close: no balance falls below 0."""
    stop = payer.place(ordertype="stop-loss", price="61000", volume="0.1")
    late = payer.place(ordertype="market", volume="0.06", starttm="+10")
    closed = {"close[ordertype]": "limit", "close[price]": "59000"}
    payer.place(type="sell", price="59000", volume="0.4", **closed)
    follower = next(reversed(payer.account.orders))
    payer.result("Withdraw", asset="USD", key="fake-key", amount="4000")
    fake.set_price("XBTUSD", "120000", NOW)
    payer.now += 10
    for txid in (stop, late):
        order = payer.look(txid)
        assert (order["status"], order["reason"], order["vol_exec"]) == ("canceled", "Insufficient funds", "0.00000000")
    assert payer.look(follower)["status"] == "open"
    assert min(payer.account.balances.values()) >= 0
    payer.result("CancelAll")
    assert payer.result("BalanceEx")["ZUSD"]["hold_trade"] == "0.0000"


def test_a_conditional_close_that_cannot_be_paid_is_cancelled(payer: Caller) -> None:
    """It is placed for what the first order sold, at a price that costs more than that."""
    closed = {"close[ordertype]": "stop-loss", "close[price]": "90000"}
    payer.place(type="sell", ordertype="market", volume="0.5", **closed)
    (first, follower) = payer.account.done.values()
    assert (follower.refid, follower.status, follower.reason) == (first.txid, "canceled", "Insufficient funds")


def test_a_conditional_close_shows_no_part(caller: Caller) -> None:
    """Kraken documents an iceberg order as a close, but not how much of it is shown."""
    refused = caller.error("AddOrder", **ORDER, **{"close[ordertype]": "iceberg", "close[price]": "70000"})
    assert refused == "EGeneral:Not simulated:close[ordertype]=iceberg"


def test_a_triggered_order_pays_what_it_costs(fake: FakeKraken, payer: Caller) -> None:
    """Its stop is no part of it."""
    txid = payer.place(ordertype="stop-loss", price="61000", volume="0.15")
    fake.set_price("XBTUSD", "61000", NOW)
    assert payer.look(txid)["status"] == "closed"


@pytest.mark.parametrize(
    ("stptype", "new", "old"),
    [
        ("cancel-newest", "canceled", "open"),
        ("cancel-oldest", "closed", "canceled"),
        ("cancel-both", "canceled", "canceled"),
    ],
)
def test_what_an_account_would_trade_with_itself_is_cancelled(caller: Caller, stptype: str, new: str, old: str) -> None:
    """The arriving order, the resting one, or both."""
    resting = caller.place(price="60000", volume="1")
    order = caller.place(type="sell", price="59900", volume="1", stptype=stptype)
    assert (caller.look(order)["status"], caller.look(resting)["status"]) == (new, old)


def test_each_change_of_an_order_is_told(fake: FakeKraken, caller: Caller) -> None:
    """For a feed: what happened, to which order, when, and the trade."""
    told: list[Execution] = []
    fake._engine.listeners.append(told.append)
    close = {"close[ordertype]": "take-profit", "close[price]": "61000"}
    caller.place(**SMALL, price="50000", **close)
    (order,) = caller.account.orders.values()
    caller.result("AmendOrder", txid=order.txid, limit_price="51000")
    fake.fill(order.txid, now=NOW + 1)
    fake.set_price("XBTUSD", "61000", NOW + 2)
    late = caller.place(expiretm="+5")
    caller.result("CancelOrder", txid=caller.place())
    caller.now += 10
    caller.result("Balance")
    changes = [each.change for each in told]
    assert changes == [
        *("new", "amended", "trade", "filled"),
        *("new", "triggered", "trade", "filled"),
        *("new", "new", "canceled", "expired"),
    ]
    trade = told[2]
    assert (trade.order, f"{trade.price:f}", f"{trade.volume:f}", trade.at) == (order, "51000", "0.1", NOW + 1)
    assert trade.trade_id in caller.account.trades
    assert (told[-1].order.txid, told[-1].at) == (late, NOW + 5)
