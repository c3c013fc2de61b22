"""What an etcd does besides: leases that end, several servers, compaction, lost answers, users and TLS."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from krakenonce import NonceManager, open_store
from krakenonce.backends.etcd import EtcdStore
from krakenonce.backends.etcd.wire import Lost
from krakenonce.errors import NonceStoreError, TurnLost
from tests.hosts.etcd import EtcdServer
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import STATE, Host, Proxy, free_port
from tests.integration.backends.helpers import rising
from tests.integration.key.helpers import in_child, in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends.etcd.gate import EtcdGate
    from krakenonce.backends.etcd.wire import Wire
    from tests.hosts.engines import Engine

    Cut = Callable[[int, Callable[[bytes], bytes | None]], int]


@pytest.fixture
def etcd(running: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch) -> EtcdServer:
    """The server, with no state on it."""
    engine = running("etcd")
    assert isinstance(engine, EtcdServer)
    engine.empty()
    monkeypatch.setenv(STATE, engine.url)
    return engine


@pytest.fixture
def three() -> Iterator[list[EtcdServer]]:
    """Three servers that work together."""
    with folder_of_servers() as folder:
        servers = [EtcdServer(folder / f"server{number}") for number in range(3)]
        for each in servers:
            each.others = [other for other in servers if other is not each]
        for each in servers:
            each.begin(wait=False)
        assert all(each.serves() for each in servers)
        yield servers
        for each in servers:
            each.kill()


def url_of(servers: list[EtcdServer]) -> str:
    """Where they are."""
    return f"etcd://{','.join(f'127.0.0.1:{each.port}' for each in servers)}/krakenonce"


def leader(servers: list[EtcdServer]) -> EtcdServer:
    """The one that leads."""
    status = [each.ask("maintenance/status", {}) for each in servers]
    (found,) = [at for at, each in enumerate(status) if each["leader"] == each["header"]["member_id"]]
    return servers[found]


def test_nonces_and_turns_go_on_when_the_leader_is_killed(three: list[EtcdServer]) -> None:
    """By those that are left, which have all that was confirmed; a turn that is held stays."""
    first = leader(three)
    manager = NonceManager(url_of([first, *(each for each in three if each is not first)]))
    taken = [manager.next()]
    with manager.lane("key"):
        taken.append(manager.next_for("key"))
        first.kill()
        taken += [manager.next_for("key"), manager.next()]
    with manager.lane("key"):
        taken.append(manager.next_for("key"))
    assert rising(taken)
    manager.close()


def test_a_server_without_the_others_gives_nothing(three: list[EtcdServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot know what the others have given. When one of them is back, nonces go on above."""
    store = open_store(url_of(three))
    last = store.advance("global")
    for each in three[1:]:
        each.kill()
    monkeypatch.setattr("krakenonce.backends.etcd.session.ANSWER", 4.0)
    with pytest.raises(NonceStoreError, match="it has no leader; nothing was issued or sent; more than half of"):
        store.advance("global")
    three[1].start()
    assert store.advance("global") > last
    store.close()


def test_a_nonce_that_waits_when_the_leader_stops_is_asked_for_elsewhere(three: list[EtcdServer]) -> None:
    """Nobody knows whether it is stored when the server goes on: it is given to nobody."""
    first = leader(three)
    store = open_store(url_of([first, *(each for each in three if each is not first)]))
    taken = [store.advance("global")]
    first.send(signal.SIGSTOP)
    taken.append(store.advance("global"))
    first.send(signal.SIGCONT)
    taken += [store.advance("global") for _ in range(3)]
    assert rising(taken)
    assert store.peek("global") == taken[-1]
    store.close()


def revoke_leases(etcd: EtcdServer) -> None:
    """End all leases, as if their processes had been silent for too long."""
    for each in etcd.ask("lease/leases", {}).get("leases", []):
        etcd.ask("lease/revoke", {"ID": each["ID"]})


