"""What a local key may call: Kraken's private methods in groups. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.kraken.methods import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["GROUPS", "groups_of", "parse_groups"]

GROUPS = {
    "query": "balances, orders, trades, ledgers and all else that only reads",
    "trade": "place, amend and cancel orders",
    "cancel": "cancel orders",
    "token": "WebSocket tokens, with which everything that the Kraken key may do can be done past this list",
    "deposit": "new deposit addresses",
    "withdraw": "withdraw funds and cancel withdrawals",
    "transfer": "move funds between wallets and accounts",
    "earn": "allocate and deallocate funds",
    "export": "make and remove reports",
    "nonce": "numbers of the Kraken key's counter, for those who sign and send themselves",
    "other": "methods that krakenonce does not know",
}

_TRADES = frozenset(("AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"))
_CANCELS = frozenset(("CancelAll", "CancelAllOrdersAfter", "CancelOrder", "CancelOrderBatch"))
_BY_METHOD = {
    "AccountTransfer": "transfer",
    "AddExport": "export",
    "CreateSubaccount": "transfer",
    "DepositAddresses": "deposit",
    "Earn/Allocate": "earn",
    "Earn/Deallocate": "earn",
    "GetWebSocketsToken": "token",
    "RemoveExport": "export",
    "RetrieveExport": "query",
    "WalletTransfer": "transfer",
    "Withdraw": "withdraw",
    "WithdrawCancel": "withdraw",
}


def groups_of(method: str, params: Mapping[str, object]) -> frozenset[str]:
    """Return the groups of which a local key needs one for this call.

    Args:
        method: Kraken's name for it.
        params: Its parameters; a deposit address that is new is more than a query.
    """
    if method in _TRADES:
        return frozenset(("trade",))
    if method in _CANCELS:
        return frozenset(("trade", "cancel"))  # as Kraken's own right to modify orders has it
    if method != "GetWebSocketsToken" and kind_of(method, params) is Kind.READ:
        return frozenset(("query",))
    return frozenset((_BY_METHOD.get(method, "other"),))


def parse_groups(names: Iterable[str]) -> frozenset[str]:
    """Return the groups of these names. Raises ConfigError if there is none or one is not known."""
    found = frozenset(name.strip().lower() for name in names)
    unknown = sorted(found - GROUPS.keys())
    if unknown or not found:
        raise ConfigError(f"there is no group {', '.join(map(repr, unknown)) or chr(39) * 2}: use {', '.join(GROUPS)}")
    return found
