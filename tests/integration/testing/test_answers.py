"""Every answer of every method has the fields that Kraken documents, of the types that it documents."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from krakenonce.testing.documented import DOCUMENTED_PRIVATE, DOCUMENTED_PUBLIC
from krakenonce.testing.documented.answers import differences
from tests.integration.kraken.helpers import signed
from tests.integration.testing.helpers import ORDER, Caller

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

LINE = {name: value for name, value in ORDER.items() if name != "pair"}


class Checked:
    """Calls a fake Kraken over HTTP, and compares each answer with what Kraken documents."""

    def __init__(self, fake: FakeKraken, account: FakeAccount) -> None:
        self._fake, self._account = fake, account
        self._nonces = itertools.count(1)
        self._pool = urllib3.PoolManager(retries=False)
        self.called: set[str] = set()

    def __call__(self, method: str, /, **params: Any) -> Any:
        """Return the result of a private call."""
        path, headers, body = signed(self._account, method, next(self._nonces), params, as_json=True)
        response = self._pool.request("POST", self._fake.url + path, headers=headers, body=body)
        if response.headers["Content-Type"] == "application/octet-stream":
            result: Any = response.data
        else:
            reply = response.json()
            assert reply["error"] == [], f"{method}: {reply}"
            result = reply["result"]
        return self._compared(method, DOCUMENTED_PRIVATE[method].answer, result)

    def public(self, method: str, **params: str) -> Any:
        """Return the result of a public call."""
        reply = self._pool.request("GET", f"{self._fake.url}/0/public/{method}", fields=params).json()
        assert reply["error"] == [], f"{method}: {reply}"
        return self._compared(method, DOCUMENTED_PUBLIC[method].answer, reply["result"])

    def _compared(self, method: str, shape: Any, result: Any) -> Any:
        assert list(differences(result, shape, method)) == []
        self.called.add(method)
        return result


@pytest.fixture
def rich(fake: FakeKraken) -> FakeAccount:
    """An account that has some of everything."""
    return fake.add_account("rich", balances={"ZUSD": "1000000", "XXBT": "10", "DOT": "100", "ZEUR": "5000"})


@pytest.fixture
def call(fake: FakeKraken, rich: FakeAccount, server: FakeKrakenServer) -> Checked:
    """A caller that compares."""
    return Checked(fake, rich)


def make_orders(call: Checked) -> dict[str, str]:
    """Trade in every way that there is; return the ids of one open, one closed and one cancelled order."""
    (opened,) = call("AddOrder", **ORDER, userref=7)["txid"]
    (closed,) = call("AddOrder", pair="XBTUSD", type="buy", ordertype="market", volume="0.5")["txid"]
    (cancelled,) = call("AddOrder", **ORDER, cl_ord_id="mine")["txid"]
    assert call("AmendOrder", txid=opened, limit_price="37501")["amend_id"]
    call("CancelOrder", cl_ord_id="mine")
    assert "txid" not in call("AddOrder", **ORDER, validate=True)
    batch = call("AddOrderBatch", pair="XBTUSD", orders=[LINE, {**LINE, "volume": "10000"}])["orders"]
    assert set(batch[1]) == {"error"}
    edited = call("EditOrder", pair="XBTUSD", txid=batch[0]["txid"], price="30000")["txid"]
    call("CancelOrderBatch", orders=[edited])
    call("CancelAllOrdersAfter", timeout=60)
    call("CancelAllOrdersAfter", timeout=0)
    return {"open": opened, "closed": closed, "cancelled": cancelled}


def look_at_orders(call: Checked, ids: dict[str, str]) -> None:
    """Ask for orders, trades and the ledger in every way."""
    assert set(call("OpenOrders", trades=True)["open"]) == {ids["open"]}
    assert set(call("ClosedOrders", trades=True)["closed"]) > {ids["closed"], ids["cancelled"]}
    assert "count" not in call("ClosedOrders", without_count=True)
    assert len(call("QueryOrders", txid=",".join(ids.values()), trades=True)) == 3
    amends = call("OrderAmends", order_id=ids["open"])["amends"]
    assert [(each["amend_type"], each["limit_price"]) for each in amends] == [
        ("original", "37500.0"),
        ("user", "37501.0"),
    ]
    assert call("OrderAmends", order_id=ids["closed"])["count"] == 1
    assert call("OrderAmends", order_id="OAAAAA-BBBBB-CCCCCC") == {"count": 0, "amends": []}
    (trade,) = call("TradesHistory", ledgers=True)["trades"]
    assert call("QueryTrades", txid=trade)
    assert call("TradesHistory", type="any position")["trades"] == {}
    entries = list(call("Ledgers")["ledger"])
    assert call("QueryLedgers", id=entries[:2])
    for method in ("Balance", "BalanceEx", "CreditLines", "TradeBalance", "OpenPositions", "GetApiKeyInfo"):
        call(method)
    call("OpenPositions", consolidation="market")
    call("TradeVolume")
    call("TradeVolume", pair="XBTUSD,DOTUSD", fee_schedule=True)
    call("GetOpenStrategies")
    call("GetClosedStrategies")
    assert call("Level3", pair="XBTUSD", depth=0)["bids"][-1]["order_id"] == ids["open"]
    call("GetWebSocketsToken")
    call("CancelAll")


def move_funds(call: Checked) -> None:
    """Ask for everything about deposits and withdrawals, and make some."""
    for method in ("DepositMethods", "WithdrawMethods", "WithdrawAddresses"):
        assert call(method, asset="XBT")
    call("DepositAddresses", asset="XBT", method="Bitcoin")
    call("DepositStatus")
    call("DepositStatus", cursor=True)
    amount = {"asset": "XBT", "key": "fake-key", "amount": "1"}
    call("WithdrawInfo", **amount)
    refid = call("Withdraw", **amount)["refid"]
    assert call("WithdrawStatus")
    call("WithdrawCancel", asset="XBT", refid=refid)
    assert call("WithdrawStatus", cursor=True)["withdrawals"][0]["status"] == "Failure"
    call("WalletTransfer", **{"from": "Spot Wallet", "to": "Futures Wallet"}, asset="XBT", amount="1")
    strategies = call("Earn/Strategies")["items"]
    assert {each["lock_type"]["type"] for each in strategies} == {"instant", "bonded", "flex"}
    for kind in ("Allocate", "Deallocate"):
        strategy = next(each["id"] for each in strategies if each["asset"] == ("XBT" if kind == "Allocate" else "DOT"))
        call(f"Earn/{kind}Status", strategy_id=strategy)
    call("Earn/Allocate", strategy_id=next(each["id"] for each in strategies if each["asset"] == "XBT"), amount="1")
    assert call("Earn/Allocations")["items"]


def ask_the_public(call: Checked) -> None:
    """Ask for the market in every way."""
    for method in ("Time", "SystemStatus", "Assets", "AssetPairs", "Ticker", "PostTrade"):
        assert call.public(method)
    for method in ("OHLC", "Depth", "GroupedBook", "Trades", "Spread"):
        assert call.public(method, pair="XBTUSD")
    for info in ("leverage", "fees", "margin"):
        assert call.public("AssetPairs", pair="XBTUSD", info=info)
    assert call.public("PostTrade", symbol="BTC/USD")["count"] == 1
    assert call.public("PreTrade", symbol="BTC/USD")["bids"][-1]["side"] == "BUY"


def test_every_answer_is_as_documented(fake: FakeKraken, call: Checked) -> None:
    """Each method, with all forms of its answer that there are; of subaccounts there is only the refusal."""
    ids = make_orders(call)
    look_at_orders(call, ids)
    move_funds(call)
    ask_the_public(call)
    name = call("AddExport", report="ledgers", description="mine")["id"]
    fake.rules.clock_ahead = 2.0  # a report takes a second
    assert call("ExportStatus", report="ledgers")[0]["status"] == "Processed"
    assert call("RetrieveExport", id=name)[:2] == b"PK"
    call("RemoveExport", id=name, type="delete")
    strategy = call("Earn/Allocations")["items"][0]["strategy_id"]
    call("Earn/Deallocate", strategy_id=strategy, amount="1")
    simulated = {each.name for each in (DOCUMENTED_PRIVATE | DOCUMENTED_PUBLIC).values() if each.is_simulated}
    assert simulated - call.called == {"CreateSubaccount", "AccountTransfer"}


def test_subaccounts_are_for_institutions(payer: Caller) -> None:
    """Kraken denies them to any other account."""
    assert payer.error("CreateSubaccount", username="u", email="u@example.com") == "EGeneral:Permission denied"
    transfer = {"asset": "XBT", "amount": "1", "from": "AA", "to": "BB"}
    assert payer.error("AccountTransfer", **transfer) == "EGeneral:Permission denied"


@pytest.mark.parametrize(
    ("answer", "shape", "wrong"),
    [
        ({"a": "1"}, {"a": "decimal"}, []),
        ({"a": "1e4"}, {"a": "decimal"}, ["result.a is '1e4', not decimal"]),
        ({"a": 1}, {"a": "decimal"}, ["result.a is 1, not decimal"]),
        ({}, {"a": "text", "b?": "text"}, ["result.a is missing"]),
        ({"a": "x", "b": None}, {"a": "text?", "b?": "int?"}, []),
        ({"c": "x"}, {}, ["result.c is not documented"]),
        ({"c": True}, {"*": "int"}, ["result.c is True, not int"]),
        ([1, 2], ["int"], []),
        ([1, "2"], ["int"], ["result[1] is '2', not int"]),
        ([1], ("int", "int"), ["result is [1], not a list of 2"]),
        ("c", "{a|b}", ["result is 'c', not {a|b}"]),
        ("x", {}, ["result is 'x', not an object"]),
        ({}, ["int"], ["result is {}, not a list"]),
    ],
)
def test_a_difference_is_named(answer: Any, shape: Any, wrong: list[str]) -> None:
    """With the place where it is."""
    assert list(differences(answer, shape)) == wrong


def test_an_export_has_what_was_asked_for(payer: Caller) -> None:
    """The columns in their order, the entries of its time; it is ready after a second, and gone when it is deleted."""
    payer.place(ordertype="market", price=None, volume="0.1")
    payer.now += 100
    payer.place(ordertype="market", price=None, volume="0.05")
    name = payer.result(
        "AddExport", report="ledgers", description="d", fields="asset,amount", endtm=int(payer.now) - 1
    )["id"]
    assert payer.error("RetrieveExport", id=name) == "EGeneral:Invalid arguments:id"
    assert payer.error("RemoveExport", id=name, type="delete") == "EGeneral:Invalid arguments:type"
    payer.now += 0.6
    assert payer.result("ExportStatus", report="ledgers")[0]["status"] == "Processing"
    payer.now += 0.6
    with zipfile.ZipFile(io.BytesIO(payer.result("RetrieveExport", id=name))) as archive:
        rows = list(csv.reader(io.TextIOWrapper(archive.open("ledgers.csv"), "utf-8")))
    assert [row[1:] for row in rows] == [["asset", "amount"], ["XXBT", "0.1000000000"], ["ZUSD", "-6003.0000"]]
    assert payer.result("RemoveExport", id=name, type="delete") == {"delete": True}
    assert payer.error("RetrieveExport", id=name) == "EGeneral:Invalid arguments:id"
    assert payer.error("AddExport", report="trades", description="d", fields="guess") == (
        "EGeneral:Invalid arguments:fields"
    )
    name = payer.result("AddExport", report="trades", description="d", format="TSV")["id"]
    payer.now += 1
    with zipfile.ZipFile(io.BytesIO(payer.result("RetrieveExport", id=name))) as archive:
        header = archive.read("trades.tsv").decode().splitlines()[0]
    assert header.split("\t")[:2] == ['"txid"', '"ordertxid"']


def test_an_export_is_cancelled_before_it_is_made(payer: Caller) -> None:
    """It is queued first; its status looks as documented then, too."""
    name = payer.result("AddExport", report="trades", description="d")["id"]
    status = payer.result("ExportStatus", report="trades")
    assert list(differences(status, DOCUMENTED_PRIVATE["ExportStatus"].answer)) == []
    assert status[0]["status"] == "Queued"
    assert payer.result("RemoveExport", id=name, type="cancel") == {"cancel": True}
    assert payer.result("ExportStatus", report="trades") == []
