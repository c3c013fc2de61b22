"""What a turn in PostgreSQL hangs on: one session of its own, which is the fence of its nonces."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager
from krakenonce.backends.postgres import PostgresStore
from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session
from krakenonce.errors import NonceStoreError, TurnLost
from krakenonce.key.naming import fingerprint
from tests.hosts import test_postgres
from tests.hosts.test_postgres import set_to
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.servers import Host
    from tests.hosts.servers import PostgresServer as Server

LAST = "select last from krakenonce.nonces where scope = 'global'"
HOLDERS = "select distinct pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1"


@pytest.fixture
def manager(server: Server) -> NonceManager:
    """One on the state."""
    return NonceManager(server.url)


@pytest.fixture
def engine(server: Server) -> Server:
    """The server that hosts are started for."""
    return server


def test_the_look_at_the_turn_and_the_nonce_are_one_step(server: Server, host: Callable[..., Host]) -> None:
    """A turn that is lost while the nonce waits for the counter's row gives none."""
    holder = host()
    assert holder.ask("enter key") == "entered"
    before = int(holder.ask("nonce key"))
    other = Session(read_url(server.url, "url"))
    other.script("begin; select * from krakenonce.nonces for update")
    holder.begin("nonce key")
    until(lambda: server.run("select 1 from pg_stat_activity where wait_event = 'transactionid'"))
    assert server.end_turns() == 1
    other.script("commit")
    assert holder.hear().startswith("TurnLost: ")
    assert server.run(LAST) == [(b"%d" % before,)]
    other.close()


def test_a_nonce_that_came_with_a_turn_is_not_used_after_the_server_has_ended_it(
    server: Server, manager: NonceManager
) -> None:
    """Another caller may have a larger one by then; nothing is asked for."""
    manager.next_for("key")
    with manager.turn("key"):
        assert server.end_turns() == 1
        with pytest.raises(TurnLost, match="nothing was sent"):
            manager.next_for("key")
    with manager.turn("key"):
        assert manager.next_for("key")


def test_a_nonce_that_came_with_a_turn_is_of_the_counter_that_was_meant(manager: NonceManager) -> None:
    """Another counter has its own, and may be far ahead."""
    floor = manager.next() + 10**15
    manager.raise_floor(floor, "other")
    with manager.turn("key", scope="global"):
        assert manager.next("other") == floor + 1
        assert manager.next("global") < floor
    manager.close()


def test_a_step_that_gets_no_answer_is_not_cancelled(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is told to cancel the wait for its standby stores the nonce, and nobody else has it."""
    store = PostgresStore(server.url)
    first = store.advance("global")
    set_to(server, "nobody")
    try:
        monkeypatch.setattr("krakenonce.backends.postgres.session.ANSWER", 0.2)
        with pytest.raises(NonceStoreError, match="does not answer"):
            store.advance("global")  # tries twice
        assert server.run(LAST) == [(b"%d" % first,)]
    finally:
        set_to(server, "")
    store.close()


def test_a_session_that_says_that_it_did_not_have_the_turn_is_not_used_again(
    server: Server, manager: NonceManager
) -> None:
    """What it is good for is not known; the next turn has another one."""
    with manager.lane("key"):
        before = server.run(HOLDERS)
        session_of(manager).run("set client_min_messages = error")  # PostgreSQL warns of it as well
        session_of(manager).run("select pg_advisory_unlock_all()")
    with manager.lane("key"):
        assert manager.next_for("key")
        assert server.run(HOLDERS) != before


def session_of(manager: NonceManager) -> Session:
    """The session of the key's turn."""
    gate: Any = manager.store.gate(fingerprint("key"))
    assert isinstance(gate._session, Session)
    return gate._session


def test_each_turn_has_a_session_of_its_own(server: Server, manager: NonceManager) -> None:
    """One that is lost, or waits, leaves the others alone."""
    with manager.lane("one"), manager.lane("two"):
        assert len(server.run(HOLDERS)) == 2


def test_a_host_that_was_cut_off_is_given_up_on_both_sides(server: Server, manager: NonceManager) -> None:
    """Keepalives alone do not see it while something that was sent is not confirmed."""
    with manager.lane("key"):
        session = session_of(manager)
        shown: Any = session.run("select current_setting('tcp_user_timeout'), current_setting('tcp_keepalives_count')")
        with socket.socket(fileno=os.dup(session.pg.socket)) as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4000
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert shown == [(b"4000", b"3")]


def test_a_nonce_that_a_standby_did_not_confirm_is_not_used_though_the_user_wants_no_warnings(server: Server) -> None:
    """The server says so by a warning alone, which ``client_min_messages`` may suppress."""
    server.run("alter role bot set client_min_messages = error")
    try:
        test_postgres.test_a_nonce_that_a_standby_did_not_confirm_is_not_used(server)
    finally:
        server.run("alter role bot reset client_min_messages")
