"""No nonce twice, and all in the order of time: over hosts, lost connections, and servers that are killed."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from krakenonce.backends.postgres import PostgresStore, session
from krakenonce.errors import NonceStoreError, TurnLost
from krakenonce.rule import SECOND
from tests.hosts.servers import PASSWORD, Proxy
from tests.integration.backends.helpers import rising
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hosts.servers import Host, Server

HOUR = 3600.0
SYNCING = "select pid from pg_stat_activity where wait_event = 'SyncRep'"


def test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart(host: Callable[..., Host]) -> None:
    """Each is larger than all before it, by whichever host; the fastest clock leads by no more than a minute."""
    hosts = [host(ahead=ahead) for ahead in (HOUR, 0.0, -HOUR)]
    taken = [int(each.ask("take 1")) for _ in range(5) for each in hosts]
    assert rising(taken)
    assert abs(taken[-1] - time.time_ns() - 60 * SECOND) < 20 * SECOND


def test_hosts_that_take_nonces_at_once_get_different_ones(host: Callable[..., Host]) -> None:
    """Those of each rise."""
    hosts = [host(ahead=ahead) for ahead in (HOUR, 0.0, -HOUR)]
    for each in hosts:
        each.begin("take 100")
    taken = [[int(nonce) for nonce in each.hear().split()] for each in hosts]
    assert all(rising(mine) for mine in taken)
    assert len({nonce for mine in taken for nonce in mine}) == 300


def test_a_host_without_a_clock_takes_the_server_s(host: Callable[..., Host]) -> None:
    """Before 2020 no clock is right."""
    nonce = int(host(ahead=-30 * 365 * 86_400.0).ask("take 1"))
    assert abs(nonce - time.time_ns()) < 20 * SECOND


def test_a_lockout_closes_the_key_on_every_host(host: Callable[..., Host]) -> None:
    """For as long, whatever their clocks show."""
    first, ahead, behind = host(), host(ahead=HOUR), host(ahead=-HOUR)
    assert ahead.ask("locked_out key") == "0"
    assert first.ask("lock_out key") == "noted"
    for each in (ahead, behind, first):
        assert 880 < int(each.ask("locked_out key")) <= 900


@pytest.fixture
def proxied(server: Server) -> Iterator[Callable[[Callable[[bytes], bytes | None]], PostgresStore]]:
    """What makes a backend that reaches the server through a proxy."""
    made: list[Proxy] = []

    def make(change: Callable[[bytes], bytes | None]) -> PostgresStore:
        made.append(Proxy(server.port, change))
        return PostgresStore(f"postgresql://bot:{PASSWORD}@127.0.0.1:{made[-1].port}/postgres")

    yield make
    for each in made:
        each.close()


def test_a_nonce_whose_answer_was_lost_is_given_to_nobody(
    server: Server, proxied: Callable[[Callable[[bytes], bytes | None]], PostgresStore]
) -> None:
    """It was stored, and the next one is larger."""
    is_cut: list[bool] = []
    cut: list[bytes] = []

    def change(data: bytes) -> bytes | None:
        if cut or not is_cut or b"last" not in data:
            return data
        cut.append(data)
        return None

    store = proxied(change)
    first = store.advance("global")
    is_cut.append(True)
    nonce = store.advance("global")
    assert cut
    lost = int(cut[0][(at := cut[0].index(b"17")) : at + 19])
    assert nonce > lost > first
    assert PostgresStore(server.url).peek("global") == nonce


def test_a_server_that_does_not_answer_gives_no_nonce(
    proxied: Callable[[Callable[[bytes], bytes | None]], PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for ten seconds, here less."""
    silent: list[bool] = []
    store = proxied(lambda data: b"" if silent else data)
    store.advance("global")
    silent.append(True)
    monkeypatch.setattr(session, "ANSWER", 0.2)
    monkeypatch.setattr(session, "_CONNECT", 0.2)
    with pytest.raises(NonceStoreError, match="does not answer; nothing was issued or sent"):
        store.advance("global")


