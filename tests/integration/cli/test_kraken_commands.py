from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from tests.integration.cli.conftest import one_line
from tests.integration.kraken.helpers import OK, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Fake, Shell

ORDER = ("pair=XBTUSD", "type=buy", "ordertype=limit", "volume=1.25", "price=37500")


def test_balance_of_master(trader: Shell, fake: Fake) -> None:
    """Without an account it is MASTER's balance."""
    header, *rows = trader.works("balance", "--base-url", fake.url).splitlines()
    assert header.split() == ["account", "asset", "amount"]
    assert [row.split() for row in rows] == [["MASTER", "ZUSD", "10000.0000"], ["MASTER", "XXBT", "0.5000000000"]]


def test_balance_of_a_user(trader: Shell, fake: Fake) -> None:
    """A user is found by its short name, and JSON has Kraken's digits."""
    found = trader.works("balance", "--account", "Bob", "--json", "--base-url", fake.url)
    assert json.loads(found) == {"USER:bob": {"USDT": "250.50000000", "XETH": "2.0000000000"}}


def test_balance_of_all(trader: Shell, fake: Fake) -> None:
    """--all shows every account."""
    found = json.loads(trader.works("balance", "--all", "--json", "--base-url", fake.url))
    assert list(found) == ["MASTER", "USER:alice", "USER:bob"]


def test_one_failing_account_does_not_stop_the_others(trader: Shell, fake: Fake) -> None:
    """The account that fails is named on stderr, the others are shown, and the exit code is 1."""
    trader.env["KRAKEN_USER_ALICE_API_SECRET"] = trader.env["KRAKEN_USER_BOB_API_SECRET"]
    done = trader.run("balance", "--all", "--json", "--base-url", fake.url)
    assert (done.code, list(json.loads(done.out))) == (1, ["MASTER", "USER:bob"])
    assert one_line(done.err).startswith("USER:alice: Kraken answered: EAPI:Invalid signature.")


def test_an_account_that_is_not_there(trader: Shell, fake: Fake) -> None:
    """The message lists the accounts there are."""
    said = trader.fails(2, "balance", "--account", "zoe", "--base-url", fake.url)
    accounts = "MASTER, USER:alice, USER:bob"
    assert said == f"there is no account 'zoe'; the accounts are {accounts}; see krakenonce balance --help"


@pytest.mark.parametrize("words", [["balance"], ["balance", "--all"], ["call", "Balance"]], ids=" ".join)
def test_no_credentials(shell: Shell, words: list[str]) -> None:
    """Without credentials the message says which variables to set."""
    assert "set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET" in shell.fails(1, *words)


def test_half_a_pair_of_credentials(trader: Shell) -> None:
    """A key without its secret is a failure that names the variable that is missing."""
    del trader.env["KRAKEN_MASTER_API_SECRET"]
    assert "KRAKEN_MASTER_API_SECRET is missing" in trader.fails(1, "balance")


def test_credentials_from_a_file(shell: Shell, fake: Fake, tmp_path: Path) -> None:
    """A private file is read; one that others may read is refused, and its content never shown."""
    pair = fake.accounts["MASTER"]
    path = tmp_path / "kraken.toml"
    path.write_text(f'[MASTER]\napi_key = "{pair["api_key"]}"\napi_secret = "{pair["api_secret"]}"\n')
    path.chmod(0o600)
    words = ("balance", "--credentials", str(path), "--base-url", fake.url)
    assert "ZUSD" in shell.works(*words)
    path.chmod(0o640)
    assert shell.fails(1, *words) == f"other users can read {path}; run: chmod 600 {path}"


def test_calls_for_an_account(trader: Shell, fake: Fake) -> None:
    """An order is placed with the account named, and Kraken's result printed as JSON."""
    to = ("--account", "alice", "--base-url", fake.url)
    placed = json.loads(trader.works("call", "AddOrder", *ORDER, *to))
    assert placed["descr"] == {"order": "buy 1.25000000 XBTUSD @ limit 37500.0"}
    assert list(json.loads(trader.works("call", "OpenOrders", *to))["open"]) == placed["txid"]
    assert json.loads(trader.works("call", "OpenOrders", "--base-url", fake.url)) == {"open": {}}


@pytest.mark.parametrize(
    "words",
    [
        ("call", "AddOrder", *ORDER, "valdate=true"),
        ("call", "AddOrder", *ORDER, "validated=true"),
        ("call-all", "AddOrder", *ORDER, "valdate=true"),
        ("copy-order", *ORDER, "valdate=true", "--accounts", "alice"),
        ("call", "AddOrderBatch", "pair=XBTUSD", 'orders=[{"validate": "true"}]'),
        ("call", "CancelAllOrdersAfter", "timeot=60"),
    ],
    ids=lambda words: " ".join((words[0], words[1], words[-1])),
)
def test_a_slip_in_the_name_of_a_parameter_is_refused(trader: Shell, fake: Fake, words: tuple[str, ...]) -> None:
    """Kraken would ignore it and execute the call; the message guesses what was meant."""
    said = trader.fails(1, *words, "--base-url", fake.url)
    assert "Not sent: krakenonce knows no parameter" in said
    assert "--force" in said
    assert json.loads(trader.works("call", "OpenOrders", "--base-url", fake.url)) == {"open": {}}


