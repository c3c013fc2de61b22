"""The demo's second part: one order for many accounts, under one lock for all of them, and all at the same time."""

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
    """How long one order for many accounts took.

    Args:
        accounts: How many accounts.
        placed: How many orders were placed at the fake Kraken, both times together.
        invalid_nonces: How many calls it refused for their nonce.
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
        """Whether each account's order was placed exactly once, each time."""
        return self.placed == 2 * self.accounts and not self.invalid_nonces


def fan_out(state: str) -> FanOut:
    """Place one order for all accounts, both ways; *state* is an empty directory."""
    fake = FakeKraken()
    made = [fake.add_account(f"USER:u{index}") for index in range(ACCOUNTS)]
    accounts = [Account(each.name, each.key, each.secret, tier="none") for each in made]
    seconds = []
    with FakeKrakenServer(fake, latency=ROUND_TRIP) as server, NonceManager(state) as manager:
        for serialization in ("global", "key"):
            nonces = GlobalKrakenNonceManager(manager)
            with BrokerManager(accounts, nonces=nonces, base_url=server.url, serialization=serialization) as brokers:
                began = time.monotonic()
                brokers.copy_order(ORDER)
                seconds.append(time.monotonic() - began)
    placed = sum(each.method == "AddOrder" and each.error is None for each in fake.arrivals)
    return FanOut(ACCOUNTS, placed, len(fake.invalid_nonces()), *(round(each, 3) for each in seconds))
