"""What cannot be promised is refused, in one line that says why, before a nonce is issued; no line has a password."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.backends.postgres import PostgresStore, schema
from krakenonce.errors import ConfigError, NonceStoreError
from tests.hosts.servers import PASSWORD, Proxy, free_port
from tests.integration.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hosts.servers import PostgresServer as Server


def refusal(url: str) -> str:
    """What a backend on *url* says when a nonce is asked for, and when a turn is."""
    said = []
    for turn in (False, True):
        store = open_store(url)
        with pytest.raises(NonceStoreError) as caught:
            store.gate("key").acquire() if turn else store.advance("global")
        said.append(str(caught.value))
    for each in said:
        assert PASSWORD not in each
        assert "\n" not in each
    return said[0]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN", "PG"))}
    return subprocess.run(
        [sys.executable, "-m", "krakenonce", *words],
        env={**ours, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), *sys.path)), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_url_is_a_state_wherever_a_state_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument, in the environment and as an option: one counter, which says who shares it."""
    first = NonceManager(server.url, shared="hosts").next()
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", server.url.replace("postgresql:", "postgres:"))
    assert NonceManager(shared="hosts").next() > first
    assert int(run("next", KRAKENONCE_STATE_DIR=server.url).stdout) > first
    url = f"postgresql://bot@127.0.0.1:{server.port}/postgres"
    done = run("stats", "--state", url, PGPASSWORD=PASSWORD)
    assert "for many hosts" in done.stdout
    assert done.stderr == ""
    assert repr(NonceManager(server.url)) == f"NonceManager(PostgresStore('{url}'), shared='hosts')"


def test_a_password_in_an_option_is_warned_about(server: Server) -> None:
    """Every user of the host can read it; the nonce is issued all the same."""
    done = run("next", "--state", server.url)
    assert done.stdout.strip().isdigit()
    assert "warning: every user of this host can read the password in --state" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_package_that_is_missing_is_named() -> None:
    """With the command that installs it."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from krakenonce import NonceManager\n"
        "try: NonceManager('postgresql://bot:secret@127.0.0.1/db')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigError a PostgreSQL state needs psycopg")
    assert done.stdout.endswith("pip install 'krakenonce[postgres]'\n")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:bot",
        f"postgresql://bot:%zz{PASSWORD}@127.0.0.1/db",
        f"postgresql://bot:{PASSWORD}@[::1/db",
        f"postgresql://bot:{PASSWORD}@127.0.0.1/db?passwort=no",
        f"postgresql://bot:{PASSWORD}@{PASSWORD}@127.0.0.1/db",  # libpq ends the password at the first @
        f"postgresql://bot:1/{PASSWORD}@127.0.0.1/db",
        f"postgresql://bot:{PASSWORD}",  # no host: the password would be a port
    ],
)
def test_a_url_that_is_none_is_refused_where_it_is_written(url: str) -> None:
    """Nothing is opened for it, and the line does not show it."""
    with pytest.raises(ConfigError, match=r"write postgresql://USER@HOST:PORT/DATABASE") as caught:
        NonceManager(url)
    assert PASSWORD not in str(caught.value)
    done = run("next", "--state", url)
    assert done.returncode != 0
    assert "--state is " in done.stderr
    assert PASSWORD not in done.stderr


def test_a_server_that_is_down_is_named() -> None:
    """Without the password."""
    port = free_port()
    said = refusal(f"postgresql://bot:{PASSWORD}@127.0.0.1:{port}/db")
    assert said.startswith(f"cannot connect to postgresql://bot@127.0.0.1:{port}/db: ")
    assert "refused" in said


def test_a_wrong_password_is_told_with_where_to_put_the_right_one(server: Server) -> None:
    """And is not shown."""
    said = refusal(server.url_of("bot", "swordfish"))
    assert 'password authentication failed for user "bot"' in said
    assert "PGPASSFILE" in said
    assert "swordfish" not in said


def test_a_user_without_rights_is_told_so(server: Server) -> None:
    """And where it is written which rights are needed. Nonces of a state that is there need no right to make tables."""
    server.run(f"create role poor login password '{PASSWORD}'")
    try:
        url = server.url_of("poor")
        with pytest.raises(
            NonceStoreError, match=r'permission denied for database .*; see "Rights" in docs/'
        ) as caught:
            NonceManager(url).next()
        assert PASSWORD not in str(caught.value)
        assert "permission denied" in run("state", "check", KRAKENONCE_STATE_DIR=url).stderr
        NonceManager(server.url).next()
        with pytest.raises(NonceStoreError, match="permission denied"):
            NonceManager(url).next()
        server.run("grant usage on schema krakenonce to poor")
        server.run("grant select on all tables in schema krakenonce to poor")
        assert "permission denied" in run("state", "check", KRAKENONCE_STATE_DIR=url).stderr
        server.run("grant insert, update on krakenonce.records to poor")
        assert "permission denied" in run("state", "check", KRAKENONCE_STATE_DIR=url).stderr
        server.run("grant select, insert, update on all tables in schema krakenonce to poor")
        assert run("state", "check", KRAKENONCE_STATE_DIR=url).returncode == 0
        manager = NonceManager(url)
        with manager.lane("key"):
            assert manager.next_for("key")
        manager.store.records.write("one", b"data", None)
        manager.store.rate_limits.step("key", lambda counters: counters.write(0, b"data"))
        manager.close()
    finally:
        server.run("drop schema if exists krakenonce cascade")
        server.run("drop role poor")


def test_a_pooler_is_refused(server: Server) -> None:
    """It gives one session to several clients. It invents the number of the server's process."""

    def change(data: bytes) -> bytes:
        at = data.find(b"K\0\0\0\x0c")
        return data if at < 0 else data[: at + 5] + b"\0\0\0\x07" + data[at + 9 :]

    proxy = Proxy(server.port, change)
    try:
        assert "is a pooler such as PgBouncer" in refusal(server.url.replace(str(server.port), str(proxy.port)))
    finally:
        proxy.close()


def test_a_server_that_does_not_sync_is_refused_and_one_that_may_tear_pages_is_warned_about(
    new_server: Callable[[], Server], caplog: pytest.LogCaptureFixture
) -> None:
    """A power cut takes what is not synced. Torn pages depend on the file system, once in a process."""
    server = new_server()
    server.make()
    server.start("fsync=off")
    assert "runs with fsync=off, so a power cut may take nonces back" in refusal(server.url)
    server.stop()
    server.start("full_page_writes=off")
    schema._warned.clear()
    with caplog.at_level(logging.WARNING, "krakenonce"):
        for _ in range(2):
            store = PostgresStore(server.url)
            store.advance("global")
            store.close()
    assert [each for each in caplog.messages if "full_page_writes=off" in each] == caplog.messages
    assert len(caplog.messages) == 1
    assert PASSWORD not in caplog.text


def test_a_state_of_another_version_is_refused(server: Server) -> None:
    """An older or newer krakenonce might keep it in another way."""
    PostgresStore(server.url).advance("global")
    server.run("update krakenonce.about set version = 2")
    assert "has version 2, and this krakenonce knows version 1" in refusal(server.url)