def test_a_turn_ends_with_its_lease(etcd: EtcdServer) -> None:
    """Its holder gets no nonce, and a new lease for its next turn."""
    manager = NonceManager(etcd.url)
    with manager.lane("key"):
        revoke_leases(etcd)
        with pytest.raises(TurnLost):
            manager.next_for("key")
    with manager.lane("key"):
        assert manager.next_for("key")
    revoke_leases(etcd)  # between two turns nobody notices
    with manager.lane("key"):
        assert manager.next_for("key")
    manager.close()


def test_a_nonce_and_its_turn_are_one_transaction(etcd: EtcdServer, proxy: Cut) -> None:
    """A holder that is paused between two of them would take a larger nonce than the next holder."""
    others: list[int] = []
    armed: list[bool] = []
    direct = open_store(etcd.url)

    def change(data: bytes) -> bytes:
        if armed:
            armed.clear()
            etcd.end_turns()
            others.append(direct.advance("global"))
        return data

    manager = NonceManager(etcd.url_at(proxy(etcd.port, change)))
    with manager.lane("key"):
        assert manager.next_for("key")
        armed.append(True)
        nonce = manager.next()
        assert nonce < others[0]
        with pytest.raises(TurnLost):
            manager.next_for("key")
    manager.close()
    direct.close()


def test_what_is_in_a_queue_depends_on_a_lease(etcd: EtcdServer) -> None:
    """A key without one would stay for ever when its process is killed."""
    manager = NonceManager(etcd.url)
    with manager.lane("key"), manager.lane("other"):
        manager.next_for("key")
        folder = {
            "key": b64encode(b"krakenonce/lanes/").decode(),
            "range_end": b64encode(b"krakenonce/lanes0").decode(),
        }
        assert [each.get("lease", "0") != "0" for each in etcd.ask("kv/range", folder)["kvs"]] == [True, True]
    until(lambda: etcd.keys("krakenonce/lanes/") == [])
    manager.close()


def test_a_place_that_was_taken_though_its_answer_was_lost_blocks_nobody(etcd: EtcdServer, proxy: Cut) -> None:
    """The caller takes another one, which is behind it. It ends with its lease, which is not kept alive any more."""
    lost: list[str] = []

    def change(data: bytes) -> bytes | None:
        if lost or not (keys := etcd.keys("krakenonce/lanes/")):
            return data
        lost.extend(keys)
        return None

    gate = EtcdStore(etcd.url_at(proxy(etcd.port, change)), pause=1.5).gate("key")
    gate.acquire()
    assert gate.held
    assert etcd.keys("krakenonce/lanes/") != lost
    gate.release()
    until(lambda: etcd.keys("krakenonce/lanes/") == [])


def test_a_caller_does_not_wait_for_the_server_when_it_gives_its_turn_back(etcd: EtcdServer, proxy: Cut) -> None:
    """The answer comes while the call after it is prepared."""
    released = threading.Event()
    armed: list[bool] = []

    def hold_back(data: bytes) -> bytes:
        if armed:
            assert released.wait(20)
        return data

    gate = EtcdStore(etcd.url_at(proxy(etcd.port, hold_back))).gate("key")
    gate.acquire()
    armed.append(True)
    gate.release()
    released.set()
    assert gate.try_acquire()  # and the one after it is no longer kept out
    gate.release()


def test_a_turn_that_was_given_back_on_a_lost_connection_is_soon_free(etcd: EtcdServer) -> None:
    """The heartbeat gives it back once more, at another server if need be."""
    gate = left_without_connection(etcd)
    until(lambda: etcd.keys("krakenonce/lanes/") == [])
    gate.close()


def test_a_turn_that_was_given_back_on_a_lost_connection_does_not_keep_the_next_one_out(etcd: EtcdServer) -> None:
    """The next turn of this process is the one that gives it back once more."""
    gate = left_without_connection(etcd)
    assert gate.try_acquire()
    gate.release()
    gate.close()
    assert etcd.keys("krakenonce/lanes/") == []


def left_without_connection(etcd: EtcdServer) -> EtcdGate:
    """A gate that was released when its server was gone. It knows another one."""
    first = Proxy(etcd.port, lambda data: data)
    gate = EtcdStore(f"etcd://127.0.0.1:{first.port},127.0.0.1:{etcd.port}/krakenonce", pause=1.5).gate("key")
    gate.acquire()
    first.close()
    gate.release()
    return gate


