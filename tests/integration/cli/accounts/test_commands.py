"""Commands for many accounts, and for a key that Kraken refuses."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from krakenonce.brokers import Account
from krakenonce.cli import waiting
from krakenonce.key.naming import fingerprint
from tests.integration.cli.accounts.conftest import NAMES, ORDER, add_keys, placed
from tests.integration.cli.conftest import one_line

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from tests.integration.cli.conftest import Shell


def test_one_call_for_all_accounts(trader: Shell, url: str) -> None:
    """Each account's result under its name, as JSON."""
    shown = json.loads(trader.works("call-all", "Balance", "--base-url", url))
    assert shown == {name: {"result": {"ZUSD": "5000.0000"}} for name in NAMES}


def test_one_call_for_some_accounts(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Those named, each once; an account that fails has its error, and the exit code is 1."""
    (bob,) = (each for each in fake.accounts.values() if each.name == "USER:bob")
    bob.keys[0].permissions = frozenset()
    done = trader.run("call-all", "OpenOrders", "--accounts", "bob,USER:bob,master", "--base-url", url)
    shown = json.loads(done.out)
    assert (done.code, done.err, list(shown)) == (1, "", ["USER:bob", "MASTER"])
    assert shown["MASTER"] == {"result": {"open": {}}}
    assert shown["USER:bob"]["error"] == "PermissionDenied"
    assert shown["USER:bob"]["may_have_executed"] == "no"


@pytest.mark.parametrize("command", [["call-all", "Balance"], ["copy-order", *ORDER]], ids=lambda words: words[0])
def test_a_wrong_account_stops_everything(
    trader: Shell, shell: Shell, url: str, fake: FakeKraken, command: list[str]
) -> None:
    """Nothing is sent, and the message lists the accounts there are."""
    said = trader.fails(2, *command, "--accounts", "alice,zoe", "--base-url", url)
    assert said.startswith("there is no account 'zoe'; the accounts are MASTER, USER:alice, USER:bob; see krakenonce ")
    assert fake.arrivals == []


def test_a_pair_that_cannot_be_used_stops_its_account_only(
    trader: Shell, shell: Shell, url: str, fake: FakeKraken
) -> None:
    """What is asked of other accounts is done; what is asked of it, or of all, sends nothing and names the variable."""
    shell.env["KRAKEN_USER_BOB_API_SECRET"] = ""
    at = ("--base-url", url)
    assert "alice" in trader.works("balance", "--account", "alice", *at)
    assert "alice" in trader.works("call-all", "Balance", "--accounts", "MASTER,alice", *at)
    assert "alice" in trader.works("copy-order", *ORDER, "--accounts", "alice", "--validate", *at)
    before = len(fake.arrivals)
    for words in (
        ("balance", "--account", "bob"),
        ("balance", "--all"),
        ("call", "Balance", "--account", "bob"),
        ("call-all", "Balance"),
        ("call-all", "Balance", "--accounts", "alice,bob"),
        ("copy-order", *ORDER),
    ):
        assert trader.fails(1, *words, *at).startswith("KRAKEN_USER_BOB_API_SECRET is missing")
    assert len(fake.arrivals) == before


def test_without_credentials_no_account_is_called(shell: Shell) -> None:
    """The message says which variables to set."""
    for command in (["call-all", "Balance"], ["copy-order", *ORDER]):
        assert "set KRAKEN_MASTER_API_KEY" in shell.fails(1, *command)


def test_a_public_method_needs_no_accounts(trader: Shell) -> None:
    """The message names the other command."""
    assert "krakenonce call Ticker" in trader.fails(2, "call-all", "Ticker")


def test_a_copy_is_checked_only(trader: Shell, url: str, fake: FakeKraken) -> None:
    """--validate shows each user's order and places none; MASTER is not among them."""
    header, *rows, last = trader.works(
        "copy-order", *ORDER, "--validate", "--scale", "bob=0.5", "--base-url", url
    ).splitlines()
    assert header.split() == ["account", "order", "order", "id", "details"]
    assert last == "2 valid"
    assert [row.split()[:5] for row in rows] == [
        ["USER:alice", "valid", "buy", "0.10000000", "XBTUSD"],
        ["USER:bob", "valid", "buy", "0.05000000", "XBTUSD"],
    ]
    assert not any(each.orders for each in fake.accounts.values())


def test_a_copy_is_placed_once_for_each(trader: Shell, url: str, fake: FakeKraken) -> None:
    """All accounts named, MASTER too; --json has results and verdicts."""
    words = ("copy-order", *ORDER, "--accounts", "MASTER,alice,bob", "--scale", "2", "--json", "--base-url", url)
    shown = json.loads(trader.works(*words))
    assert [shown[name]["verdict"] for name in NAMES] == ["placed"] * 3
    assert "buy 0.20000000 XBTUSD" in shown["MASTER"]["result"]["descr"]["order"]
    assert placed(fake) == NAMES


def test_a_copy_without_an_answer_is_looked_for(trader: Shell, url: str, fake: FakeKraken) -> None:
    """It was placed, so it is no failure; a line on stderr says what takes a moment."""
    fake.faults.add("AddOrder", "process_then_html", status=504)
    done = trader.run("copy-order", *ORDER, "--accounts", "alice", "--base-url", url)
    assert (done.code, done.out.splitlines()[1].split()[:2]) == (0, ["USER:alice", "placed"])
    assert one_line(done.err) == "USER:alice: no answer; asking Kraken whether the order was placed"
    assert placed(fake) == ["USER:alice"]


def test_a_copy_that_is_refused_is_a_failure(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The account that cannot pay has its error; the others have their orders."""
    words = ("copy-order", *ORDER, "--scale", "bob=30", "--base-url", url)
    done = trader.run(*words)
    alice, bob, why, last = done.out.splitlines()[1:]
    assert (done.code, alice.split()[1]) == (1, "placed")
    assert bob.endswith(" EOrder:Insufficient funds")
    assert "not placed" in bob
    assert why.startswith("USER:bob: Kraken answered: EOrder:Insufficient funds.")
    assert last == "1 placed, 1 not"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--scale", "1", "--scale", "2"], 2, "--scale was given twice for all accounts"),
        (["--scale", "zoe=2"], 2, "there is no account 'zoe'"),
        (["--scale", "bob=1", "--scale", "USER:BOB=2"], 2, "--scale was given twice for USER:bob"),
        (["--within", "0"], 2, "0"),
        (["--within", "inf"], 2, "--within cannot be inf seconds: give at most 1e+09"),
        (["--within", "1e10"], 2, "--within cannot be 10000000000.0 seconds: give at most 1e+09"),
    ],
    ids=[
        "two scales",
        "a scale for an unknown account",
        "two scales for one",
        "no time",
        "endless",
        "hundreds of years",
    ],
)
def test_wrong_options_of_a_copy(
    trader: Shell, url: str, fake: FakeKraken, words: list[str], code: int, message: str
) -> None:
    """The message says what is wrong, and nothing is sent."""
    assert message in trader.fails(code, "copy-order", *ORDER, *words, "--base-url", url)
    assert fake.arrivals == []


@pytest.mark.parametrize("scale", ["much", "bob=O.5", "bob=", "bob=0,5"])
def test_a_wrong_scale_places_nothing(trader: Shell, url: str, fake: FakeKraken, scale: str) -> None:
    """A factor that is not a number stops everything, also if it is one account's: the others' orders are real."""
    said = trader.fails(2, "copy-order", *ORDER, "--scale", scale, "--base-url", url)
    assert said.startswith("the scale must be a Decimal, text or integer above 0; see krakenonce copy-order --help")
    assert fake.arrivals == []


def test_an_empty_account_is_not_master(trader: Shell, url: str, fake: FakeKraken) -> None:
    """An empty --account (from an unset variable) is refused."""
    for words in (["call", "AddOrder", *ORDER], ["balance"], ["adopt", "--yes"]):
        assert "there is no such account; the" in trader.fails(2, *words, "--account", "", "--base-url", url)
    assert fake.arrivals == []


def test_an_order_without_an_answer_names_its_id(trader: Shell, url: str, fake: FakeKraken) -> None:
    """`call AddOrder` prints the cl_ord_id by which the order can be found."""
    fake.faults.add("AddOrder", "process_then_cut")
    done = trader.run("call", "AddOrder", *ORDER, "--base-url", url)
    first, second = done.err.splitlines()
    (order,) = next(each for each in fake.accounts.values() if each.name == "MASTER").orders.values()
    assert (done.code, done.out) == (1, "")
    assert str(order.cl_ord_id) in first
    assert "sent, but no answer came" in second


def test_a_poisoned_key_is_adopted(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The command prints each refusal and warns; afterwards the key works, and others stay near the clock."""
    master = next(each for each in fake.accounts.values() if each.name == "MASTER")
    master.last_nonce = 2**62
    poisoned = trader.run("balance", "--base-url", url)
    warning, error = poisoned.err.splitlines()
    assert (poisoned.code, poisoned.out) == (1, "")
    assert f"{trader.env['KRAKENONCE_STATE_DIR']}" in warning
    assert "krakenonce adopt" in error
    done = trader.run("adopt", "--yes", "--base-url", url)
    about_state, *refusals, warning = done.err.splitlines()
    assert done.code == 0
    assert "name this same state" in about_state
    assert ["Kraken refused nonce " in line for line in refusals] == [True, True]
    assert "warning: Kraken now refuses every other tool that uses the key of MASTER; stop those tools" in warning
    assert str(master.last_nonce) in done.out
    assert "ZUSD" in trader.works("balance", "--base-url", url)
    assert NonceManager(trader.env["KRAKENONCE_STATE_DIR"]).scope_of(master.key) in done.out
    trader.works("balance", "--account", "alice", "--base-url", url)
    alice = next(each for each in fake.accounts.values() if each.name == "USER:alice")
    assert alice.last_nonce < 2**61


def test_all_keys_of_an_account_are_adopted(trader: Shell, url: str, fake: FakeKraken) -> None:
    """One line for each; a key that is fine costs one call, and so does each when the command is run again."""
    keys = add_keys(trader, fake, 2)
    keys[1].last_nonce = 2**62
    question = trader.run("adopt", "--base-url", url).err
    assert "every other tool that uses one of the 3 keys of MASTER. This cannot be undone." in question
    done = trader.run("adopt", "--yes", "--base-url", url)
    assert (done.code, len(fake.arrivals)) == (0, 5)
    scopes = [f"key-{fingerprint(each.key)}" for each in keys]
    assert [line.partition(";")[0] for line in done.out.splitlines()] == [
        f"key {number} of MASTER now uses the counter {scope}" for number, scope in enumerate(scopes, 1)
    ]
    assert done.err.count("Kraken refused nonce ") == 2
    assert "every other tool that uses one of the 3 keys of MASTER; stop those tools" in done.err
    assert trader.run("adopt", "--yes", "--base-url", url).code == 0
    assert len(fake.arrivals) == 8
    assert keys[0].last_nonce < 2**61 < 2**62 < keys[1].last_nonce


def test_a_key_that_cannot_be_adopted_ends_it(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The lines before it stay, and it is said that the others were not tried."""
    keys = add_keys(trader, fake, 2)
    fake.revoke(keys[1].key)
    done = trader.run("adopt", "--yes", "--base-url", url)
    assert (done.code, len(done.out.splitlines())) == (1, 1)
    *_, what, error = done.err.splitlines()
    assert what == "krakenonce: key 2 of MASTER was not adopted, nor were those after it"
    assert "EAPI:Invalid key" in error
    assert [each.key_name for each in fake.arrivals] == ["MASTER", "MASTER 2"]


def test_no_more_keys_are_tried_after_four_refused_nonces(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Kraken counts them, and may lock the account out. Run again, the command goes on with the others."""
    keys = add_keys(trader, fake, 3)
    for each in keys:
        each.last_nonce = 2**62
    first = trader.run("adopt", "--yes", "--base-url", url)
    assert (first.code, len(first.out.splitlines())) == (1, 2)
    *_, what, error = first.err.splitlines()
    assert what == "krakenonce: key 3 of MASTER was not adopted, nor were those after it"
    assert error.endswith("refused 4 nonces of this account, and counts them: wait 15 minutes and run adopt again")
    second = trader.run("adopt", "--yes", "--base-url", url)
    assert (second.code, len(second.out.splitlines())) == (0, 4)


def test_adopting_asks_first(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Without --yes and without an answer, nothing is changed, and the command says so."""
    done = trader.run("adopt", "--base-url", url)
    assert (done.code, done.out) == (1, "")
    assert "Kraken will refuse every other tool that uses the key of MASTER. This cannot be undone." in done.err
    assert done.err.endswith("krakenonce: nothing was changed; use --yes to skip this question\n")
    assert fake.arrivals == []


@pytest.mark.parametrize("command", [["call-all", "Balance"], ["copy-order", *ORDER]], ids=lambda words: words[0])
def test_what_cannot_be_sent_in_time_is_not_sent(trader: Shell, url: str, fake: FakeKraken, command: list[str]) -> None:
    """--within holds for the whole, and it is a failure."""
    done = trader.run(*command, "--within", "0.000001", "--base-url", url)
    assert done.code == 1
    assert "before" in done.out
    assert fake.arrivals == []


def test_a_copy_that_cannot_be_asked_for_is_a_failure(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The order's outcome is unknown, and the table says so."""
    fake.faults.add("AddOrder", "process_then_cut")
    fake.faults.add("OpenOrders", "html", times=3)
    done = trader.run("copy-order", *ORDER, "--accounts", "alice", "--base-url", url)
    assert (done.code, done.out.splitlines()[1].split()[:2]) == (1, ["USER:alice", "unknown"])


def test_without_users_no_order_is_copied(trader: Shell, url: str, fake: FakeKraken) -> None:
    """If there is only MASTER, it has to be named."""
    trader.env = {name: value for name, value in trader.env.items() if not name.startswith("KRAKEN_USER")}
    assert "--accounts MASTER" in trader.fails(2, "copy-order", *ORDER, "--base-url", url)
    assert fake.arrivals == []


def test_explaining_a_wait_takes_no_turn(capsys: pytest.CaptureFixture[str]) -> None:
    """A free lane is free afterwards, and our own process is not named as the holder."""
    manager = NonceManager("memory:")
    who = Account("MASTER", "a key", "c2VjcmV0")

    def explain() -> None:
        asking = threading.Thread(target=waiting._explain, args=(who, manager))
        asking.start()
        asking.join()

    explain()
    with manager.lane(who.key, timeout=0):
        explain()
    said = "MASTER is still waiting for Kraken's answer; press Ctrl-C to stop waiting\n"
    assert capsys.readouterr().err.endswith(said)


def test_one_account_s_key_is_adopted_and_no_other(trader: Shell, url: str, fake: FakeKraken) -> None:
    """--account says whose; MASTER is not touched."""
    trader.run("adopt", "--yes", "--account", "alice", "--base-url", url)
    assert {each.account for each in fake.arrivals} == {"USER:alice"}


def test_json_shows_what_may_have_been_executed(trader: Shell, url: str, fake: FakeKraken) -> None:
    """A program that reads it can distinguish an order without an answer from one that was not placed."""
    fake.faults.add("AddOrder", "process_then_cut")
    done = trader.run("call-all", "AddOrder", *ORDER, "--accounts", "alice", "--base-url", url)
    shown = json.loads(done.out)["USER:alice"]
    assert (done.code, shown["error"], shown["may_have_executed"]) == (1, "OutcomeUnknown", "unknown")


@pytest.mark.parametrize(
    "words", [["balance", "--all", "--account", "bob"], ["call", "../Balance"], ["call", "Balance?x"]], ids=" ".join
)
def test_a_contradictory_command_sends_nothing(trader: Shell, url: str, fake: FakeKraken, words: list[str]) -> None:
    """One account together with all, and a method that is not a name, are errors."""
    assert trader.fails(2, *words, "--base-url", url)
    assert fake.arrivals == []


def test_json_has_the_txid_of_an_order_that_was_looked_for(trader: Shell, url: str, fake: FakeKraken) -> None:
    """It got no answer and was found by asking: a program needs its id, too."""
    fake.faults.add("AddOrder", "process_then_cut")
    shown = json.loads(trader.run("copy-order", *ORDER, "--json", "--accounts", "alice,bob", "--base-url", url).out)
    ids = {each.name: list(each.orders) for each in fake.accounts.values()}
    assert {name: (each["verdict"], each["txids"]) for name, each in shown.items()} == {
        name: ("placed", ids[name]) for name in ("USER:alice", "USER:bob")
    }


def test_an_order_of_call_all_without_an_answer_names_its_id(trader: Shell, url: str, fake: FakeKraken) -> None:
    """`call-all AddOrder` prints the cl_ord_id by which each order can be found."""
    fake.faults.add("AddOrder", "process_then_cut")
    shown = json.loads(trader.run("call-all", "AddOrder", *ORDER, "--accounts", "alice", "--base-url", url).out)
    (order,) = next(each for each in fake.accounts.values() if each.name == "USER:alice").orders.values()
    assert shown["USER:alice"]["cl_ord_ids"] == [order.cl_ord_id]
