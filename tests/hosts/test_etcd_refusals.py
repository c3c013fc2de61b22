"""What an etcd cannot do, or will not do for much longer, is said in one line; no line has a password."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.backends.etcd import EtcdStore, schema
from krakenonce.errors import ConfigError, NonceStoreError
from tests.hosts.etcd import EtcdServer
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import PASSWORD, free_port
from tests.hosts.test_refusals import refusal, run
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts.engines import Engine


@pytest.fixture
def etcd(running: Callable[[str], Engine]) -> EtcdServer:
    """The server, with no state on it."""
    engine = running("etcd")
    assert isinstance(engine, EtcdServer)
    engine.empty()
    return engine


@pytest.fixture
def own() -> Iterator[EtcdServer]:
    """A server of a test's own, not started yet."""
    with folder_of_servers() as folder:
        server = EtcdServer(folder / "server")
        yield server
        server.kill()


@pytest.mark.parametrize(
    "url",
    [
        "etcd:bot",
        "etcd://",
        f"etcd://bot:{PASSWORD}@/prefix",
        f"etcd://bot:{PASSWORD}@[::1/prefix",
        f"etcd://bot:{PASSWORD}@127.0.0.1:0/prefix",
        f"etcd://bot:{PASSWORD}@127.0.0.1:70000/prefix",
        f"etcd://:{PASSWORD}@127.0.0.1/prefix",
        f"etcd://bot:{PASSWORD}@127.0.0.1/pre fix",
        f"etcd://bot:{PASSWORD}@127.0.0.1/prefix#part",
        f"etcd://bot:{PASSWORD}@127.0.0.1/prefix?passwort=no",
        f"etcd://bot:{PASSWORD}@127.0.0.1/prefix?password_file=/x",
        "etcd://127.0.0.1/prefix?password_file=/x",
        "etcd://bot@127.0.0.1/prefix?ca=/x",
        "etcds://bot@127.0.0.1/prefix?ca=",
        "etcds://bot@127.0.0.1/prefix?ca=/x&ca=/y",
    ],
)
def test_a_url_that_is_none_is_refused_where_it_is_written(url: str) -> None:
    """Nothing is opened for it, and the line does not show it."""
    with pytest.raises(ConfigError, match=r"write etcd://USER@HOST1:2379,HOST2:2379/PREFIX") as caught:
        NonceManager(url)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_name_of_a_state_has_no_password(etcd: EtcdServer) -> None:
    """Its URL has all else."""
    url = f"etcds://bot:{PASSWORD}@[::1],db.example:99/a/b?ca=/x"
    assert repr(open_store(url)) == "EtcdStore('etcds://bot@[::1],db.example:99/a/b')"
    done = run("stats", "--state", etcd.url.replace("//", f"//bot:{PASSWORD}@"))
    assert "for many hosts" in done.stdout
    assert "warning: every user of this host can read the password in --state" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_states_with_other_prefixes_are_other_states(etcd: EtcdServer) -> None:
    """Several fit into one etcd."""
    first, second = open_store(etcd.url), open_store(f"{etcd.url}-2")
    first.advance("global")
    assert second.peek("global") is None
    assert second.scopes() == []
    for each in (first, second):
        each.close()


def test_a_server_that_is_down_is_named() -> None:
    """At once, although it would be waited for if it only were slow."""
    port = free_port()
    said = refusal(f"etcd://bot:{PASSWORD}@127.0.0.1:{port}")
    url = f"etcd://bot@127.0.0.1:{port}/krakenonce"
    assert said == f"cannot connect to {url}: Connection refused; nothing was issued or sent"


def test_what_is_no_etcd_is_told_so(etcd: EtcdServer, proxy: Callable[[int, Callable[[bytes], bytes]], int]) -> None:
    """Whether it speaks HTTP or not."""
    port = proxy(etcd.port, lambda _: b"SSH-2.0\r\n\r\n")
    assert "it does not answer as etcd does; write etcds:// if it wants TLS; nothing was issued" in refusal(
        etcd.url_at(port)
    )
    port = proxy(etcd.port, lambda data: data.replace(b"200 OK", b"404 Not Found").replace(b"{", b"<"))
    assert "it is no etcd 3.4 or newer; nothing was issued" in refusal(etcd.url_at(port))


def with_users(server: EtcdServer) -> None:
    """Start a server that asks for passwords: a user with all rights, one with those that are needed, one without."""
    server.start()
    for name, role in (("root", "root"), ("bot", "bot"), ("poor", "")):
        server.ask("auth/user/add", {"name": name, "password": PASSWORD})
        if role:
            server.ask("auth/role/add", {"name": role})
            server.ask("auth/user/grant", {"user": name, "role": role})
    whole = {"key": b64encode(b"krakenonce/").decode(), "range_end": b64encode(b"krakenonce0").decode()}
    server.ask("auth/role/grant", {"name": "bot", "perm": {"permType": "READWRITE", **whole}})
    server.ask("auth/enable", {})


