"""Where other people's clients make their calls: a fake Kraken, and gateways that refuse in every way they have."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from krakenonce.brokers import Account
from krakenonce.testing.clock import ManualClock
from tests.integration.gateway.conftest import RunningGateway, call, until
from tests.integration.gateway.stock_client import CLIENTS, Call
from tests.integration.gateway.stock_clients import KRAKENAPI, NODE, StockClients, is_here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.stock_clients import Outcome

__all__ = ["ALL", "HERE_NOW", "REFUSALS", "World", "at_the_rate_limit", "busy", "without_krakenapi"]

ALL = (*CLIENTS, *NODE)
HERE_NOW = [client for client in ALL if is_here(client)]
PATIENT = 60.0  # seconds; a timeout that nothing here reaches
Refusing = tuple[str, dict[str, "LocalKey"], str]  # a gateway's URL, local keys, and a method that it refuses


class World:
    """A fake Kraken, gateways to it, and every client with a Kraken key and a local key of its own.

    Args:
        fake: The fake Kraken.
        url: Its address.
        state: Where gateways have their state.
        clients: The clients.
    """

    def __init__(self, fake: WatchedKraken, url: str, state: Path, clients: StockClients) -> None:
        self.fake = fake
        self.url = url
        self.owned = {client: fake.add_account(client) for client in HERE_NOW}
        self._state = state
        self._clients = clients

    @contextlib.contextmanager
    def gateway(self, base_url: str = "", tier: Any = "none", **settings: Any) -> Iterator[RunningGateway]:
        """Run a gateway with the Kraken keys of all clients. It waits half a second for the answer to an order."""
        accounts = [
            Account(f"USER:{number}", each.key, each.secret, tier) for number, each in enumerate(self.owned.values())
        ]
        state = self._state / str(len(list(self._state.iterdir())))
        state.mkdir()
        with RunningGateway(base_url or self.url, accounts, state, **{"order_timeout": 0.5, **settings}) as running:
            yield running

    def pairs(self, gateway: RunningGateway, *allow: str) -> dict[str, LocalKey]:
        """Make each client a local key."""
        groups = allow or ("query", "trade", "withdraw")
        return {client: gateway.add(f"bot{at}", *groups, account=f"USER:{at}") for at, client in enumerate(HERE_NOW)}

    def others(self, gateway: RunningGateway) -> list[LocalKey]:
        """Make a further local key for each Kraken key."""
        return [gateway.add(f"other{at}", "query", account=name) for at, name in enumerate(gateway.accounts)]

    def make(
        self,
        url: str,
        pairs: dict[str, LocalKey],
        method: str,
        params: dict[str, object],
        seconds: float | None = PATIENT,
    ) -> dict[str, Outcome]:
        """Make the same call with all clients at once."""
        return self._clients.make(
            {client: Call(url, pair.key, pair.secret, seconds, method, params) for client, pair in pairs.items()}
        )

    def end(self, client: str) -> None:
        """End a client that is making a call."""
        self._clients.end(client)


def without_krakenapi(pairs: dict[str, LocalKey]) -> dict[str, LocalKey]:
    """Leave out the client that repeats its calls without an end."""
    return {client: pair for client, pair in pairs.items() if client != KRAKENAPI}


@contextlib.contextmanager
def without_permission(world: World) -> Iterator[Refusing]:
    """A gateway whose local keys may only read."""
    with world.gateway() as gateway:
        yield gateway.url, world.pairs(gateway, "query"), "AddOrder"


@contextlib.contextmanager
def with_a_revoked_key(world: World) -> Iterator[Refusing]:
    """A gateway that has revoked the local keys."""
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        for pair in pairs.values():
            gateway.local_keys.revoke(pair.name)
        yield gateway.url, pairs, "AddOrder"


@contextlib.contextmanager
def without_kraken(world: World) -> Iterator[Refusing]:
    """A gateway that cannot reach Kraken: the port is bound, and nobody listens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with world.gateway(f"http://127.0.0.1:{nobody.getsockname()[1]}") as gateway:
            yield gateway.url, world.pairs(gateway), "AddOrder"


@contextlib.contextmanager
def locked_out(world: World) -> Iterator[Refusing]:
    """A gateway whose Kraken keys are locked out."""
    with world.gateway() as gateway:
        world.fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout", times=len(world.owned))
        for pair in world.others(gateway):
            assert call(gateway.url, pair, "Balance").errors
        yield gateway.url, world.pairs(gateway), "AddOrder"


def is_refused(gateway: RunningGateway, pair: LocalKey) -> bool:
    """Make a call and return whether it was refused."""
    return bool(call(gateway.url, pair, "Balance").errors)


@contextlib.contextmanager
def at_the_rate_limit(world: World) -> Iterator[Refusing]:
    """A gateway that has used up the rate limits, which do not recover: its clock stands still."""
    with world.gateway(tier="starter", max_wait=0.01, clock=ManualClock(time.time_ns())) as gateway:
        for pair in world.others(gateway):
            until(partial(is_refused, gateway, pair))
        yield gateway.url, without_krakenapi(world.pairs(gateway)), "Balance"


@contextlib.contextmanager
def with_a_full_queue(world: World) -> Iterator[Refusing]:
    """A gateway in which one call of each key is under way, and one waits; no more may."""
    with world.gateway(length=1) as gateway, ThreadPoolExecutor(2 * len(world.owned)) as pool:
        for pair in busy(world, gateway, pool, 4.0):
            pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: all(gateway.waiting(name) for name in gateway.accounts))
        yield gateway.url, world.pairs(gateway), "AddOrder"


def busy(world: World, gateway: RunningGateway, pool: ThreadPoolExecutor, seconds: float) -> list[LocalKey]:
    """Make a call with each Kraken key that takes so long; return other local keys."""
    others = world.others(gateway)
    world.fake.faults.add("Balance", "slow_answer", seconds=seconds, times=len(others))
    for pair in others:
        pool.submit(call, gateway.url, pair, "Balance")
    until(lambda: not world.fake.faults.waiting())
    return others


REFUSALS = (without_permission, with_a_revoked_key, without_kraken, locked_out, at_the_rate_limit, with_a_full_queue)
