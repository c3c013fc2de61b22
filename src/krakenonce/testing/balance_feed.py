"""The channel ``balances`` of Kraken's WebSocket API v2: what an account has, and its ledger. No I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from krakenonce.testing.markets import ASSETS
from krakenonce.testing.message import Message, entries, rfc3339, short_name

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount


class Balances:
    """The channel ``balances``: what an account has, and each entry of its ledger.

    Args:
        account: The account; one that needs no funds has no balances.
        snapshot: Whether its balances are sent first.
    """

    def __init__(self, account: FakeAccount, *, snapshot: bool) -> None:
        self.described = {"channel": "balances", "snapshot": snapshot}
        self._account, self._snapshot, self._seen = account, snapshot, len(account.ledger)
        self._sequence = 0

    def first(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return all balances."""
        held = self._account.balances.items()
        return [self._message("snapshot", [_balance(*each) for each in held])] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return the new entries of the ledger, each in a message of its own."""
        ledger = self._account.ledger
        if len(ledger) == self._seen:
            return []
        new, self._seen = list(ledger.items())[self._seen :], len(ledger)
        return [self._message("update", [_entry(*each)]) for each in new]

    def _message(self, kind: str, data: list[Message]) -> Message:
        self._sequence += 1
        return entries("balances", kind, data, sequence=self._sequence)


def _balance(name: str, amount: Decimal) -> Message:
    held = amount.quantize(Decimal(1).scaleb(-ASSETS[name].decimals)) if name in ASSETS else amount
    wallet = {"type": "spot", "id": "main", "balance": held}
    return {"asset": _short(name), "asset_class": "currency", "balance": held, "wallets": [wallet]}


def _entry(ledger_id: str, row: dict[str, Any]) -> Message:
    return {
        "ledger_id": ledger_id,
        "ref_id": row["refid"],
        "timestamp": rfc3339(row["time"]),
        "type": row["type"],
        "asset": _short(row["asset"]),
        "asset_class": "currency",
        "category": row["type"],
        "wallet_type": "spot",
        "wallet_id": "main",
        **{name: Decimal(row[name]) for name in ("amount", "fee", "balance")},
    }


def _short(name: str) -> str:
    return short_name(ASSETS[name]) if name in ASSETS else name
