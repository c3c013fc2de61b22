"""The commands for local keys, as their users run them."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.testing import FakeKraken
from tests.integration.cli.conftest import Shell, one_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with the credentials of MASTER and alice."""
    shell = Shell(tmp_path / "state")
    fake = FakeKraken()
    for name in ("MASTER", "USER_ALICE"):
        account = fake.add_account(name)
        shell.env |= {f"KRAKEN_{name}_API_KEY": account.key, f"KRAKEN_{name}_API_SECRET": account.secret}
    return shell


def keys(tmp_path: Path) -> LocalKeys:
    """The keys that the commands have made."""
    return LocalKeys(tmp_path / "state" / "gateway_keys.json")


def test_a_pair_is_printed_once(shell: Shell, tmp_path: Path) -> None:
    """Ready to copy; afterwards only its name, account and groups are shown."""
    done = shell.run("gateway", "add-key", "--name", "bot-a", "--allow", "query,trade")
    (made,) = keys(tmp_path).all()
    assert (done.code, done.out) == (0, f"API key:    {made.key}\nAPI secret: {made.secret}\n")
    assert one_line(done.err) == "local key bot-a for account MASTER; the secret is not shown again"
    listed = shell.works("gateway", "list-keys")
    assert listed.splitlines()[1].split()[:3] == ["bot-a", "MASTER", "query,trade"]
    assert made.secret not in listed
    assert made.key not in listed


def test_a_pair_for_programs(shell: Shell, tmp_path: Path) -> None:
    """With --json everything is there; a short account name is enough."""
    words = ("gateway", "add-key", "--name", "b", "--account", "alice", "--trace-orders", "--json")
    printed = json.loads(shell.works(*words))
    (made,) = keys(tmp_path).all()
    assert (printed["account"], printed["trace_orders"], printed["allow"]) == ("USER:alice", True, ["query"])
    assert (printed["api_key"], printed["api_secret"]) == (made.key, made.secret)
    (listed,) = json.loads(shell.works("gateway", "list-keys", "--json"))
    assert {**listed, "api_key": made.key, "api_secret": made.secret} == printed


def test_keys_are_rotated_and_revoked(shell: Shell, tmp_path: Path) -> None:
    """A new pair under the same name, and then none."""
    shell.run("gateway", "add-key", "--name", "bot")
    (before,) = keys(tmp_path).all()
    printed = json.loads(shell.works("gateway", "rotate-key", "--name", "bot", "--json"))
    assert printed["api_secret"] != before.secret
    assert shell.works("gateway", "revoke-key", "--name", "bot") == "local key bot is revoked\n"
    assert keys(tmp_path).all() == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--name", "a b"], 2, "1 to 64 letters"),
        (["--name", "a", "--account", "zoe"], 2, "there is no account 'zoe'; the accounts are MASTER, USER:alice"),
        (["--name", "a", "--allow", "query,all"], 2, "there is no group 'all'; the groups are query, trade"),
        (["--name", "a", "--state", "memory:"], 1, "--state must be a directory"),
    ],
    ids=["name", "account", "group", "state"],
)
def test_wrong_words_are_one_line(shell: Shell, tmp_path: Path, words: list[str], code: int, message: str) -> None:
    """They are said, and no key is made."""
    assert message in shell.fails(code, "gateway", "add-key", *words)
    assert not (tmp_path / "state").exists()


def test_a_key_for_tokens_comes_with_a_warning(shell: Shell) -> None:
    """A WebSocket token is more than any list allows."""
    done = shell.run("gateway", "add-key", "--name", "a", "--allow", "token")
    assert "despite --allow" in done.err.splitlines()[0]


def test_a_key_that_may_cancel_all_comes_with_a_warning(shell: Shell) -> None:
    """It reaches what other bots of the account have placed."""
    words = ("gateway", "add-key", "--name", "a", "--account", "alice", "--allow", "cancel-all")
    said = shell.run(*words).err.splitlines()[0]
    assert "cancel the orders of all programs that trade on USER:alice" in said
    assert "one for all of them" in said


