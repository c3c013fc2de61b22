"""What a local key may call."""

from __future__ import annotations

import pytest

from krakenonce.errors import ConfigError
from krakenonce.gateway.groups import GROUPS, groups_of, parse_groups

TABLE = """
query: Balance BalanceEx OpenOrders ClosedOrders QueryOrders TradesHistory Ledgers GetApiKeyInfo DepositStatus
query: DepositAddresses DepositMethods WithdrawStatus WithdrawInfo WithdrawMethods WithdrawAddresses
query: Earn/Strategies ExportStatus RetrieveExport ListWalletAccounts
query: GetOpenStrategies GetClosedStrategies QueryStrategies
trade: AddOrder AddOrderBatch AmendOrder EditOrder AddStrategy
trade cancel: CancelOrder CancelOrderBatch CancelStrategy
cancel-all: CancelAll CancelAllOrdersAfter
token: GetWebSocketsToken
withdraw: Withdraw WithdrawCancel
transfer: WalletTransfer AccountTransfer CreateSubaccount
earn: Earn/Allocate Earn/Deallocate
export: AddExport RemoveExport
other: GetCustodyTask Whatever withdraw Balance/ addorder
"""


@pytest.mark.parametrize(
    ("method", "groups"),
    [
        (method, frozenset(line.partition(":")[0].split()))
        for line in TABLE.strip().splitlines()
        for method in line.partition(":")[2].split()
    ],
)
def test_every_method_needs_its_group(method: str, groups: frozenset[str]) -> None:
    """What krakenonce does not know, in this spelling, is in no group that is given lightly."""
    assert groups_of(method, ()) == groups


def test_a_new_deposit_address_is_no_query() -> None:
    """Nor is an order that is only checked: it is the right to trade that is asked for."""
    assert groups_of("DepositAddresses", {"new"}) == {"deposit"}
    assert groups_of("AddOrder", {"validate", "new"}) == {"trade"}


def test_groups_are_read_from_words() -> None:
    """In any case, with blanks."""
    assert parse_groups([" Query", "TRADE "]) == {"query", "trade"}
    assert parse_groups(GROUPS) == set(GROUPS)


@pytest.mark.parametrize("words", [[], [""], ["query", "everything"]])
def test_unknown_groups_are_refused(words: list[str]) -> None:
    """The message lists those there are."""
    with pytest.raises(ConfigError, match="the groups are query, trade, cancel, cancel-all"):
        parse_groups(words)
