"""Which permissions a key needs for the methods that change something. No I/O.

By Kraken's pages and what the fake Kraken documents. A method that is not here needs none that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


# "a + b": both; "a / b": one of them. The names are those of GetApiKeyInfo.
NEEDED = {
    "AddExport": "export-data",
    "AddOrder": "modify-trades",
    "AddOrderBatch": "modify-trades + close-trades",
    "AddStrategy": "modify-trades",
    "AccountTransfer": "withdraw-funds",
    "AmendOrder": "modify-trades / close-trades",
    "CancelAll": "modify-trades / close-trades",
    "CancelAllOrdersAfter": "modify-trades / close-trades",
    "CancelOrder": "modify-trades / close-trades",
    "CancelOrderBatch": "modify-trades / close-trades",
    "CancelStrategy": "close-trades",
    "CreateSubaccount": "withdraw-funds",
    "Earn/Allocate": "earn-funds",
    "Earn/Deallocate": "earn-funds",
    "EditOrder": "modify-trades + close-trades",
    "RemoveExport": "export-data",
    "RetrieveExport": "export-data",
    "WalletTransfer": "query-funds",
    "Withdraw": "withdraw-funds",
    "WithdrawCancel": "withdraw-funds",
}


def is_allowed(method: str, permissions: Collection[str]) -> bool:
    """Return whether a key with these permissions may call a method."""
    needed = NEEDED.get(method)
    return needed is None or any(set(each.split(" + ")) <= set(permissions) for each in needed.split(" / "))
