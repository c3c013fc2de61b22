"""What Valkey and Redis cannot promise is refused or warned about, in one line; no line has a password."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.backends.redis import RedisStore, hello
from krakenonce.errors import ConfigError, NonceStoreError
from tests.hosts.servers import PASSWORD, free_port
from tests.hosts.test_refusals import refusal, run
from tests.hosts.valkey import Sentinel
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.valkey import ValkeyServer as Server

    Start = Callable[..., Server]
    Between = Callable[[int, Callable[[bytes], bytes | None]], int]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """What is warned about when two processes' worth of stores take a nonce from a URL."""

    def warned(url: str) -> list[str]:
        caplog.clear()
        hello._warned.clear()
        with caplog.at_level(logging.WARNING, "krakenonce"):
            for _ in range(2):
                store = open_store(url)
                store.advance("global")
                store.close()
        assert PASSWORD not in caplog.text
        return caplog.messages

    return warned


def test_a_url_is_a_state_wherever_a_state_is_named(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument, in the environment and as an option, by both names: one counter, which says who shares it."""
    first = NonceManager(valkey.url, shared="hosts").next()
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", valkey.url.replace("valkey:", "redis:"))
    assert NonceManager(shared="hosts").next() > first
    assert int(run("next", KRAKENONCE_STATE_DIR=valkey.url).stdout) > first
    url = f"valkey://127.0.0.1:{valkey.port}/0"
    for variable in ("VALKEYCLI_AUTH", "REDISCLI_AUTH"):
        done = run("stats", "--state", url, **{variable: PASSWORD})
        assert "for many hosts" in done.stdout
        assert done.stderr == ""
    assert repr(NonceManager(valkey.url)) == f"NonceManager(RedisStore('{url}'), shared='hosts')"


def test_databases_of_a_server_have_states_of_their_own(valkey: Server) -> None:
    """The number is part of the URL."""
    RedisStore(valkey.url).raise_floor("global", 2**62)
    assert RedisStore(f"{valkey.url[:-1]}1").peek("global") is None


def test_a_password_in_an_option_is_warned_about(valkey: Server) -> None:
    """Also that of the Sentinels."""
    done = run("next", "--state", valkey.url)
    assert done.stdout.strip().isdigit()
    assert "warning: every user of this host can read the password in --state" in done.stderr
    done = run("next", "--state", f"redis+sentinel://127.0.0.1:{free_port()}/main?sentinel_password={PASSWORD}")
    assert "warning: every user of this host can read the password in --state" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_package_that_is_missing_is_named() -> None:
    """With the command that installs it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from krakenonce import NonceManager\n"
        "try: NonceManager('valkey://:secret@127.0.0.1')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigError a state on Valkey or Redis needs redis")
    assert done.stdout.endswith("pip install 'krakenonce[redis]'\n")


@pytest.mark.parametrize(
    "url",
    [
        "redis:bot",
        f"valkey://:{PASSWORD}@",
        f"valkey://:%ff{PASSWORD}@127.0.0.1",
        f"valkey://:{PASSWORD}@127.0.0.1:port",
        f"valkey://:{PASSWORD}@127.0.0.1:70000",
        f"valkey://:{PASSWORD}@one,two/0",
        f"valkey://:{PASSWORD}@127.0.0.1/main",
        f"valkey://:{PASSWORD}@127.0.0.1/0?passwort=no",
        f"valkey://:{PASSWORD}@127.0.0.1/0?replicas=two",
        f"valkey://:{PASSWORD}@127.0.0.1/0?volatile=maybe",
        f"valkey://:{PASSWORD}@127.0.0.1/0?ssl_ca_certs=/x",
        f"valkey+sentinel://:{PASSWORD}@127.0.0.1/main",
        f"redis+sentinel://:{PASSWORD}@127.0.0.1",
    ],
)
def test_a_url_that_is_none_is_refused_where_it_is_written(url: str) -> None:
    """Nothing is opened for it, and the line does not show it."""
    with pytest.raises(ConfigError, match=r"write valkey://USER@HOST:PORT/0 or redis\+sentinel://") as caught:
        NonceManager(url)
    assert PASSWORD not in str(caught.value)


def test_a_server_that_is_down_is_named() -> None:
    """Without the password; Sentinels that are down, too."""
    port = free_port()
    said = refusal(f"valkey://bot:{PASSWORD}@127.0.0.1:{port}")
    assert said.startswith(f"cannot connect to valkey://bot@127.0.0.1:{port}/0: ")
    assert "refused" in said
    said = refusal(f"redis+sentinel://bot:{PASSWORD}@127.0.0.1:{port},127.0.0.1:{port}/main")
    assert said.startswith(f"no Sentinel of redis+sentinel://bot@127.0.0.1:{port},127.0.0.1:{port}/main says where ")
    assert "refused" in said


def test_a_wrong_password_is_told_with_where_to_put_the_right_one(valkey: Server) -> None:
    """And is not shown."""
    for login in (":swordfish@", ""):
        said = refusal(valkey.url.replace(f":{PASSWORD}@", login))
        assert said.startswith("cannot connect to valkey://127.0.0.1:")
        assert "VALKEYCLI_AUTH" in said
        assert "swordfish" not in said


