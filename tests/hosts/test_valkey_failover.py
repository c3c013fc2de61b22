"""Another server goes on: a replica that lacks the last nonces, or the same one from its disk; and Sentinels."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from krakenonce.backends.redis import RedisStore, hello
from krakenonce.backends.redis import link as link_module
from krakenonce.backends.redis.scripts import NONCES
from krakenonce.errors import NonceStoreError
from krakenonce.rule import SECOND
from krakenonce.testing.clock import ManualClock
from tests.hosts.servers import PASSWORD, Host
from tests.hosts.valkey import Sentinel
from tests.integration.backends.helpers import rising
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.valkey import ValkeyServer as Server

    Start = Callable[..., Server]

NOW = ManualClock().now_ns()


@pytest.fixture
def pair(new_valkey: Start) -> tuple[Server, Server]:
    """A server and its replica."""
    master = new_valkey("repl-diskless-sync-delay 0")
    return master, replica_of(new_valkey, master)


def replica_of(new_valkey: Start, master: Server) -> Server:
    """One that has all that the other one has."""
    replica = new_valkey(*master.replica())
    until(lambda: replica.facts().get("master_link_status") == "up")
    return replica


def store_on(server: Server, options: str = "?replicas=1") -> RedisStore:
    """A backend whose clock does not change."""
    return RedisStore(f"{server.url}{options}", clock=ManualClock())


def test_a_server_that_was_started_again_skips_what_it_may_not_have(new_valkey: Start) -> None:
    """Once: it may come from its disk, or from a replica. A floor that is set on it does not hide that."""
    server = new_valkey()
    store = store_on(server, "")
    assert [store.advance("global"), store.advance("floored")] == [NOW, NOW]
    server.kill()
    server.start()
    store.raise_floor("floored", 5)
    assert store.peek("floored") == NOW + 10 * SECOND
    assert [store.advance("global"), store.advance("global")] == [NOW + 10 * SECOND + 1, NOW + 10 * SECOND + 2]
    assert store.advance("floored") == NOW + 10 * SECOND + 1
    store.close()


def test_a_promoted_replica_that_lacks_nonces_issues_none_of_them(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the mark, which no nonce was above. The old server gives smaller ones, until it needs a new mark."""
    master, replica = pair
    old = store_on(master)
    first = old.advance("global")
    replica.run("REPLICAOF", "NO", "ONE")
    lost = [old.advance("global") for _ in range(100)]
    new = store_on(replica, "?replicas=0")
    taken = [new.advance("global") for _ in range(100)]
    late = [old.advance("global") for _ in range(100)]
    assert rising([first, *lost, *late])
    assert rising([*late, *taken])
    old._clock.step(11.0)  # type: ignore[attr-defined]
    monkeypatch.setattr(link_module, "_CONFIRM", 0.1)
    with pytest.raises(NonceStoreError, match=r"only 0 of the 1 replicas of valkey://.* must confirm the mark"):
        old.advance("global")
    for each in (old, new):
        each.close()


