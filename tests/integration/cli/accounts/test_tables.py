"""What a trader sees of many orders: the table, on terminals of any width, and its sum."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.accounts.conftest import ORDER
from tests.integration.cli.terminal import on_terminal

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from tests.integration.cli.conftest import Shell

RED, YELLOW, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"
ALL = ("--accounts", "MASTER,alice,bob")
ONE_OF_EACH = ("copy-order", *ORDER, *ALL, "--scale", "bob=0.000000001")  # bob's is too small to be sent


def lose_one_answer(fake: FakeKraken) -> None:
    """Of one order it stays unknown whether it was placed."""
    fake.faults.add("AddOrder", "process_then_cut")
    fake.faults.add("OpenOrders", "html", times=3)


def test_the_last_line_has_the_sum(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Of what was placed, was not, and may have been: each account is counted once."""
    lose_one_answer(fake)
    done = trader.run(*ONE_OF_EACH, "--base-url", url)
    assert (done.code, done.out.splitlines()[-1]) == (1, "1 placed, 1 not, 1 unknown")


def test_a_reason_is_written_out_once(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The table has a few words; below it the whole reason stands once, with the accounts that it is about."""
    done = trader.run("copy-order", *ORDER, *ALL, "--scale", "30", "--base-url", url)
    _, *rows, why, last = done.out.splitlines()
    assert [row.split(maxsplit=3)[1:] for row in rows] == [["not", "placed", "EOrder:Insufficient funds"]] * 3
    assert why.startswith("MASTER, USER:alice, USER:bob: Kraken answered: EOrder:Insufficient funds. ")
    assert last == "0 placed, 3 not"


def test_orders_that_may_have_been_placed_share_a_reason(trader: Shell, url: str, fake: FakeKraken) -> None:
    """What tells them apart is in the table: the cl_ord_id of each, by which it is looked for."""
    fake.faults.add("AddOrder", "process_then_cut", times=2)
    fake.faults.add("OpenOrders", "html", times=6)
    done = trader.run("copy-order", *ORDER, "--accounts", "alice,bob", "--base-url", url)
    _, first, second, why, last = done.out.splitlines()
    ids = {each.name: str(order.cl_ord_id) for each in fake.accounts.values() for order in each.orders.values()}
    assert (first.split()[:3], second.split()[:3]) == (
        ["USER:alice", "unknown", ids["USER:alice"]],
        ["USER:bob", "unknown", ids["USER:bob"]],
    )
    assert why.startswith("USER:alice, USER:bob: ")
    assert last == "0 placed, 2 unknown"


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_number_and_no_id_is_cut_on_a_terminal(trader: Shell, url: str, fake: FakeKraken, columns: int) -> None:
    """However narrow it is: the reason is shortened first, then the account; no line is longer than the terminal."""
    lose_one_answer(fake)
    code, shown = on_terminal(trader, columns, *ONE_OF_EACH, "--base-url", url)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    orders = [(txid, order) for each in fake.accounts.values() for txid, order in each.orders.items()]
    assert (code, len(orders)) == (1, 2)
    assert all(str(txid) in text or str(order.cl_ord_id) in text for txid, order in orders)
    assert max(map(len, text.splitlines())) <= columns
    assert text.splitlines()[-1] == "1 placed, 1 not, 1 unknown"


def test_numbers_are_whole_on_a_narrow_terminal(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Nonces of 19 digits, and amounts: aligned right, under titles that go on in the next line."""
    master = next(each for each in fake.accounts.values() if each.name == "MASTER")
    master.balances["XXBT"] = Decimal("123456789012345.0123456789")
    last = trader.works("next").strip()
    trader.works("raise-floor", str(time.time_ns() + 10**15), "--scope", "a-counter-with-a-long-name-of-its-own")
    _, shown = on_terminal(trader, 60, "stats")
    *table, _ = shown.splitlines()
    assert last in shown
    assert max(map(len, table)) <= 60
    _, shown = on_terminal(trader, 60, "balance", "--all", "--base-url", url)
    row, *_ = (line for line in shown.splitlines() if "XXBT" in line)
    assert re.search(r"\b123456789012345\.0123456789 \S$", row)
    assert "5000.0000 \N{BOX DRAWINGS LIGHT VERTICAL}" in shown


def test_failures_are_red_and_what_is_unknown_is_yellow(trader: Shell, url: str, fake: FakeKraken) -> None:
    """On a terminal, and only there."""
    lose_one_answer(fake)
    _, shown = on_terminal(trader, 120, *ONE_OF_EACH, "--base-url", url)
    colours = {line[:5]: line for line in shown.splitlines() if line.startswith("\x1b")}
    assert {RED, YELLOW} == set(colours)
    assert "not placed" in colours[RED]
    assert "unknown" in colours[YELLOW]
    assert all(line.endswith(PLAIN) for line in colours.values())
    assert "\x1b" not in trader.run(*ONE_OF_EACH, "--base-url", url).out


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_switched_off(trader: Shell, url: str, fake: FakeKraken, name: str, value: str) -> None:
    """As https://no-color.org asks for."""
    trader.env[name] = value
    _, shown = on_terminal(trader, 120, *ONE_OF_EACH, "--base-url", url)
    assert "not placed" in shown
    assert "\x1b" not in shown


def test_what_a_terminal_would_obey_is_not_shown(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Kraken's text is not ours: it cannot move the cursor or change the colour."""
    fake.faults.add("Balance", "error", error="EGeneral:\x1b[2J\x07Gone", times=50)
    _, shown = on_terminal(trader, 120, "balance", "--all", "--base-url", url)
    done = trader.run("balance", "--base-url", url)
    assert "Gone" in shown
    assert "Gone" in done.err
    assert not any(char in shown + done.err for char in ("\x1b[2J", "\x07"))


def test_balances_of_all_have_a_sum_and_each_failure(trader: Shell, url: str, fake: FakeKraken) -> None:
    """An account that fails has a row with the reason; the whole reason is on stderr."""
    bob = next(each for each in fake.accounts.values() if each.name == "USER:bob")
    bob.keys[0].permissions = frozenset()
    done = trader.run("balance", "--all", "--base-url", url)
    header, *rows, last = done.out.splitlines()
    assert header.split() == ["account", "asset", "amount", "error"]
    assert [row.split(maxsplit=3) for row in rows] == [
        ["MASTER", "ZUSD", "5000.0000"],
        ["USER:alice", "ZUSD", "5000.0000"],
        ["USER:bob", "EGeneral:Permission", "denied"],
    ]
    assert (done.code, last) == (1, "accounts: 2 shown, 1 failed")
    assert "USER:bob: Kraken answered: EGeneral:Permission denied" in done.err


def test_one_line_for_accounts_that_fail_alike(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Many accounts with one reason do not fill the screen."""
    for each in fake.accounts.values():
        each.keys[0].permissions = frozenset() if each.name != "MASTER" else each.keys[0].permissions
    done = trader.run("balance", "--all", "--base-url", url)
    assert done.err.startswith("krakenonce: USER:alice, USER:bob: Kraken answered: ")
    assert len(done.err.splitlines()) == 1
