from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import ConfigError
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken

# XBTUSD is at 60000: the market maker buys 100 at 59970 and less, and sells 100 at 60030 and more.
MARKET = {"ordertype": "market", "price": None}


def test_a_market_order_is_filled_at_the_best_price(payer: Caller) -> None:
    """It is closed at once, with average price, cost and fee; the balances have moved by just that."""
    order = payer.look(payer.place(**MARKET, volume="0.1"))
    assert (order["status"], order["vol_exec"], order["price"]) == ("closed", "0.10000000", "60030.00000")
    assert (order["cost"], order["fee"]) == ("6003.00000", "15.60780")
    assert payer.result("Balance") == {"ZUSD": "3981.3922", "XXBT": "0.6000000000"}


def test_a_large_market_order_walks_down_the_book(caller: Caller) -> None:
    """What the first level does not have comes from the next one."""
    order = caller.look(caller.place(**MARKET, volume="150"))
    assert (order["status"], order["price"]) == ("closed", "60040.00000")
    trades = caller.result("TradesHistory", consolidate_taker=False)["trades"].values()
    assert sorted((trade["price"], trade["vol"]) for trade in trades) == [
        ("60030.00000", "100.00000000"),
        ("60060.00000", "50.00000000"),
    ]
    (one,) = caller.result("TradesHistory")["trades"].items()
    assert (one[1]["price"], one[1]["vol"]) == ("60040.00000", "150.00000000")
    (shown,) = caller.result("QueryOrders", txid=one[1]["ordertxid"], trades=True).values()
    assert shown["trades"] == [one[0]]


def test_an_answer_has_the_name_that_was_asked_for(caller: Caller) -> None:
    """If that has a slash, such as BTC/USD; for any other name of a pair it has Kraken's own name."""
    for method in ("AssetPairs", "Ticker", "Depth", "OHLC", "Trades", "Spread"):
        for asked, shown in (
            ("BTC/USD", "BTC/USD"),
            ("XBT/USD", "XBT/USD"),
            ("XBTUSD", "XXBTZUSD"),
            ("BTCUSD", "XXBTZUSD"),
        ):
            assert next(iter(caller.public(method, f"pair={asked}"))) == shown
    assert list(caller.public("Ticker", "pair=BTC/USD,ETHUSD")) == ["BTC/USD", "XETHZUSD"]
    assert caller.public("AssetPairs", "pair=BTC/USD")["BTC/USD"]["wsname"] == "XBT/USD"


def test_what_the_book_does_not_have_is_cancelled(caller: Caller) -> None:
    """A market order larger than the book does not rest."""
    order = caller.look(caller.place(**MARKET, volume="1001"))
    assert (order["status"], order["vol_exec"]) == ("canceled", "1000.00000000")
    assert caller.account.orders == {}


def test_a_limit_order_rests_until_the_market_comes(fake: FakeKraken, payer: Caller) -> None:
    """It is filled at its own price when the market passes it."""
    txid = payer.place(volume="0.1", price="50000")
    assert payer.look(txid)["status"] == "open"
    fake.set_price("XBT/USD", "50100", NOW)
    assert payer.look(txid)["status"] == "open"
    fake.set_price("XBT/USD", "49000", NOW + 1)
    order = payer.look(txid)
    assert (order["status"], order["price"], order["fee"]) == ("closed", "50000.00000", "8.00000")
    assert (order["reason"], order["closetm"]) == (None, NOW + 1)
    assert payer.result("Balance") == {"ZUSD": "4992.0000", "XXBT": "0.6000000000"}


def test_a_selling_order_is_passed_by_a_rising_market(fake: FakeKraken, payer: Caller) -> None:
    """The same in the other direction."""
    txid = payer.place(type="sell", volume="0.1", price="70000")
    fake.set_price("XBTUSD", 71000, NOW)  # type: ignore[arg-type] # a plain number will do as well
    assert payer.look(txid)["status"] == "closed"
    assert payer.result("Balance") == {"ZUSD": "16988.8000", "XXBT": "0.4000000000"}


