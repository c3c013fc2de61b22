"""Faults at Kraken, on the way there and with clients: the gateway reports it, and never makes it worse."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import re
import resource
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from krakenonce.brokers import Account
from krakenonce.errors import OutcomeUnknown
from krakenonce.gateway import front as serving
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.wire import FORM, JSON, decode_secret, nonce_of, sign
from krakenonce.manager import NonceManager
from tests.integration.gateway.conftest import (
    ORDER,
    PATIENCE,
    RunningGateway,
    assert_unknown,
    call,
    connect,
    fetch,
    signed,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken


def test_kraken_out_of_reach_is_reported_and_nothing_was_done(
    gateway: RunningGateway, pair: LocalKey, server: FakeKrakenServer, fake: WatchedKraken
) -> None:
    """For orders as for public calls."""
    server.stop()
    for got in (call(gateway.url, pair, "AddOrder", ORDER), fetch(gateway.url, "GET", "/0/public/Time")):
        assert (got.status, got.errors) == (200, ["EService:Unavailable"])
        assert got.headers["X-Krakenonce-Executed"] == "no"
    assert fake.arrivals == []


def test_an_order_that_never_came_to_kraken_stays_unknown(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Kraken has no such order, but one without a deadline may still be on its way: it is not sent again."""
    fake.faults.add("AddOrder", "drop")
    got = call(gateway.url, pair, "AddOrder", ORDER)
    assert_unknown(got, "AddOrder")
    assert call(gateway.url, pair, "Balance").errors == []
    assert [arrival.fault for arrival in fake.arrivals if arrival.method == "AddOrder"] == ["drop"]
    assert master.orders == {}


@pytest.mark.parametrize("path", ["/0/private/AmendOrder", "/0/public/Time"])
def test_an_unknown_outcome_is_told_in_plain_words(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, path: str
) -> None:
    """Not in Kraken's form: clients would take one of its errors for a refusal."""
    fake.faults.add(path.rpartition("/")[2], "drop")
    got = fetch(gateway.url, "POST", path, b"nonce=1", signed(pair, path, 1, b"nonce=1"))
    assert (got.status, got.headers["Content-Type"]) == (504, "text/plain; charset=utf-8")
    assert got.body.decode() == got.headers["X-Krakenonce-Explanation"]
    said = r"[^.]* sent, but no answer came\. It may have been executed: [^.]*\. The gateway does not repeat it\."
    assert re.fullmatch(path.removeprefix("/0/private/") + said, got.body.decode().replace("127.0.0.1", "Kraken"))


LOOK = {
    "AddOrder": "look for it among the open and closed orders",
    "AddOrderBatch": "look at the open and closed orders",
    "AddStrategy": "look at GetOpenStrategies and GetClosedStrategies",
    "CancelStrategy": "look at GetOpenStrategies",
    "AmendOrder": "look at the open and closed orders",
    "EditOrder": "look at the open and closed orders",
    "CancelAll": "look at the open orders",
    "Withdraw": "look at WithdrawStatus",
    "WalletTransfer": "look at the balances and the ledger",
    "Earn/Allocate": "ask Kraken",
}


@pytest.mark.parametrize("fault", ["process_then_cut", "process_then_html", "process_then_error"])
@pytest.mark.parametrize("method", LOOK)
def test_an_unknown_outcome_says_once_what_to_look_at(
    gateway: RunningGateway, fake: WatchedKraken, method: str, fault: Any
) -> None:
    """In three sentences, which are whole in the header as well."""
    details = {"error": "EService:Unavailable"} if fault == "process_then_error" else {}
    fake.faults.add(method, fault, **details)
    fake.faults.add("OpenOrders", "drop", times=9)
    local = gateway.add("all", "query", "trade", "cancel-all", "withdraw", "transfer", "earn")
    got = call(gateway.url, local, method, ORDER)
    assert_unknown(got, f"It may have been executed: {LOOK[method]} before you ")
    text = got.body.decode()
    assert text == got.headers["X-Krakenonce-Explanation"]
    assert (text.count("executed"), text.count(". ")) == (1, 2)
    assert ("Kraken answered: EService:Unavailable." in text) == (fault == "process_then_error")
    assert ("HTTP status 502" in text) == (fault == "process_then_html")