def test_a_user_and_a_password_are_told_where_to_put(
    own: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right ones are taken from the URL, a file or the environment."""
    with_users(own)
    words = tmp_path / "words"
    words.write_text(f"{PASSWORD}\n")
    at = f"127.0.0.1:{own.port}/krakenonce"
    said = refusal(f"etcd://{at}")
    assert said.endswith("it wants a user: etcd://USER@HOST/PREFIX, with the password in ETCD_PASSWORD")
    for user in ("bot:swordfish", "bot", "nobody"):
        said = refusal(f"etcd://{user}@{at}")
        assert "authentication failed, invalid user ID or password; nothing was issued or sent; give the" in said
        assert "swordfish" not in said
    assert "cannot read the password file of" in refusal(f"etcd://bot@{at}?password_file={tmp_path / 'none'}")
    assert 'permission denied; nothing was issued or sent; see "Rights of etcd" in' in refusal(
        f"etcd://poor:{PASSWORD}@{at}"
    )
    monkeypatch.setenv("ETCD_PASSWORD", PASSWORD)
    for user, query in ((f"bot:{PASSWORD}", ""), ("bot", f"?password_file={words}"), ("bot", "")):
        manager = NonceManager(f"etcd://{user}@{at}{query}")
        with manager.lane("key"):
            assert manager.next_for("key")
        manager.store.records.write(f"one{len(query)}{len(user)}", b"data", None)
        manager.store.rate_limits.step("key", lambda kept: kept.write(0, b"data"))
        manager.close()


def test_a_server_that_has_forgotten_who_is_logged_in_is_told_again(own: EtcdServer) -> None:
    """As each does after it was restarted, and some minutes after the last call."""
    with_users(own)
    manager = NonceManager(f"etcd://bot:{PASSWORD}@127.0.0.1:{own.port}/krakenonce")
    taken = [manager.next()]
    manager.store._link.server.token = "forgotten.9"  # type: ignore[attr-defined]
    manager.store.close()
    taken.append(manager.next())
    own.kill()
    own.begin(wait=False)
    while len(taken) < 3:
        try:
            taken.append(manager.next())
        except NonceStoreError as error:
            assert "Connection refused" in str(error)  # noqa: PT017 - it is starting
    assert taken == sorted(taken)
    manager.close()


def test_a_user_whom_nobody_asks_for_a_password_is_let_in(etcd: EtcdServer) -> None:
    """As where it is not switched on yet."""
    assert open_store(etcd.url.replace("//", f"//bot:{PASSWORD}@")).advance("global")


def test_an_etcd_that_is_full_is_an_error_with_what_to_do(own: EtcdServer) -> None:
    """It takes no nonces until somebody has made room. What is there can still be read."""
    own.start("--quota-backend-bytes", str(3 * 2**20))
    store = open_store(own.url)
    last = store.advance("global")
    until(lambda: is_full(own))
    assert "database space exceeded; nothing was issued or sent; its quota is full: let it compact" in refusal(own.url)
    assert store.peek("global") == last
    store.close()


def is_full(server: EtcdServer) -> bool:
    """Whether it takes nothing more, after something was written."""
    try:
        server.put("other", bytes(10**6))
    except AssertionError:
        return bool(server.ask("maintenance/alarm", {})["alarms"])
    return False


def test_a_database_that_grows_and_an_old_version_are_warned_about_once(
    etcd: EtcdServer,
    proxy: Callable[[int, Callable[[bytes], bytes]], int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In each process. Both work."""
    monkeypatch.setattr(schema, "_LARGE", 10_000)
    monkeypatch.setattr(schema, "_warned", set())
    version = etcd.ask("maintenance/status", {})["version"].encode()
    before, after = b'"version":"%s"' % version, b'"version":"3.5.5%s"' % (b"-" * (len(version) - 5))
    old = proxy(etcd.port, lambda data: data.replace(before, after))
    with caplog.at_level(logging.WARNING, "krakenonce"):
        for _ in range(2):
            store = EtcdStore(etcd.url_at(old))
            store.advance("global")
            store.close()
    first, second = caplog.messages
    assert "krakenonce runs etcd 3.5.5" in first
    assert "which may lose or damage data after a crash; use 3.5.6 or newer" in first
    assert re.search(r"has a database of \d+ MiB, and when its quota is full it takes no more nonces", second)


def test_a_state_of_another_version_is_refused(etcd: EtcdServer) -> None:
    """An older or newer krakenonce might keep it in another way."""
    url = f"{etcd.url}-newer"  # a prefix of its own, to which no test before has connections
    EtcdStore(url).advance("global")
    etcd.put("krakenonce-newer/version", b"2")
    assert "has version 2, and this krakenonce knows version 1" in refusal(url)


def test_a_counter_that_somebody_else_has_written_is_refused(etcd: EtcdServer) -> None:
    """It is no number, or one that cannot be compared."""
    store = EtcdStore(etcd.url)
    store.advance("global")
    for value in (b"hello", b"99"):
        etcd.put("krakenonce/nonces/global", value)
        with pytest.raises(NonceStoreError, match="global was not written by this krakenonce; nothing was issued"):
            store.advance("global")
    store.close()
