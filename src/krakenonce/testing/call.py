"""A call that was let in: what each method gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing.exchange import Exchange
    from krakenonce.testing.fake_account import FakeAccount
    from krakenonce.testing.limits import TradingLimits

__all__ = ["Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Args:
        account: Whose.
        params: Its parameters.
        now: When it is processed, in seconds since 1970.
        received: When it came in; earlier if it had to wait.
        hidden_for: Seconds for which an order placed by it is in no list.
        exchange: Where orders meet.
        limits: What trading costs.
    """

    account: FakeAccount
    params: Mapping[str, Any]
    now: float
    received: float
    hidden_for: float
    exchange: Exchange
    limits: TradingLimits