def test_our_clients_do_not_take_an_unknown_outcome_for_a_refusal(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """At the gateway as at Kraken: they raise OutcomeUnknown, and send the call once."""
    fake.faults.add("AmendOrder", "process_then_cut", times=2)
    with (
        Kraken(pair.key, pair.secret, manager=NonceManager("memory:"), tier="none", base_url=gateway.url) as client,
        pytest.raises(OutcomeUnknown, match="status 504"),
    ):
        client.private("AmendOrder", txid="O1", limit_price="99")

    async def main() -> None:
        manager = NonceManager("memory:")
        async with AsyncKraken(pair.key, pair.secret, manager=manager, tier="none", base_url=gateway.url) as client:
            await client.private("AmendOrder", txid="O1", limit_price="99")

    with pytest.raises(OutcomeUnknown, match="status 504"):
        asyncio.run(main())
    assert [arrival.method for arrival in fake.arrivals] == ["AmendOrder", "AmendOrder"]


@pytest.mark.parametrize("method", ["AddOrder", "CancelOrder"])
def test_half_a_surrogate_brings_an_answer_of_kraken_s(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path, method: str
) -> None:
    """JSON can write a name that UTF-8 cannot; what it is worth is Kraken's to say, also where calls are counted."""
    account = Account("MASTER", master.key, master.secret, "pro")
    with RunningGateway(server.url, [account], tmp_path) as gateway:
        pair, path, body = gateway.add("bot"), f"/0/private/{method}", rb'{"nonce":1,"pair":"\ud800","txid":"\udfff"}'
        got = fetch(gateway.url, "POST", path, body, signed(pair, path, 1, body, JSON))
    assert (got.status, len(got.errors), len(fake.arrivals)) == (200, 1, 1)


@pytest.mark.parametrize("status", [200, 502, 504, 520])
def test_a_page_of_html_is_passed_on_as_it_came(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, status: int
) -> None:
    """The client of a call that reads sees what Kraken's front said."""
    fake.faults.add("Balance", "process_then_html", status=status)
    got = call(gateway.url, pair, "Balance")
    assert got.status == status
    assert got.headers["Content-Type"].startswith("text/html")
    assert b"cloudflare" in got.body
    assert "X-Krakenonce-Executed" not in got.headers
    assert len(fake.arrivals) == 1


@pytest.mark.parametrize("status", [200, 502, 504, 520])
@pytest.mark.parametrize("method", ["AmendOrder", "CancelAll", "Withdraw"])
def test_a_page_of_html_leaves_a_call_that_changes_something_unknown(
    gateway: RunningGateway, fake: WatchedKraken, method: str, status: int
) -> None:
    """A client takes a page with status 200 for a result; the gateway says what it is."""
    fake.faults.add(method, "process_then_html", status=status)
    got = call(gateway.url, gateway.add("all", "trade", "cancel-all", "withdraw"), method)
    assert_unknown(got, f"HTTP status {status}")
    assert len(fake.arrivals) == 1


def test_an_error_of_kraken_s_is_not_tried_again(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """What to do about it is the client's to decide."""
    for error in ("EAPI:Invalid nonce", "EOrder:Unknown order", "EFuture:Words of next year"):
        fake.faults.add("CancelAll", "process_then_error", error=error)
        assert call(gateway.url, pair, "CancelAll").errors == [error]
    assert len(fake.arrivals) == 3


@pytest.mark.parametrize("error", ["EService:Unavailable", "EService:Timeout", "EGeneral:Internal error"])
def test_a_fault_at_kraken_leaves_a_call_that_changes_something_unknown(
    gateway: RunningGateway, fake: WatchedKraken, error: str
) -> None:
    """Clients would take its error for a refusal, and the withdrawal may have been made. A query gets it as it is."""
    local = gateway.add("all", "query", "withdraw")
    fake.faults.add("Withdraw", "process_then_error", error=error)
    for words in (error, "Withdraw"):
        assert_unknown(call(gateway.url, local, "Withdraw", nonce=5), words)
    fake.faults.add("Balance", "error", error=error)
    assert call(gateway.url, local, "Balance").errors == [error]
    assert [arrival.method for arrival in fake.arrivals] == ["Withdraw", "Balance"]


def test_an_order_after_which_kraken_wants_no_calls_is_answered_at_once(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """Nothing can be found out before the time that the page names, so the client does not wait for that."""
    fake.faults.add("AddOrder", "html", status=429)
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path, order_timeout=2 * PATIENCE) as gateway:
        got = call(gateway.url, gateway.add("bot"), "AddOrder", ORDER)
    assert (got.status, got.headers["X-Krakenonce-Executed"]) == (429, "unknown")
    assert "HTTP status 429" in got.headers["X-Krakenonce-Explanation"]


def test_a_lockout_stops_all_calls_of_the_key(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """Each call during a lockout would make it longer, so none is sent for any client."""
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    first = call(gateway.url, pair, "Balance")
    assert first.errors == ["EGeneral:Temporary lockout"]
    assert "X-Krakenonce-Executed" not in first.headers
    for local in (pair, gateway.add("other")):
        got = call(gateway.url, local, "Balance")
        assert got.errors == ["EGeneral:Temporary lockout"]
        assert got.headers["X-Krakenonce-Executed"] == "no"
    assert len(fake.arrivals) == 1


def test_a_lockout_stops_the_calls_that_wait_already(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """Calls that wait behind the one that was locked out are not sent either."""
    fake.faults.add("AddOrder", "process_then_error", error="EGeneral:Temporary lockout")
    fake.faults.add("Balance", "slow_answer", seconds=0.5)
    with ThreadPoolExecutor(8) as pool:
        slow = pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: fake.arrivals)
        locked = pool.submit(call, gateway.url, pair, "AddOrder", ORDER)
        until(lambda: gateway.waiting() == 1)
        others = [pool.submit(call, gateway.url, pair, "Balance") for _ in range(4)]
        until(lambda: gateway.waiting() == 5)
        assert slow.result().errors == []
        assert locked.result().errors == ["EGeneral:Temporary lockout"]
        for each in others:
            assert each.result().headers["X-Krakenonce-Executed"] == "no"
    assert [arrival.method for arrival in fake.arrivals] == ["Balance", "AddOrder"]


def test_the_tier_s_limits_are_kept(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """All local keys of an account share its counter; what does not fit is refused here and never seen there."""
    fake.rules.tier = "starter"
    account = Account("MASTER", master.key, master.secret, "starter")
    with RunningGateway(server.url, [account], tmp_path, max_wait=0.01) as gateway:
        pairs = [gateway.add("a"), gateway.add("b")]
        answers = [call(gateway.url, pairs[number % 2], "Balance") for number in range(30)]
    refused = [got for got in answers if got.errors]
    assert refused
    assert {tuple(got.errors) for got in refused} == {("EAPI:Rate limit exceeded",)}
    assert {got.headers["X-Krakenonce-Executed"] for got in refused} == {"no"}
    assert [arrival.error for arrival in fake.arrivals] == [None] * (30 - len(refused))


def test_a_full_queue_and_a_long_one_are_reported(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """Busy, and not executed: the call that finds the queue full, and the one whose turn does not come in time."""
    fake.faults.add("Balance", "slow_answer", seconds=2.0)
    account = Account("MASTER", master.key, master.secret, "none")
    with (
        RunningGateway(server.url, [account], tmp_path, length=1, max_wait=0.5) as gateway,
        ThreadPoolExecutor(3) as pool,
    ):
        pair = gateway.add("bot")
        slow = pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: fake.arrivals)
        waits = pool.submit(call, gateway.url, pair, "AddOrder", ORDER)
        until(lambda: gateway.waiting() == 1)
        finds_no_place = call(gateway.url, pair, "AddOrder", ORDER)
        for got in (finds_no_place, waits.result()):
            assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
        assert slow.result().errors == []
        assert gateway.activity.not_sent == {"queue_full": 1, "queue_timeout": 1}
    assert [arrival.method for arrival in fake.arrivals] == ["Balance"]


def test_a_cancel_overtakes_orders_that_wait(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """A bot that leaves the market does not wait behind bots that enter it."""
    fake.faults.add("Balance", "slow_answer", seconds=1.0)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: fake.arrivals)
        pool.submit(call, gateway.url, pair, "AddOrder", ORDER)
        until(lambda: gateway.waiting() == 1)
        pool.submit(call, gateway.url, pair, "CancelOrder", "txid=OABCDE-ABCDE-ABCDEF")
    assert [arrival.method for arrival in fake.arrivals] == ["Balance", "CancelOrder", "AddOrder"]


def test_a_client_that_disconnects_while_waiting_uses_no_nonce(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """Its order is never sent, and those behind it move up."""
    fake.faults.add("Balance", "slow_answer", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(call, gateway.url, pair, "Balance")
        until(lambda: fake.arrivals)
        with raw(gateway.url) as client:
            client.sendall(request(pair, "/0/private/AddOrder", b"nonce=1&" + ORDER.encode()))
            until(lambda: gateway.waiting() == 1)
        until(lambda: gateway.waiting() == 0)
        assert not slow.done()
        slow.result()
    assert call(gateway.url, pair, "Balance").errors == []
    assert [arrival.method for arrival in fake.arrivals] == ["Balance", "Balance"]


def test_bots_that_disconnect_leave_their_places_in_the_rate_limit(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """Reads that are given up while they wait cost nothing, and a cancel does not wait behind those that stay."""
    account = Account("MASTER", master.key, master.secret, "pro")
    with RunningGateway(server.url, [account], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        while (gateway.accounts["MASTER"].keys[0].counters()["rest"][0]) < 18:
            assert call(gateway.url, pair, "Balance").errors == []
        answered = len(fake.arrivals)
        path, body = "/0/private/Balance", b"nonce=1"
        waiting = [connect(gateway.url) for _ in range(20)]
        for connection in waiting:
            connection.request("POST", path, body, signed(pair, path, 1, body))
        until(lambda: len(fake.arrivals) > answered)  # the first of them has waited for the rate limit
        for connection in waiting[:-1]:
            connection.close()
        began = time.monotonic()
        assert call(gateway.url, pair, "CancelAll").errors == []
        assert waiting[-1].getresponse().status == 200
        assert time.monotonic() - began < 6  # of the 20 that the limits would have made them wait
        waiting[-1].close()
    assert fake.arrivals[-1].error is None


def test_a_client_that_disconnects_does_not_stop_a_call_that_has_begun(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """A call under way keeps its turn, and Kraken's answer to it counts."""
    fake.faults.add("AddOrder", "slow_request", seconds=0.5)
    with raw(gateway.url) as client:
        client.sendall(request(pair, "/0/private/AddOrder", b"nonce=1&" + ORDER.encode()))
        until(lambda: not fake.faults.waiting())
    assert call(gateway.url, pair, "Balance").errors == []
    assert [(arrival.method, arrival.accepted) for arrival in fake.arrivals] == [("AddOrder", True), ("Balance", True)]
    assert fake.arrivals[0].sender_gone is False


@pytest.fixture
def many_files() -> Iterator[None]:
    """Descriptors for both ends of a thousand connections; macOS gives 256 to begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_open_connections_stop_no_call_and_are_closed(
    master: FakeAccount, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many_files: None
) -> None:
    """A thousand that say nothing, or half a request: calls go on, and in the end all of them are closed."""
    monkeypatch.setattr(serving, "SLOWEST", 1.0)
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path) as gateway, contextlib.ExitStack() as stack:
        pair = gateway.add("bot")
        whole = request(pair, "/0/private/Balance", b"nonce=1")
        clients = [stack.enter_context(raw(gateway.url)) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.sendall(whole[: number * (len(whole) - 1) // 999])
        assert call(gateway.url, pair, "Balance").errors == []
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        assert call(gateway.url, pair, "Balance").errors == []
        assert gateway.complaints == []


def test_half_a_handshake_of_tls_is_given_up(
    master: FakeAccount, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has as long as a request, and not the minute that asyncio would give it."""
    monkeypatch.setattr(serving, "SLOWEST", 0.3)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path, tls=tls) as gateway, raw(gateway.url) as client:
        client.sendall(b"\x16\x03\x01")  # how a handshake begins
        assert client.recv(1) == b""
    assert gateway.complaints == []


class Clock:
    """A clock that changes only when the test changes it, and counts how often it was read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        """Return its time in seconds."""
        self.looks += 1
        return self.now

    def was_looked_at(self, times: int) -> bool:
        """Return whether it was looked at so often."""
        return self.looks >= times


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of a gateway that looks at its connections often; to be asked for before the gateway."""
    clock = Clock()
    monkeypatch.setattr(serving, "SLOWEST", 0.2)
    monkeypatch.setattr(serving, "time", clock)
    return clock


def test_a_connection_in_steady_use_is_not_taken_for_an_idle_one(
    clock: Clock, gateway: RunningGateway, pair: LocalKey
) -> None:
    """Each call gives it new time, whenever the gateway looks, and it may rest between two calls."""
    body, path = b"nonce=1", "/0/private/Balance"
    connection = connect(gateway.url)
    connection.connect()
    first = connection.sock
    for pause in (0.15, 0.15, 0.15, serving.KEPT_ALIVE - 1, 0.15):
        connection.request("POST", path, body, signed(pair, path, 1, body))
        assert connection.getresponse().read()
        clock.now += pause
        until(functools.partial(clock.was_looked_at, clock.looks + 2))
    assert connection.sock is first is not None
    connection.close()


def test_a_connection_that_rests_for_too_long_is_closed(clock: Clock, gateway: RunningGateway, pair: LocalKey) -> None:
    """Also one that has brought a call before."""
    whole = request(pair, "/0/private/Balance", b"nonce=1")
    with raw(gateway.url) as client:
        client.sendall(whole)
        assert client.recv(5) == b"HTTP/"
        clock.now += serving.KEPT_ALIVE + 1
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1000):
                pass


def test_a_client_that_asks_first_gets_100_continue(gateway: RunningGateway, pair: LocalKey) -> None:
    """As curl does before a large body; else it would wait for nothing, for a second or for ever."""
    whole = request(pair, "/0/private/Balance", b"nonce=1")
    head, _, body = whole.partition(b"\r\n\r\n")
    with raw(gateway.url) as client:
        client.settimeout(5)
        client.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(12) == b"HTTP/1.1 200"
    too_large = request(pair, "/0/private/Balance", b"", b"Content-Length: 300000", b"Expect: 100-continue")
    assert status_of(gateway.url, too_large) == 413


def test_wrong_chunks_bring_no_traceback(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that breaks off into something else after it has begun is not a call."""
    with raw(gateway.url) as client:
        client.sendall(
            request(pair, "/0/private/Balance", b"nonce=1", b"Transfer-Encoding: chunked", b"Expect: 100-continue")
        )
        client.sendall(b"1\r\nn\r\nthis is no length\r\n")
        with contextlib.suppress(ConnectionError):
            assert b" 500 " not in client.recv(1000)
    assert call(gateway.url, pair, "Balance").errors == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert len(fake.arrivals) == 1


def test_a_body_that_is_not_packed_as_it_says_is_not_logged(
    gateway: RunningGateway, pair: LocalKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Any client without a key could fill the log with it."""
    with raw(gateway.url) as client:
        client.sendall(request(pair, "/0/private/Balance", b"", b"Content-Length: 7", b"Content-Encoding: gzip"))
        client.sendall(b"nonce=1")
        answer = b""
        while more := client.recv(1000):
            answer += more
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"EAPI:Invalid nonce" in answer
    assert caplog.records == []


def test_bytes_that_are_not_http_are_not_logged(
    gateway: RunningGateway, pair: LocalKey, caplog: pytest.LogCaptureFixture
) -> None:
    """They may hold a key."""
    assert status_of(gateway.url, b"POST / HTTP/1.1\r\nAPI Key: " + pair.key.encode() + b"\r\n\r\n") == 400
    assert caplog.records == []


def test_at_a_stop_the_calls_of_one_key_do_not_wait_for_another_key_s_call(
    server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """All queues are closed at once; a slow call of one account does not delay the refusals at the others."""
    fake.faults.add("Balance", "slow_answer", seconds=0.7)
    fake.faults.add("AddOrder", "slow_answer", seconds=30.0)
    made = {name: fake.add_account(name) for name in ("MASTER", "USER:alice", "USER:bob")}
    accounts = [Account(name, each.key, each.secret, "none") for name, each in made.items()]
    gateway = RunningGateway(server.url, accounts, tmp_path, timeout=1.5)
    with gateway, ThreadPoolExecutor(6) as pool:
        pairs = [gateway.add(f"bot{number}", account=name) for number, name in enumerate(made)]
        pool.submit(call, gateway.url, pairs[0], "AddOrder", ORDER)
        pool.submit(call, gateway.url, pairs[2], "Balance")
        until(lambda: len(fake.arrivals) == 2)
        waits = pool.submit(call, gateway.url, pairs[2], "OpenOrders")
        until(lambda: gateway.waiting("USER:bob") == 1)
        stopping = pool.submit(gateway.stop)
        assert waits.result().errors == ["EService:Unavailable"]
        assert not stopping.done()


def test_calls_that_wait_for_the_rate_limit_do_not_delay_a_stop(
    master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """They are refused at once, though they could be sent only half a minute later."""
    account = Account("MASTER", master.key, master.secret, "starter")
    with RunningGateway(server.url, [account], tmp_path) as gateway, ThreadPoolExecutor(20) as pool:
        pair = gateway.add("bot")
        calls = [pool.submit(call, gateway.url, pair, "Balance") for _ in range(20)]
        until(lambda: sum(each.done() for each in calls) >= 14)
        begun = time.monotonic()
        gateway.stop()
        assert time.monotonic() - begun < 5
        answers = [each.result() for each in calls]
    refused = [got for got in answers if got.errors == ["EService:Unavailable"]]
    assert len(refused) == 20 - len(fake.arrivals) > 0
    assert {got.headers["X-Krakenonce-Executed"] for got in refused} == {"no"}


def test_large_bodies_and_headers_are_refused(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """10 MB, sent with or without its length, and a header of 100 kB; the gateway goes on."""
    path, body = "/0/private/AddOrder", b"nonce=1&x=" + b"x" * 10_000_000
    chunked = b"Transfer-Encoding: chunked"
    length = b"Content-Length: %d" % len(body)
    assert status_of(gateway.url, request(pair, path, b"nonce=1", chunked) + b"no length\r\n") in (200, 400)
    for framing, sent in ((length, body), (chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
        assert status_of(gateway.url, request(pair, path, b"nonce=1", framing) + sent) in (413, 0)
    assert status_of(gateway.url, request(pair, path, b"nonce=1", b"X: " + b"x" * 100_000)) in (400, 431)
    assert status_of(gateway.url, request(pair, path + "?" + "x" * 100_000, b"nonce=1")) in (400, 414)
    assert fake.arrivals == []
    assert call(gateway.url, pair, "Balance").errors == []


values = st.binary(max_size=40).map(lambda each: each.translate(None, b"\r\n\0"))
bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=50).map(lambda each: b"nonce=1&" + each),
    st.binary(max_size=50).map(lambda each: b'{"nonce":1,"x":' + each + b"}"),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids),
    ).map(lambda each: json.dumps({"nonce": 1, "x": each}).encode()),
)
types = st.one_of(st.sampled_from([FORM, JSON, JSON + "; charset=utf-16"]).map(str.encode), values)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=values, body=bodies, content_type=types, value=values)
@example(b"Balance", b"nonce=1", b"\xff", b"")
@example(b"Balance?\xff", b"nonce=1", b"", b"")
@example(b"Balance", b'{"nonce":1,"x":' + b"[" * 100_000, JSON.encode(), b"")
@example(b"Balance", b'{"nonce":1,"x":' + b"9" * 5_000 + b"}", JSON.encode(), b"")
@example(b"Balance", '{"nonce":1}'.encode("utf-16"), JSON.encode(), b"")
def test_whatever_a_client_sends_brings_an_answer_and_no_traceback(
    gateway: RunningGateway,
    caplog: pytest.LogCaptureFixture,
    path: bytes,
    body: bytes,
    content_type: bytes,
    value: bytes,
) -> None:
    """Random bytes as path, body and headers, signed and unsigned: each is answered, and none with a 500."""
    known = gateway.local_keys.all()
    pair = known[0] if known else gateway.add("bot", "query", "other")
    whole = b"/0/private/" + path
    target = whole.decode("utf-8", "surrogateescape")
    nonce = nonce_of(body, content_type.decode("utf-8", "surrogateescape")) or "1"
    sent = sign(target, nonce, body, decode_secret(pair.secret)).encode()
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n" % (whole, len(body))
    key = b"API-Key: " + pair.key.encode()
    for lines in (
        (key, b"API-Sign: " + sent, b"Content-Type: " + content_type, b"X-Odd: " + value),
        (key, b"API-Sign: " + value, b"Content-Type: " + content_type),
        (b"API-Key: " + value, b"API-Sign: " + value),
    ):
        status = status_of(gateway.url, head + b"\r\n".join(lines) + b"\r\n\r\n" + body)
        assert status in (200, 400, 404, 405, 413, 414)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def raw(url: str) -> socket.socket:
    """Open a connection to the gateway."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE)


def request(pair: LocalKey, path: str, body: bytes, *more: bytes) -> bytes:
    """Return a call as bytes; with headers of one's own the body is left away."""
    lines = [f"{name}: {value}".encode() for name, value in signed(pair, path, 1, body).items()]
    framing = more or (b"Content-Length: %d" % len(body),)
    head = b"\r\n".join((f"POST {path} HTTP/1.1".encode(), b"Host: x", *lines, *framing))
    return head + b"\r\n\r\n" + (b"" if more else body)


def status_of(url: str, sent: bytes) -> int:
    """Send bytes and return the status of the answer; 0 if the connection was closed before it could be read."""
    with raw(url) as client:
        with contextlib.suppress(ConnectionError):  # it had seen enough; perhaps it has said so
            client.sendall(sent)
        try:
            start = client.recv(12)
        except ConnectionError:
            return 0
    return int(start[9:12] or 0)
