"""A move of a state that is interrupted, or that cannot be done; nobody gets a nonce that is too small."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.moving import move, undo
from tests.hosts.servers import free_port
from tests.hosts.test_refusals import run

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
        with pytest.raises(ConfigError, match=r"was moved to [/a-z]\S* already; nothing was changed"):
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


def test_a_move_to_a_server_that_is_lost_is_undone(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can have used the new state, so the old one goes on where it was; its error has said how."""
    state = tmp_path / "state"
    old, last = open_store(state), NonceManager(state).next()
    interrupt(monkeypatch, state, engine.url)
    shown = open_store(engine.url).place  # type: ignore[attr-defined]
    with pytest.raises(NonceStoreError, match=r"yet; nothing was issued or sent; .* is lost for good, with --undo 0"):
        old.advance("global")
    lost = engine.url_at(free_port())
    with pytest.raises(ConfigError, match=r"was not moved to .*; nothing was changed"):
        undo(old, open_store(lost), 0)
    with monkeypatch.context() as down:
        down.setattr(type(open_store(engine.url)), "moved_to", failing)
        assert undo(old, open_store(engine.url), 0) == {"global": last}
    assert old.advance("global") > last
    with pytest.raises(NonceStoreError, match="yet"):
        NonceManager(engine.url).next()
    move(old, open_store(engine.url))
    assert NonceManager(engine.url).next() > last
    assert shown in str(old.moved_to())  # type: ignore[attr-defined]


def test_a_new_state_that_answers_sends_its_programs_back_when_the_move_is_undone(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own nonces, from before the move, are floors of the old one."""
    state = tmp_path / "state"
    NonceManager(state).next()
    NonceManager(engine.url).raise_floor(2**62)
    interrupt(monkeypatch, state, engine.url)
    done = run("move", str(state), engine.url, "--undo", "0")
    assert done.stdout == f"undone: {state} can be used again\n", done.stderr
    with pytest.raises(NonceStoreError, match=f"was moved to {state}"):
        NonceManager(engine.url).next()
    assert NonceManager(state).next() == 2**62 + 1


def test_a_complete_move_is_undone_only_above_a_floor_and_only_if_the_new_state_is_lost(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the new state has issued since is known to nobody else: the error says so, with a floor that will do."""
    state, new = open_store(tmp_path / "state"), open_store(engine.url)
    manager = NonceManager(state)
    manager.next()
    manager.raise_floor(2**62, manager.own_scope("adopted"))
    move(state, new)
    with pytest.raises(ConfigError, match="answers; nothing was changed; move it back: krakenonce move TO FROM"):
        undo(state, new, 2**60)
    monkeypatch.setattr(type(new), "moved_to", failing)
    with pytest.raises(ConfigError, match=r"was complete.*revoked there are valid again.*nothing was changed") as error:
        undo(state, new, 0)
    floor = int(str(error.value).partition("--undo ")[2].partition(",")[0])
    assert 0 < floor - time.time_ns() < 2 * 86400 * 10**9
    undo(state, new, floor)
    assert manager.next() == floor + 1
    assert manager.next_for("adopted") == 2**62 + 10**9 + 1


def test_a_move_counts_as_complete_before_the_new_state_can_be_used(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its last step was done cannot be known if no answer comes. If the new state answers, it is known."""
    state, new = open_store(tmp_path / "state"), open_store(engine.url)
    last = state.advance("global")
    with monkeypatch.context() as down:
        down.setattr(type(new), "restore", failing)
        with pytest.raises(NonceStoreError, match="move again, or undo it with --undo 0"):
            move(state, new)
        down.setattr(type(new), "moved_to", failing)
        with pytest.raises(ConfigError, match="was complete"):
            undo(state, new, 0)
    assert undo(state, new, 0) == {"global": last}


def test_a_new_state_that_was_made_anew_is_moved_to_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server was lost in the middle of the move, and has come back empty."""
    state = tmp_path / "state"
    last = NonceManager(state).next()
    interrupt(monkeypatch, state, engine.url)
    engine.empty()
    move(open_store(state), open_store(engine.url))
    assert NonceManager(engine.url).next() > last


def test_an_undone_move_that_goes_on_all_the_same_moves_the_nonces_issued_since(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had lost its turns: its process was cut off while it copied."""
    state = open_store(tmp_path / "state")
    NonceManager(state).next()

    def begin(_: object) -> None:
        state.restore({})  # type: ignore[attr-defined]
        state.raise_floor("global", 2**62)

    monkeypatch.setattr("krakenonce.moving.begin", begin)
    move(state, open_store(engine.url))
    assert open_store(engine.url).advance("global") == 2**62 + 1


def interrupt(monkeypatch: pytest.MonkeyPatch, old: Path, new: str) -> None:
    """Begin a move that ends in the middle."""
    with monkeypatch.context() as broken:
        broken.setattr("krakenonce.moving._copy", failing)
        with pytest.raises(NonceStoreError, match="gone; the move is not complete"):
            move(open_store(old), open_store(new))


def failing(*_: object) -> None:
    """The server is gone."""
    raise NonceStoreError("gone")