def test_a_limit_order_that_crosses_is_filled_in_part(caller: Caller) -> None:
    """It takes what is there within its limit; the rest stays open at the limit, as the best price of the book."""
    caller.place(price="50000")  # further down, and there first
    txid = caller.place(volume="120", price="60030")
    order = caller.look(txid)
    assert (order["status"], order["vol_exec"]) == ("open", "100.00000000")
    depth = caller.public("Depth", "pair=XBTUSD&count=1")["XXBTZUSD"]
    assert depth == {
        "bids": [["60030.00000", "20.000", int(NOW)]],
        "asks": [["60060.00000", "100.000", int(NOW)]],
    }


def test_orders_of_two_accounts_meet_at_the_resting_price(fake: FakeKraken, caller: Caller, payer: Caller) -> None:
    """The one that came first sets the price and pays the smaller fee; both see a fill."""
    resting = caller.place(type="sell", volume="0.15", price="60010")
    taking = payer.place(volume="0.1", price="60020")
    assert [payer.look(taking)[name] for name in ("status", "price", "fee")] == ["closed", "60010.00000", "15.60260"]
    assert [caller.look(resting)[name] for name in ("status", "vol_exec", "fee")] == ["open", "0.10000000", "9.60160"]
    (trade,) = caller.result("TradesHistory")["trades"].values()
    assert (trade["maker"], trade["ordertxid"], trade["pair"]) == (True, resting, "XXBTZUSD")


def test_the_earlier_of_two_equal_prices_goes_first(fake: FakeKraken, caller: Caller) -> None:
    """Price first, then time."""
    later = Caller(fake, fake.add_account("later"))
    first, second = caller.place(price="60000", volume="1"), later.place(price="60000", volume="1")
    seller = Caller(fake, fake.add_account("seller"))
    seller.place(**MARKET, type="sell", volume="1")
    assert caller.look(first)["status"] == "closed"
    assert later.look(second)["status"] == "open"


def test_an_account_does_not_trade_with_itself(caller: Caller) -> None:
    """What would meet an order of the same account is cancelled, and that order stays."""
    resting = caller.place(price="60000", volume="1")
    order = caller.look(caller.place(type="sell", price="59980", volume="1"))
    assert (order["status"], order["vol_exec"], order["reason"]) == ("canceled", "0.00000000", "Self trade prevented")
    assert caller.look(resting)["status"] == "open"


def test_an_order_is_filled_in_parts(fake: FakeKraken, payer: Caller) -> None:
    """A test fills a part of an open order, then the rest."""
    txid = payer.place(volume="0.1", price="50000")
    fake.fill(txid, "0.04", NOW)
    order = payer.result("OpenOrders", trades="true")["open"][txid]
    assert (order["vol_exec"], order["cost"], len(order["trades"])) == ("0.04000000", "2000.00000", 1)
    fake.fill(txid, now=NOW)
    assert payer.look(txid)["status"] == "closed"
    with pytest.raises(ConfigError, match="No order"):
        fake.fill(txid)


def test_wrong_prices_and_fills_are_explained(fake: FakeKraken, caller: Caller) -> None:
    """A pair that is not there, a price of nothing, a fill larger than the order."""
    for pair, price, words in (
        ("GUESS", "1", "no pair"),
        ("XBTUSD", "0", "0.1 or above"),
        ("XBTUSD", "x", "not a number"),
    ):
        with pytest.raises(ConfigError, match=words):
            fake.set_price(pair, price)
    with pytest.raises(ConfigError, match=r"has 1\.25000000 left|has 1\.25 left"):
        fake.fill(caller.place(), "2")
    with pytest.raises(ConfigError, match="8 digits"):
        fake.fill(caller.place(), "0.000000001")


def test_a_buyer_sets_the_higher_fee_aside(payer: Caller) -> None:
    """Also if it is that of the resting order: it can then be paid."""
    payer.fake.rules.change(maker_fee="0.02")
    assert payer.error("AddOrder", **ORDER | {"volume": "0.2", "price": "49500"}) == "EOrder:Insufficient funds"
    txid = payer.place(volume="0.2", price="49000")
    assert payer.result("BalanceEx")["ZUSD"]["hold_trade"] == "9996.0000"
    payer.fake.fill(txid, now=NOW)
    assert payer.result("Balance")["ZUSD"] == "4.0000"


