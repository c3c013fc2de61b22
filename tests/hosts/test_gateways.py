"""Two gateways on one database: their local keys, what they sent, and what they say while it does not answer."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.gateway.sending import Sending
from krakenonce.gateway.sent_record import SentRecord, Status
from krakenonce.gateway.syncing import Syncing
from krakenonce.key.naming import fingerprint
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKrakenServer
from tests.hosts.gateways import *  # noqa: F403
from tests.hosts.servers import PASSWORD, Proxy
from tests.integration.backends.test_shared import add_one
from tests.integration.cli.conftest import Shell
from tests.integration.gateway.conftest import (
    ORDER,
    WatchedKraken,
    call,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)
from tests.integration.gateway.processes import Processes
from tests.integration.gateway.test_fence import assert_refused_as_at_kraken, orders_sent, txids
from tests.integration.gateway.test_silent_state import SILENT, Calls, is_silent
from tests.integration.key.helpers import in_thread, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.replies import Reply
    from krakenonce.gateway.sent_record import Entry
    from krakenonce.testing import FakeAccount
    from tests.hosts.engines import Engine
    from tests.integration.gateway.conftest import RunningGateway


@pytest.fixture
def shell(tmp_path: Path, state_url: str, master: FakeAccount) -> Shell:
    """A shell of another host, with the credentials of MASTER."""
    shell = Shell(tmp_path)
    shell.env |= {
        "KRAKENONCE_STATE_DIR": state_url,
        "KRAKEN_MASTER_API_KEY": master.key,
        "KRAKEN_MASTER_API_SECRET": master.secret,
    }
    return shell


def test_the_commands_for_local_keys_work_on_a_database(shell: Shell, engine: Engine) -> None:
    """All of them, and none shows its password."""
    printed = json.loads(shell.works("gateway", "add-key", "--name", "bot", "--allow", "query,trade", "--json"))
    assert shell.run("gateway", "change-key", "--name", "bot", "--remove", "trade").code == 0
    rotated = json.loads(shell.works("gateway", "rotate-key", "--name", "bot", "--json"))
    assert rotated["api_key"] != printed["api_key"]
    (listed,) = json.loads(shell.works("gateway", "list-keys", "--json"))
    assert (listed["name"], listed["allow"]) == ("bot", ["query"])
    assert "there is no local key 'tool'" in shell.fails(1, "gateway", "revoke-key", "--name", "tool")
    assert shell.works("gateway", "revoke-key", "--name", "bot") == "local key bot is revoked\n"
    assert json.loads(shell.works("gateway", "list-keys", "--json")) == []
    shell.env["KRAKENONCE_STATE_DIR"] = engine.url_at(1)
    refused = shell.fails(1, "gateway", "list-keys")
    assert "cannot read the local keys: cannot connect to " in refused
    assert PASSWORD not in refused


def test_a_key_is_valid_and_revoked_at_all_gateways(processes: Processes, shell: Shell) -> None:
    """Within a second: also at one that has just seen it."""
    pair = processes.add("bot")
    urls = [processes.serve()[1] for _ in range(2)]
    for url in urls:
        assert call(url, pair, "Balance").errors == []
    shell.works("gateway", "revoke-key", "--name", "bot")
    until(lambda: all(call(url, pair, "Balance").errors == ["EAPI:Invalid key"] for url in urls))


@pytest.mark.parametrize("more", ["", "&cl_ord_id=bot-1"])
def test_a_gateway_knows_what_one_that_was_killed_has_sent(
    processes: Processes, fake: WatchedKraken, master: FakeAccount, more: str
) -> None:
    """On another host. Answered and received: refused. Under way at the kill: the order's txid, and no second order."""
    pair = processes.add("bot")
    (victim, one), (_, other) = processes.serve(), processes.serve()
    answered, lost = order_request(pair), order_request(pair, ORDER + more)
    assert send(one, answered).errors == []
    until(lambda: is_delivered(processes.store, pair.key))
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    with ThreadPoolExecutor(1) as pool:
        broken = pool.submit(send, one, lost)
        until(lambda: len(master.orders) == 2)
        victim.send_signal(signal.SIGKILL)
        assert broken.exception() is not None
    got = send(other, lost)
    assert txids(got) == list(master.orders)[1:]
    assert_refused_as_at_kraken(send(other, lost))
    assert_refused_as_at_kraken(send(other, answered))
    assert orders_sent(fake) == 2
    fake.assert_no_invalid_nonce()


def is_delivered(store: Backend, key: str) -> bool:
    """Whether the record of a local key says of its first call that its answer was received."""
    found = store.sent_calls.peek(fingerprint(key), 16, 10)
    return found is not None and found[9] & 3 == Status.DELIVERED