def test_a_boolean_is_true_or_false(trader: Shell, fake: Fake) -> None:
    """Nobody knows how Kraken reads anything else."""
    said = trader.fails(1, "call", "AddOrder", *ORDER, "validate=yes", "--base-url", fake.url)
    assert "validate must be true or false, not 'yes'" in said


@pytest.mark.parametrize(
    "words", [("call", "Balance"), ("call-all", "Balance"), ("copy-order", *ORDER)], ids=lambda w: w[0]
)
def test_the_command_line_takes_no_second_factor(trader: Shell, fake: Fake, words: tuple[str, ...]) -> None:
    """Every user of the machine could read it in the list of processes; the message says where it belongs."""
    said = trader.fails(2, *words, "otp=a-password", "--base-url", fake.url)
    assert "Leave out otp" in said
    assert "KRAKEN_MASTER_API_OTP" in said
    assert "a-password" not in said


def test_what_krakenonce_does_not_know_is_sent_with_force(trader: Shell, fake: Fake) -> None:
    """Kraken may have a new parameter, also of an order in a batch; the fake, which has none such, names it."""
    order = '{"type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100", "new_one": "1"}'
    batch = ("AddOrderBatch", "pair=XBTUSD", f"orders=[{order}, {order}]")
    for words in (("AddOrder", *ORDER, "new_one=1"), batch):
        to = ("validate=true", "--force", "--account", "alice", "--base-url", fake.url)
        assert "EGeneral:Invalid arguments:new_one" in trader.fails(1, "call", *words, *to)


def test_lists_are_written_as_json(trader: Shell, fake: Fake) -> None:
    """A batch of orders, and their cancelling; text that is not JSON is refused."""
    order = '{"type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100"}'
    to = ("--account", "alice", "--base-url", fake.url)
    placed = trader.works("call", "AddOrderBatch", "pair=XBTUSD", f"orders=[{order}, {order}]", *to)
    ids = [each["txid"] for each in json.loads(placed)["orders"]]
    assert json.loads(trader.works("call", "CancelOrderBatch", f"orders={json.dumps(ids)}", *to))["count"] == 2
    assert "not JSON" in trader.fails(2, "call", "CancelOrderBatch", "orders=[OA", *to)


def test_an_export_is_written_as_the_file_that_it_is(trader: Shell, tmp_path: Path) -> None:
    """Byte by byte; not into a terminal, and not for many accounts."""
    content = b"PK\x03\x04" + bytes(range(256))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(content)}\r\n\r\n"
    with ScriptedServer(head.encode() + content) as kraken, (tmp_path / "export.zip").open("w+b") as file:
        words = ("call", "RetrieveExport", "id=AAAA", "--account", "alice", "--base-url", kraken.url)
        assert trader.end(trader.start(*words, stdout=file)).code == 0  # type: ignore[arg-type]
        file.seek(0)
        assert file.read() == content
    assert "> export.zip" in trader.fails(2, "call-all", "RetrieveExport", "id=AAAA")


def test_a_method_s_name_may_have_digits(trader: Shell, fake: Fake) -> None:
    """Level3 is one."""
    assert "bids" in trader.works("call", "Level3", "pair=BTC/USD", "--base-url", fake.url)


def test_public_calls_need_no_account(shell: Shell, fake: Fake, tmp_path: Path) -> None:
    """A public method is called without credentials and uses no nonce."""
    assert json.loads(shell.works("call", "Time", "--base-url", fake.url))["unixtime"] > 1_600_000_000
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["QueryOrders"], "Kraken answered: EGeneral:Invalid arguments"),
        (["Ticker", "pair=NONE"], "Kraken answered: EQuery:Unknown asset pair. Kraken has no such pair"),
    ],
    ids=" ".join,
)
def test_what_kraken_refuses_is_one_line(trader: Shell, fake: Fake, words: list[str], said: str) -> None:
    """Kraken's error is printed with what to do about it, for private and for public calls."""
    assert trader.fails(1, "call", *words, "--base-url", fake.url).startswith(said)


def test_a_method_that_is_not_known_is_called_with_a_warning(trader: Shell, fake: Fake) -> None:
    """Kraken may have it by now; what krakenonce does with it is said before Kraken's answer."""
    done = trader.run("call", "Guess", "--base-url", fake.url)
    warning, error = done.err.splitlines()
    assert "warning: Kraken's method Guess is not known to this version: it is never repeated" in warning
    assert "Kraken answered: EGeneral:Unknown method. Kraken has no such method" in error
    assert (done.code, done.out) == (1, "")


