"""A server of PostgreSQL fails, and its standby is promoted: one that has all it has confirmed, or one that lags."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.postgres import PostgresStore, schema
from krakenonce.rule import SECOND
from krakenonce.testing.clock import ManualClock
from tests.hosts.servers import PASSWORD, Host, PostgresServer
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[[], PostgresServer]

FOLLOWERS = "select 1 from pg_stat_replication where state = 'streaming'"


class Pair:
    """A server and its standby.

    Args:
        new_server: What makes servers.
    """

    def __init__(self, new_server: Start) -> None:
        self.primary, self.standby = new_server(), new_server()
        self.primary.make()
        self.primary.start()
        self.standby.make_standby_of(self.primary)
        self.standby.start()
        until(lambda: self.primary.run(FOLLOWERS))

    @property
    def url(self) -> str:
        """The URL of both, the standby first."""
        hosts = f"127.0.0.1:{self.standby.port},127.0.0.1:{self.primary.port}"
        return self.primary.url.replace(f"127.0.0.1:{self.primary.port}", hosts)

    def wait_for_standby(self, names: str = "*") -> None:
        """Let the server confirm what its standby has."""
        set_to(self.primary, "synchronous_standby_names", names)
        until(lambda: self.primary.run("select 1 from pg_stat_replication where sync_state = 'sync'") or not names)

    def hold_back(self) -> None:
        """Let the standby get nothing more."""
        set_to(self.standby, "primary_conninfo", "")
        until(lambda: not self.primary.run("select 1 from pg_stat_replication"))

    def promote(self) -> None:
        """Kill the server and promote the standby."""
        self.primary.kill()
        self.standby.run("select pg_promote()")


def set_to(server: PostgresServer, name: str, value: str) -> None:
    """Change a setting."""
    server.run(f"alter system set {name} = '{value}'")
    server.run("select pg_reload_conf()")
    until(lambda: server.run(f"show {name}") == [(value.encode(),)])


@pytest.fixture
def pair(new_server: Start) -> Pair:
    """A server and a standby that it does not wait for."""
    return Pair(new_server)


@pytest.fixture
def hosts(pair: Pair) -> Iterator[list[Host]]:
    """Processes that know both servers."""
    started = [Host(pair.url, ahead, 0.0) for ahead in (-3600.0, 0.0, 3600.0, 0.0)]
    yield started
    for each in started:
        each.kill()


def test_a_synchronous_standby_that_is_promoted_under_load_has_all_nonces(
    pair: Pair, hosts: list[Host], tmp_path: Path
) -> None:
    """None twice, in the order of time; a turn that was held is lost, and all go on by themselves."""
    log = tmp_path / "log"
    log.touch()
    pair.wait_for_standby()
    holder, *others = hosts
    assert holder.ask("enter other") == "entered"
    for each in others:
        each.begin(f"load 40 {log}")
    until(lambda: log.read_bytes().count(b"\n") > 30)
    pair.primary.kill()
    until(lambda: last_of(pair.standby) >= max(nonce for _, nonce, _ in entries(log)))
    pair.standby.run("select pg_promote()")
    assert [each.hear() for each in others] == ["done"] * 3
    assert holder.ask("nonce other").startswith(("TurnLost: ", "NonceStoreError: "))
    assert [holder.ask("leave"), holder.ask("enter other")] == ["left", "entered"]
    taken = entries(log)
    assert int(holder.ask("nonce other")) > max(nonce for _, nonce, _ in taken)
    assert len({nonce for _, nonce, _ in taken}) == len(taken) == 120
    assert [(earlier, later) for earlier, later in itertools.permutations(taken, 2) if is_wrong(earlier, later)] == []


def entries(log: Path) -> list[tuple[int, int, int]]:
    """When each nonce was asked for, the nonce, and when it was there."""
    whole = log.read_text().rpartition("\n")[0]
    return [(int(asked), int(nonce), int(got)) for asked, nonce, got in map(str.split, whole.splitlines())]


def is_wrong(earlier: tuple[int, int, int], later: tuple[int, int, int]) -> bool:
    """Whether one that was asked for when the other one was there is smaller."""
    return earlier[2] < later[0] and later[1] <= earlier[1]


def last_of(server: PostgresServer) -> int:
    """The last nonce of the common counter that a server has; 0 if it has no tables yet."""
    if server.run("select to_regclass('krakenonce.nonces')") == [(None,)]:
        return 0
    return int(server.run("select last from krakenonce.nonces where scope = 'global'")[0][0] or 0)


def test_a_synchronous_standby_has_floors_and_records(pair: Pair) -> None:
    """All that was confirmed."""
    pair.wait_for_standby()
    store = PostgresStore(pair.url)
    store.raise_floor("far", 2**62)
    store.records.write("one", b"data", None)
    pair.promote()
    assert store.peek("far") == 2**62
    assert store.records.read("one") == b"data"
    store.close()


def test_a_standby_that_lags_skips_a_minute(pair: Pair) -> None:
    """So it issues none of the nonces that it does not have, though the clock stands still."""
    store = PostgresStore(pair.url, clock=ManualClock())
    store.advance("global")
    until(lambda: last_of(pair.standby) == store.peek("global"))
    pair.hold_back()
    lost = [store.advance("global") for _ in range(100)]
    pair.promote()
    assert last_of(pair.standby) == lost[0] - 1
    assert store.advance("global") == lost[0] - 1 + 60 * SECOND
    assert store.advance("global") == lost[0] + 60 * SECOND
    store.close()


def test_servers_that_wait_for_no_standby_are_warned_about(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Once, when several are named; and each time they no longer do what they did, as one that was just promoted."""
    schema._warned.clear()
    with caplog.at_level(logging.WARNING, "krakenonce"):
        for _ in range(2):
            PostgresStore(pair.url).advance("global")
        assert [told(each) for each in caplog.messages] == ["waits for no standby"]
        assert PASSWORD not in caplog.text
        PostgresStore(pair.primary.url).advance("global")
        pair.wait_for_standby()
        for url in (pair.url, pair.primary.url):
            PostgresStore(url).advance("global")
        set_to(pair.standby, "synchronous_standby_names", "")
        set_to(pair.primary, "synchronous_standby_names", "")
        for _ in range(2):
            PostgresStore(pair.primary.url).advance("global")
        assert [told(each) for each in caplog.messages[1:]] == ["no longer waits for a standby"]
        pair.promote()
        for _ in range(2):
            PostgresStore(pair.url).advance("global")
    assert [told(each) for each in caplog.messages[2:]] == ["no longer waits for a standby"]


def told(message: str) -> str:
    """What a warning begins with, after the name of the server."""
    return message.partition(" (")[0].partition(" ")[2]
