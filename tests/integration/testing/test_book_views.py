from __future__ import annotations

from tests.integration.testing.helpers import NOW, Caller


def test_level_3_shows_each_order(caller: Caller, payer: Caller) -> None:
    """Two orders at one price are two entries of one level; the market maker's orders keep their ids."""
    one, two = caller.place(price="59980"), payer.place(price="59980", volume="0.1")
    book = caller.result("Level3", pair="XBTUSD", depth="10")
    assert [(each["price"], each["order_id"], each["qty"]) for each in book["bids"][:2]] == [
        ("59980.00000", one, "1.25000000"),
        ("59980.00000", two, "0.10000000"),
    ]
    assert len({each["price"] for each in book["bids"]}) == 10
    assert len({each["price"] for each in caller.result("Level3", pair="XBTUSD", depth="0")["bids"]}) == 11
    again = caller.result("Level3", pair="BTC/USD", depth="10")
    assert again["asks"][0]["order_id"] == book["asks"][0]["order_id"]
    assert (again["pair"], again["bids"][0]["timestamp"]) == ("BTC/USD", int(NOW * 1e9))


def test_a_grouped_book_rounds_away_from_the_middle(caller: Caller) -> None:
    """Bids at 59970, 59940 ... go down to multiples of 100 dollars, asks at 60030, 60060 ... up."""
    book = caller.public("GroupedBook", "pair=XBTUSD&grouping=1000&depth=25")
    assert (book["pair"], book["grouping"]) == ("BTC/USD", 1000)
    assert [(each["price"], each["qty"]) for each in book["bids"]] == [
        ("59900.00000", "300.00000000"),
        ("59800.00000", "300.00000000"),
        ("59700.00000", "400.00000000"),
    ]
    assert book["asks"][0] == {"price": "60100.00000", "qty": "300.00000000"}


def test_prices_are_shown_before_a_trade(caller: Caller, payer: Caller) -> None:
    """The ten best of each side, with how many orders each has."""
    caller.place(price="59970.0")
    payer.place(price="59970.0", volume="0.1")
    shown = caller.public("PreTrade", "symbol=BTC/USD")
    best = shown["bids"][0]
    assert (best["price"], best["qty"], best["count"]) == ("59970.0", "101.35000000", 3)
    assert (len(shown["bids"]), shown["symbol"], shown["description"]) == (10, "BTC/USD", "Bitcoin / US Dollars")


def test_trades_are_shown_after_them(caller: Caller) -> None:
    """The last ones; from a time on, the first ones, so that a client goes on from the last that it has."""
    assert caller.public("PostTrade") == {"last_ts": "2023-11-14T22:13:20.250000Z", "count": 0, "trades": []}
    for pair in ("XBTUSD", "ETHUSD", "XBTUSD"):
        caller.place(pair=pair, ordertype="market", price=None, volume="1")
        caller.now += 1
    shown = caller.public("PostTrade", "count=2")
    assert [each["symbol"] for each in shown["trades"]] == ["ETH/USD", "BTC/USD"]
    first = caller.public("PostTrade", "symbol=BTC/USD&count=1&from_ts=2023-11-14T22:13:20Z")
    assert (first["count"], first["last_ts"]) == (1, "2023-11-14T22:13:20.250000Z")
    rest = caller.public("PostTrade", f"symbol=BTC/USD&from_ts={first['last_ts']}")
    assert [each["quantity"] for each in rest["trades"]] == ["1.00000000"]
    assert caller.public("PostTrade", "to_ts=2023-11-14T22:13:21Z")["count"] == 1


def test_assets_and_pairs_are_chosen(caller: Caller) -> None:
    """By name, by class and by part; a share is in no list until its class is asked for."""
    assert list(caller.public("Assets", "asset=ETH")) == ["XETH"]
    assert list(caller.public("Assets", "aclass=tokenized_asset")) == ["AAPLx"]
    assert caller.public("AssetPairs", "pair=EURUSD")["ZEURZUSD"]["base"] == "ZEUR"
    assert caller.public("AssetPairs", "pair=XBTUSD&info=margin") == {
        "XXBTZUSD": {"margin_call": 80, "margin_stop": 40}
    }
    assert list(caller.public("AssetPairs", "aclass_base=tokenized_asset")) == ["AAPLxUSD"]
    assert list(caller.public("Ticker", "pair=AAPLxUSD&asset_class=tokenized_asset")) == ["AAPLxUSD"]
    assert "AAPLxUSD" not in caller.public("AssetPairs")
    reply = caller.fake.answer("/0/public/Ticker?pair=AAPLxUSD", {}, b"", NOW)
    assert reply["error"] == ["EQuery:Unknown asset pair"]
    bitcoin = caller.public("AssetPairs", "pair=XBTUSD")["XXBTZUSD"]
    assert (bitcoin["ordermin"], bitcoin["costmin"]) == ("0.00005", "0.5")


def test_the_ledger_is_chosen_by_class_and_kind(payer: Caller) -> None:
    """Names of assets between commas; an id of an order in a history means the time when it was opened."""
    txid = payer.place(ordertype="market", price=None, volume="0.05")
    payer.now += 100
    later = payer.place(ordertype="market", price=None, volume="0.05")
    assert len(payer.result("Ledgers", asset="EUR,USD", aclass="currency")["ledger"]) == 2
    assert payer.result("Ledgers", aclass="tokenized_asset")["ledger"] == {}
    assert payer.error("Ledgers", type="guess") == "EGeneral:Invalid arguments:type"
    assert list(payer.result("ClosedOrders", start=txid)["closed"]) == [later]
    assert payer.error("QueryTrades", txid=",".join(["TAAAAA-BBBBB-CCCCCC"] * 21)) == "EGeneral:Invalid arguments:txid"
