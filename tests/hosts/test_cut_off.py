"""A host is cut off from PostgreSQL: its packets vanish, and nobody tells the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session
from tests.hosts.network import ADDRESS, Network
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.servers import Host, PostgresServer

LIMIT = 6.0  # seconds


class World:
    """A server, and three hosts in one network."""

    def __init__(self, network: Network, server: PostgresServer) -> None:
        self.network = network
        self.server = server
        url = server.url.replace("127.0.0.1", ADDRESS)
        self.first, self.second, self.third = (network.host(url) for _ in range(3))

    def queue(self, *hosts: Host) -> None:
        """Give the turn to the first, and let the others wait for it, in this order."""
        first, *others = hosts
        assert first.ask("nonce key").isdigit()  # over a session of its own
        assert first.ask("enter key") == "entered"
        for count, each in enumerate(others, 1):
            each.begin("enter key")
            until(lambda wanted=count: self.server.waiting() == wanted)  # type: ignore[misc]


@pytest.fixture
def world(new_server: Callable[..., PostgresServer]) -> Iterator[World]:
    """A network of this test."""
    with Network() as network:
        server = new_server()
        server.make()
        server.start(f"listen_addresses=127.0.0.1,{ADDRESS}")
        server.run("select 1")
        (server.folder / "pg_hba.conf").write_text("host all all 0.0.0.0/0 scram-sha-256\n")
        server.run("select pg_reload_conf()")
        yield World(network, server)
        server.kill()


def test_a_holder_that_is_cut_off_loses_its_turn_within_seconds(world: World) -> None:
    """It gets no nonce in it, but an error that says that nothing was sent, and goes on when the network does."""
    world.queue(world.first, world.second)
    until(world.network.is_confirmed)
    world.network.cut(world.first)
    began = time.monotonic()
    assert world.second.hear() == "entered"
    assert time.monotonic() - began < LIMIT
    said = world.first.ask("nonce key")
    assert said.startswith(("TurnLost: ", "NonceStoreError: "))
    assert "nothing was" in said
    nonce = int(world.second.ask("nonce key"))
    assert world.second.ask("leave") == "left"
    assert world.first.ask("leave") == "left"
    world.network.mend(world.first)
    assert world.first.ask("enter key") == "entered"
    assert int(world.first.ask("nonce key")) > nonce


def test_a_waiter_that_is_cut_off_does_not_keep_the_queue(world: World) -> None:
    """It may get the turn and not know it: the server takes it back."""
    world.queue(world.first, world.second, world.third)
    world.network.cut(world.second)
    assert world.first.ask("leave") == "left"
    began = time.monotonic()
    assert world.third.hear() == "entered"
    assert time.monotonic() - began < LIMIT
    assert world.third.ask("nonce key").isdigit()


def test_a_holder_whose_nonce_is_on_the_way_loses_its_turn_as_soon(world: World) -> None:
    """The server waits for the host to confirm that it has it."""
    world.queue(world.first, world.second)
    locking = Session(read_url(world.server.url, "url"))
    locking.script("begin; lock table krakenonce.nonces")
    world.first.begin("nonce key")
    until(lambda: world.server.run("select 1 from pg_locks where locktype = 'relation' and not granted"))
    world.network.cut(world.first)
    locking.close()
    began = time.monotonic()
    assert world.second.hear() == "entered"
    assert time.monotonic() - began < LIMIT
