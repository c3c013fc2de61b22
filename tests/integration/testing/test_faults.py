from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import urllib3

from krakenonce.errors import ConfigError
from krakenonce.testing.faults import ANY, FAULTS, Fault, FaultName, Faults
from tests.integration.kraken.helpers import as_http, signed
from tests.integration.testing.helpers import ORDER, Caller, Wire

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

CUT = urllib3.exceptions.ProtocolError
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "test-your-bot.md"


def nonces(fake: FakeKraken) -> list[int | None]:
    """The nonces in the order in which they were processed."""
    return [arrival.nonce for arrival in fake.arrivals]


def test_the_next_matching_calls_get_a_fault_in_order(fake: FakeKraken, wire: Wire) -> None:
    """Other methods are answered as before; each fault applies as often as it says, then the next one."""
    fake.faults.add("AddOrder", "html", status=504, times=2)
    fake.faults.add(ANY, "error", error="EService:Busy")
    assert len(fake.faults) == 3
    assert wire.send("AddOrder", **ORDER).status == 504
    assert wire.reply("Balance") == {"error": ["EService:Busy"]}
    assert wire.reply("Balance") == {"error": [], "result": {}}
    assert wire.send("AddOrder", **ORDER).status == 504
    assert wire.reply("AddOrder", **ORDER)["error"] == []
    assert len(fake.faults) == 0


