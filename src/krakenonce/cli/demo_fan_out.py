"""The demo's second part: one order to many accounts, under one lock for all of them and side by side."""

from __future__ import annotations

import time
from dataclasses import dataclass

from krakenonce.brokers import Account, BrokerManager
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer

__all__ = ["FanOut", "fan_out"]

ACCOUNTS = 30
ROUND_TRIP = 0.05  # seconds
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "20000"}


@dataclass(frozen=True)
class FanOut:
    """How long one order to many accounts took.

    Args:
        accounts: To how many.
        placed: How many orders the fake Kraken has, of both ways.
        invalid_nonces: How many calls it refused for their number.
        one_lock_seconds: With one call at a time over all accounts.
        side_by_side_seconds: With one call at a time for each key.
    """

    accounts: int
    placed: int
    invalid_nonces: int
    one_lock_seconds: float
    side_by_side_seconds: float

    @property
    def perfect(self) -> bool:
        """Whether every account got its order, each time, and none twice."""
        return self.placed == 2 * self.accounts and not self.invalid_nonces


def fan_out(state: str) -> FanOut:
    """Place one order for all accounts, both ways; *state* is an empty directory."""
    fake = FakeKraken()
    keys = [fake.add_account(f"USER:u{number}") for number in range(ACCOUNTS)]
    accounts = [Account(each.name, each.key, each.secret, tier="none") for each in keys]
    took = []
    with FakeKrakenServer(fake, latency=ROUND_TRIP) as server, NonceManager(state) as manager:
        for serialization in ("global", "key"):
            nonces = GlobalKrakenNonceManager(manager)
            with BrokerManager(accounts, nonces=nonces, base_url=server.url, serialization=serialization) as brokers:
                began = time.monotonic()
                brokers.copy_order(ORDER)
                took.append(time.monotonic() - began)
    placed = sum(each.method == "AddOrder" and each.error is None for each in fake.arrivals)
    return FanOut(ACCOUNTS, placed, len(fake.invalid_nonces()), *(round(seconds, 3) for seconds in took))
