"""The demo's second part: one order for many accounts, under one lock for all of them, and all at the same time."""

from __future__ import annotations

import time
from typing import Any

from krakenonce.brokers import Account, BrokerManager
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer

ACCOUNTS = 30
ROUND_TRIP = 0.05  # seconds
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "20000"}


def fan_out(state: str) -> dict[str, Any]:
    """Place one order for all accounts, both ways.

    Args:
        state: The state directory.

    Returns:
        ``placed``: how many orders the fake Kraken has placed, both times together; ``invalid_nonces``: how many calls
        it refused for their nonce; ``one_lock_seconds``: with one call at a time over all ``accounts``;
        ``side_by_side_seconds``: with one call at a time for each key.
    """
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
                seconds.append(round(time.monotonic() - began, 3))
    return {
        "accounts": ACCOUNTS,
        "placed": sum(each.method == "AddOrder" and each.error is None for each in fake.arrivals),
        "invalid_nonces": len(fake.invalid_nonces()),
        "one_lock_seconds": seconds[0],
        "side_by_side_seconds": seconds[1],
    }
