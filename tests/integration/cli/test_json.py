"""What programs read: --json with every command, and what a command is told by the environment."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import click
import pytest

from krakenonce import NonceManager
from krakenonce.cli.main import cli
from krakenonce.errors import ConfigError
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.address import VARIABLE
from tests.integration.cli.conftest import Shell, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.cli.conftest import Fake

WITHOUT_JSON = {"completion": "it prints a script for a shell", "run": "what is printed is the program's"}
FAR = 4 * 10**18


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    """All commands of a group and of the groups in it, by their full names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield " ".join((*before, name)), command


def test_every_command_can_print_json() -> None:
    """But for a few, each for a reason."""
    without = {name for name, each in commands(cli) if not any("--json" in parameter.opts for parameter in each.params)}
    assert without == set(WITHOUT_JSON)


def printed(shell: Shell, *words: str) -> Any:
    """Run a command with --json, and return what it prints; it prints nothing else on stdout."""
    done = shell.run(*words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_nonces_as_json(shell: Shell) -> None:
    """Each with all of its digits."""
    found = printed(shell, "next", "--count", "3")
    assert (found["scope"], found["nonces"]) == ("global", sorted(set(found["nonces"])))
    last = found["nonces"][-1]
    assert printed(shell, "peek") == {"scope": "global", "last": last}
    assert printed(shell, "raise-floor", "5") == {"scope": "global", "last": last, "raised": False}
    assert printed(shell, "raise-floor", str(FAR), "--scope", "far") == {"scope": "far", "last": FAR, "raised": True}
    assert [each["last"] for each in printed(shell, "stats")["scopes"]] == [FAR, last]


def test_states_as_json(shell: Shell, tmp_path: Path) -> None:
    """Where they are, for whom, and what is in them."""
    state = str(tmp_path / "state")
    assert printed(shell, "state", "init") == {"state": state, "shared": "host"}
    assert printed(shell, "state", "check")["has_begun"] is True
    shell.works("next")
    assert list(printed(shell, "move", state, str(tmp_path / "other"))["counters"]) == ["global"]


def test_calls_as_json(trader: Shell, fake: Fake) -> None:
    """Also of commands that print JSON without being asked."""
    at = ("--base-url", fake.url)
    order = ("pair=XBTUSD", "type=buy", "ordertype=limit", "volume=1", "price=100", "validate=true")
    assert "unixtime" in printed(trader, "call", "Time", *at)
    assert set(printed(trader, "call-all", "Balance", *at)) == set(fake.accounts)
    assert set(printed(trader, "balance", "--all", *at)) == set(fake.accounts)
    assert printed(trader, "copy-order", *order, "--accounts", "alice", *at)["USER:alice"]["verdict"] == "valid"


def test_adopted_keys_as_json(trader: Shell, fake: Fake) -> None:
    """Each with its counter, and what Kraken has accepted."""
    (adopted,) = printed(trader, "adopt", "--yes", "--account", "bob", "--base-url", fake.url)
    manager = NonceManager(trader.env["KRAKENONCE_STATE_DIR"])
    key = trader.env["KRAKEN_USER_BOB_API_KEY"]
    assert adopted == {
        "account": "USER:bob",
        "key": 1,
        "scope": manager.own_scope(key),
        "nonce": manager.peek(manager.own_scope(key)),
        "refused": 0,
    }


def test_local_keys_as_json(trader: Shell) -> None:
    """Only a new pair shows a secret, once."""
    made = printed(trader, "gateway", "add-key", "--name", "bot", "--allow", "query")
    changed = printed(trader, "gateway", "change-key", "--name", "bot", "--add", "trade")
    listed = printed(trader, "gateway", "list-keys")
    assert (changed["allow"], listed) == (["query", "trade"], [changed])
    assert made["api_secret"] not in json.dumps([changed, listed])
    assert printed(trader, "gateway", "rotate-key", "--name", "bot")["api_secret"] != made["api_secret"]
    assert printed(trader, "gateway", "revoke-key", "--name", "bot") == {"name": "bot", "revoked": True}


def test_the_address_of_a_gateway_as_json(trader: Shell, fake: Fake) -> None:
    """One line, as soon as it accepts connections."""
    words = ("gateway", "run", "--listen", "127.0.0.1:0", "--base-url", fake.url, "--json")
    process = trader.start(*words)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    process.send_signal(signal.SIGTERM)
    assert trader.end(process).code == 0
    assert url.startswith("http://127.0.0.1:")


def test_the_environment_says_where_calls_go(trader: Shell, fake: Fake) -> None:
    """KRAKENONCE_BASE_URL stands for --base-url; the option goes before it."""
    trader.env[VARIABLE] = f" {fake.url}\n"
    assert "ZUSD" in trader.works("balance")
    assert "unixtime" in trader.works("call", "Time")
    trader.env[VARIABLE] = "http://127.0.0.1:1"
    assert "127.0.0.1:1: no connection" in trader.fails(1, "balance")
    assert "ZUSD" in trader.works("balance", "--base-url", fake.url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kraken", "$KRAKENONCE_BASE_URL cannot be used. The base URL must look like https://api.kraken.com"),
        ("https://me:word@kraken.example", "$KRAKENONCE_BASE_URL cannot be used. The base URL must not contain a user"),
        (
            "http://kraken.example:80",
            "$KRAKENONCE_BASE_URL must be an https address, because kraken.example is another",
        ),
        ("http://127.0.0.1.example", "$KRAKENONCE_BASE_URL must be an https address, because 127.0.0.1.example is"),
    ],
)
def test_an_environment_that_cannot_be_used_stops_everything(
    trader: Shell, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    """Nothing is sent; over http to another machine, all on the way could read the calls."""
    trader.env[VARIABLE] = url
    assert trader.fails(2, "balance").startswith(said)
    monkeypatch.setenv(VARIABLE, url)
    for kind in (Kraken, AsyncKraken):
        with pytest.raises(ConfigError) as caught:
            kind()
        assert str(caught.value).startswith(said)
        assert "me:word" not in str(caught.value)


def test_clients_follow_the_environment(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot is pointed at a gateway by one variable; an address in its code goes before that."""
    monkeypatch.setenv(VARIABLE, fake.url)
    with Kraken() as kraken, Kraken(base_url="http://127.0.0.1:1") as other:
        assert abs(kraken.server_time() - time.time()) < 60
        assert "127.0.0.1:1" in repr(other)
    monkeypatch.setenv(VARIABLE, "")
    with Kraken() as kraken:
        assert "https://api.kraken.com" in repr(kraken)


def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    """As with --help."""
    assert shell.works() == shell.works("--help")


@pytest.mark.parametrize(
    "words",
    [
        ["balance", "--account", "zoe"],
        ["balance", "--base-url", "ftp://kraken"],
        ["adopt", "--account", "zoe"],
        ["call", "Balance", "--account", "zoe"],
        ["call-all", "Balance", "--accounts", "MASTER,zoe"],
        ["call-all", "Balance", "--within", "nan"],
        ["copy-order", "pair=XBTUSD", "--accounts", "zoe"],
        ["copy-order", "pair=XBTUSD", "--scale", "alice=much"],
        ["copy-order", "pair=XBTUSD", "--within", "soon"],
        ["gateway", "add-key", "--name", "a", "--account", "zoe"],
        ["gateway", "add-key", "--name", "a", "--allow", "all"],
        ["gateway", "change-key", "--name", "a", "--add", "all"],
        ["gateway", "add-key", "--name", "a b"],
        ["gateway", "run", "--max-wait", "1e10"],
        ["gateway", "run", "--listen", "here"],
        ["gateway", "run", "--connect-to", "kraken.example"],
        ["gateway", "run", "--order-timeout", "inf"],
        ["move", "stone:tablet", "/b"],
        ["move", "/a", "/b", "--patience", "nan"],
        ["next", "--state", "stone:tablet"],
        ["fake-kraken", "--latency", "inf"],
        ["completion"],
        ["gateway"],
        ["gateway", "guess"],
        ["state"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_wrong_usage(trader: Shell, words: list[str]) -> None:
    """One line and exit code 2, before anything is sent, with the help to read."""
    assert f"; see krakenonce {words[0]}" in trader.fails(2, *words)


def test_a_failure_leaves_no_json(shell: Shell) -> None:
    """A failure has its line on stderr, and nothing on stdout that a program could take for a result."""
    done = shell.run("peek", "--json")
    assert (done.code, done.out) == (1, "")
    assert "has issued no nonce yet" in one_line(done.err)


def test_what_is_json_stays_json_while_the_gateway_s_turn_is_awaited(trader: Shell, fake: Fake) -> None:
    """What is said meanwhile is on stderr."""
    manager = NonceManager(trader.env["KRAKENONCE_STATE_DIR"])
    with manager.lane(trader.env["KRAKEN_MASTER_API_KEY"]):
        process = trader.start("balance", "--json", "--base-url", fake.url)
        assert process.stderr is not None
        assert "still waiting" in process.stderr.readline()
    assert "MASTER" in json.loads(trader.end(process).out)
