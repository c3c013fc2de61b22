"""What an account of the fake Kraken has besides balances and orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from krakenonce.errors import ConfigError
from krakenonce.testing.markets import find_asset
from krakenonce.testing.request import Refused


@dataclass(frozen=True, slots=True)
class WithdrawalAddress:
    """An address that withdrawals may go to.

    Args:
        key: The name that the user gave it.
        asset: Kraken's own name of the asset, such as ``XXBT``.
        address: The address.
    """

    key: str
    asset: str
    address: str


@dataclass(slots=True, kw_only=True)
class Export:
    """A report that AddExport ordered.

    Args:
        id: Its id.
        report: ``trades`` or ``ledgers``.
        format: ``CSV`` or ``TSV``.
        description: What the user called it.
        fields: The columns.
        start: Its entries are from this time on, in seconds since 1970.
        end: Its entries are before this time.
        created: When it was ordered.
    """

    id: str
    report: str
    format: str
    description: str
    fields: tuple[str, ...]
    start: float
    end: float
    created: float


@dataclass(slots=True)
class Allocation:
    """What an account has in one Earn strategy.

    Args:
        amount: How much of the asset.
        last: What the last request asked for, negative to take out, by ``Allocate`` and ``Deallocate``.
        requested: When these requests came, in seconds since 1970.
        failed: The errors of those that failed.
    """

    amount: Decimal = Decimal(0)
    last: dict[str, Decimal] = field(default_factory=dict)
    requested: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Holdings:
    """What an account has besides balances and orders.

    Args:
        addresses: Where its withdrawals may go to, besides the addresses that every account has.
        deposit_addresses: The addresses for its deposits, by asset.
        exports: Its reports, by id.
        allocations: What it has in Earn, by strategy.
        amends: The history of each amended order, by its id, as OrderAmends shows it.
    """

    addresses: list[WithdrawalAddress] = field(default_factory=list)
    deposit_addresses: dict[str, list[str]] = field(default_factory=dict)
    exports: dict[str, Export] = field(default_factory=dict)
    allocations: dict[str, Allocation] = field(default_factory=dict)
    amends: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add_address(self, key: str, asset: str, address: str) -> None:
        """Let withdrawals go to an address.

        Args:
            key: The name of the address in calls of Withdraw.
            asset: Any name of the asset, such as ``XBT``.
            address: The address.

        Raises:
            ConfigError: There is no such asset.
        """
        try:
            name = find_asset(asset).name
        except Refused as refusal:
            raise ConfigError(f"The fake Kraken has no asset {asset!r}.") from refusal
        self.addresses.append(WithdrawalAddress(key, name, address))
