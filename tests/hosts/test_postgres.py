"""What a PostgreSQL server does besides: standbys, synchronous commits, and sessions that are ended."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.postgres import PostgresStore
from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session
from krakenonce.errors import NonceStoreError
from krakenonce.rule import SECOND
from tests.hosts.servers import Host
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.servers import PostgresServer as Server

SYNCING = "select pid from pg_stat_activity where wait_event = 'SyncRep'"


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


def test_nonces_wait_for_the_disk_though_the_server_does_not_by_default(server: Server) -> None:
    """synchronous_commit=off would lose the last ones in a crash."""
    server.run("alter role bot set synchronous_commit = off")
    try:
        assert PostgresStore(server.url)._link.read("show synchronous_commit") == [(b"on",)]
    finally:
        server.run("alter role bot reset synchronous_commit")


def test_rate_limits_wait_neither_for_the_disk_nor_for_a_standby(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need not survive a power cut."""
    store = PostgresStore(server.url)
    store.rate_limits.step("key", lambda counters: counters.write(0, b"one"))
    set_to(server, "nobody")
    try:
        monkeypatch.setattr("krakenonce.backends.postgres.session.ANSWER", 2.0)
        store.rate_limits.step("key", lambda counters: counters.write(0, b"two"))
        assert store.rate_limits.step("key", lambda counters: counters.read(0, 3)) == b"two"
    finally:
        set_to(server, "")
    store.close()


def test_a_process_that_stops_within_a_step_keeps_nobody_waiting_for_ever(server: Server) -> None:
    """A step of the sent calls has the row locked; the server ends it after five seconds at most."""
    stopped, other = Host(server.url, 0.0, 0.0), PostgresStore(server.url)
    stopped.begin("stop_in_step key")
    until(lambda: server.run("select 1 from pg_stat_activity where state = 'idle in transaction'"))
    assert other.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b""
    stopped.signal(signal.SIGCONT)
    assert stopped.hear().startswith("NonceStoreError: cannot write to the record of sent calls in ")
    stopped.kill()


def test_a_move_waits_for_a_nonce_that_is_being_issued(server: Server) -> None:
    """And a nonce that is asked for while the state is moved is refused, though it was asked for before."""
    store = PostgresStore(server.url)
    first = store.advance("global")
    blocker = Session(read_url(server.url, "url"))
    blocker.script("begin; select from krakenonce.nonces for update")
    taken: list[int] = []
    floors: list[dict[str, int]] = []
    issuing = in_thread(lambda: taken.append(store.advance("global")))
    until(lambda: waiting_for(server, "transactionid", 1))
    moving = in_thread(lambda: floors.append(PostgresStore(server.url).retire("elsewhere")))
    until(lambda: waiting_for(server, "relation", 1))
    blocker.script("commit")
    join([issuing, moving])
    assert first < taken[0] == floors[0]["global"]

    store.restore({})
    blocker.script("begin; lock table krakenonce.nonces in share row exclusive mode")
    refused: list[str] = []
    asking = in_thread(lambda: refused.append(refusal(store)))
    until(lambda: waiting_for(server, "relation", 1))
    blocker.script("update krakenonce.about set moved_to = 'elsewhere'; commit")
    join([asking])
    assert "was moved to elsewhere" in refused[0]
    blocker.close()


def waiting_for(server: Server, kind: str, count: int) -> bool:
    """Whether so many sessions wait for a lock of this kind."""
    return len(server.run(f"select from pg_locks where not granted and locktype = '{kind}'")) == count


def refusal(store: PostgresStore) -> str:
    """What is said to one who asks for a nonce."""
    with pytest.raises(NonceStoreError) as error:
        store.advance("global")
    return str(error.value)
