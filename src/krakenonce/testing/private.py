"""The private methods by name, and the call that each of them gets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from krakenonce.testing.amends import noting_amends
from krakenonce.testing.book_views import level3
from krakenonce.testing.earn import EARN
from krakenonce.testing.exports import EXPORTS
from krakenonce.testing.funding import FUNDING
from krakenonce.testing.keys import PERMISSIONS
from krakenonce.testing.markets import find_pair
from krakenonce.testing.queries import QUERIES
from krakenonce.testing.request import Refused
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


def count_refused(method: str, call: Call) -> None:
    """Count an order that a wrong parameter stops: Kraken counts it when it comes in, valid or not."""
    orders = call.params.get("orders")
    cost = {"AddOrder": 1.0, "AddOrderBatch": len(orders) / 2 if isinstance(orders, list) else 0.0}.get(method)
    pair = call.params.get("pair")
    if cost and isinstance(pair, str):
        with contextlib.suppress(Refused):
            call.limits.count(call.account, find_pair(pair).name, cost, call.now)


PRIVATE: dict[str, Callable[[Call], Any]] = {
    **QUERIES,
    **TRADING,
    **FUNDING,
    **EARN,
    **EXPORTS,
    "AmendOrder": noting_amends(TRADING["AmendOrder"]),
    "GetApiKeyInfo": _key_info,
    "Level3": level3,
}
