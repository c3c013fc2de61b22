"""What Valkey and Redis do besides: leases, lost scripts and connections, encryption, and a clock that is set."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from krakenonce import NonceManager
from krakenonce.backends.redis import RedisStore
from krakenonce.errors import LaneTimeout, NonceStoreError, TurnLost
from krakenonce.testing.clock import ManualClock
from tests.hosts.engines import open_state
from tests.hosts.servers import PASSWORD, Host
from tests.hosts.test_refusals import refusal
from tests.integration.backends.helpers import rising
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts.valkey import ValkeyServer as Server

    Start = Callable[..., Server]
    Between = Callable[[int, Callable[[bytes], bytes | None]], int]

HOUR = 3600.0


def test_nonces_keep_all_their_digits(valkey: Server) -> None:
    """A number of Lua has 53 bits: it would round them. The seconds are carried, and short floors are compared."""
    clock = ManualClock()
    store = RedisStore(valkey.url, clock=clock)
    now = clock.now_ns()
    for floor in (5, 99, now + 1, now + 999_999_998, now + 999_999_999, 2**62 + 1, 9_199_999_999_999_999_999):
        store.raise_floor(f"floor-{floor}", floor)
        first = max(floor + 1, now)
        assert [store.advance(f"floor-{floor}") for _ in range(2)] == [first, first + 1]
    store.close()


def test_the_look_at_the_turn_and_the_nonce_are_one_step(valkey: Server, proxy: Between) -> None:
    """If the turn is lost when the answer comes, the nonce is smaller than that of the next holder."""
    other = RedisStore(valkey.url.replace("127.0.0.1", "localhost"))
    nonces: list[int] = []
    armed: list[bool] = []

    def change(data: bytes) -> bytes:
        if armed:
            armed.clear()
            valkey.end_turns()
            gate = other.gate("key")
            assert gate.try_acquire()
            nonces.append(other.advance_in_turn("global", [gate]))
        return data

    store = RedisStore(valkey.url_at(proxy(valkey.port, change)))
    gate = store.gate("key")
    assert gate.try_acquire()
    store.advance_in_turn("global", [gate])
    armed.append(True)
    assert store.advance_in_turn("global", [gate]) < nonces[0]
    with pytest.raises(TurnLost):
        store.advance_in_turn("global", [gate])
    other.gate("key").release()
    for each in (store, other):
        each.close()


def test_a_turn_and_its_nonce_come_in_one_answer(
    valkey: Server, proxy: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the caller says that it wants one. Who waits gets both with the bell, and asks for nothing more."""
    monkeypatch.setattr("krakenonce.backends.redis.gate._CLAIMED", 20.0)
    answers: list[bytes] = []
    taken: list[int] = []

    def listen(data: bytes) -> bytes:
        answers.append(data)
        return data

    def nonces() -> int:
        count = sum(b"nonce\r\n" in each for each in answers)
        answers.clear()
        return count

    manager, other = NonceManager(valkey.url_at(proxy(valkey.port, listen))), NonceManager(valkey.url)
    first = take(manager)
    assert nonces() == 1
    with other.lane("key"):
        waiting = in_thread(lambda: taken.append(take(manager)))
        until(lambda: valkey.waiting() == 1)
        assert other.next_for("key") > first
        assert nonces() == 0
    join([waiting])
    assert nonces() == 0
    assert taken[0] > first + 1
    for each in (manager, other):
        each.close()


