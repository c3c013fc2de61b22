"""A whole state is moved to another one, while programs use it, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager, open_store
from krakenonce.errors import CancelledBeforeSent, ConfigError, LaneTimeout, LockedOut, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS, Tier
from krakenonce.moving import move
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.hosts.test_refusals import run
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts.engines import Engine

CALLER = """
import sys, time
from krakenonce import NonceManager
from krakenonce.errors import NonceStoreError
from krakenonce.kraken import Kraken
key, secret, kraken, old, new = sys.argv[1:]
state = old
while True:
    with NonceManager(state) as manager, Kraken(key, secret, manager=manager, base_url=kraken, tier="none") as client:
        try:
            while True:
                client.balances()
                if state == new:
                    print("moved", flush=True)
                    sys.stdin.readline()
                    sys.exit()
        except NonceStoreError as error:
            assert "was moved to" in str(error), error
            state = new
"""


def test_calls_go_on_while_the_state_is_moved_and_moved_back(engine: Engine, tmp_path: Path) -> None:
    """Processes that are left running on the old state are told; with the new one Kraken refuses no nonce."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "100"})
    directory = f"file:{tmp_path / 'state'}"
    with FakeKrakenServer(fake, jitter=0.003) as kraken:
        for old, new in ((directory, engine.url), (engine.url, directory)):
            before = len(fake.accepted())
            words = [account.key, account.secret, kraken.url, old, new]
            callers = [
                subprocess.Popen([sys.executable, "-c", CALLER, *words], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
                for _ in range(3)
            ]
            until(lambda before=before: len(fake.accepted()) > before + 30)  # type: ignore[misc]
            move(open_store(old), open_store(new))
            for each in callers:
                assert each.stdout is not None
                assert each.stdout.readline() == b"moved\n"
                each.communicate(b"\n")
                assert each.returncode == 0
    assert fake.invalid_nonces() == []


def test_everything_is_carried_over(engine: Engine, tmp_path: Path) -> None:
    """Last nonces, counters of adopted keys, rate limits, lockouts, local keys, records, and what was sent."""
    old, new = open_store(tmp_path / "state"), open_store(engine.url)
    manager = NonceManager(old)
    last = manager.next()
    manager.raise_floor(2**62, manager.own_scope("adopted"))
    api_key = ApiKey(manager, "key", TIERS["pro"])
    for _ in range(5):
        with api_key.turn():
            api_key.nonce(api_key.place("Balance", {}))
    api_key.placed("XBTUSD", ["OABC"])
    Limiter(old.rate_limits).lock_out("locked", 900.0)
    local = LocalKeys(key_storage(old)).add("bot", "MASTER", parse_groups(["query", "trade"]))
    old.records.write("note", b"text", None)
    sent = bytes(100_000) + b"x" + bytes(400_000) + b"y"
    old.sent_calls.step("digest", lambda file: file.write(0, sent))

    moved = move(old, new)
    assert moved.counters[manager.own_scope("adopted")] == 2**62
    there = NonceManager(new)
    assert there.next() > last
    assert there.scope_of("adopted") == manager.own_scope("adopted")
    assert there.next_for("adopted") == 2**62 + 1
    assert 4.0 < ApiKey(there, "key", TIERS["pro"]).levels().rest <= 5.0
    with pytest.raises(LockedOut):
        ApiKey(there, "locked").check_open()
    assert 880 < Limiter(new.rate_limits).locked_out("locked") <= 900
    assert LocalKeys(key_storage(new)).all() == [local]
    assert new.records.read("note") == b"text"
    assert new.sent_calls.step("digest", lambda file: file.read(0, 2**21)) == sent
    assert (moved.limits, moved.records, moved.local_keys, moved.sent) == (2, 1, True, 1)
    there.close()


def test_the_keys_of_an_account_are_carried_over_with_their_account(engine: Engine, tmp_path: Path) -> None:
    """The engine's counters, the ages of orders and what was cancelled; the account is no key."""
    old, new = open_store(tmp_path / "state"), open_store(engine.url)
    NonceManager(old).next()
    slow = Tier("slow", 100, 1e-9, 100, 1e-9)
    keys = [ApiKey(NonceManager(old), name, slow) for name in ("one", "two")]
    for each in keys:
        each.belongs_to("MASTER")
    orders = [{"pair": "XBTUSD", "cl_ord_id": name} for name in ("young", "mine")]
    keys[0].count(keys[0].place("AddOrder", orders[0]))
    begun = keys[0].seconds()
    keys[1].count(keys[1].place("CancelOrder", {"cl_ord_id": "mine"}))
    assert move(old, new).limits == 2
    one, two = (ApiKey(NonceManager(new), name, slow) for name in ("one", "two"))
    with pytest.raises(CancelledBeforeSent):
        one.nonce(one.place("AddOrder", orders[1], begun))
    one.nonce(one.place("AddOrder", orders[1]))
    two.nonce(two.place("CancelOrder", {"cl_ord_id": "young"}))
    assert [round(each.levels().engine, 3) for each in (one, two)] == [10, 10]
    assert not two.belongs_to("MASTER")


def test_a_directory_is_moved_to_another_one(tmp_path: Path) -> None:
    """With lockouts: both have the same locks."""
    old, new = open_store(tmp_path / "one"), open_store(tmp_path / "other")
    last = NonceManager(old).next()
    Limiter(old.rate_limits).lock_out("locked", 900.0)
    assert move(old, new).limits == 1
    assert 880 < Limiter(new.rate_limits).locked_out("locked") <= 900
    assert NonceManager(new).next() > last


def test_a_move_waits_for_the_call_that_is_under_way(engine: Engine, tmp_path: Path) -> None:
    """If it takes too long, nothing is changed, and the error says so."""
    old = open_store(tmp_path / "state")
    manager = NonceManager(old)
    manager.next()
    code = (
        "import sys; from krakenonce import NonceManager\n"
        "with NonceManager(sys.argv[1]).lane('key'): print('in', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "state")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        with pytest.raises(LaneTimeout, match="Nothing was moved; stop the program that has this turn"):
            move(old, open_store(engine.url), patience=0.1)
        assert manager.next()
        holder.communicate(b"\n")
    move(old, open_store(engine.url))
    with pytest.raises(NonceStoreError, match="was moved to"):
        manager.next()


def test_a_new_state_is_not_begun_beside_a_directory_with_nonces(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the command that carries them over, which works; so does the one that begins anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    usual = tmp_path / "krakenonce"
    last = NonceManager(usual).next()
    manager = NonceManager(engine.url)
    with pytest.raises(NonceStoreError) as error:
        manager.next()
    said = str(error.value)
    assert f"is empty, and {usual} has nonces; nothing was issued or sent. Carry them over" in said
    assert f'krakenonce move {usual} "$KRAKENONCE_STATE_DIR"' in said
    with pytest.raises(NonceStoreError), manager.turn("key"):
        manager.next_for("key")
    done = run("move", str(usual), engine.url, XDG_STATE_HOME=str(tmp_path))
    assert done.stdout.startswith("moved: 1 counter, rate limits of 0 keys, no local keys"), done.stderr
    assert "warning: every user of this host can read the password in TO" in done.stderr or "@" not in engine.url
    assert manager.next() > last


def test_a_new_state_is_begun_anew_when_that_is_said(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nonces of the directory are of another key, for example."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    NonceManager(tmp_path / "krakenonce").next()
    done = run("state", "init", KRAKENONCE_STATE_DIR=engine.url, XDG_STATE_HOME=str(tmp_path))
    assert done.stdout.startswith("ready: "), done.stderr
    assert NonceManager(engine.url).next()


def test_a_state_is_checked_without_a_nonce(engine: Engine, tmp_path: Path) -> None:
    """It says where the state is, who can use it, and what is there; and where it was moved to."""
    ask: dict[str, Any] = {"KRAKENONCE_STATE_DIR": engine.url}
    assert run("state", "check", **ask).stdout.endswith(" can be used, by many hosts: not begun yet\n")
    NonceManager(engine.url).next()
    found = json.loads(run("state", "check", "--json", **ask).stdout)
    assert (found["shared"], found["counters"], found["has_begun"], found["moved_to"]) == ("hosts", 1, True, None)
    move(open_store(engine.url), open_store(tmp_path / "state"))
    for words in (["state", "check"], ["stats"], ["next"]):
        done = run(*words, **ask)
        assert done.returncode == 1
        assert f" was moved to {tmp_path / 'state'}; nothing was issued or sent" in done.stderr


def test_what_cannot_be_moved_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A name that is wrong, a state of one process, one that was moved before; and nothing is changed."""
    state = tmp_path / "state"
    for words, said in (
        ((tmp_path / "stat", engine.url), "there are no nonces in"),
        (("memory:", engine.url), "cannot be moved"),
        ((state, state), "cannot be moved to itself"),
    ):
        NonceManager(state).next()
        with pytest.raises(ConfigError, match=said):
            move(open_store(words[0]), open_store(words[1]))
    assert not (tmp_path / "stat").exists()
    LocalKeys(key_storage(open_store(state))).add("old", "MASTER", parse_groups(["query"]))
    move(open_store(state), open_store(engine.url))
    there = LocalKeys(key_storage(open_store(engine.url)))
    there.revoke("old")
    for target in (engine.url, tmp_path / "other"):
        with pytest.raises(ConfigError, match="already; nothing was changed"):
            move(open_store(state), open_store(target))
    assert there.all() == []
    with pytest.raises(ConfigError, match="was moved to"):
        LocalKeys(key_storage(open_store(state))).add("bot", "MASTER", parse_groups(["query"]))


def test_what_a_gateway_has_comes_back_with_the_state(engine: Engine, tmp_path: Path) -> None:
    """Local keys that were changed meanwhile too, and what was sent."""
    state = open_store(tmp_path / "state")
    NonceManager(state).next()
    LocalKeys(key_storage(state)).add("old", "MASTER", parse_groups(["query"]))
    state.sent_calls.step("digest", lambda file: file.write(0, b"first"))
    there = open_store(engine.url)
    move(state, there)
    LocalKeys(key_storage(there)).add("new", "MASTER", parse_groups(["trade"]))
    there.sent_calls.step("digest", lambda file: file.write(0, b"other"))
    move(there, state)
    assert [each.name for each in LocalKeys(key_storage(state)).all()] == ["new", "old"]
    assert state.sent_calls.step("digest", lambda file: file.read(0, 5)) == b"other"
    assert NonceManager(state).next()


def test_no_command_uses_a_state_that_was_moved_away(engine: Engine, tmp_path: Path) -> None:
    """A local key that is revoked there would stay valid; one that is made there would not be valid anywhere."""
    NonceManager(engine.url).next()
    keys = LocalKeys(key_storage(open_store(engine.url)))
    keys.add("bot", "MASTER", parse_groups(["query"]))
    move(open_store(engine.url), open_store(tmp_path / "state"))
    with pytest.raises(ConfigError, match="was moved to"):
        keys.revoke("bot")
    for state, code in ((engine.url, 1), (str(tmp_path / "state"), 0)):
        for words in ("gateway list-keys", "gateway revoke-key --name bot", "peek", "state init"):
            done = run(*words.split(), KRAKENONCE_STATE_DIR=state)
            assert (done.returncode, "was moved to" in done.stderr) == (code, code == 1), words