def test_the_groups_of_a_key_are_changed(shell: Shell, tmp_path: Path) -> None:
    """The pair stays, so its bot needs no new one; the warnings are those of add-key."""
    shell.run("gateway", "add-key", "--name", "panic", "--allow", "cancel,query")
    (before,) = keys(tmp_path).all()
    done = shell.run("gateway", "change-key", "--name", "panic", "--add", "cancel-all,TRADE", "--remove", "query")
    (after,) = keys(tmp_path).all()
    assert (done.code, done.out) == (0, "local key panic may call now: cancel,cancel-all,trade\n")
    assert "all programs that trade on MASTER" in one_line(done.err)
    assert (after.key, after.secret, after.created) == (before.key, before.secret, before.created)
    assert after.allow == {"cancel", "cancel-all", "trade"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--name", "a"], 2, "Give --add or --remove"),
        (["--name", "a", "--add", "all"], 2, "there is no group 'all'"),
        (["--name", "a", "--remove", "query"], 1, "there is no group ''; the groups are"),
        (["--name", "b", "--add", "trade"], 1, "there is no local key 'b'; the local keys are: a"),
    ],
    ids=["nothing", "group", "no group left", "name"],
)
def test_groups_that_cannot_be_changed(shell: Shell, tmp_path: Path, words: list[str], code: int, message: str) -> None:
    """It is said in a line, and nothing changes."""
    shell.run("gateway", "add-key", "--name", "a")
    assert message in shell.fails(code, "gateway", "change-key", *words)
    assert [each.allow for each in keys(tmp_path).all()] == [{"query"}]


def test_a_key_that_is_not_there(shell: Shell) -> None:
    """The message says which there are."""
    assert (
        shell.fails(1, "gateway", "revoke-key", "--name", "a") == "there is no local key 'a'; the local keys are: none"
    )


def test_a_credentials_directory_that_cannot_be_read_is_an_error(shell: Shell) -> None:
    """systemd's, when it is not this user's, say; one without the file is as good as none."""
    shell.env["CREDENTIALS_DIRECTORY"] = "/" + "x" * 300
    assert "cannot read /xxx" in shell.fails(1, "gateway", "add-key", "--name", "a")
    shell.env["CREDENTIALS_DIRECTORY"] = "/nowhere"
    shell.works("gateway", "add-key", "--name", "a", "--json")


def test_a_pair_can_be_kept_beside_the_new_one(shell: Shell, tmp_path: Path) -> None:
    """The command and the list say until when; without --keep the old one is refused at once."""
    shell.run("gateway", "add-key", "--name", "bot")
    (old,) = keys(tmp_path).all()
    done = shell.run("gateway", "rotate-key", "bot", "--keep", "10m")
    assert done.code == 0
    assert re.search(r"the old pair of bot is good until \d{4}-\d\d-\d\d \d\d:\d\d UTC", done.err)
    assert keys(tmp_path).find(old.key) is not None
    header, line = shell.works("gateway", "list-keys").splitlines()
    assert header.endswith("old pair good until (UTC)")
    assert re.search(r"\d\d:\d\d  +\d{4}-\d\d-\d\d \d\d:\d\d$", line)
    (listed,) = json.loads(shell.works("gateway", "list-keys", "--json"))
    assert abs(listed["old_pair_until"] - time.time() - 600) < 60
    (before,) = keys(tmp_path).all()
    shell.run("gateway", "rotate-key", "--name", "bot")
    assert keys(tmp_path).find(old.key) is None
    assert keys(tmp_path).find(before.key) is None


@pytest.mark.parametrize("words", [(), ("bot", "--name", "bot"), ("bot", "--keep", "10"), ("bot", "--keep", "8d")])
def test_what_rotate_key_does_not_understand_changes_nothing(
    shell: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """No name, two, or no time."""
    shell.run("gateway", "add-key", "--name", "bot")
    before = keys(tmp_path).all()
    assert shell.run("gateway", "rotate-key", *words).code == 2
    assert keys(tmp_path).all() == before


def test_a_gateway_whose_state_cannot_be_used_speaks_of_that_alone(shell: Shell, tmp_path: Path) -> None:
    """Its audit log is in the same directory, but no other path for it would help."""
    (tmp_path / "file").write_text("")
    done = shell.run("gateway", "run", "--listen", "127.0.0.1:0", "--state", str(tmp_path / "file"))
    assert done.code == 1
    assert "cannot make the state directory" in done.err
    assert "audit" not in done.err
