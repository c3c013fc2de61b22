"""All methods that need a key, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.testing.funding import FUNDING
from krakenonce.testing.queries import QUERIES
from krakenonce.testing.trading import TRADING

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.testing.call import Call

__all__ = ["PRIVATE"]


def _key_info(call: Call) -> dict[str, Any]:
    account = call.account
    return {
        "apiKeyName": account.name,
        "apiKey": account.key,
        "nonce": str(account.last_nonce),
        "nonceWindow": account.nonce_window,
        "permissions": sorted(account.permissions),
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": "0",
        "modifiedTime": "0",
        "ipAllowlist": [],
        "lastUsed": str(int(call.now)),
    }


PRIVATE: dict[str, Callable[[Call], Any]] = {"GetApiKeyInfo": _key_info, **QUERIES, **TRADING, **FUNDING}
