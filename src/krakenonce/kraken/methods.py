"""What may be done when a call to one of Kraken's private methods got no answer: may it be repeated?"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PUBLIC", "Kind", "kind_of"]

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
# A second one finds nothing left to do. Not so CancelAll: it would hit orders placed in between.
_CANCELS = frozenset(("CancelOrder", "CancelOrderBatch", "CancelAllOrdersAfter"))


class Kind(Enum):
    """What a call does at Kraken."""

    READ = "changes nothing: may be repeated"
    CANCEL = "may be repeated: the second one finds nothing left to do"
    ORDER = "places orders: never repeated without knowing what became of the first"
    OTHER = "changes something, or is not known: never repeated without knowing what became of the first"


def kind_of(method: str, params: Mapping[str, object]) -> Kind:
    """Return the kind of a private call.

    Args:
        method: Kraken's name for it.
        params: Its parameters: an order with ``validate`` is only checked, ``new`` makes a new deposit address.
    """
    if params.get("validate") in (True, "true", "True", "1", 1) and method in (*_ORDERS, "EditOrder"):
        return Kind.READ
    if method == "DepositAddresses" and params.get("new"):
        return Kind.OTHER
    if method in _READS:
        return Kind.READ
    if method in _ORDERS:
        return Kind.ORDER
    return Kind.CANCEL if method in _CANCELS else Kind.OTHER
