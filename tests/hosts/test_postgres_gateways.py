"""What gateways ask of PostgreSQL: how a record of sent calls is kept there, and that calls do not wait for one row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends.postgres import PostgresStore
from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session
from krakenonce.gateway.gateway import NONCE_PATH
from krakenonce.gateway.sent_record import SentRecord
from krakenonce.gateway.syncing import Syncing
from krakenonce.key.naming import fingerprint
from tests.hosts.gateways import *  # noqa: F403
from tests.hosts.test_gateways import is_delivered
from tests.integration.gateway.conftest import (
    RunningGateway,
    WatchedKraken,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)
from tests.integration.gateway.test_fence import txids

if TYPE_CHECKING:
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount


@pytest.fixture
def engine_kind() -> str:
    """Only this one."""
    return "postgres"


def test_other_calls_go_on_while_a_step_of_one_waits(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, state_url: str
) -> None:
    """The event loop does not wait for the database: here, for a row that another host has locked."""
    other, body = gateway.add("other", "nonce"), b"nonce=5"
    assert send(gateway.url, order_request(pair)).errors == []
    until(lambda: is_delivered(gateway.store, pair.key))
    locking = Session(read_url(state_url, "url"))
    locking.script(f"begin; select from krakenonce.sent where name = '{fingerprint(pair.key)}' for update")
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(send, gateway.url, order_request(pair))
        until(lambda: is_waiting(state_url))
        got = fetch(gateway.url, "POST", NONCE_PATH, body, signed(other, NONCE_PATH, 5, body))
        assert got.errors == []
        assert not order.done()
        locking.close()
        assert order.result().errors == []


def test_a_client_that_goes_while_its_order_is_entered_leaves_its_answer(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, state_url: str
) -> None:
    """The turn goes on, and Kraken's answer is kept for a repeat, which asks Kraken nothing."""
    other, body = gateway.add("other", "nonce"), b"nonce=5"
    assert send(gateway.url, order_request(pair)).errors == []
    until(lambda: is_delivered(gateway.store, pair.key))
    locking = Session(read_url(state_url, "url"))
    locking.script(f"begin; select from krakenonce.sent where name = '{fingerprint(pair.key)}' for update")
    request = order_request(pair)
    send_and_leave(gateway.url, request, lambda: is_waiting(state_url))
    fetch(gateway.url, "POST", NONCE_PATH, body, signed(other, NONCE_PATH, 5, body))  # the event loop has seen it go
    locking.close()
    until(lambda: not gateway.accounts["MASTER"].queue.busy)
    calls = len(fake.seen)
    got = send(gateway.url, request)
    assert (got.errors, txids(got)) == ([], list(master.orders)[1:])
    assert "X-Krakenonce-Repeat" in got.headers
    assert len(fake.seen) == calls


def is_waiting(url: str) -> bool:
    """Whether a session of the server waits for a lock that is no turn."""
    asking = Session(read_url(url, "url"))
    try:
        return asking.run("select 1 from pg_locks where not granted and locktype <> 'advisory'") != []
    finally:
        asking.close()


def test_a_new_record_costs_nothing_and_a_call_one_page(state_url: str) -> None:
    """It has 2 MiB, nearly all of them zeros."""
    store = PostgresStore(state_url)
    record = SentRecord(store.sent_calls, "bot", Syncing())
    count = "select count(*), sum(length(data)) <= 1024 from krakenonce.sent_pages"
    record.prepare()
    assert store._link.read(count) == [(b"1", b"t")]
    record.enter([b"123456"], 1_800_000_000.0, lambda _: True)
    assert store._link.read(count) == [(b"1", b"t")]
    assert store._link.read("select size from krakenonce.sent") == [(b"%d" % (2 * 1024 * 1024),)]
    record.sync()
    store.close()


def test_what_was_sent_waits_for_the_server_s_disk(state_url: str) -> None:
    """A call that was sent must be known after a crash of the server."""
    store = PostgresStore(state_url)
    kept: Any = store.sent_calls
    assert kept.step("bot", lambda _: kept._link("bot")._session.run("show synchronous_commit")) == [(b"on",)]
    store.close()
