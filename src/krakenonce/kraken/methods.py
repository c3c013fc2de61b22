"""What may be done when a call to one of Kraken's private methods got no answer: may it be repeated?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

__all__ = ["PUBLIC", "Kind", "is_urgent", "kind_of"]

# Methods that need no key. From Kraken's REST API specification.
PUBLIC = frozenset(
    ("Time", "SystemStatus", "Assets", "AssetPairs", "Ticker", "OHLC", "Depth", "GroupedBook", "Trades", "Spread")
)

_READS = frozenset(
    (
        "Balance",
        "BalanceEx",
        "ClosedOrders",
        "CreditLines",
        "DepositAddresses",
        "DepositMethods",
        "DepositStatus",
        "Earn/AllocateStatus",
        "Earn/Allocations",
        "Earn/DeallocateStatus",
        "Earn/Strategies",
        "ExportStatus",
        "GetApiKeyInfo",
        "GetWebSocketsToken",  # another call gives another token
        "Ledgers",
        "Level3",
        "OpenOrders",
        "OpenPositions",
        "OrderAmends",
        "QueryLedgers",
        "QueryOrders",
        "QueryTrades",
        "TradeBalance",
        "TradeVolume",
        "TradesHistory",
        "WithdrawAddresses",
        "WithdrawInfo",
        "WithdrawMethods",
        "WithdrawStatus",
    )
)
_ORDERS = frozenset(("AddOrder", "AddOrderBatch"))
# Kraken's id of an order, which no other order gets. A userref or a cl_ord_id may name another order by the time of
# the second cancel.
_TXID = re.compile(r"O[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{6}")

_URGENT = frozenset(("CancelAll", "CancelAllOrdersAfter", "CancelOrder", "CancelOrderBatch", "GetWebSocketsToken"))


class Kind(Enum):
    """What a call does at Kraken."""

    READ = "changes nothing: may be repeated"
    CANCEL = "cancels orders named by txid: may be repeated, the second one finds nothing left to do"
    ORDER = "places orders: never repeated without knowing what became of the first"
    OTHER = "changes something, or is not known: never repeated without knowing what became of the first"


def kind_of(method: str, params: Mapping[str, object]) -> Kind:
    """Return the kind of a private call.

    Args:
        method: Kraken's name for it.
        params: Its parameters: an order with ``validate`` is only checked, ``new`` makes a new deposit address, and a
            cancel may be repeated only if it names each order by its txid.
    """
    if params.get("validate") in (True, "true", "True", "1", 1) and method in (*_ORDERS, "EditOrder"):
        return Kind.READ
    if method == "DepositAddresses" and params.get("new"):
        return Kind.OTHER
    if method in _READS:
        return Kind.READ
    if method in _ORDERS:
        return Kind.ORDER
    return Kind.CANCEL if _cancels_by_txid(method, params) else Kind.OTHER


def is_urgent(method: str) -> bool:
    """Return whether a call protects an account, and so goes before those that wait.

    Cancels, the dead man's switch (CancelAllOrdersAfter) and WebSocket tokens, with which orders can be cancelled.
    """
    return method in _URGENT


def _cancels_by_txid(method: str, params: Mapping[str, object]) -> bool:
    """Whether a second execution cannot cancel another order than the first.

    Not so CancelAll, which would cancel orders placed in between, and CancelAllOrdersAfter, which would undo a later
    setting of the timer.
    """
    listed = params.get("orders") if method == "CancelOrderBatch" else (params,) if method == "CancelOrder" else None
    if not listed or not isinstance(listed, list | tuple) or params.get("cl_ord_id") or params.get("cl_ord_ids"):
        return False
    named = [each.get("txid") if isinstance(each, Mapping) else each for each in listed]
    return all(isinstance(each, str) and _TXID.fullmatch(each) for each in named)
