"""An account with several keys on a state that hosts share: all callers take the first key that is free."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.engines import Engine
    from tests.hosts.servers import Host

KEYS = 4
OTHER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from krakenonce import NonceManager
from krakenonce.kraken import Kraken
base_url, first, keys = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
with (
    Kraken(keys=keys, manager=NonceManager(shared="hosts"), base_url=base_url, tier="none") as kraken,
    ThreadPoolExecutor(6) as threads,
):
    def order(number):
        kraken.add_order("XBTUSD", "buy", "0.01", ordertype="limit", price=1000 + first + number)
    list(threads.map(order, range(12)))
"""


@pytest.fixture
def kraken() -> Iterator[FakeKrakenServer]:
    """A fake Kraken whose calls overtake each other, with an account of four keys."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "1000000"})
    for _ in range(KEYS - 1):
        fake.add_key(account)
    with FakeKrakenServer(fake, latency=0.01, jitter=0.01) as running:
        yield running


def pairs(kraken: FakeKrakenServer) -> list[list[str]]:
    """Return the account's keys with their secrets."""
    return [[each.key, each.secret] for each in kraken.fake.keys.values()]


def orders(kraken: FakeKrakenServer) -> list[Any]:
    """Return what has arrived of orders."""
    return [each for each in kraken.fake.arrivals if each.method == "AddOrder"]


def test_processes_share_all_keys(engine: Engine, kraken: FakeKrakenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No nonce is refused, each order is placed once, and more keys than one are used."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", engine.url)
    words = [kraken.url, json.dumps(pairs(kraken))]
    started = [
        subprocess.Popen([sys.executable, "-c", OTHER, words[0], str(100 * number), words[1]]) for number in range(3)
    ]
    assert [each.wait(60) for each in started] == [0, 0, 0]
    assert kraken.fake.invalid_nonces() == []
    assert [each.error for each in orders(kraken)] == [None] * 36
    assert len({each.key_name for each in orders(kraken)}) > 1


@pytest.mark.parametrize("how", ["threads", "tasks"])
def test_calls_of_one_process_are_made_with_all_keys_at_once(
    engine: Engine, kraken: FakeKrakenServer, how: str
) -> None:
    """As in a directory; and when all have ended, every turn is free."""
    keys: Any = pairs(kraken)
    manager = NonceManager(engine.url)
    ours: Any = {"keys": keys, "manager": manager, "base_url": kraken.url, "tier": "none"}
    orders_of = [
        {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": f"{1000 + number}"}
        for number in range(16)
    ]

    async def main() -> None:
        async with AsyncKraken(**ours) as client:
            await asyncio.gather(*(client.private("AddOrder", **each) for each in orders_of))

    if how == "tasks":
        asyncio.run(main())
    else:
        with Kraken(**ours) as client, ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda each: client.private("AddOrder", **each), orders_of))
    assert kraken.fake.invalid_nonces() == []
    assert len(orders(kraken)) == 16
    assert len({each.key_name for each in orders(kraken)}) > 1
    for key, _ in keys:
        with manager.lane(key, timeout=10):
            pass
    manager.close()


def test_the_key_that_another_host_has_is_passed_over(
    engine: Engine, host: Callable[..., Host], kraken: FakeKrakenServer
) -> None:
    """A thread takes the next one at once."""
    keys: Any = pairs(kraken)
    other = host()
    assert other.ask(f"enter {keys[0][0]}") == "entered"
    with (
        NonceManager(engine.url) as manager,
        Kraken(keys=keys, manager=manager, base_url=kraken.url, tier="none") as client,
    ):
        client.balances()
    assert [each.key_name for each in kraken.fake.arrivals] == ["bot 2"]
    assert other.ask("leave") == "left"