def test_a_turn_that_came_with_the_bell_is_kept(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is given it has a moment to say that it lives; then the turn lasts as long as any other."""
    monkeypatch.setattr("krakenonce.backends.redis.gate._CLAIMED", 20.0)
    manager, other = NonceManager(valkey.url), NonceManager(valkey.url.replace("127.0.0.1", "localhost"))
    done = threading.Event()

    def hold() -> None:
        with manager.turn("key"):
            done.wait(20)

    with other.lane("key"):
        waiting = in_thread(hold)
        until(lambda: valkey.waiting() == 1)
    until(lambda: valkey.run("PTTL", "{krakenonce}:turn:" + manager.lane("key").name) > 3000)
    done.set()
    join([waiting])
    for each in (manager, other):
        each.close()


def test_a_nonce_that_comes_late_with_the_bell_is_not_used(valkey: Server, proxy: Between) -> None:
    """Another caller has the turn by then, with a larger one."""
    taken: list[int] = []
    others: list[int] = []

    def hold_back(data: bytes) -> bytes:
        if b":bell:" in data:
            until(lambda: others)
        return data

    holder, other = NonceManager(valkey.url), NonceManager(valkey.url.replace("127.0.0.1", "localhost"))
    late = NonceManager(valkey.url_at(proxy(valkey.port, hold_back)))
    with holder.lane("key"):
        waiting = [in_thread(lambda: taken.append(take(late)))]
        until(lambda: valkey.waiting() == 1)
        waiting.append(in_thread(lambda: others.append(take(other))))
        until(lambda: valkey.waiting() == 2)
    join(waiting)
    assert taken[0] > others[0]
    for each in (holder, other, late):
        each.close()


def take(manager: NonceManager) -> int:
    """Take a nonce in its turn."""
    with manager.turn("key"):
        return manager.next_for("key")


def test_a_nonce_that_came_with_a_turn_is_not_used_after_a_pause(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn may be another one's by then: the server is asked again, and gives a newer one, or none."""
    manager = NonceManager(valkey.url)
    take(manager)
    with manager.turn("key"):
        assert manager.next_for("key") == manager.peek()
    monkeypatch.setattr("krakenonce.backends.redis.gate._FRESH", 0.0)
    with manager.turn("key"):
        came = manager.peek()
        assert manager.next_for("key") > (came or 0)
        assert manager.peek() != came
    with manager.turn("key"):
        valkey.end_turns()
        with pytest.raises(TurnLost):
            manager.next_for("key")
    manager.close()


def test_a_step_whose_answer_is_lost_is_done_once_more_and_then_given_up(valkey: Server, proxy: Between) -> None:
    """On a new connection, and by nobody else: each time a nonce is burned."""
    cuts: list[bytes] = []

    def change(data: bytes) -> bytes | None:
        if b"nonce\r\n" not in data:
            return data
        cuts.append(data)
        return None

    clock = ManualClock()
    store = RedisStore(valkey.url_at(proxy(valkey.port, change)), clock=clock)
    RedisStore(valkey.url, clock=clock).advance("global")
    store.peek("global")  # it is connected
    with pytest.raises(NonceStoreError, match="nothing was issued or sent"):
        store.advance("global")
    assert len(cuts) == 2
    assert RedisStore(valkey.url).peek("global") == clock.now_ns() + 2


def test_a_server_that_hangs_up_is_asked_once(valkey: Server, proxy: Between) -> None:
    """The package would connect ten times more by itself."""
    calls: list[bytes] = []
    store = RedisStore(valkey.url_at(proxy(valkey.port, calls.append)))
    with pytest.raises(NonceStoreError, match="cannot connect to"):
        store.advance("global")
    assert len(calls) == 1


def test_scripts_that_the_server_has_lost_are_sent_again(valkey: Server) -> None:
    """For nonces, turns and limits; nothing is done twice or left out."""
    manager = NonceManager(valkey.url)
    for _ in range(2):
        with manager.lane("key", timeout=5.0):
            assert manager.next_for("key")
            manager.store.rate_limits.step("key", lambda counters: counters.write(0, b"data"))
            valkey.run("SCRIPT", "FLUSH")
    assert manager.store.rate_limits.step("key", lambda counters: counters.read(0, 9)) == b"data"
    manager.close()


def test_a_turn_outlives_its_connections(valkey: Server) -> None:
    """A nonce is taken in it by another one, and the server hears that it was given back."""
    manager = NonceManager(open_state(pause=60.0))
    with manager.lane("key"):
        first = manager.next_for("key")
        valkey.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert manager.next_for("key") > first
        valkey.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with manager.lane("key", timeout=5.0):
        assert manager.next_for("key") > first + 1
    manager.close()


def test_a_turn_that_was_given_back_on_a_lost_connection_is_soon_free(valkey: Server) -> None:
    """The heartbeat says it again, long before the lease ends."""
    manager = NonceManager(open_state(pause=3.0))
    with manager.lane("key"):
        valkey.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        valkey.run("PEXPIRE", "{krakenonce}:turn:" + manager.lane("key")._queue.name, 60_000)
    until(lambda: manager.lane("key").holder() == "nobody holds it")
    manager.close()


def test_a_turn_does_not_wait_until_the_last_one_is_given_back(valkey: Server, proxy: Between) -> None:
    """The server hears both one after the other, so its first answer may come with the second."""
    armed: list[bool] = []

    def hold_back(data: bytes) -> bytes:
        if armed:
            armed.clear()
            until(lambda: valkey.keys("{krakenonce}:turn:*"))
        return data

    manager = NonceManager(valkey.url_at(proxy(valkey.port, hold_back)))
    with manager.turn("key"):
        first = manager.next_for("key")
        armed.append(True)
    assert take(manager) > first
    manager.close()


def test_a_dead_caller_in_the_queue_keeps_the_next_one_waiting_for_a_moment(valkey: Server) -> None:
    """It is given the turn, and does not take it: then the turn goes on."""
    manager = NonceManager(valkey.url)
    dead, alive = Host(valkey.url, 0.0, 0.0), Host(valkey.url, 0.0, 0.0)
    try:
        with manager.lane("key"):
            dead.begin("enter key")
            until(lambda: valkey.waiting() == 1)
            alive.begin("enter key")
            until(lambda: valkey.waiting() == 2)
            dead.kill()
        assert alive.hear() == "entered"
        assert alive.ask("nonce key").isdigit()
    finally:
        dead.kill()
        alive.kill()
        manager.close()


def test_a_killed_process_has_no_connection_left_though_its_child_lives(valkey: Server) -> None:
    """The child has closed what it inherited; it would keep it open for ever."""
    holder = Host(valkey.url, 0.0, 0.0)
    assert holder.ask("enter key") == "entered"
    assert holder.ask("nonce key").isdigit()
    child = int(holder.ask("fork"))
    name = f"name=krakenonce-{holder.pid}-".encode()
    assert name in valkey.run("CLIENT", "LIST")
    try:
        holder.signal(signal.SIGKILL)
        until(lambda: name not in valkey.run("CLIENT", "LIST"))
    finally:
        os.kill(child, signal.SIGKILL)
        holder.kill()


def test_a_process_that_stops_within_a_step_keeps_nobody_waiting_for_ever(valkey: Server) -> None:
    """A step of the sent calls has a lock, which ends after five seconds; what it writes later is refused."""
    stopped, other = Host(valkey.url, 0.0, 0.0), RedisStore(valkey.url)
    stopped.begin("stop_in_step key")
    until(lambda: valkey.keys("*:sent:*:lock"))
    assert other.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b""
    stopped.signal(signal.SIGCONT)
    assert stopped.hear().startswith("NonceStoreError: cannot keep the sent calls in ")
    assert other.sent_calls.peek("key", 0, 9) == b""
    stopped.kill()


def test_a_server_s_clock_that_is_set_back_does_not_keep_a_turn(
    faked: Server, set_clock: Callable[[float], None]
) -> None:
    """Its leases last an hour longer then; who waits trusts its own clock, and nonces rise."""
    dead, other = Host(faked.url, 0.0, 1.5), Host(faked.url, 0.0, 1.5)
    try:
        assert dead.ask("enter key") == "entered"
        first = int(dead.ask("nonce key"))
        dead.kill()
        set_clock(-HOUR)
        assert int(faked.run("PTTL", *faked.keys("*:turn:*"))) > 1_000_000
        assert other.ask("enter key") == "entered"
        assert int(other.ask("nonce key")) > first
    finally:
        dead.kill()
        other.kill()


def test_a_server_s_clock_that_is_set_forward_ends_the_turns(faked: Server, set_clock: Callable[[float], None]) -> None:
    """Who had one gets no nonce in it, but can have it again. A live holder's turn is not taken by a clock set back."""
    holder, other = Host(faked.url, 0.0, 1.5), NonceManager(faked.url)
    try:
        assert holder.ask("enter key") == "entered"
        set_clock(-HOUR)
        with pytest.raises(LaneTimeout):
            other.lane("key", timeout=3.5).acquire()
        assert holder.ask("nonce key").isdigit()
        assert [holder.ask("leave"), holder.ask("enter key")] == ["left", "entered"]
        set_clock(HOUR)
        until(lambda: int(faked.run("TIME")[0]) > time.time() + HOUR / 2)  # it may not see it at once
        assert holder.ask("nonce key").startswith("TurnLost: ")
        assert [holder.ask("leave"), holder.ask("enter key")] == ["left", "entered"]
        assert holder.ask("nonce key").isdigit()
    finally:
        holder.kill()
        other.close()


@pytest.fixture
def set_clock(tmp_path: Path) -> Callable[[float], None]:
    """Sets the clock of the server with a faked one, by seconds."""

    def set_to(offset: float) -> None:
        new = tmp_path / "clock.new"
        new.write_text(f"{offset:+.6f}\n")
        new.replace(tmp_path / "clock")

    set_to(0.0)
    return set_to


@pytest.fixture
def faked(new_valkey: Start, set_clock: Callable[[float], None], tmp_path: Path) -> Server:
    """A server with a clock that can be set while it runs."""
    from libfaketime import get_reload_information

    words: dict[str, str] = get_reload_information()[1]
    return new_valkey(
        **{**words, "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"), "FAKETIME_NO_CACHE": "1", "NO_FAKE_STAT": "1"}
    )


