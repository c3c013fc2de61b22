"""Whole programs on a PostgreSQL state: clients that make calls, and libraries that replace Python's waits."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager
from krakenonce.backends.postgres import PostgresStore
from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.engines import Engine
    from tests.hosts.servers import PostgresServer as Server

CALLER = """
import sys
from krakenonce import NonceManager
from krakenonce.kraken import Kraken
manager = NonceManager(shared="hosts")
with Kraken(sys.argv[1], sys.argv[2], manager=manager, base_url=sys.argv[3], tier="none") as kraken:
    for _ in range(20):
        kraken.balances()
"""

GREENLETS = {
    "gevent": """
from gevent import monkey; monkey.patch_all()
import gevent
spawn, sleep, join = gevent.spawn, gevent.sleep, lambda each: each.get()
""",
    "eventlet": """
import eventlet; eventlet.monkey_patch()
spawn, sleep, join = eventlet.spawn, eventlet.sleep, lambda each: each.wait()
""",
}
CALLS = """
import sys
from krakenonce import NonceManager
manager = NonceManager(sys.argv[1])
taken = []
def call():
    for _ in range(5):
        with manager.lane("key"):
            taken.append(manager.next_for("key"))
            sleep(0.001)
ticks = []
def tick():
    while True:
        ticks.append(1); sleep(0.001)
spawn(tick)
for each in [spawn(call) for _ in range(6)]:
    join(each)
assert taken == sorted(set(taken)) and len(taken) == 30
assert len(ticks) > 20
print("done")
"""


def test_clients_on_many_hosts_share_a_key(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kraken refuses no nonce, though calls that are under way together overtake each other; threads and tasks, too."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "100"})
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", engine.url)
    with FakeKrakenServer(fake, jitter=0.003) as kraken_server:
        ours: Any = {
            "manager": (manager := NonceManager(shared="hosts")),
            "base_url": kraken_server.url,
            "tier": "none",
        }
        words = [account.key, account.secret, kraken_server.url]
        others = [subprocess.Popen([sys.executable, "-c", CALLER, *words]) for _ in range(3)]
        with (
            Kraken(account.key, account.secret, **ours) as kraken,
            ThreadPoolExecutor(4) as threads,
        ):
            list(threads.map(lambda _: kraken.balances(), range(20)))

        async def tasks() -> None:
            async with AsyncKraken(account.key, account.secret, **ours) as kraken:
                await asyncio.gather(*(kraken.balances() for _ in range(20)))

        asyncio.run(tasks())
        assert [each.wait() for each in others] == [0, 0, 0]
        manager.close()
    assert len(fake.accepted()) == 100
    assert fake.invalid_nonces() == []


@pytest.mark.parametrize("library", GREENLETS)
def test_greenlets_take_turns_while_others_go_on(engine: Engine, library: str) -> None:
    """A greenlet that waits for its turn stops no other, and none is served in the middle of a statement."""
    if importlib.util.find_spec(library) is None:  # not imported here: eventlet warns in each forked child from then on
        pytest.skip(f"{library} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS[library] + CALLS, engine.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "done\n", done.stderr


def test_a_manager_closes_what_it_has_opened(server: Server) -> None:
    """The server has no session of it left."""
    manager = NonceManager(PostgresStore(server.url))
    for key in ("one", "two"):
        with manager.lane(key):
            manager.next_for(key)
    ours = "select 1 from pg_stat_activity where application_name like 'krakenonce%'"
    assert len(server.run(ours)) == 3
    manager.close()
    assert server.run(ours) == []


def test_an_order_that_was_placed_while_the_state_went_down_is_a_result(new_server: Callable[[], Server]) -> None:
    """An error would say that it was not placed, and be an invitation to place it again."""
    server = new_server()
    server.make()
    server.start()
    fake = FakeKraken()
    account = fake.add_account("bot")
    manager = NonceManager(server.url)
    placed: list[object] = []
    with (
        FakeKrakenServer(fake, latency=1.0) as kraken_server,
        Kraken(account.key, account.secret, manager=manager, base_url=kraken_server.url) as kraken,
    ):
        order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "100", "volume": "1"}
        placing = in_thread(lambda: placed.append(kraken.private("AddOrder", **order)))
        until(lambda: fake.arrivals)
        server.kill()
        join([placing])
    assert len(placed) == 1
    assert [each.method for each in fake.accepted()] == ["AddOrder"]
    manager.close()


@pytest.mark.parametrize("table", ["nonces", "limit_pages"])
def test_an_event_loop_goes_on_while_the_server_is_slow(server: Server, table: str) -> None:
    """Its other tasks run while a call waits for its turn and nonce, or to be counted."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "100"})
    waits = "select from pg_locks where not granted"
    with NonceManager(server.url) as manager, FakeKrakenServer(fake) as kraken_server:

        async def call_while_locked() -> None:
            async with AsyncKraken(account.key, account.secret, manager=manager, base_url=kraken_server.url) as kraken:
                await kraken.balances()
                blocker = Session(read_url(server.url, "url"))
                blocker.script(f"begin; lock table krakenonce.{table} in exclusive mode")
                call = asyncio.create_task(kraken.balances())
                await asyncio.to_thread(until, lambda: server.run(waits))
                for _ in range(10):
                    await asyncio.sleep(0)
                assert not call.done()
                await asyncio.to_thread(blocker.script, "commit")
                blocker.close()
                assert await call

        asyncio.run(call_while_locked())