def test_large_numbers_are_exact(fake: FakeKraken, caller: Caller) -> None:
    """What a number may be, all calls can show."""
    rich = Caller(fake, fake.add_account("rich", balances={"ZUSD": "1e40", "XXBT": "12345678901234567890.0000000001"}))
    assert rich.result("Balance")["XXBT"] == "12345678901234567890.0000000001"
    assert caller.result("WithdrawInfo", asset="XBT", key="fake-key", amount="99999999999999999999.1")["fee"]
    txid = rich.place(volume="9876543210987654321.12345678", price="59999.9")
    fake.fill(txid, now=NOW)
    assert rich.look(txid)["cost"] == "592591605004938160501975.29445"
    assert rich.result("Balance")["XXBT"] == "22222222112222222211.1234567801"


def test_a_fill_is_in_the_ledger(payer: Caller) -> None:
    """Two entries for each fill, with the trade's id, the amounts and the balances after them."""
    txid = payer.place(**MARKET, volume="0.1")
    (trade_id,) = payer.result("QueryOrders", txid=txid, trades="true")[txid]["trades"]
    ledger = payer.result("Ledgers")["ledger"]
    assert sorted(
        (e["asset"], e["amount"], e["fee"], e["balance"], e["type"], e["refid"]) for e in ledger.values()
    ) == [
        ("XXBT", "0.1000000000", "0.0000000000", "0.6000000000", "trade", trade_id),
        ("ZUSD", "-6003.0000", "15.6078", "3981.3922", "trade", trade_id),
    ]
    one = next(iter(ledger))
    assert payer.result("QueryLedgers", id=one) == {one: ledger[one]}
    assert list(payer.result("Ledgers", asset="XBT")["ledger"]) != list(ledger)
    assert payer.result("Ledgers", type="withdrawal") == {"ledger": {}, "count": 0}
    assert payer.error("QueryLedgers", id="L").startswith("EQuery")


def test_a_trade_is_found_by_its_id(caller: Caller) -> None:
    """QueryTrades gives what TradesHistory has."""
    caller.place(**MARKET)
    trades = caller.result("TradesHistory")["trades"]
    (txid,) = trades
    assert caller.result("QueryTrades", txid=txid) == trades
    assert caller.error("QueryTrades", txid="T") == "EOrder:Invalid order"


def test_public_methods_show_trades_and_prices(fake: FakeKraken, caller: Caller) -> None:
    """Ticker, Trades, OHLC and Spread show the market."""
    caller.place(**MARKET, volume="2")
    ticker = caller.public("Ticker", "pair=BTCUSD")["XXBTZUSD"]
    assert (ticker["c"], ticker["v"][0]) == (["60030.00000", "2.00000000"], "2.00000000")
    assert (ticker["a"][0], ticker["b"][0]) == ("60030.00000", "59970.00000")
    assert len(caller.public("Ticker")) > 5
    trades = caller.public("Trades", "pair=XBTUSD")
    assert trades["XXBTZUSD"] == [["60030.00000", "2.00000000", NOW, "b", "m", "", 1]]
    assert caller.public("Trades", f"pair=XBTUSD&since={trades['last']}")["XXBTZUSD"] == []
    ohlc = caller.public("OHLC", "pair=XBTUSD&interval=5")
    assert ohlc["XXBTZUSD"][-1][1:] == ["60030.0", "60030.0", "60030.0", "60030.0", "60030.0", "2.00000000", 1]
    assert ohlc["XXBTZUSD"][-1][0] % 300 == 0
    assert caller.public("Spread", "pair=XBTUSD")["XXBTZUSD"] == [[int(NOW), "59970.00000", "60030.00000"]]
    assert caller.public("Ticker", "pair=ETHUSD")["XETHZUSD"]["a"][0] == "3001.50000"


@pytest.mark.parametrize("since", ["9" * 5000, "9" * 400 + ".5", "1.5.5", "-1"])
def test_a_since_that_is_no_time_is_refused(fake: FakeKraken, since: str) -> None:
    """Also if it has more digits than any time."""
    answer = fake.answer(f"/0/public/Trades?pair=XBTUSD&since={since}", {}, b"", NOW)
    assert answer == {"error": ["EGeneral:Invalid arguments:since"]}