@pytest.fixture
def encrypted(valkey: Server) -> Iterator[Callable[[ssl.SSLContext], int]]:
    """What starts an end of encryption in front of the server, and returns its port."""
    loop = asyncio.new_event_loop()
    thread = in_thread(loop.run_forever)
    servers: list[asyncio.Server] = []

    async def passing(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    async def serve(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, there = await asyncio.open_connection("127.0.0.1", valkey.port)
        await asyncio.gather(passing(client, there), passing(server, back), return_exceptions=True)

    def start(context: ssl.SSLContext) -> int:
        starting = asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        listening = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
        servers.append(listening)
        port: int = listening.sockets[0].getsockname()[1]
        return port

    async def end() -> None:
        for listening in servers:
            listening.close()
        mine = asyncio.current_task()
        for each in asyncio.all_tasks():
            if each is not mine:
                each.cancel()

    yield start
    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    join([thread])
    loop.close()


def test_a_connection_is_encrypted_and_the_server_s_certificate_checked(
    valkey: Server, encrypted: Callable[[ssl.SSLContext], int], tmp_path: Path
) -> None:
    """By the authority that the URL names. One of another authority is refused, before the password is sent."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    url = f"valkeys://:{PASSWORD}@127.0.0.1:{encrypted(context)}/0"
    manager = NonceManager(f"{url}?ssl_ca_certs={tmp_path}/ca.pem")
    taken: list[int] = []

    def take() -> None:
        for _ in range(5):
            with manager.lane("key"):
                taken.append(manager.next_for("key"))

    join([in_thread(take) for _ in range(3)])
    assert rising(taken)
    assert len(taken) == 15
    data = bytes(range(256)) * 255
    manager.store.records.write("one", data, None)
    assert manager.store.records.read("one") == data
    manager.close()
    with pytest.raises(NonceStoreError, match=r"cannot connect to .*certificate") as caught:
        RedisStore(url).advance("global")
    assert PASSWORD not in str(caught.value)
    assert "speaks no TLS" not in str(caught.value)


@pytest.mark.parametrize("sentinels", ["", "+sentinel"])
def test_a_url_with_tls_for_a_port_without_and_the_other_way_round(
    valkey: Server,
    encrypted: Callable[[ssl.SSLContext], int],
    monkeypatch: pytest.MonkeyPatch,
    proxy: Callable[[int, Callable[[bytes], bytes | None]], int],
    sentinels: str,
) -> None:
    """The error has the scheme that may be meant. A server that only is silent is no reason."""
    monkeypatch.setattr("krakenonce.backends.redis.session._CONNECT", 0.3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    path = "main" if sentinels else "0"
    answers = proxy(valkey.port, lambda _: b"-ERR unknown command\r\n")
    for scheme, port, other in (
        ("rediss", valkey.port, "redis"),
        ("rediss", answers, "redis"),
        ("redis", encrypted(context), "rediss"),
    ):
        said = refusal(f"{scheme}{sentinels}://:{PASSWORD}@127.0.0.1:{port}/{path}")
        does = "wants" if other == "rediss" else "speaks no"
        assert f"; write {other}{sentinels}:// if it {does} TLS" in said
    silent = proxy(valkey.port, lambda _: b"")
    assert "TLS" not in refusal(f"redis{sentinels}://:{PASSWORD}@127.0.0.1:{silent}/{path}")