def test_a_process_that_ends_after_its_turn_leaves_nothing(etcd: EtcdServer) -> None:
    """It waits for the server at the end: etcd drops most requests whose connection is closed."""
    code = "import sys; from krakenonce import NonceManager\nwith NonceManager(sys.argv[1]).lane('key'): print(input())"
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", code, etcd.url], stdin=subprocess.PIPE) as process:
            until(lambda: etcd.keys("krakenonce/lanes/"))
            etcd.send(signal.SIGSTOP)
            assert process.stdin
            process.stdin.write(b"leave\n")
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
            etcd.send(signal.SIGCONT)
        assert etcd.keys("krakenonce/lanes/") == []


def test_what_is_given_back_during_a_heartbeat_is_made_sure_of_by_the_next(etcd: EtcdServer) -> None:
    """Another thread may give back the next turn of a lane just when the last one was made sure of."""
    gate: Any = EtcdStore(etcd.url).gate("key")
    lease, beats = gate._lease, []

    class GivesBack:
        def settle(self, patience: float) -> bool:
            beats.append(patience)
            if len(beats) == 1:
                lease.make_sure(self)  # as the other thread does
            return True

    thing = GivesBack()
    lease.make_sure(thing)
    for _ in range(3):
        lease.beat()
    assert len(beats) == 2


def test_a_waiter_sees_what_has_happened_before_its_news_begin(etcd: EtcdServer, proxy: Cut) -> None:
    """The one before it may leave meanwhile, and the server may have forgotten by then that it was there."""
    holder = EtcdStore(etcd.url).gate("key")

    def change(data: bytes) -> bytes:
        if holder.held and len(etcd.keys("krakenonce/lanes/")) == 2:  # the place is taken
            holder.release()
            revision = etcd.ask("kv/range", {"key": "AA=="})["header"]["revision"]
            etcd.ask("kv/compaction", {"revision": revision})
        return data

    waiter = EtcdStore(etcd.url_at(proxy(etcd.port, change))).gate("key")
    holder.acquire()
    began = time.monotonic()
    waiter.acquire()
    assert waiter.held
    assert time.monotonic() - began < 4
    waiter.release()