@pytest.mark.parametrize("name", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTCUSD", "BTC/USD", "xbtusd"])
def test_a_pair_has_many_names(caller: Caller, name: str) -> None:
    """Orders and public methods take any of them."""
    assert [each["altname"] for each in caller.public("AssetPairs", f"pair={name}").values()] == ["XBTUSD"]
    assert caller.look(caller.place(pair=name))["descr"]["pair"] == "XBTUSD"


@pytest.mark.parametrize("query", ["Ticker?pair=GUESS", "Depth?pair=GUESS", "AssetPairs?pair=GUESS"])
def test_a_pair_that_is_not_there_is_named_so(fake: FakeKraken, query: str) -> None:
    """Public methods and orders refuse it alike."""
    assert fake.answer(f"/0/public/{query}", {}, b"", NOW) == {"error": ["EQuery:Unknown asset pair"]}


def test_assets_and_pairs_say_what_clients_need(caller: Caller) -> None:
    """Names, decimals and minimums; one or several are asked for by name."""
    assert caller.public("Assets", "asset=XBT,ZEUR") == {
        "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5, "status": "enabled"},
        "ZEUR": {"aclass": "currency", "altname": "EUR", "decimals": 4, "display_decimals": 2, "status": "enabled"},
    }
    # A name of the new API makes all names those of the new API (infinity-grid 1.3.6 reads them so).
    assert [*caller.public("Assets", "asset=BTC,EUR")] == ["BTC", "EUR"]
    assert [*caller.public("Assets", "asset=DOT,EUR,ETH")] == ["DOT", "ZEUR", "XETH"]
    assert caller.public("Assets", "asset=BTC")["BTC"]["altname"] == "XBT"
    pairs = caller.public("AssetPairs")
    assert {"ZUSD", "ZEUR", "XXBT"} <= {each["base"] for each in pairs.values()}  # some learn the assets from them
    assert {"XXBTZUSD", "XETHZUSD", "XXBTZEUR"} <= set(pairs)
    pair = pairs["XXBTZUSD"]
    assert (pair["wsname"], pair["base"], pair["quote"], pair["pair_decimals"], pair["status"]) == (
        "XBT/USD",
        "XXBT",
        "ZUSD",
        1,
        "online",
    )
    assert caller.fake.answer("/0/public/Assets?asset=GUESS", {}, b"", NOW)["error"] == ["EQuery:Unknown asset"]


def test_funds_are_checked_and_held(payer: Caller) -> None:
    """Open orders set aside what they need; what is left over decides; a cancelled order gives it back."""
    txid = payer.place(volume="0.1", price="50000")
    assert payer.result("BalanceEx")["ZUSD"] == {"balance": "10000.0000", "hold_trade": "5013.0000"}
    too_much = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.1", "price": "50000"}
    assert payer.error("AddOrder", **too_much) == "EOrder:Insufficient funds"
    assert payer.error("AddOrder", **too_much | {"type": "sell", "volume": "0.6"}) == "EOrder:Insufficient funds"
    assert payer.error("AddOrder", **too_much | MARKET | {"volume": "0.09"}) == "EOrder:Insufficient funds"
    payer.result("CancelOrder", txid=txid)
    assert payer.result("AddOrder", **too_much)["txid"]


def test_funds_are_checked_as_the_rule_says(fake: FakeKraken, caller: Caller, payer: Caller) -> None:
    """The switch goes for all accounts, with balances or without."""
    fake.rules.check_funds = False
    assert payer.place(volume="100", **MARKET)
    assert Decimal(payer.result("Balance")["ZUSD"]) < 0
    fake.rules.check_funds = True
    assert caller.error("AddOrder", pair="XBTUSD", type="buy", volume="1", **MARKET) == "EOrder:Insufficient funds"


def test_an_account_without_balances_trades_freely(caller: Caller) -> None:
    """It is never short of anything, and has no balances afterwards either."""
    caller.place(volume="100", **MARKET)
    assert caller.result("Balance") == {}
    assert caller.result("Ledgers") == {"ledger": {}, "count": 0}
