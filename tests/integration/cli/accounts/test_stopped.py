"""Commands that are stopped, or cannot write: the outcome of each order is printed all the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.accounts.conftest import NAMES, ORDER, placed
from tests.integration.cli.conftest import one_line

if TYPE_CHECKING:
    from krakenonce.testing import FakeKraken
    from tests.integration.cli.conftest import Shell


@pytest.mark.parametrize(
    "words", [("copy-order", *ORDER), ("call-all", "AddOrder", *ORDER), ("call", "AddOrder", *ORDER)]
)
def test_an_order_is_printed_also_if_stdout_is_closed(
    trader: Shell, url: str, fake: FakeKraken, words: tuple[str, ...]
) -> None:
    """It was placed all the same: the output is on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        done = trader.end(trader.start(*words, "--base-url", url, stdout=closed))
    assert done.code == 1
    txids = [txid for each in fake.accounts.values() for txid in each.orders]
    assert txids
    assert "the output could not be written to stdout: " in done.err
    assert all(str(txid) in done.err for txid in txids)


@pytest.mark.parametrize("words", [("copy-order", *ORDER), ("call", "AddOrder", *ORDER)])
def test_a_command_that_is_stopped_while_stdout_is_full_prints_the_orders(
    trader: Shell, url: str, fake: FakeKraken, words: tuple[str, ...]
) -> None:
    """The pipe is full, Ctrl-C ends the wait, and the orders are on stderr."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 4096):
            pass
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x"):
            pass
    os.set_blocking(writer, True)
    with open(reader, "rb"), open(writer, "w") as full:
        process = trader.start(*words, "--base-url", url, stdout=full)
        while not (placed(fake) and is_blocked(process.pid)):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        done = trader.end(process)
    txids = [str(txid) for each in fake.accounts.values() for txid in each.orders]
    assert done.code == 130
    assert txids
    assert all(txid in done.err for txid in txids)


def is_blocked(pid: int) -> bool:
    """Whether a process waits to write into a pipe."""
    if sys.platform != "linux":
        pytest.skip("only Linux shows what a process waits for")
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


def drop_answers(fake: FakeKraken, accounts: int) -> None:
    """Place orders without an answer, and do not answer the question whether they were placed."""
    fake.faults.add("AddOrder", "process_then_cut", times=accounts)
    fake.faults.add("OpenOrders", "slow_answer", seconds=60, times=accounts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_command_that_is_stopped_while_it_asks_for_orders_prints_their_ids(
    trader: Shell, url: str, fake: FakeKraken, number: signal.Signals
) -> None:
    """Both are asked for at the same time; Ctrl-C, or SIGTERM as `timeout` sends it, prints the table."""
    drop_answers(fake, 2)
    process = trader.start("copy-order", *ORDER, "--accounts", "alice,bob", "--base-url", url)
    while sum(each.method == "OpenOrders" for each in fake.arrivals) < 2:
        assert process.poll() is None
    process.send_signal(number)
    done = trader.end(process)
    assert done.code == 128 + number
    rows = done.out.splitlines()[1:3]
    assert [row.split()[:2] for row in rows] == [["USER:alice", "unknown"], ["USER:bob", "unknown"]]
    for name, row in zip(NAMES[1:], rows, strict=True):
        (order,) = next(each for each in fake.accounts.values() if each.name == name).orders.values()
        assert str(order.cl_ord_id) in row


def test_a_second_ctrl_c_loses_no_id(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The ids of orders that may have been placed are printed all the same."""
    fake.faults.add("AddOrder", "slow_answer", seconds=60, times=2)
    process = trader.start("copy-order", *ORDER, "--json", "--accounts", "alice,bob", "--base-url", url)
    while len(placed(fake)) < 2:
        assert process.poll() is None
    while process.poll() is None:  # while the first waits for late answers, and while the outcomes are printed
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    done = trader.end(process)
    ids = [str(order.cl_ord_id) for each in fake.accounts.values() for order in each.orders.values()]
    assert len(ids) == 2
    assert all(each in done.out + done.err for each in ids)


def test_an_interrupted_order_names_its_id(trader: Shell, url: str, fake: FakeKraken) -> None:
    """Ctrl-C while it waits for the answer: the order was placed, and a line says by which id it can be found."""
    fake.faults.add("AddOrder", "slow_answer", seconds=30)
    process = trader.start("call", "AddOrder", *ORDER, "cl_ord_id=mine", "--base-url", url)
    while not placed(fake):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    done = trader.end(process)
    assert done.code == 130
    assert "its cl_ord_id: mine" in one_line(f"{done.err.strip()}\n")


@pytest.mark.parametrize("words", [("copy-order", *ORDER, "--json"), ("call-all", "AddOrder", *ORDER)], ids=" ".join)
def test_ctrl_c_prints_the_outcome_of_each_order_at_once(
    trader: Shell, url: str, fake: FakeKraken, words: tuple[str, ...]
) -> None:
    """An order with an answer has its txid, one without its cl_ord_id; the command does not wait for the answer."""
    fake.faults.add("AddOrder", "slow_answer", seconds=60)
    process = trader.start(*words, "--accounts", "alice,bob", "--base-url", url)
    while len(placed(fake)) < 2:
        assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = trader.end(process)
    assert time.monotonic() - began < 20
    assert done.code == 130
    shown = json.loads(done.out)
    (slow,) = (name for name, each in shown.items() if "error" in each)
    (quick,) = (name for name, each in shown.items() if "result" in each)
    (order,) = next(each for each in fake.accounts.values() if each.name == slow).orders.values()
    assert (shown[slow]["may_have_executed"], shown[slow]["cl_ord_ids"]) == ("unknown", [order.cl_ord_id])
    assert str(order.cl_ord_id) in shown[slow]["message"]
    assert (
        list(next(each for each in fake.accounts.values() if each.name == quick).orders)
        == shown[quick]["result"]["txid"]
    )


def test_ctrl_c_prints_the_table(trader: Shell, url: str, fake: FakeKraken) -> None:
    """The same without --json."""
    fake.faults.add("AddOrder", "slow_answer", seconds=60)
    process = trader.start("copy-order", *ORDER, "--accounts", "alice", "--base-url", url)
    while not placed(fake):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    done = trader.end(process)
    assert (done.code, done.out.splitlines()[1].split()[:2]) == (130, ["USER:alice", "unknown"])