def test_what_became_of_a_call_is_written_in_its_turn(
    gateway: RunningGateway,
    pair: LocalKey,
    processes: Processes,
    fake: WatchedKraken,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A repeat at another gateway waits for the turn, and then has to find it. The background would be too late."""
    monkeypatch.setattr(Syncing, "want", lambda *_: None)
    _, other = processes.serve()
    fake.faults.add("AmendOrder", "slow_answer", seconds=0.5)
    body, path = b"nonce=5&txid=OABCDE-ABCDE-ABCDEF&limit_price=99", "/0/private/AmendOrder"
    request = path, body, signed(pair, path, 5, body)
    send_and_leave(gateway.url, request, lambda: fake.seen)
    got = send(other, request)
    assert got.errors == ["EOrder:Invalid order"]
    assert "X-Krakenonce-Repeat" in got.headers
    assert len(fake.seen) == 1


def test_an_equal_order_that_comes_while_the_first_is_entered_is_not_sent_later(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the answer to the first, and its bytes count as sent, although the first was entered without them."""
    enters, goes_on = threading.Event(), threading.Event()
    enter = SentRecord.enter

    def slowly(*words: Any) -> Entry | None:
        found = enter(*words)
        enters.set()
        goes_on.wait()
        return found

    monkeypatch.setattr(SentRecord, "enter", slowly)
    first, second = (order_request(pair, f"{ORDER}&cl_ord_id=bot-1") for _ in range(2))
    joins = threading.Event()
    wait = Sending.wait

    async def noticed(sending: Sending, seconds: float) -> Reply | None:
        if not sending.is_sent:
            joins.set()
        return await wait(sending, seconds)

    monkeypatch.setattr(Sending, "wait", noticed)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(send, gateway.url, first)]
        until(enters.is_set)
        answers.append(pool.submit(send, gateway.url, second))
        until(joins.is_set)
        goes_on.set()
        assert txids(answers[0].result()) == txids(answers[1].result())
    assert_refused_as_at_kraken(send(gateway.url, second))
    assert orders_sent(fake) == 1


def test_no_step_of_sent_calls_is_lost_among_hosts(state_url: str) -> None:
    """Each begins with what the one before has written, not with what it has read itself."""

    def run() -> None:
        store = NonceManager(state_url).store
        for _ in range(50):
            store.sent_calls.step("bot", add_one)
        store.close()

    join([in_thread(run) for _ in range(4)])
    assert NonceManager(state_url).store.sent_calls.peek("bot", 0, 9) == b"00000200"


def test_a_database_that_was_killed_and_started_again_has_lost_no_call(
    new_engine: Callable[[], Engine], master: FakeAccount, fake: WatchedKraken
) -> None:
    """While it is down nothing is sent, and a repeat is not refused; afterwards all goes on by itself."""
    database = new_engine()
    database.make()
    database.start()
    with (
        FakeKrakenServer(fake) as kraken,
        contextlib.closing(Processes(database.url, master, kraken.url)) as gateways,
    ):
        pair = gateways.add("bot")
        urls = [gateways.serve()[1] for _ in range(2)]
        before, later = order_request(pair), order_request(pair)
        assert [send(url, order_request(pair)).errors for url in urls] == [[], []]
        assert send(urls[0], before).errors == []
        database.kill()
        for url in urls:
            assert send(url, before).status == 504
            assert send(url, later).status in (200, 504)
        database.start()
        until(lambda: fetch(urls[1], "GET", "/readyz").body == b"ok\n")
        got = send(urls[1], before)
        assert got.errors == ["EAPI:Invalid nonce"] or txids(got)[0] in master.orders
        until(lambda: call(urls[0], pair, "Balance").errors == [])
        assert send(urls[0], later).errors == []
    assert orders_sent(fake) == len(master.orders) == 4
    fake.assert_no_invalid_nonce()


class Quiet:
    """A proxy to a database, which lets nothing through while it is told so."""

    def __init__(self, engine: Engine) -> None:
        self.speaks = threading.Event()
        self.speaks.set()
        self._proxy = Proxy(engine.port, self._pass)
        self.url = engine.url_at(self._proxy.port)

    def _pass(self, data: bytes) -> bytes:
        self.speaks.wait()
        return data

    def close(self) -> None:
        """End it."""
        self.speaks.set()
        self._proxy.close()


@pytest.fixture
def quiet(engine: Engine) -> Iterator[Quiet]:
    """What stands between the gateways and their database."""
    made = Quiet(engine)
    yield made
    made.close()


def test_pages_answer_while_the_database_does_not_and_calls_go_on_afterwards(
    processes: Processes, fake: WatchedKraken, quiet: Quiet
) -> None:
    """Nothing is sent meanwhile; the log says for how long."""
    pair = processes.add("bot")
    process, url = processes.serve(KRAKENONCE_STATE_DIR=quiet.url)
    calls = Calls(url, pair)
    calls.make(1)
    assert calls.all_answers() == [[]]
    assert fetch(url, "GET", "/readyz").body == b"ok\n"
    quiet.speaks.clear()
    calls.make(3)
    until(lambda: is_silent(url))
    for path in ("/healthz", "/", "/metrics", "/v1/status"):
        assert fetch(url, "GET", path).status == 200
    assert json.loads(fetch(url, "GET", "/v1/status").body)["state_silent_seconds"] > 0
    assert fetch(url, "GET", "/readyz").body.startswith(SILENT)
    assert len(calls.answers) == 1
    quiet.speaks.set()
    assert calls.all_answers() == [[]] * 4
    until(lambda: fetch(url, "GET", "/readyz").body == b"ok\n")
    fake.assert_no_invalid_nonce()
    process.terminate()
    assert processes.end(process)[0] == 0