def test_a_nonce_that_a_standby_did_not_confirm_is_not_used(server: Server) -> None:
    """The server reports success, with a warning, if an administrator ends the wait."""
    store = PostgresStore(server.url)
    first = store.advance("global")
    taken: list[int] = []
    set_to(server, "nobody")
    try:
        wanted = in_thread(lambda: taken.append(store.advance("global")))
        until(lambda: server.run(SYNCING))
        waits = server.run(SYNCING)
        server.run("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
        until(lambda: taken or server.run(SYNCING) not in ([], waits))
        assert taken == []  # the server has said that it is stored, and another one is asked for
    finally:
        set_to(server, "")
        join([wanted])
    assert taken[0] > first
    assert store.peek("global") == taken[0]
    assert store.stats("global").issued == 2


def set_to(server: Server, standbys: str) -> None:
    """Make the server wait for standbys."""
    server.run(f"alter system set synchronous_standby_names = '{standbys}'")
    server.run("select pg_reload_conf()")
    until(lambda: server.run("show synchronous_standby_names") == [(standbys.encode(),)])


def test_a_server_that_was_killed_has_forgotten_nothing(new_server: Callable[[], Server]) -> None:
    """Nonces and floors go on above; a turn that was held is lost and free; all connect again by themselves."""
    server = new_server()
    server.make()
    server.start()
    manager = NonceManager(PostgresStore(server.url))
    manager.raise_floor(2**62, "far")
    with manager.lane("key"):
        before = manager.next("far")
        server.kill()
        with pytest.raises(NonceStoreError, match="cannot connect to postgresql://bot@127"):
            manager.store.advance("far")
        server.start()
        with pytest.raises(TurnLost):
            manager.next_for("key")
    assert manager.next("far") == before + 1
    with manager.lane("key", timeout=5.0):
        assert manager.next("far") == before + 2
    manager.close()


def test_a_promoted_standby_skips_what_it_may_not_have(new_server: Callable[[], Server]) -> None:
    """A minute of nonces, once; a floor that is set on it does not hide that it was promoted."""
    old, standby = new_server(), new_server()
    old.make()
    old.start()
    store = PostgresStore(old.url)
    last = store.advance("global")
    store.advance("floored")
    old.stop()
    shutil.copytree(old.folder, standby.folder)
    (standby.folder / "standby.signal").touch()
    standby.start()
    with pytest.raises(NonceStoreError, match="is a read-only standby"):
        PostgresStore(standby.url).advance("global")
    standby.run("select pg_promote()")
    new = PostgresStore(standby.url)
    nonce = new.advance("global")
    assert nonce >= last + 60 * SECOND
    assert new.advance("global") == nonce + 1
    new.raise_floor("floored", 5)
    assert new.peek("floored") >= last + 60 * SECOND  # type: ignore[operator]
    new.close()


def test_a_process_that_stops_within_a_step_keeps_nobody_waiting_for_ever(
    server: Server, host: Callable[..., Host]
) -> None:
    """A rate limit's step has the row locked; the server ends it after five seconds at most."""
    stopped, other = host(), PostgresStore(server.url)
    stopped.begin("stop_in_step key")
    until(lambda: server.run("select 1 from pg_stat_activity where state = 'idle in transaction'"))
    assert other.rate_limits.step("key", lambda counters: counters.read(0, 9)) == b""
    stopped.signal(signal.SIGCONT)
    assert stopped.hear().startswith("NonceStoreError: cannot keep the rate limits in ")


def test_nonces_wait_for_the_disk_though_the_server_does_not_by_default(server: Server) -> None:
    """synchronous_commit=off would lose the last ones in a crash."""
    server.run("alter role bot set synchronous_commit = off")
    try:
        assert PostgresStore(server.url)._link.read("show synchronous_commit") == [(b"on",)]
    finally:
        server.run("alter role bot reset synchronous_commit")
