"""The private methods by name, and the call that each of them gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from krakenonce.testing.funding import FUNDING
from krakenonce.testing.keys import PERMISSIONS
from krakenonce.testing.queries import QUERIES
from krakenonce.testing.trading import TRADING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.keys import ApiKey
    from krakenonce.testing.limits import Limits


@dataclass(frozen=True, slots=True)
class Call:
    """A private call whose nonce was accepted.

    Args:
        account: The account of its key.
        key: Its key.
        nonce: Its nonce.
        params: Its parameters.
        now: When it is processed, in seconds since 1970.
        received: When it came in; earlier if it had to wait.
        hidden_for: Seconds for which an order placed by it is in no list.
        engine: The matching engine.
        limits: The counters of the limits.
    """

    account: FakeAccount
    key: ApiKey
    nonce: int | None
    params: Mapping[str, Any]
    now: float
    received: float
    hidden_for: float
    engine: MatchingEngine
    limits: Limits


def _key_info(call: Call) -> dict[str, Any]:
    key = call.key
    return {
        "apiKeyName": key.name,
        "apiKey": key.key,
        "nonce": str(call.nonce),
        "nonceWindow": key.nonce_window,
        "permissions": [name for name in PERMISSIONS if name in key.permissions],
        "iban": call.account.iban,
        "validUntil": str(int(key.valid_until)),
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": str(int(key.created)),
        "modifiedTime": str(int(key.created)),
        "ipAllowlist": [],
        "lastUsed": str(int(call.now)),
    }


PRIVATE: dict[str, Callable[[Call], Any]] = {"GetApiKeyInfo": _key_info, **QUERIES, **TRADING, **FUNDING}
