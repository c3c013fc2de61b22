"""Many clients of one key, over real HTTP: all have a fair share of the turns, and every nonce is larger."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp

from tests.integration.gateway.conftest import signed

if TYPE_CHECKING:
    from krakenonce.gateway.local_keys import LocalKey
    from tests.integration.gateway.conftest import RunningGateway, WatchedKraken

CLIENTS = 25
CALLS = 500


def test_clients_of_one_key_have_equal_shares(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """Each calls again as soon as it is answered; no client is a quarter off the mean, and no nonce is refused."""
    made: Counter[int] = Counter()

    async def client(number: int) -> None:
        path, body = "/0/private/Balance", b"nonce=1"
        async with aiohttp.ClientSession() as session:
            while made.total() < CALLS:
                async with session.post(gateway.url + path, data=body, headers=signed(pair, path, 1, body)) as answer:
                    assert (await answer.json())["error"] == []
                made[number] += 1

    async def main() -> None:
        await asyncio.gather(*map(client, range(CLIENTS)))

    asyncio.run(main())
    mean = made.total() / CLIENTS
    assert all(0.75 * mean <= made[number] <= 1.25 * mean for number in range(CLIENTS)), made
    nonces = [arrival.nonce or 0 for arrival in fake.arrivals]
    assert len(nonces) == made.total()
    assert all(a < b for a, b in pairwise(nonces))
