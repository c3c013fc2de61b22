"""The servers on which a state of many hosts can be: what the tests that all of them pass need of each."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Protocol

from krakenonce.backends.state_name import read_state
from tests.hosts.etcd import EtcdServer
from tests.hosts.servers import STATE, OlderPostgresServer, PostgresServer
from tests.hosts.valkey import OlderValkeyServer, RedisServer, ValkeyServer

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.backends import Backend
    from krakenonce.clock import Clock


class Engine(Protocol):
    """A server of one kind. It is made once and started once; it may be killed, and started again, more often."""

    port: int

    @property
    def url(self) -> str:
        """The URL of the state on it."""

    def url_at(self, port: int) -> str:
        """The URL of the same state, reached by a proxy at a port of 127.0.0.1."""

    def make(self) -> None:
        """Make its data, in its folder."""

    def start(self) -> None:
        """Start it, and wait until it takes connections."""

    def kill(self) -> None:
        """Kill it, as when its machine fails. What it has confirmed is there when it is started again."""

    def stop(self) -> None:
        """Stop it in order."""

    def empty(self) -> None:
        """Delete the state, and end all turns and queues."""

    def end_turns(self) -> int:
        """Take the turn from all who have one, as if each had been silent for too long; return how many had one."""

    def waiting(self) -> int:
        """How many callers wait in the server's queues."""

    def version(self) -> str:
        """Its version, as it says itself."""

    def impatient(self) -> dict[str, float]:
        """What to set, by its full name, so that a server that does not answer is given up after 0.2 s."""


class Kind(Protocol):
    """A kind of engine."""

    caps_clocks: bool  # whether a clock that is ahead drives the nonces by a minute at most

    def __call__(self, folder: Path) -> Engine:
        """One whose data is to be in this folder, which is not there yet."""


ENGINES: dict[str, Kind] = {"postgres": PostgresServer, "valkey": ValkeyServer, "etcd": EtcdServer}
KINDS: dict[str, Kind] = {
    **ENGINES,
    "postgres-17": OlderPostgresServer,
    "valkey-8.1": OlderValkeyServer,
    "redis-8.2": RedisServer,
}


def open_state(clock: Clock | None = None, pause: float | None = None) -> Backend:
    """A backend on the server of this test, also in the processes that it has started."""
    server = read_state(os.environ[STATE], STATE).server
    assert server is not None
    return server.open(clock, pause)


def backend(_directory: Path, clock: Clock) -> Backend:
    """The same, as the tests that every backend passes make one. There a process that warns of something fails."""
    logging.getLogger("krakenonce").addFilter(_is_no_old_etcd)
    return open_state(clock)


def _is_no_old_etcd(record: logging.LogRecord) -> bool:
    """Whether a warning is not about the version of etcd: there is a package of an old one only."""
    return "runs etcd 3.5.1" not in record.getMessage()