def test_the_page_lists_the_faults_as_they_are() -> None:
    """The table that a reader sees has the rows of the table that is carried out, and names what a fault needs."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) ?\| (never|once|twice) \| (.+?) \| (.*?) ?\|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    shown = [(name, before, executed, answer) for name, before, executed, answer, _ in rows]
    assert shown == [
        (name, course.before, ("never", "once", "twice")[course.executed], course.answer)
        for name, course in FAULTS.items()
    ]
    assert [name for name, *_, details in rows if FAULTS[name].needs not in details] == []
    assert tuple(FAULTS) == get_args(FaultName)


def test_a_public_method_may_fail_too(fake: FakeKraken, server: FakeKrakenServer) -> None:
    """SystemStatus and the like get faults as private methods do."""
    fake.faults.add("Time", "html")
    assert urllib3.request("GET", server.url + "/0/public/Time").status == 502
    assert urllib3.request("GET", server.url + "/0/public/Time").status == 200


def test_a_dropped_request_was_never_processed(fake: FakeKraken, account: FakeAccount, wire: Wire) -> None:
    """The connection is cut, and the nonce is not used."""
    fake.faults.add("AddOrder", "drop")
    with pytest.raises(CUT):
        wire.send("AddOrder", **ORDER)
    assert (fake.accepted(), account.last_nonce, account.orders) == ([], 0, {})


def test_the_log_has_the_calls_that_got_a_fault(fake: FakeKraken, wire: Wire) -> None:
    """Also those that were never executed: whoever reads it sees what his bot has sent, and what became of it."""
    fake.faults.add("Balance", "drop")
    fake.faults.add("Balance", "html")
    fake.faults.add("Balance", "error", error="EService:Busy")
    fake.faults.add("Balance", "process_then_cut")
    fake.faults.add("Balance", "duplicate")
    for expected in (CUT, None, None, CUT, None, None):
        with pytest.raises(expected) if expected else contextlib.nullcontext():
            wire.send("Balance")
    assert [(each.fault, each.accepted, each.error) for each in fake.arrivals] == [
        ("drop", False, None),
        ("html", False, None),
        ("error", False, "EService:Busy"),
        ("process_then_cut", True, None),
        ("duplicate", True, None),
        ("duplicate", False, "EAPI:Invalid nonce"),
        ("", True, None),
    ]
    assert [arrival.nonce for arrival in fake.arrivals] == [1, 2, 3, 4, 5, 5, 6]
    assert {(arrival.account, arrival.method) for arrival in fake.arrivals} == {("bot", "Balance")}


def test_a_nonce_that_a_fault_refuses_is_no_defect_of_the_bot(fake: FakeKraken, wire: Wire) -> None:
    """A test that plays an invalid nonce can still say that there was no other."""
    fake.faults.add("Balance", "error", error="EAPI:Invalid nonce")
    assert wire.reply("Balance") == {"error": ["EAPI:Invalid nonce"]}
    fake.assert_no_invalid_nonce()
    assert len(fake.invalid_nonces()) == 1


def test_an_order_may_be_placed_without_an_answer(fake: FakeKraken, account: FakeAccount, wire: Wire) -> None:
    """The connection is cut after the order was placed."""
    fake.faults.add("AddOrder", "process_then_cut")
    with pytest.raises(CUT):
        wire.send("AddOrder", **ORDER)
    assert (nonces(fake), len(account.orders)) == ([1], 1)


@pytest.mark.parametrize("status", [502, 504, 520])
def test_an_order_may_be_placed_behind_a_page_of_html(
    fake: FakeKraken, account: FakeAccount, wire: Wire, status: int
) -> None:
    """The order was placed, and the answer is a page that says nothing about it."""
    fake.faults.add("AddOrder", "process_then_html", status=status)
    response = wire.send("AddOrder", **ORDER)
    assert response.status == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert str(status).encode() in response.data
    assert (nonces(fake), len(account.orders)) == ([1], 1)


def test_the_same_page_may_come_before_anything_is_executed(fake: FakeKraken, account: FakeAccount, wire: Wire) -> None:
    """The sender cannot tell it from the page behind which an order was placed."""
    fake.faults.add("AddOrder", "process_then_html")
    fake.faults.add("AddOrder", "html")
    assert wire.send("AddOrder", **ORDER).data == wire.send("AddOrder", **ORDER).data
    assert ([each.nonce for each in fake.accepted()], len(account.orders)) == ([1], 1)


def test_an_error_may_lie(fake: FakeKraken, account: FakeAccount, wire: Wire) -> None:
    """The same error string once without and once with the order placed."""
    fake.faults.add("AddOrder", "error", error="EService:Timeout")
    fake.faults.add("AddOrder", "process_then_error", error="EService:Timeout")
    assert wire.reply("AddOrder", **ORDER) == {"error": ["EService:Timeout"]}
    assert account.orders == {}
    assert wire.reply("AddOrder", **ORDER) == {"error": ["EService:Timeout"]}
    assert len(account.orders) == 1


def test_a_slow_answer_comes_after_the_order_was_placed(
    fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer
) -> None:
    """Another call sees the order while the answer is on its way."""
    fake.faults.add("AddOrder", "slow_answer", seconds=1000)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as sender:
        sender.sendall(as_http(*signed(account, "AddOrder", 1, ORDER)))
        wait_for(fake, calls=1)
        assert len(account.orders) == 1
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            sender.recv(1)


def test_a_slow_request_is_executed_late(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """A later call with a larger nonce is executed first, and the slow one is then refused."""
    fake.faults.add("AddOrder", "slow_request", seconds=0.2)
    wire = Wire(server.url, account)
    replies: list[Any] = []
    slow = threading.Thread(target=lambda: replies.append(wire.reply("AddOrder", **ORDER)))
    slow.start()
    wait_for_fault(fake)
    assert wire.reply("Balance")["error"] == []
    slow.join()
    assert replies == [{"error": ["EAPI:Invalid nonce"]}]
    assert nonces(fake) == [2, 1]


@pytest.mark.parametrize(("answer", "error"), [("first", []), ("second", ["EAPI:Invalid nonce"])])
def test_the_same_bytes_may_arrive_twice(
    fake: FakeKraken, account: FakeAccount, wire: Wire, answer: str, error: list[str]
) -> None:
    """One order is placed; the sender gets the answer to the first or to the second copy."""
    fake.faults.add("AddOrder", "duplicate", answer=answer)
    assert wire.reply("AddOrder", **ORDER)["error"] == error
    assert [(each.nonce, each.error, each.is_copy) for each in fake.arrivals] == [
        (1, None, False),
        (1, "EAPI:Invalid nonce", True),
    ]
    assert len(account.orders) == 1


def test_a_hidden_order_is_found_later(fake: FakeKraken, account: FakeAccount) -> None:
    """An order is in no list and found by no query until its time has come."""
    caller = Caller(fake, account)
    (txid,) = caller.result("AddOrder", hidden_for=2.0, cl_ord_id="mine", **ORDER)["txid"]
    caller.now += 1.9
    assert caller.result("OpenOrders", cl_ord_id="mine") == {"open": {}}
    caller.now += 0.2
    assert list(caller.result("OpenOrders", cl_ord_id="mine")["open"]) == [txid]


def test_an_order_may_be_lost_and_hidden(fake: FakeKraken, account: FakeAccount, wire: Wire) -> None:
    """Faults that execute an order take hidden_for as well."""
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=1000)
    with pytest.raises(CUT):
        wire.send("AddOrder", **ORDER)
    assert wire.reply("OpenOrders")["result"] == {"open": {}}
    assert len(account.orders) == 1


def test_a_request_held_back_lets_the_next_one_pass(
    fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer
) -> None:
    """Two requests in flight arrive in the other order."""
    fake.faults.add("AddOrder", "hold_back", seconds=1000)
    wire = Wire(server.url, account)
    replies: list[Any] = []
    held = threading.Thread(target=lambda: replies.append(wire.reply("AddOrder", **ORDER)), daemon=True)
    held.start()
    wait_for_fault(fake)
    assert wire.reply("Balance")["error"] == []
    held.join(10)
    assert replies == [{"error": ["EAPI:Invalid nonce"]}]
    assert nonces(fake) == [2, 1]


def test_requests_held_back_keep_their_order(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """The one that came first is executed first when another one lets them go on."""
    fake.faults.add("AddOrder", "hold_back", seconds=1000, times=2)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        for nonce, sender in enumerate((first, second), 1):
            sender.sendall(as_http(*signed(account, "AddOrder", nonce, ORDER)))
            wait_for_fault(fake, left=2 - nonce)
        urllib3.request("GET", server.url + "/0/public/Time")
        wait_for(fake, calls=2)
    assert nonces(fake) == [1, 2]


def test_a_request_held_back_goes_on_when_none_comes(fake: FakeKraken, wire: Wire) -> None:
    """It waits for its seconds at most."""
    fake.faults.add("Balance", "hold_back", seconds=0.01)
    assert wire.reply("Balance") == {"error": [], "result": {}}


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"method": "AddOrder", "fault": "guess"}, "fault must be one of: drop"),
        ({"method": "AddOrder"}, "has a method and a fault"),
        ({"method": "AddOrder", "fault": "drop", "colour": "red"}, "has a method and a fault"),
        ({"method": "", "fault": "drop"}, "method must be one of Kraken"),
        ({"method": "AddOrdr", "fault": "drop"}, "method must be one of Kraken"),
        ({"method": ["AddOrder"], "fault": "drop"}, "method must be one of Kraken"),
        ({"method": "AddOrder", "fault": "drop", "times": 0}, "times must be"),
        ({"method": "AddOrder", "fault": "drop", "times": 1.5}, "times must be"),
        ({"method": "AddOrder", "fault": "slow_answer"}, "slow_answer needs seconds"),
        ({"method": "AddOrder", "fault": "slow_answer", "seconds": -1}, "seconds must be a number"),
        ({"method": "AddOrder", "fault": "slow_answer", "seconds": "1"}, "seconds must be a number"),
        ({"method": "AddOrder", "fault": "hidden"}, "hidden needs hidden_for"),
        ({"method": "AddOrder", "fault": "drop", "hidden_for": float("nan")}, "hidden_for must be a number"),
        ({"method": "AddOrder", "fault": "html", "status": 600}, "status must be"),
        ({"method": "AddOrder", "fault": "error", "error": ""}, "error must be a text"),
        ({"method": "AddOrder", "fault": "duplicate", "answer": "third"}, "answer must be"),
    ],
)
def test_a_fault_that_cannot_be_used_is_explained(described: dict[str, Any], message: str) -> None:
    """The message names the rule, and nothing is added."""
    faults = Faults()
    with pytest.raises(ConfigError, match=message):
        faults.add_from(described)
    assert len(faults) == 0


def test_faults_are_listed_and_removed() -> None:
    """A test can list the faults still to come, and remove them."""
    faults = Faults()
    faults.add("Balance", "drop", times=3)
    assert faults.take("AddOrder") is None
    assert faults.take("Balance") == Fault(method="Balance", fault="drop", times=3)
    assert [each.times for each in faults.waiting()] == [2]
    faults.clear()
    assert faults.take("Balance") is None


def test_faults_are_scripted_over_http(fake: FakeKraken, wire: Wire) -> None:
    """Other processes and languages add, list and remove faults with JSON."""
    wanted = {"method": "AddOrder", "fault": "process_then_html", "status": 520}
    assert wire.control("POST", "faults", wanted) == (200, {"waiting": 1})
    status, (listed,) = wire.control("GET", "faults")
    assert (status, listed["fault"], listed["status"], listed["times"]) == (200, "process_then_html", 520, 1)
    assert wire.send("AddOrder", **ORDER).status == 520
    wire.control("POST", "faults", wanted)
    assert wire.control("DELETE", "faults") == (200, {})
    assert wire.reply("AddOrder", **ORDER)["error"] == []


def test_a_wrong_fault_over_http_is_explained(wire: Wire) -> None:
    """Status 400 and the reason as JSON; for a path that is not there, 404 and those that are."""
    status, answer = wire.control("POST", "faults", {"method": "AddOrder", "fault": "guess"})
    assert (status, "fault must be one of" in answer["error"]) == (400, True)
    status, answer = wire.control("POST", "faults", ["drop"])
    assert (status, answer) == (400, {"error": "The body is not a JSON object."})
    status, answer = wire.control("GET", "guess")
    assert (status, "POST /fake/faults" in answer["error"]) == (404, True)


def wait_for(fake: FakeKraken, calls: int) -> None:
    """Return when that many calls have been processed."""
    tick = threading.Event()
    while len(fake.arrivals) < calls:
        tick.wait(0.001)


def wait_for_fault(fake: FakeKraken, left: int = 0) -> None:
    """Return when so many requests are left that will get a fault."""
    tick = threading.Event()
    while len(fake.faults) > left:
        tick.wait(0.001)
