"""The private methods by name, and the call that each of them gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from krakenonce.testing.funding import FUNDING
from krakenonce.testing.queries import QUERIES
from krakenonce.testing.trading import TRADING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.engine import MatchingEngine
    from krakenonce.testing.limits import Limits


@dataclass(frozen=True, slots=True)
class Call:
    """A private call whose nonce was accepted.

    Args:
        account: The account of its key.
        params: Its parameters.
        now: When it is processed, in seconds since 1970.
        received: When it came in; earlier if it had to wait.
        hidden_for: Seconds for which an order placed by it is in no list.
        engine: The matching engine.
        limits: The counters of the limits.
    """

    account: FakeAccount
    params: Mapping[str, Any]
    now: float
    received: float
    hidden_for: float
    engine: MatchingEngine
    limits: Limits


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