def test_a_server_that_is_left_behind_stops_though_its_nonces_are_ahead_of_the_clock(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not come near the mark by themselves: it is confirmed again when it is ten seconds old."""
    master, replica = pair
    store = store_on(master)
    store.raise_floor("global", NOW + 3600 * SECOND)
    taken = [store.advance("global") for _ in range(2)]
    taken.append(ten_seconds_later(master, store))
    assert rising(taken)
    replica.run("REPLICAOF", "NO", "ONE")
    monkeypatch.setattr(link_module, "_CONFIRM", 0.1)
    assert store.advance("global") == taken[-1] + 1
    with pytest.raises(NonceStoreError, match=r"only 0 of the 1 replicas of .* must confirm the mark"):
        ten_seconds_later(master, store)
    store.close()


def ten_seconds_later(server: Server, store: RedisStore) -> int:
    """Take a nonce when the mark is ten seconds older."""
    since = int(server.run("HGET", NONCES, "since:global"))
    server.run("HSET", NONCES, "since:global", since - 10)
    return store.advance("global")


def test_a_server_with_too_few_replicas_stops_if_it_is_told_to(pair: tuple[Server, Server]) -> None:
    """With min-replicas-to-write, the old side of a split gives nothing as soon as it notices."""
    master, replica = pair
    store = store_on(master)
    store.advance("global")
    master.run("CONFIG", "SET", "min-replicas-to-write", 1)
    replica.run("REPLICAOF", "NO", "ONE")
    until(lambda: master.facts()["connected_slaves"] == "0")
    with pytest.raises(NonceStoreError, match=r"too few of its replicas are connected \(min-replicas-to-write\)"):
        store.advance("global")
    store.close()


def test_what_a_replica_does_not_confirm_is_not_issued(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a nonce above the mark, nor a floor, nor a record. It goes on when the replica does."""
    master, replica = pair
    monkeypatch.setattr(link_module, "_CONFIRM", 0.1)
    store = store_on(master)
    replica.send(signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(NonceStoreError, match="must confirm the mark of the nonces have done so within"):
            store.advance("global")
    assert store.peek("global") is None
    with pytest.raises(NonceStoreError, match="must confirm a floor have done so"):
        store.raise_floor("global", 5)
    with pytest.raises(NonceStoreError, match="must confirm the record one have done so"):
        store.records.write("one", b"data", None)
    replica.send(signal.SIGCONT)
    monkeypatch.setattr(link_module, "_CONFIRM", 5.0)
    assert [store.advance("global"), store.advance("global")] == [NOW, NOW + 1]
    store.close()


def test_replicas_that_need_not_confirm_are_warned_about(
    pair: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    """One of them may be promoted."""
    hello._warned.clear()
    store_on(pair[0]).advance("global")
    assert caplog.messages == []
    store_on(pair[0], "").advance("global")
    assert ["has 1 replicas, of which 0 must have the mark of the nonces" in each for each in caplog.messages] == [True]


def test_sentinels_tell_where_the_state_is_and_nothing_is_issued_twice_when_they_promote(new_valkey: Start) -> None:
    """The next holder gets its turn at the new server; all nonces of all processes differ, and rise in their order."""
    master = new_valkey("repl-diskless-sync-delay 0")
    for _ in range(2):
        replica_of(new_valkey, master)
    sentinel = new_valkey(
        f"sentinel monitor main 127.0.0.1 {master.port} 1",
        f"sentinel auth-pass main {PASSWORD}",
        "sentinel down-after-milliseconds main 1500",
        "sentinel failover-timeout main 10000",
        kind=Sentinel,
    )
    assert isinstance(sentinel, Sentinel)
    until(lambda: len(sentinel.run("SENTINEL", "REPLICAS", "main")) == 2)
    url = sentinel.url_of("main", "&replicas=1")
    manager, holder, other = NonceManager(url), Host(url, 0.0, 3.0), Host(url, 0.0, 0.0)
    taken = [manager.next()]
    try:
        assert holder.ask("enter key") == "entered"
        taken.append(int(holder.ask("nonce key")))
        waiting = in_thread(lambda: insist(other, "enter key"))
        until(lambda: master.waiting() == 1)
        master.kill()
        holder.kill()
        join([waiting])
        taken.append(int(insist(other, "nonce key")))  # until the other replica follows the new master
        taken += [manager.next() for _ in range(10)]
        assert rising(taken)
        assert other.ask("leave") == "left"
        assert taken[2] - taken[1] > 5 * SECOND  # above the mark
    finally:
        for each in (holder, other):
            each.kill()
        manager.close()


def insist(host: Host, line: str) -> str:
    """Ask a host until it is done: an error says that nothing was issued or sent, and may be tried again."""
    said = [""]

    def ask() -> bool:
        said[0] = host.ask(line)
        return not said[0].startswith("NonceStoreError: ")

    until(ask)
    return said[0]


def test_a_master_that_no_sentinel_knows_is_named(new_valkey: Start) -> None:
    """Without a password."""
    sentinel = new_valkey(kind=Sentinel)
    assert isinstance(sentinel, Sentinel)
    with pytest.raises(
        NonceStoreError, match=r"no Sentinel of .* says where the master is \(.* knows no master other\)"
    ):
        RedisStore(sentinel.url_of("other")).advance("global")
