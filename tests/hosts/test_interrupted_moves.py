"""A move of a state that is interrupted, or that cannot be done; nobody gets a nonce that is too small."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.moving import move
from tests.hosts.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts.engines import Engine

MOVE = "import sys; from krakenonce import moving, open_store; moving.move(*map(open_store, sys.argv[1:]))"


def test_a_move_that_was_interrupted_is_done_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nobody gets a nonce in the old state, and the new one is not begun beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    state = tmp_path / "krakenonce"
    for _ in range(2):  # the second time both were in use before
        last = NonceManager(state).next()
        with monkeypatch.context() as broken:
            broken.setattr("krakenonce.moving._copy", failing)
            with pytest.raises(NonceStoreError, match="gone"):
                move(open_store(state), open_store(engine.url))
        for each in (state, engine.url):
            with pytest.raises(NonceStoreError, match=r"was moved to|is empty, and"):
                NonceManager(each).next()
        move(open_store(state), open_store(engine.url))
        assert NonceManager(engine.url).next() > last
        move(open_store(engine.url), open_store(state))


def test_nothing_is_changed_if_the_new_state_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    """A server that is not there, for example, because its name has a slip."""
    state = tmp_path / "state"
    NonceManager(state).next()
    with pytest.raises(NonceStoreError, match=r"cannot connect|refused|no server") as error:
        move(open_store(state), open_store(engine.url_at(free_port())))
    assert "not complete" not in str(error.value)
    assert NonceManager(state).next()
    assert open_store(state).moved_to() is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("step", ["_copy", "begin"])
def test_the_new_state_is_not_used_before_the_move_is_complete(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Not even if it was in use before: its nonces are smaller, and what the gateway has sent is not there yet."""
    state, new = open_store(tmp_path / "state"), NonceManager(engine.url)
    NonceManager(state).raise_floor(2**62)
    keys = LocalKeys(key_storage(new.store))
    for there in (new, NonceManager(tmp_path / "other")):
        assert there.next() < 2**62
        with monkeypatch.context() as broken:
            broken.setattr(f"krakenonce.moving.{step}", failing)
            with pytest.raises(
                NonceStoreError, match="gone; the move is not complete, so both states refuse: move again"
            ):
                move(state, there.store)
        with pytest.raises(NonceStoreError, match=r"not all of the state in .* was moved to .* yet"):
            there.next()
        with pytest.raises(NonceStoreError, match="yet"), there.turn("key"):
            there.next_for("key")
        if there is new:
            with pytest.raises(ConfigError, match="yet"):
                keys.add("bot", "MASTER", parse_groups(["query"]))
        with pytest.raises(NonceStoreError, match="yet"):
            move(there.store, open_store(tmp_path / "third"))
        with pytest.raises(ConfigError, match="already; nothing was changed"):
            move(state, open_store(tmp_path / "third"))
        move(state, there.store)
        assert there.next() > 2**62
        with pytest.raises(ConfigError, match="already; nothing was changed"):
            move(state, there.store)
        state = there.store


def test_the_second_of_two_who_move_a_state_at_once_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    """It has waited for the turns that the first one had. It does not copy over what the new state has by then."""
    state, there = open_store(tmp_path / "state"), open_store(engine.url)
    NonceManager(state).next()
    state.records.write("note", b"old", None)

    def first(_: str) -> None:
        if state.moved_to() is None:  # type: ignore[attr-defined]
            subprocess.run([sys.executable, "-c", MOVE, str(tmp_path / "state"), engine.url], check=True)
            there.records.write("note", b"new", b"old")

    with pytest.raises(ConfigError, match="already; nothing was changed"):
        move(state, there, say=first)
    assert there.records.read("note") == b"new"
    assert NonceManager(there).next()


def failing(*_: object) -> None:
    """The server is gone."""
    raise NonceStoreError("gone")
