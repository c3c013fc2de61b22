"""By which methods assets come and go, and which addresses withdrawals may go to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.arguments import required
from krakenonce.testing.holdings import WithdrawalAddress
from krakenonce.testing.markets import Asset, find_asset
from krakenonce.testing.request import Refused

if TYPE_CHECKING:
    from krakenonce.testing.accounts import FakeAccount
    from krakenonce.testing.private import Call


ANY_KEY, _ANY_ADDRESS = "fake-key", "fake-address"  # every account has this one for each asset


@dataclass(frozen=True, slots=True)
class Way:
    """How an asset comes and goes.

    Args:
        method: The name of the method, and of its network.
        fee: The fee of a withdrawal.
        minimum: The smallest withdrawal.
    """

    method: str
    fee: Decimal
    minimum: Decimal


def _way(method: str, fee: str, minimum: str) -> Way:
    return Way(method, Decimal(fee), Decimal(minimum))


WAYS = {
    "XXBT": _way("Bitcoin", "0.0002", "0.0005"),
    "XETH": _way("Ether", "0.0015", "0.005"),
    "USDT": _way("Tether USD (ERC20)", "2.5", "10"),
    "SOL": _way("Solana", "0.01", "0.05"),
    "DOT": _way("Polkadot", "0.05", "1"),
    "XXLM": _way("Stellar XLM", "0.00002", "40"),
    "ZUSD": _way("Bank Transfer", "4", "10"),
    "ZEUR": _way("Bank Transfer", "1", "5"),
}


def asset_of(call: Call) -> Asset:
    """Return the asset of a call that must have one."""
    return find_asset(required(call.params, "asset"), "EFunding:Unknown asset")


def filter_asset(call: Call) -> str | None:
    """Return the name of the asset that a list is restricted to, ``None`` for no restriction."""
    return asset_of(call).name if "asset" in call.params else None


def way_of(asset: Asset) -> Way:
    """Return how an asset comes and goes."""
    if asset.name not in WAYS:
        raise Refused("EFunding:No funding method")
    return WAYS[asset.name]


def has_class(call: Call, asset: Asset) -> bool:
    """Return whether an asset is of the class in the call; ``forex`` means what is no share."""
    return call.params.get("aclass") in (None, asset.aclass, "forex" if asset.aclass == "currency" else "")


def addresses(account: FakeAccount) -> list[WithdrawalAddress]:
    """Return where the withdrawals of an account may go to."""
    return account.holdings.addresses + [WithdrawalAddress(ANY_KEY, asset, _ANY_ADDRESS) for asset in WAYS]


def address_of(call: Call, asset: Asset) -> WithdrawalAddress:
    """Return the address with the key of the call."""
    key = required(call.params, "key")
    for each in addresses(call.account):
        if (each.key, each.asset) == (key, asset.name):
            return each
    raise Refused("EFunding:Unknown withdraw key")