def test_a_user_without_rights_is_told_so(valkey: Server, warnings: Callable[[str], list[str]]) -> None:
    """And where it is written which rights are needed. What CONFIG GET would say is then not checked, and said once."""
    valkey.run("ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~{krakenonce}*", "+@connection", "+get")
    try:
        url = valkey.url.replace("//:", "//poor:")
        assert '; see "Rights" in docs/' in refusal(url)
        rights = (
            "+info +get +set +wait +evalsha +eval +script|load +hget +hmget +hkeys +hset +hincrby +llen +lpop +rpush"
        )
        more = "+lpos +blpop +del +exists +pexpire +pttl +time +strlen +getrange +setrange"
        valkey.run("ACL", "SETUSER", "poor", *rights.split(), *more.split())
        (said,) = warnings(url)
        assert said.startswith(f"valkey://poor@127.0.0.1:{valkey.port}/0 does not say how it keeps data (CONFIG GET)")
        manager = NonceManager(url)
        with manager.lane("key"):
            assert manager.next_for("key")
        manager.raise_floor(5)
        assert manager.store.scopes() == ["global"]
        manager.store.records.write("one", b"data", None)
        manager.store.rate_limits.step("key", lambda counters: counters.write(0, b"data"))
        assert manager.store.rate_limits.exist("key")
        manager.close()
    finally:
        valkey.run("ACL", "DELUSER", "poor")


def test_a_replica_is_refused(new_valkey: Start) -> None:
    """It copies another server, and lags behind it. So is a Sentinel that is taken for a server."""
    master = new_valkey()
    replica = new_valkey(*master.replica())
    until(lambda: replica.facts()["master_link_status"] == "up")
    assert "is a read-only replica: no nonce was issued" in refusal(replica.url)
    assert "is a Sentinel; no nonce was issued" in refusal(new_valkey(kind=Sentinel).url)


def test_a_server_that_is_named_as_a_sentinel_is_told_so(valkey: Server) -> None:
    """With the URL that is meant. If it wants a password first, it says where that of the Sentinels is written."""
    at = f"127.0.0.1:{valkey.port}"
    said = refusal(f"redis+sentinel://:{PASSWORD}@{at}/main?sentinel_password={PASSWORD}")
    assert f"({at}: it is no Sentinel; for a server itself write redis://USER@HOST:PORT/0); nothing was" in said
    said = refusal(f"redis+sentinel://:{PASSWORD}@{at}/main")
    assert f"({at}: Authentication required; the Sentinels' password is ?sentinel_password=, the other" in said


def test_a_server_that_becomes_a_replica_is_refused_by_those_who_are_connected(new_valkey: Start) -> None:
    """It says so with the next step."""
    first, other = new_valkey(), new_valkey()
    store = RedisStore(first.url)
    store.advance("global")
    first.run("REPLICAOF", "127.0.0.1", other.port)
    with pytest.raises(NonceStoreError, match="is a read-only replica"):
        store.advance("global")


def test_a_node_of_a_cluster_without_the_slot_is_refused(new_valkey: Start) -> None:
    """All keys have one slot, so the node that has it serves."""
    node = new_valkey("cluster-enabled yes")
    said = refusal(node.url)
    assert "is a node of a cluster: name one that serves the slot of {krakenonce}" in said
    node.run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    until(lambda: b"cluster_state:ok" in node.run("CLUSTER", "INFO"))
    manager = NonceManager(node.url)
    with manager.lane("key"):
        assert manager.next_for("key")
    manager.store.rate_limits.step("key", lambda counters: counters.write(0, b"data"))
    manager.close()


def test_a_server_that_may_evict_the_nonces_is_refused(new_valkey: Start) -> None:
    """Whatever its limit is now."""
    server = new_valkey("maxmemory-policy allkeys-lru")
    assert "has maxmemory-policy allkeys-lru, which may evict the nonces; none was issued" in refusal(server.url)
    server.run("CONFIG", "SET", "maxmemory-policy", "noeviction")
    store = RedisStore(server.url)
    store.advance("global")
    server.run("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(
        NonceStoreError, match=r"cannot take a nonce from .*; nothing was issued or sent; raise its max"
    ):
        store.advance("global")


def test_a_server_that_keeps_nothing_is_refused_unless_it_is_wanted(
    new_valkey: Start, warnings: Callable[[str], list[str]]
) -> None:
    """A restart would take all nonces back. What a power cut may take back is warned about, once in a process."""
    server = new_valkey("appendonly no")
    assert "keeps nothing on its disk, so a restart takes all nonces back; none was issued" in refusal(server.url)
    assert warnings(f"{server.url}?volatile=yes") == []
    server.run("CONFIG", "SET", "save", "60 1")
    assert [each.partition(" ")[2][:19] for each in warnings(server.url)] == ["keeps snapshots onl"]
    server.run("CONFIG", "SET", "appendonly", "yes", "appendfsync", "everysec")
    (said,) = warnings(server.url)
    assert "has appendfsync everysec: a power cut may take the last nonces back; set always" in said
    server.run("CONFIG", "SET", "appendfsync", "always")
    assert warnings(server.url) == []


def test_an_old_server_is_refused(valkey: Server, proxy: Between) -> None:
    """Its scripts may do less."""
    url = valkey.url_at(proxy(valkey.port, lambda data: data.replace(b"redis_version:7.", b"redis_version:6.")))
    assert "is Redis 6.2.4; krakenonce needs 7.0 or newer; no nonce was issued" in refusal(url)


def test_a_state_of_another_version_is_refused(valkey: Server) -> None:
    """An older or newer krakenonce might keep it in another way."""
    RedisStore(valkey.url).advance("global")
    valkey.run("SET", "{krakenonce}:version", "2")
    assert "has version 2, and this krakenonce knows version 1; use the same krakenonce" in refusal(valkey.url)
