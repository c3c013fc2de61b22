"""What a local key may call: Kraken's private methods in groups. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.key.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


GROUPS = {
    "query": "balances, orders, trades, ledgers and all other methods that only read",
    "trade": "place, amend and cancel orders, each by its id; start and stop strategies",
    "cancel": "cancel orders and strategies, each by its id",
    "cancel-all": "cancel all orders of the account, now or by the dead man's switch: also those of other bots",
    "token": "WebSocket tokens, with which a bot can do everything that the Kraken key may do",
    "deposit": "new deposit addresses",
    "withdraw": "withdraw funds and cancel withdrawals",
    "transfer": "move funds between wallets and accounts",
    "earn": "allocate and deallocate funds",
    "export": "create and delete export reports",
    "nonce": "nonces only, for programs that sign and send their own calls",
    "other": "methods that krakenonce does not know",
}


def groups_of(method: str, names: Container[str]) -> frozenset[str]:
    """Return the groups of which a local key needs one to make this call.

    Args:
        method: Kraken's name for it.
        names: The names of its parameters. Values do not count: if a parameter is there twice, Kraken may use the
            other one than we would.
    """
    its = METHODS[method]
    group = its.new if its.new and "new" in names else its.group
    # As at Kraken, the right to place and amend orders is enough for a cancel, too.
    return frozenset((group, "trade") if group == "cancel" else (group,))


def why_not(name: str, needed: Iterable[str]) -> str:
    """Return why a local key may not make a call, and how to let it.

    Args:
        name: The local key's name.
        needed: The groups of which it needs one.
    """
    groups = sorted(needed)
    why = f"local key {name} may not call this method; it needs the group {' or '.join(groups)}"
    more = {
        "cancel-all": ", as the method reaches the orders of all bots of the account",
        "other": ", as krakenonce does not know the method",
    }.get(groups[0], "")
    return f"{why}{more}. To allow it: krakenonce gateway change-key --name {name} --add {groups[0]}"


def parse_groups(names: Iterable[str]) -> frozenset[str]:
    """Return the groups of these names. Raises ConfigError if there is none or one is not known."""
    found = frozenset(name.strip().lower() for name in names)
    unknown = sorted(found - GROUPS.keys())
    if unknown or not found:
        shown = ", ".join(map(repr, unknown or [""]))
        raise ConfigError(f"there is no group {shown}; the groups are {', '.join(GROUPS)}")
    return found
