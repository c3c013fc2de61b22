"""The one table of Kraken's methods."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import krakenonce
from krakenonce.gateway.groups import GROUPS
from krakenonce.key import methods
from krakenonce.key.methods import METHODS, PUBLIC, Kind, Method, is_urgent, kind_of, look_at

# All private methods in Kraken's REST API specification, and those on the pages of docs.kraken.com since then.
_PRIVATE = """
Balance BalanceEx CreditLines TradeBalance OpenOrders ClosedOrders QueryOrders OrderAmends TradesHistory QueryTrades
OpenPositions Ledgers QueryLedgers TradeVolume Level3 GetApiKeyInfo ListWalletAccounts AddExport ExportStatus
RetrieveExport RemoveExport AddOrder AddOrderBatch AmendOrder EditOrder CancelOrder CancelOrderBatch CancelAll
CancelAllOrdersAfter GetWebSocketsToken AddStrategy CancelStrategy GetOpenStrategies GetClosedStrategies QueryStrategies
DepositMethods DepositAddresses DepositStatus WithdrawMethods WithdrawAddresses WithdrawInfo Withdraw
WithdrawStatus WithdrawCancel WalletTransfer CreateSubaccount AccountTransfer Earn/Allocate Earn/Deallocate
Earn/AllocateStatus Earn/DeallocateStatus Earn/Strategies Earn/Allocations
"""
SPECIFICATION = _PRIVATE.split()

SOURCE = Path(krakenonce.__file__).parent
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.parent.name != "testing")


def listed_methods(source: str) -> list[str]:
    """Return the names of private methods in tuples, lists, sets and dicts that have two or more of them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        each = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = [one.value for one in each if isinstance(one, ast.Constant) and one.value in SPECIFICATION]
        found += names if len(names) > 1 else []
    return found


def test_every_method_of_the_specification_is_in_the_table_once() -> None:
    """Written once, and no other is."""
    assert Path(methods.__file__).relative_to(SOURCE) in MODULES
    written = listed_methods(Path(methods.__file__).read_text(encoding="utf-8"))
    assert sorted(written) == sorted(SPECIFICATION) == sorted(METHODS)
    assert not PUBLIC & METHODS.keys()


def test_public_methods_need_no_key() -> None:
    """Those of the specification, and those that ccxt has since then: sent with a key, they would burn a nonce."""
    specified = "Time SystemStatus Assets AssetPairs Ticker OHLC Depth GroupedBook Trades Spread"
    assert set(specified.split()) | {"MaintenanceSchedule", "PreTrade", "PostTrade"} == PUBLIC


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("AddStrategy", {"symbol": "BTC/USD"}, Kind.OTHER),  # nothing tells a second one from the first
        ("AddStrategy", {"symbol": "BTC/USD", "validate": True}, Kind.READ),
        ("CancelStrategy", {"strategy_id": "ASMBA64-R23M2-J7JRJV"}, Kind.CANCEL),
        ("CancelStrategy", {"strategy_id": "all"}, Kind.OTHER),
        ("CancelStrategy", {"txid": "OU22CG-KLAF2-FWUDD7"}, Kind.OTHER),
        ("CancelStrategy", {}, Kind.OTHER),
        ("CancelOrder", {"strategy_id": "ASMBA64-R23M2-J7JRJV"}, Kind.OTHER),
        ("GetOpenStrategies", {}, Kind.READ),
    ],
)
def test_a_strategy_is_started_once_and_stopped_by_its_id(method: str, params: dict[str, Any], kind: Kind) -> None:
    """A TWAP has no id of the client's, so its start is never repeated; to stop it by Kraken's id may be repeated."""
    assert kind_of(method, params) is kind


@pytest.mark.parametrize(
    ("method", "look"),
    [
        ("AddStrategy", "look at GetOpenStrategies and GetClosedStrategies"),
        ("CancelStrategy", "look at GetOpenStrategies"),
        ("CancelAll", "look at the open orders"),
        ("Withdraw", "look at WithdrawStatus"),
        ("Balance", "ask Kraken"),
        ("NewThing", "ask Kraken"),
    ],
)
def test_what_shows_whether_a_call_was_executed(method: str, look: str) -> None:
    """For a person who has to decide whether to make it again."""
    assert look_at(method) == look


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nobody_else_lists_methods(module: Path) -> None:
    """What a method is, is said in one place; only the fake Kraken, which is the other side, has its own tables."""
    if module != Path("key", "methods.py"):
        assert listed_methods((SOURCE / module).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["", "GetCustodyTask?id=1", "balance", "Balance/", "addstrategy"])
def test_a_method_that_is_not_known_is_taken_for_the_worst(name: str) -> None:
    """It is not repeated, needs a group that is given on purpose, waits, and is not kept in the table."""
    assert METHODS[name] == Method(Kind.OTHER, "other", rest=1)
    assert name not in METHODS


def test_the_gateway_knows_the_groups() -> None:
    """Each method's group can be given to a local key."""
    assert {group for its in METHODS.values() for group in (its.group, its.new) if group} <= GROUPS.keys()


def test_what_protects_an_account_is_urgent() -> None:
    """Every cancel, the dead man's switch, and WebSocket tokens."""
    urgent = "CancelOrder CancelOrderBatch CancelAll CancelAllOrdersAfter CancelStrategy GetWebSocketsToken"
    assert {name for name, its in METHODS.items() if its.urgent} == set(urgent.split())


@pytest.mark.parametrize("timeout", [0, "0", 0.0, "0.0", " 0 "])
def test_switching_the_dead_man_s_switch_off_is_not_urgent(timeout: object) -> None:
    """It protects nothing, and does not go before what does. Setting it does."""
    assert not is_urgent("CancelAllOrdersAfter", {"timeout": timeout})
    assert all(is_urgent("CancelAllOrdersAfter", {"timeout": each}) for each in (1, "60", 0.5, None, "", "x", [0]))
    assert is_urgent("CancelAll", {"timeout": timeout})
    assert not is_urgent("Balance", {})


def test_the_docs_say_which_calls_go_first() -> None:
    """The table names just those; it has one row for them, and one for all others."""
    page = (SOURCE.parents[1] / "docs/how-to/several-keys.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.partition("## Who goes before whom")[2].splitlines() if line[:2] == "| "]
    first, then = (re.findall("`([A-Za-z/]+)`", row[2]) for row in rows[2:4])
    assert sorted(first) == sorted(name for name in SPECIFICATION if is_urgent(name, {"timeout": 60}))
    assert then == ["CancelAllOrdersAfter"]
    assert not is_urgent("CancelAllOrdersAfter", {"timeout": 0})
