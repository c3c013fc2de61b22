"""What happens to an order, for those who listen to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from decimal import Decimal

    from krakenonce.testing.orders import Order

Change = Literal["new", "trade", "filled", "canceled", "expired", "amended", "triggered"]


@dataclass(frozen=True, slots=True)
class Execution:
    """One change of an order, told when it has been made.

    Args:
        change: What happened.
        order: The order, which goes on changing.
        at: When, in seconds since 1970.
        price: Of a trade: at which price.
        volume: Of a trade: how much of the base asset.
        trade_id: Of a trade: its id in the account's ``trades``.
    """

    change: Change
    order: Order
    at: float
    price: Decimal | None = None
    volume: Decimal | None = None
    trade_id: str | None = None
