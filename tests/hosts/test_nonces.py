"""No nonce twice, and all in the order of time: over hosts, lost connections, and servers that are killed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.errors import NonceStoreError, TurnLost
from krakenonce.rule import SECOND
from tests.hosts.engines import KINDS
from tests.integration.backends.helpers import rising

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.engines import Engine
    from tests.hosts.servers import Host

HOUR = 3600.0


def test_nonces_rise_over_hosts_whose_clocks_are_an_hour_apart(host: Callable[..., Host], engine_kind: str) -> None:
    """Each is larger than all before it, by whichever host; the fastest clock leads by no more than a minute."""
    hosts = [host(ahead=ahead) for ahead in (HOUR, 0.0, -HOUR)]
    taken = [int(each.ask("take 1")) for _ in range(5) for each in hosts]
    assert rising(taken)
    lead = 60 if KINDS[engine_kind].caps_clocks else 3600
    assert abs(taken[-1] - time.time_ns() - lead * SECOND) < 20 * SECOND


def test_hosts_that_take_nonces_at_once_get_different_ones(host: Callable[..., Host]) -> None:
    """Those of each rise."""
    hosts = [host(ahead=ahead) for ahead in (HOUR, 0.0, -HOUR)]
    for each in hosts:
        each.begin("take 100")
    taken = [[int(nonce) for nonce in each.hear().split()] for each in hosts]
    assert all(rising(mine) for mine in taken)
    assert len({nonce for mine in taken for nonce in mine}) == 300


def test_a_host_without_a_clock_takes_the_server_s(host: Callable[..., Host], engine_kind: str) -> None:
    """Before 2020 no clock is right. A server that shows no clock makes it an error."""
    if not KINDS[engine_kind].caps_clocks:
        assert host(ahead=-30 * 365 * 86_400.0).ask("take 1").startswith("ClockError: ")
        return
    nonce = int(host(ahead=-30 * 365 * 86_400.0).ask("take 1"))
    assert abs(nonce - time.time_ns()) < 20 * SECOND


def test_a_lockout_closes_the_key_on_every_host(host: Callable[..., Host]) -> None:
    """For as long, whatever their clocks show."""
    first, ahead, behind = host(), host(ahead=HOUR), host(ahead=-HOUR)
    assert ahead.ask("locked_out key") == "0"
    assert first.ask("lock_out key") == "noted"
    for each in (ahead, behind, first):
        assert 880 < int(each.ask("locked_out key")) <= 900


def test_a_nonce_whose_answer_was_lost_is_given_to_nobody(
    engine: Engine, proxy: Callable[[int, Callable[[bytes], bytes | None]], int]
) -> None:
    """It was stored, and the next one is larger."""
    direct = open_store(engine.url)
    lost: list[int] = []
    first = 0

    def change(data: bytes) -> bytes | None:
        stored = direct.peek("global") or 0
        if lost or not first or stored == first:
            return data
        lost.append(stored)
        return None

    store = open_store(engine.url_at(proxy(engine.port, change)))
    first = store.advance("global")
    nonce = store.advance("global")
    assert nonce > lost[0] > first
    assert direct.peek("global") == nonce
    for each in (direct, store):
        each.close()


def test_a_server_that_does_not_answer_gives_no_nonce(
    engine: Engine,
    proxy: Callable[[int, Callable[[bytes], bytes | None]], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is waited for ten seconds, here less."""
    silent: list[bool] = []
    store = open_store(engine.url_at(proxy(engine.port, lambda data: b"" if silent else data)))
    store.advance("global")
    silent.append(True)
    for name, seconds in engine.impatient().items():
        monkeypatch.setattr(name, seconds)
    with pytest.raises(NonceStoreError, match="does not answer; nothing was issued or sent"):
        store.advance("global")


def test_a_server_that_was_killed_has_forgotten_nothing(new_engine: Callable[[], Engine]) -> None:
    """Nonces and floors go on above; a turn that was held is lost, or still held; all connect again by themselves."""
    server = new_engine()
    server.make()
    server.start()
    manager = NonceManager(open_store(server.url))
    manager.raise_floor(2**62, "far")
    with manager.lane("key"):
        before = manager.next("far")
        server.kill()
        with pytest.raises(NonceStoreError, match=r"cannot connect to .*; nothing was issued or sent"):
            manager.store.advance("far")
        server.start()
        with contextlib.suppress(TurnLost):
            manager.next_for("key")
    assert manager.next("far") > before
    with manager.lane("key", timeout=20.0):
        assert manager.next("far") > before + 1
    manager.close()