def test_a_waiter_whose_server_sends_no_news_looks_again(
    etcd: EtcdServer, proxy: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be cut off from the others."""
    monkeypatch.setattr("krakenonce.backends.etcd.queue._LOOK", 0.3)
    waiter = EtcdStore(etcd.url_at(proxy(etcd.port, lambda data: b"" if b'"events"' in data else data))).gate("key")
    holder = EtcdStore(etcd.url).gate("key")
    holder.acquire()
    thread = in_thread(waiter.acquire)
    until(lambda: etcd.waiting() == 1)
    holder.release()
    join([thread])
    assert waiter.held
    waiter.release()


def test_a_waiter_that_was_paused_for_too_long_takes_another_place(etcd: EtcdServer) -> None:
    """Its own has ended with the lease."""
    holder = EtcdStore(etcd.url).gate("key")
    waiter = EtcdStore(etcd.url.replace("127.0.0.1", "localhost")).gate("key")  # as of another process
    holder.acquire()
    thread = in_thread(waiter.acquire)
    until(lambda: etcd.waiting() == 1)
    place = etcd.keys("krakenonce/lanes/")[1]
    etcd.delete(place)
    until(lambda: etcd.waiting() == 1 and etcd.keys("krakenonce/lanes/")[1] != place)
    holder.release()
    join([thread])
    waiter.release()


def test_a_caller_that_waits_again_and_again_connects_once(etcd: EtcdServer) -> None:
    """With TLS, a connection for each wait would cost both sides more than the turn."""
    way = Proxy(etcd.port, lambda data: data)
    waiter, holder = EtcdStore(etcd.url_at(way.port), pause=60.0).gate("key"), EtcdStore(etcd.url).gate("key")
    wait_for(waiter, holder, etcd)
    connected = len(way._sockets)
    for _ in range(5):
        wait_for(waiter, holder, etcd)
    assert len(way._sockets) == connected
    waiter.close()
    holder.close()
    way.close()


def test_a_caller_that_has_waited_soon_wants_no_more_news(etcd: EtcdServer) -> None:
    """The server would keep for it what nobody reads."""
    other = etcd.url.replace("127.0.0.1", "localhost")  # as of another process
    waiter, holder = EtcdStore(other, pause=1.5).gate("key"), EtcdStore(etcd.url, pause=1.5).gate("key")
    for each in (waiter, holder):
        assert each.try_acquire()
        each.release()
    before = sockets()
    wait_for(waiter, holder, etcd)
    news = sockets() - before
    until(lambda: not news & sockets())
    waiter.close()
    holder.close()


def test_a_waiter_leaves_a_server_that_its_session_has_left(etcd: EtcdServer) -> None:
    """The news of its earlier wait would come from there, if at all."""
    silent: list[bool] = []
    first = Proxy(etcd.port, lambda data: b"" if silent and b'"events"' in data else data)
    url = f"etcd://127.0.0.1:{first.port},127.0.0.1:{etcd.port}/krakenonce"
    waiter, holder = EtcdStore(url, pause=60.0).gate("key"), EtcdStore(etcd.url, pause=60.0).gate("key")
    wait_for(waiter, holder, etcd)

    def leave(wire: Wire) -> None:
        if wire.place[1] == first.port:
            raise Lost("it does not answer")

    waiter.step("leave", leave)
    silent.append(True)
    began = time.monotonic()
    wait_for(waiter, holder, etcd)
    assert time.monotonic() - began < 4
    waiter.close()
    holder.close()
    first.close()


def wait_for(waiter: EtcdGate, holder: EtcdGate, etcd: EtcdServer) -> None:
    """Let the first one wait for the other one's turn, and have its own."""
    holder.acquire()
    thread = in_thread(waiter.acquire)
    until(lambda: etcd.waiting() == 1)
    holder.release()
    join([thread])
    waiter.release()


def test_numbers_are_compared_as_numbers(etcd: EtcdServer) -> None:
    """The server compares letters, by which 10 is less than 9."""
    store = EtcdStore(etcd.url)
    store.raise_floor("global", 9)
    store.raise_floor("global", 10)
    assert store.peek("global") == 10
    assert store.advance("global") > 10
    store.close()


def test_a_step_whose_answer_was_lost_is_not_called_twice(etcd: EtcdServer, proxy: Cut) -> None:
    """Its caller gets an error, and it may have been done. Nobody is kept out by it."""
    called: list[int] = []
    cut: list[int] = []

    def change(data: bytes) -> bytes | None:
        if cut or not called:
            return data
        cut.append(1)
        return None

    store = EtcdStore(etcd.url_at(proxy(etcd.port, change)), pause=1.5)

    def step(kept: object) -> None:
        called.append(1)
        kept.write(0, b"some")  # type: ignore[attr-defined]

    with pytest.raises(NonceStoreError, match=r"cannot write to the record of sent calls in .*: a connection was lost"):
        store.sent_calls.step("key", step)
    assert called == [1]
    assert store.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b"some"
    store.close()


def test_a_process_that_stops_within_a_step_keeps_nobody_waiting_for_ever(etcd: EtcdServer) -> None:
    """The lock ends with its lease; what the process wants to write then is not written."""
    stopped, other = Host(etcd.url, 0.0, 1.5), EtcdStore(etcd.url)
    stopped.begin("stop_in_step key")
    until(lambda: etcd.keys("krakenonce/locks/"))
    assert other.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b""
    stopped.signal(signal.SIGCONT)
    assert "this process was paused for too long; nothing was issued or sent" in stopped.hear()
    assert other.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b""
    stopped.kill()
    other.close()


def sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # the listing's own
            continue
    return {each for each in found if each.startswith("socket:")}


def test_a_child_closes_the_connections_that_it_inherits(etcd: EtcdServer) -> None:
    """An answer that it reads would be its parent's. The parent's own go on."""
    store = EtcdStore(f"{etcd.url}-alone")  # a prefix of its own, to which no test before has connections
    before = sockets()
    store.advance("global")
    gate = store.gate("key")
    gate.acquire()
    store.rate_limits.step("key", lambda kept: kept.write(0, b"some"))
    until(lambda: len(sockets() - before) == 3)  # the one that keeps the lease alive is opened by a thread
    opened = sockets() - before
    assert in_child(lambda: sockets() & opened) == "set()"
    assert store.advance_in_turn("global", [gate])
    gate.release()
    store.close()


def test_tls_is_checked_by_the_certificate_that_is_named(tmp_path: Path) -> None:
    """One that is signed by somebody else is refused."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(tmp_path / "key")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    authority.cert_pem.write_to_path(tmp_path / "ca")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other")
    with folder_of_servers() as folder:
        server = EtcdServer(folder / "server")
        server.tls = trustme_context(authority)
        server.start("--cert-file", str(tmp_path / "cert"), "--key-file", str(tmp_path / "key"))
        url = f"etcds://127.0.0.1:{server.port}/krakenonce"
        manager = NonceManager(f"{url}?ca={tmp_path / 'ca'}")
        with manager.lane("key"):
            assert manager.next_for("key")
        manager.close()
        for query, why in (
            (f"?ca={tmp_path / 'other'}", "self.signed certificate|unable to get local issuer certificate"),
            (f"?ca={tmp_path / 'key'}", "there is no certificate in the ca file"),
            (f"?ca={tmp_path / 'missing'}", "there is no certificate in the ca file"),
            ("", "unable to get local issuer certificate"),
        ):
            with pytest.raises(NonceStoreError, match=why) as caught:
                NonceManager(url + query).next()
            assert "speaks no TLS" not in str(caught.value)
        with pytest.raises(NonceStoreError, match="ended the connection; write etcds:// if it wants TLS"):
            NonceManager(f"etcd://127.0.0.1:{server.port}/krakenonce").next()
        server.kill()


def test_a_url_with_tls_for_a_server_without(etcd: EtcdServer) -> None:
    """The error has the scheme that may be meant; not if nobody listens there."""
    with pytest.raises(NonceStoreError, match="write etcd:// if it speaks no TLS; nothing was issued"):
        NonceManager(etcd.url.replace("etcd:", "etcds:")).next()
    with pytest.raises(NonceStoreError, match="Connection refused; nothing was issued"):
        NonceManager(etcd.url_at(free_port()).replace("etcd:", "etcds:")).next()


def trustme_context(authority: trustme.CA) -> ssl.SSLContext:
    """What the test's own questions to the server use."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_nonce_that_comes_with_the_turn_is_used_once_and_soon(
    etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is a round trip. What comes too late is used by nobody: the turn may be lost by then."""
    manager = NonceManager(etcd.url)
    taken = [manager.next_for("key")]
    revisions = []
    for _ in range(3):
        with manager.turn("key"):
            at = revision(etcd)
            taken += [manager.next_for("key")]
            revisions.append(revision(etcd) - at)
            taken += [manager.next_for("key")]
    assert revisions == [0, 0, 0]
    monkeypatch.setattr("krakenonce.backends.etcd.gate._FRESH", -1.0)
    with manager.turn("key"):
        at = revision(etcd)
        taken += [manager.next_for("key"), manager.next()]
        assert revision(etcd) - at == 2
    with manager.turn("key"):
        etcd.end_turns()
        with pytest.raises(TurnLost):
            manager.next_for("key")
    assert rising(taken)
    manager.close()


def test_a_turn_comes_though_the_nonce_with_it_cannot(etcd: EtcdServer) -> None:
    """Another process has a larger one, or the counter is new; and a counter of one manager is not another's."""
    manager, other = NonceManager(etcd.url), open_store(etcd.url)
    for floor in (None, 2**61, 2**62):
        if floor:
            other.raise_floor("global", floor)
        with manager.turn("key", timeout=20.0):
            assert manager.next_for("key") > (floor or 0)
        with manager.turn("key"):
            assert manager.next_for("key") > (floor or 0) + 1
    manager.close()
    other.close()


def revision(etcd: EtcdServer) -> int:
    """How often something was written."""
    return int(etcd.ask("kv/range", {"key": "AA=="})["header"]["revision"])
