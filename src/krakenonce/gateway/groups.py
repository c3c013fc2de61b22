"""What a local key may call: Kraken's private methods in groups. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.key.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

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


def groups_of(method: str, names: Container[str]) -> frozenset[str]:
    """Return the groups of which a local key needs one for this call.

    Args:
        method: Kraken's name for it.
        names: The names of its parameters. A value may mean another thing to Kraken than to us, if it is there twice:
            being there is enough.
    """
    its = METHODS[method]
    group = its.new if its.new and "new" in names else its.group
    # Kraken's own right to modify orders is enough for a cancel, too.
    return frozenset((group, "trade") if group == "cancel" else (group,))


def parse_groups(names: Iterable[str]) -> frozenset[str]:
    """Return the groups of these names. Raises ConfigError if there is none or one is not known."""
    found = frozenset(name.strip().lower() for name in names)
    unknown = sorted(found - GROUPS.keys())
    if unknown or not found:
        raise ConfigError(f"there is no group {', '.join(map(repr, unknown)) or chr(39) * 2}: use {', '.join(GROUPS)}")
    return found