@pytest.mark.parametrize("command", ["call", "call-all"])
@pytest.mark.parametrize("method", ["/funding/v1/methods/withdraw", "funding/list", "../../funding/v1/x"])
def test_kraken_s_funding_api_is_refused_by_name(trader: Shell, fake: Fake, command: str, method: str) -> None:
    """It has its nonce in a header, and nobody knows how it is signed: no account is asked for it."""
    said = trader.fails(2, command, method, "--base-url", fake.url)
    assert "Kraken's Funding API (/funding/v1, its nonce in the header API-Nonce) is not supported" in said


@pytest.mark.parametrize("method", ["MaintenanceSchedule", "PreTrade", "PostTrade", "GroupedBook"])
def test_newer_public_methods_need_no_account(shell: Shell, tmp_path: Path, method: str) -> None:
    """They are asked for without a key, and use no nonce."""
    with ScriptedServer(OK) as kraken:
        assert shell.works("call", method, "symbol=BTC/USD", "--base-url", kraken.url) == "{}\n"
    assert kraken.requests[0].startswith(f"GET /0/public/{method}?symbol=BTC%2FUSD ".encode())
    assert not (tmp_path / "state").exists()


def test_no_connection(trader: Shell) -> None:
    """Without a connection, the message says that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    assert "Nothing was sent." in trader.fails(1, "balance", "--base-url", url)


def test_a_turn_that_is_long_in_coming(trader: Shell, fake: Fake) -> None:
    """While another process holds the key's lane, the command says who it is, waits, and then works."""
    manager = NonceManager(trader.env["KRAKENONCE_STATE_DIR"])
    with manager.lane(trader.env["KRAKEN_MASTER_API_KEY"]):
        waiting = trader.start("balance", "--base-url", fake.url)
        assert waiting.stderr is not None
        said = waiting.stderr.readline()
    assert "MASTER is still waiting for its turn: process" in said
    assert f"process {os.getpid()} has held it" in said
    assert trader.end(waiting).code == 0


def test_a_wrong_address(trader: Shell) -> None:
    """An address that is none is refused."""
    assert "must look like https://api.kraken.com" in trader.fails(2, "balance", "--base-url", "kraken")


def test_keys_that_were_used_elsewhere(shell: Shell) -> None:
    """A bot's recovery is tried on keys whose last nonce is above the clock's."""
    process = shell.start("fake-kraken", "--json", "--last-nonce", str(2**62))
    assert process.stdout is not None
    started = json.loads(process.stdout.readline())
    master = started["accounts"]["MASTER"]
    shell.env |= {"KRAKEN_MASTER_API_KEY": master["api_key"], "KRAKEN_MASTER_API_SECRET": master["api_secret"]}
    refused = shell.run("balance", "--base-url", started["url"])
    assert (refused.code, "EAPI:Invalid nonce" in refused.err) == (1, True)
    assert shell.run("adopt", "--yes", "--base-url", started["url"]).code == 0
    assert shell.run("balance", "--base-url", started["url"]).code == 0
    process.send_signal(signal.SIGINT)
    assert shell.end(process).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_fake_kraken_is_ready_to_paste(shell: Shell, number: signal.Signals) -> None:
    """Its export lines and its last line work as printed; a signal ends it with 0 and a line of counts."""
    process = shell.start("fake-kraken")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(11)]
    exports = [shlex.split(line) for line in lines[1:-1]]
    shell.env |= dict(word.split("=", 1) for export, word in exports if export == "export")
    program, *words = shlex.split(lines[-1])
    assert program == "krakenonce"
    found = shell.works(*words, "--json")
    process.send_signal(number)
    done = shell.end(process)
    assert (done.code, done.err) == (0, "")
    assert list(json.loads(found)) == ["MASTER", "USER:alice", "USER:bob"]
    assert done.out == "3 private calls: 3 accepted, 0 refused with EAPI:Invalid nonce\n"


def test_the_fake_kraken_for_programs(shell: Shell) -> None:
    """With --json the first line says where it is and the last one what it counted."""
    process = shell.start("fake-kraken", "--json", "--latency", "2", "--jitter", "1")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    with urllib.request.urlopen(f"{first['url']}/0/public/Time") as reply:  # noqa: S310 - loopback
        assert reply.status == 200
    process.terminate()
    done = shell.end(process)
    assert (done.code, json.loads(done.out)) == (0, {"calls": 0, "accepted": 0, "invalid_nonce": 0})
    assert list(first["accounts"]["MASTER"]) == ["api_key", "api_secret", "api_tier"]


def test_a_port_in_use(shell: Shell, fake: Fake) -> None:
    """A port that is taken is a failure with one line."""
    assert "choose another --port" in shell.fails(1, "fake-kraken", "--port", fake.url.rpartition(":")[2])
