"""Rate limits on a server: they come along with the turn, and another host's are never overwritten."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.backends.etcd.wire import Wire
from krakenonce.backends.limits import ServerLimits
from krakenonce.backends.postgres.session import Session as PostgresSession
from krakenonce.backends.redis.session import Session as RedisSession
from krakenonce.errors import LockedOut, NonceStoreError
from krakenonce.key.api_key import ApiKey
from krakenonce.key.counting import Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS
from tests.integration.key.helpers import in_thread, join, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.backends.limits import Seen
    from tests.hosts.engines import Engine
    from tests.hosts.servers import Host

TIER = TIERS["starter"]
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1", "volume": "1", "cl_ord_id": "bot-1"}
ASKS: list[tuple[type[Any], str]] = [(PostgresSession, "_do"), (RedisSession, "_do"), (Wire, "_send")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often this thread has asked a server, of whatever kind."""
    asked: list[str] = []
    me = threading.get_ident()
    for kind, name in ASKS:
        ask = getattr(kind, name)

        def count(self: object, *words: Any, ask: Any = ask, **more: Any) -> Any:
            if threading.get_ident() == me:
                asked.append("asked")
            return ask(self, *words, **more)

        monkeypatch.setattr(kind, name, count)
    return asked


@pytest.fixture
def read(api_key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which rate limits this host has read by themselves."""
    read: list[str] = []
    limits = api_key._manager.store.rate_limits
    assert isinstance(limits, ServerLimits)
    before = limits._read

    def note(name: str, numbers: list[int]) -> Seen:
        read.append(name)
        return before(name, numbers)

    monkeypatch.setattr(limits, "_read", note)
    return read


@pytest.fixture
def api_key(engine: Engine) -> Iterator[ApiKey]:
    """A key that is in use."""
    manager = NonceManager(engine.url)
    api_key = ApiKey(manager, "key", TIER)
    call(api_key)
    call(api_key, "AddOrder", ORDER)
    yield api_key
    manager.close()


@pytest.fixture
def other(engine: Engine) -> Iterator[Limiter]:
    """The rate limits on another host."""
    store = open_store(engine.url)
    yield Limiter(store.rate_limits)
    store.close()


def call(api_key: ApiKey, method: str = "Balance", params: dict[str, str] | None = None) -> int:
    """Take a nonce as a call does."""
    place = api_key.place(method, params or {})
    with api_key.turn():
        return api_key.nonce(place)


def test_a_call_asks_the_server_twice(api_key: ApiKey, asked: list[str]) -> None:
    """Once for the turn, its nonce and the rate limits, once to count the call; to give back, it does not wait."""
    call(api_key)
    assert len(asked) == 3
    asked.clear()
    call(api_key, "AddOrder", {**ORDER, "pair": "ETHUSD", "cl_ord_id": "bot-2"})  # with the counter of its pair
    assert len(asked) == 3
    asked.clear()
    call(ApiKey(api_key._manager, "key"))
    assert len(asked) == 2


def test_rate_limits_come_along_with_a_turn_that_was_waited_for(
    api_key: ApiKey, engine: Engine, host: Callable[..., Host], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its nonce does: they are not asked for in a round trip of their own."""
    monkeypatch.setattr("krakenonce.backends.redis.gate._CLAIMED", 20.0)
    holder = host()
    assert holder.ask("enter key") == "entered"
    waiting = in_thread(lambda: call(api_key))
    until(lambda: engine.waiting() == 1)
    assert holder.ask("leave") == "left"
    join([waiting])
    assert read == []


def test_a_change_of_another_host_is_not_overwritten(api_key: ApiKey, other: Limiter, read: list[str]) -> None:
    """The call is counted once more, with what is there now, which the refusal has brought."""
    before = other.levels("key", TIER).rest
    with api_key.turn():
        other.send(Place("key", TIER, "Balance", {}))
        api_key.nonce(place := api_key.place("Balance", {}))
    assert before + 1.1 < other.levels("key", TIER).rest <= before + 2.0
    assert len(place.counted) == 1
    assert read == []


def test_counters_that_another_host_makes_at_the_same_time_are_not_overwritten(engine: Engine) -> None:
    """Neither was there before."""
    ours, theirs = open_store(engine.url), open_store(engine.url)
    found: list[bytes] = []

    def step(counters: Any) -> None:
        found.append(counters.read(0, 9))
        if len(found) == 1:
            theirs.rate_limits.step("key", lambda kept: kept.write(0, b"theirs"))
        counters.write(len(found[-1]), b"ours")

    ours.rate_limits.step("key", step)
    assert found == [b"", b"theirs"]
    assert theirs.rate_limits.step("key", lambda kept: kept.read(0, 99)) == b"theirsours"
    for each in (ours, theirs):
        each.close()


def test_a_step_reads_nothing_that_was_changed_while_it_was_reading(engine: Engine) -> None:
    """It is taken again, with all as it is now, though it writes nothing."""
    ours, theirs = open_store(engine.url), open_store(engine.url)
    far, found = 9_000, list[tuple[bytes, bytes]]()

    def write(counters: Any, data: bytes) -> None:
        counters.write(0, data)
        counters.write(far, data)

    def step(counters: Any) -> None:
        near = counters.read(0, 3)
        if not found and near == b"old":
            theirs.rate_limits.step("key", lambda kept: write(kept, b"new"))
        found.append((near, counters.read(far, 3)))

    theirs.rate_limits.step("key", lambda kept: write(kept, b"old"))
    ours.rate_limits.step("key", step)
    assert found == [(b"new", b"new")]
    for each in (ours, theirs):
        each.close()


def test_a_lockout_is_seen_in_the_next_turn(api_key: ApiKey, other: Limiter) -> None:
    """What came with the turn before is not used."""
    with api_key.turn():
        pass
    other.lock_out("key", 900.0)
    with pytest.raises(LockedOut):
        api_key.check_open()
    with pytest.raises(LockedOut):
        call(ApiKey(api_key._manager, "key"))


def test_a_process_that_stops_within_a_step_keeps_nobody_waiting(engine: Engine, host: Callable[..., Host]) -> None:
    """Nobody is kept out by a step. When the process goes on, it takes the step again, with what is there then."""
    stopped, store = host(), open_store(engine.url)
    store.rate_limits.step("key", lambda counters: counters.write(0, b"before "))
    stopped.begin("stop_in_limits key")
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
    store.rate_limits.step("key", lambda counters: counters.write(7, b"meanwhile "))
    stopped.signal(signal.SIGCONT)
    assert stopped.hear() == "taken 2"
    assert store.rate_limits.step("key", lambda counters: counters.read(0, 99)) == b"before meanwhile late"
    store.close()


def test_a_change_whose_answer_was_lost_is_not_made_twice(
    engine: Engine, proxy: Callable[[int, Callable[[bytes], bytes | None]], int]
) -> None:
    """Whether it was made is not known, which is an error: the call is not sent."""
    called: list[int] = []
    cut: list[int] = []

    def change(data: bytes) -> bytes | None:
        if cut or not called:
            return data
        cut.append(1)
        return None

    def step(counters: Any) -> None:
        called.append(1)
        counters.write(0, counters.read(0, 99) + b"x")

    store, direct = open_store(engine.url_at(proxy(engine.port, change))), open_store(engine.url)
    for each in (store, direct):
        each.rate_limits.step("key", lambda counters: counters.write(0, b"x"))
    with pytest.raises(NonceStoreError, match=r"cannot keep the rate limits in .* a connection was lost, and whether"):
        store.rate_limits.step("key", step)
    assert called == [1]
    assert direct.rate_limits.step("key", lambda counters: counters.read(0, 9)) == b"xx"
    for each in (store, direct):
        each.close()
