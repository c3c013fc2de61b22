"""The one table of Kraken's methods."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import krakenonce
from krakenonce.gateway.groups import GROUPS
from krakenonce.key import methods
from krakenonce.key.methods import METHODS, PUBLIC, Kind, Method

# All private methods in Kraken's REST API specification.
_PRIVATE = """
Balance BalanceEx CreditLines TradeBalance OpenOrders ClosedOrders QueryOrders OrderAmends TradesHistory QueryTrades
OpenPositions Ledgers QueryLedgers TradeVolume Level3 GetApiKeyInfo AddExport ExportStatus RetrieveExport RemoveExport
AddOrder AddOrderBatch AmendOrder EditOrder CancelOrder CancelOrderBatch CancelAll CancelAllOrdersAfter
GetWebSocketsToken DepositMethods DepositAddresses DepositStatus WithdrawMethods WithdrawAddresses WithdrawInfo Withdraw
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


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nobody_else_lists_methods(module: Path) -> None:
    """What a method is, is said in one place; only the fake Kraken, which is the other side, has its own tables."""
    if module != Path("key", "methods.py"):
        assert listed_methods((SOURCE / module).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["", "GetCustodyTask?id=1", "balance", "Balance/", "AddStrategy"])
def test_a_method_that_is_not_known_is_taken_for_the_worst(name: str) -> None:
    """It is not repeated, needs a group that is given on purpose, waits, and is not kept in the table."""
    assert METHODS[name] == Method(Kind.OTHER, "other", rest=1)
    assert name not in METHODS


def test_the_gateway_knows_the_groups() -> None:
    """Each method's group can be given to a local key."""
    assert {group for its in METHODS.values() for group in (its.group, its.new) if group} <= GROUPS.keys()


def test_what_protects_an_account_is_urgent() -> None:
    """Every cancel, the dead man's switch, and WebSocket tokens."""
    urgent = "CancelOrder CancelOrderBatch CancelAll CancelAllOrdersAfter GetWebSocketsToken"
    assert {name for name, its in METHODS.items() if its.urgent} == set(urgent.split())
