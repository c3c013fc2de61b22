"""A state that cannot take another one is refused before anything of that one is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krakenonce import open_store
from krakenonce.backends.file import filesystem
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.moving import move
from tests.hosts.servers import PASSWORD
from tests.hosts.test_refusals import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from tests.hosts.engines import Engine
    from tests.hosts.servers import PostgresServer as Server
    from tests.hosts.valkey import ValkeyServer


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Backend]:
    """A state, which goes on after each test."""
    store = open_store(tmp_path / "state")
    last = store.advance("global")
    yield store
    assert store.moved_to() is None  # type: ignore[attr-defined]
    assert store.advance("global") > last


def test_a_directory_on_a_file_system_that_is_refused(
    old: Backend, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless that is accepted, as everywhere. The same for a state on a server."""
    remote = tmp_path / "remote"
    mounts = f"disk on / (ext4, local)\nserver:/x on {remote.resolve()} (nfs)\n"
    monkeypatch.setattr(filesystem, "_mounts", lambda: mounts)
    open_store(engine.url).advance("global")
    for each in (old, open_store(engine.url)):
        with pytest.raises(NonceStoreError, match="is on a nfs file system") as error:
            move(each, open_store(remote))
        assert "not complete" not in str(error.value)
        assert each.advance("global")
    move(open_store(engine.url), open_store(f"file:{remote}?allow_network=yes"))


@pytest.mark.parametrize("name", ["lanes", "records", "gateway_sent"])
def test_a_directory_that_cannot_take_all(old: Backend, tmp_path: Path, name: str) -> None:
    """One of its folders cannot be made, for example."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / name).symlink_to(tmp_path / "none" / "none")
    LocalKeys(key_storage(old)).add("bot", "MASTER", parse_groups(["query"]))
    with pytest.raises((NonceStoreError, ConfigError), match="new") as error:
        move(old, open_store(tmp_path / "new"))
    assert "not complete" not in str(error.value)
    assert open_store(tmp_path / "new").moved_to() is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("table", ["nonces", "records", "limits", "limit_pages", "sent", "sent_pages"])
def test_a_database_in_which_a_right_is_missing(old: Backend, server: Server, table: str) -> None:
    """Whichever it is. The check of a state finds it, too."""
    open_store(server.url).raise_floor("global", 5)
    server.run(f"create role poor login password '{PASSWORD}'")
    try:
        server.run("grant usage on schema krakenonce to poor")
        server.run("grant select, insert, update on all tables in schema krakenonce to poor")
        server.run(f"revoke insert on krakenonce.{table} from poor")
        with pytest.raises(NonceStoreError, match=f"permission denied for table {table}") as error:
            move(old, open_store(server.url_of("poor")))
        assert "not complete" not in str(error.value)
        assert open_store(server.url).advance("global")
        assert "permission denied" in run("state", "check", KRAKENONCE_STATE_DIR=server.url_of("poor")).stderr
    finally:
        server.run("drop schema krakenonce cascade")
        server.run("drop role poor")


def test_a_database_that_is_read_only_or_has_another_version(old: Backend, server: Server) -> None:
    """As a standby, or a state of a newer krakenonce."""
    open_store(server.url).advance("global")
    with pytest.raises(NonceStoreError, match="is a read-only standby, or a read-only session"):
        move(old, open_store(f"{server.url}?options=-cdefault_transaction_read_only%3Don"))
    server.run("update krakenonce.about set version = 2")
    with pytest.raises(NonceStoreError, match="has version 2, and this krakenonce knows version 1"):
        move(old, open_store(server.url))


def test_a_valkey_user_without_a_right(old: Backend, valkey: ValkeyServer) -> None:
    """To write what was sent, for example, but not the nonces."""
    valkey.run("ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~{krakenonce}*", "+@all", "-setrange")
    try:
        with pytest.raises(NonceStoreError, match=r"has no permissions to run the .setrange. command") as error:
            move(old, open_store(valkey.url.replace("//:", "//poor:")))
        assert "not complete" not in str(error.value)
    finally:
        valkey.run("ACL", "DELUSER", "poor")


def test_more_local_keys_than_a_server_has_room_for(old: Backend, engine: Engine) -> None:
    """A file takes any number of them."""
    keys = key_storage(old)
    LocalKeys(keys).add("bot", "MASTER", parse_groups(["query"]))
    keys.change(lambda data: (data or b"") + b" " * 65536)
    with pytest.raises(ConfigError, match=r"there is no room for so many local keys in .*; nothing was changed"):
        move(old, open_store(engine.url))


def test_a_state_with_local_keys_that_would_be_lost(old: Backend, engine: Engine) -> None:
    """The error names them. Keys that are in both are no reason, nor are keys in a state that was moved away."""
    there = open_store(engine.url)
    keys = LocalKeys(key_storage(there))
    there.advance("global")
    for name in ("one", "two"):
        keys.add(name, "MASTER", parse_groups(["query"]))
    first = open_store(f"{old.directory}-2")  # type: ignore[attr-defined]
    move(there, first)
    LocalKeys(key_storage(first)).revoke("one")
    move(first, there)  # where both are still written down
    LocalKeys(key_storage(old)).add("bot", "MASTER", parse_groups(["query"]))
    said = r"has local keys of its own, which would be lost \(two\); nothing was changed; revoke them there first"
    with pytest.raises(ConfigError, match=said):
        move(old, there)
    assert there.advance("global")
    second = open_store(f"{old.directory}-3")  # type: ignore[attr-defined]
    second.advance("global")
    move(second, there)  # it has none
    assert [each.name for each in LocalKeys(key_storage(there)).all()] == ["two"]
