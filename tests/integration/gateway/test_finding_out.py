"""What became of an order whose answer was lost: the gateway asks Kraken before it says that it does not know."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from krakenonce.brokers import Account
from krakenonce.gateway import fence, finding_out, front, sending
from krakenonce.kraken.kraken_time import kraken_time
from krakenonce.kraken.wire import JSON
from tests.integration.gateway.conftest import (
    ORDER,
    RunningGateway,
    assert_unknown,
    call,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import Got, WatchedKraken
    from tests.integration.gateway.processes import Processes

MARKET = "pair=XBTUSD&type=buy&ordertype=market&volume=0.01"
LOST: list[tuple[str, dict[str, Any]]] = [
    ("process_then_cut", {}),
    ("slow_answer", {"seconds": 20.0}),
    ("process_then_html", {"status": 502}),
    ("process_then_html", {"status": 504}),
    ("process_then_html", {"status": 520}),
    ("process_then_html", {"status": 200}),
    ("process_then_error", {"error": "EService:Unavailable"}),
    ("process_then_error", {"error": "EGeneral:Internal error"}),
    ("process_then_error", {"error": "EService:Timeout"}),
    ("process_then_error", {"error": "EAPI:Invalid nonce"}),
    ("process_then_error", {"error": "EOrder:Duplicate cl_ord_id"}),
    ("process_then_error", {"error": "EFuture:Words of next year"}),
]


@pytest.fixture
def gateway(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that waits half a second for the answer to an order."""
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=0.5) as running:
        yield running
    assert running.complaints == []


def placed(master: FakeAccount) -> list[str]:
    """Kraken's ids of all orders of the account, open or not."""
    return [*master.orders, *master.done]


def methods(fake: WatchedKraken) -> list[str]:
    """The private calls that came to Kraken."""
    return [seen.path.removeprefix("/0/private/") for seen in fake.seen]


def assert_found(got: Got, txid: str) -> None:
    """The answer is what Kraken would have answered, with the gateway's word on how it knows."""
    assert (got.status, got.headers["Content-Type"]) == (200, "application/json")
    answer = json.loads(got.body)
    assert answer["error"] == []
    assert answer["result"]["txid"] == [txid]
    assert answer["result"]["descr"]["order"].startswith("buy ")
    assert got.headers["X-Krakenonce-Executed"] == "yes"
    assert "asked Kraken" in got.headers["X-Krakenonce-Explanation"]


@pytest.mark.parametrize(("fault", "details"), LOST)
@pytest.mark.parametrize("order", [ORDER, MARKET], ids=["limit", "market"])
def test_an_executed_order_s_txid_is_found(
    gateway: RunningGateway,
    pair: LocalKey,
    fake: WatchedKraken,
    master: FakeAccount,
    order: str,
    fault: Any,
    details: Any,
) -> None:
    """However the answer was lost, and whether the order is open or filled."""
    fake.faults.add("AddOrder", fault, **details)
    got = send(gateway.url, order_request(pair, order))
    assert_found(got, placed(master)[0])
    assert methods(fake).count("AddOrder") == len(placed(master)) == 1


@pytest.mark.parametrize(
    "order",
    [
        f"{ORDER}&userref=7",
        f"{ORDER}&cl_ord_id=bot-1",
        f"{ORDER}&oflags=post",
        f"{ORDER}&oflags=post,fciq",
        f"{ORDER}&timeinforce=GTC&leverage=none",
        f"{ORDER}&expiretm=%2b60",
        f"{ORDER}&close[ordertype]=limit&close[price]=200",
        "pair=XXBTZUSD&type=buy&ordertype=limit&volume=1.0&price=100.0",
        "pair=XBT/USD&type=buy&ordertype=limit&volume=001&price=0100",
        "pair=BTC/USD&type=buy&ordertype=limit&volume=1.00000000&price=100.00",
        "pair=XBTUSD&type=buy&ordertype=market&volume=100&oflags=viqc",
    ],
)
def test_an_order_is_found_however_it_is_written(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, order: str
) -> None:
    """Kraken's lists have other spellings of numbers and pairs, and more flags, than what was sent."""
    fake.faults.add("AddOrder", "process_then_cut")
    got = send(gateway.url, order_request(pair, order))
    assert_found(got, placed(master)[0])


def test_an_order_is_told_from_others_that_look_like_it(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Orders that were answered are known, and so are those that differ in one thing."""
    other = gateway.add("other")
    for local, params in ((pair, ORDER), (other, ORDER), (pair, f"{ORDER}&userref=3"), (pair, f"{ORDER}&oflags=post")):
        assert send(gateway.url, order_request(local, params)).errors == []
    fake.faults.add("AddOrder", "process_then_cut")
    got = send(gateway.url, order_request(pair))
    assert_found(got, placed(master)[-1])


def test_two_orders_that_nothing_tells_apart_leave_it_unknown(
    gateway: RunningGateway,
    pair: LocalKey,
    fake: WatchedKraken,
    master: FakeAccount,
    server: FakeKrakenServer,
    tmp_path: Path,
) -> None:
    """Another program has placed an equal one on Kraken's website at the same time."""
    with RunningGateway(
        server.url, [Account("MASTER", master.key, master.secret, "none")], tmp_path / "another"
    ) as another:
        assert send(another.url, order_request(another.add("bot"))).errors == []
    fake.faults.add("AddOrder", "process_then_cut")
    assert_unknown(send(gateway.url, order_request(pair)), "AddOrder")
    assert len(placed(master)) == 2


def test_an_order_of_another_is_not_taken_for_one_that_was_not_placed(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """The only equal order at Kraken is one that another local key was answered."""
    assert send(gateway.url, order_request(gateway.add("other"))).errors == []
    fake.faults.add("AddOrder", "drop")
    assert_unknown(send(gateway.url, order_request(pair)), "AddOrder")
    assert len(placed(master)) == 1


def test_an_order_of_another_key_of_the_same_account_is_not_taken_either(
    fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """Two accounts of the gateway may be two keys of one account at Kraken."""
    accounts = [Account(name, master.key, master.secret, "none") for name in ("MASTER", "USER:alice")]
    with RunningGateway(server.url, accounts, tmp_path / "state", order_timeout=0.5) as gateway:
        other = gateway.add("other", account="USER:alice")
        assert send(gateway.url, order_request(other)).errors == []
        fake.faults.add("AddOrder", "drop")
        assert_unknown(send(gateway.url, order_request(gateway.add("bot"))), "AddOrder")
    assert len(placed(master)) == 1


def test_an_order_is_not_refused_because_the_names_of_its_pair_were_not_answered(
    gateway: RunningGateway,
    pair: LocalKey,
    fake: WatchedKraken,
    master: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its deadline is over, and without the pair's other names it is not recognized in Kraken's lists."""
    monkeypatch.setattr(finding_out, "MARGIN", timedelta(0))
    monkeypatch.setattr(finding_out, "_LOOKS", (3.4, 3.8))
    fake.faults.add("AddOrder", "process_then_cut")
    fake.faults.add("AssetPairs", "error", error="EService:Unavailable", times=2)
    order = f"{ORDER.replace('XBTUSD', 'XBT/USD')}&deadline={deadline(2.2)}"
    request = order_request(pair, order)
    got = send(gateway.url, request)
    while got.status == 504:
        got = send(gateway.url, request)
    assert_found(got, placed(master)[0])


def test_a_gateway_stops_looking_for_an_order_that_another_one_has_found(
    gateway: RunningGateway,
    pair: LocalKey,
    fake: WatchedKraken,
    master: FakeAccount,
    server: FakeKrakenServer,
    tmp_path: Path,
) -> None:
    """It would take the bot's next equal order for the one that it still looks for."""
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=0.5) as another:
        orders = [order_request(pair), order_request(pair)]
        for request, first in zip(orders, (gateway, another), strict=True):
            fake.faults.add("AddOrder", "process_then_cut")
            fake.faults.add("OpenOrders", "process_then_cut")
            assert_unknown(send(first.url, request), "AddOrder")
            got = send(another.url, request)
            for _ in range(4):
                got = send(another.url, request) if got.status == 504 else got
            assert_found(got, placed(master)[0])
            fake.fill(placed(master)[0])


def test_kraken_is_asked_before_any_other_call_of_the_key(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken
) -> None:
    """Calls that wait stay behind the questions."""
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    with ThreadPoolExecutor(4) as pool:
        order = pool.submit(send, gateway.url, order_request(pair, MARKET))
        until(lambda: fake.seen)
        others = [pool.submit(call, gateway.url, pair, method) for method in ("Balance", "CancelAll", "TradeBalance")]
        assert order.result().errors == []
        assert [each.result().errors for each in others] == [[]] * 3
    assert methods(fake)[:3] == ["AddOrder", "OpenOrders", "ClosedOrders"]
    assert len(fake.seen) == 6


def test_an_order_that_is_late_cannot_be_executed_after_the_question(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """It arrives when Kraken has accepted a later nonce of the key."""
    fake.faults.add("AddOrder", "slow_request", seconds=1.2)
    assert_unknown(send(gateway.url, order_request(pair)), "AddOrder")
    until(lambda: "AddOrder" in [arrival.method for arrival in fake.arrivals])
    assert placed(master) == []


def deadline(seconds: float) -> str:
    """A deadline so many seconds ahead, in Kraken's form."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_an_order_is_refused_only_when_its_deadline_is_over(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Before that it is unknown; then Kraken's lists prove it, and the repeat is told so."""
    fake.faults.add("AddOrder", "drop")
    request = order_request(pair, f"{ORDER}&deadline={deadline(2.2)}")
    assert_unknown(send(gateway.url, request), "AddOrder")
    got = send(gateway.url, request)
    while got.status == 504:
        got = send(gateway.url, request)
    assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Deadline elapsed"], "no")
    assert placed(master) == []
    assert "AddOrder" not in methods(fake)


def test_an_order_that_was_amended_before_it_was_looked_for_is_not_said_to_be_missing(
    gateway: RunningGateway,
    pair: LocalKey,
    fake: WatchedKraken,
    master: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program has made it larger. Its deadline is over, and Kraken's lists have no order of its volume."""
    monkeypatch.setattr(finding_out, "MARGIN", timedelta(0))
    monkeypatch.setattr(finding_out, "_LOOKS", (2.8,))
    monkeypatch.setattr(fence, "LOOKED_FOR", 2.9)
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=1.0)
    request = order_request(pair, f"{ORDER}&deadline={deadline(2.2)}")
    assert_unknown(send(gateway.url, request), "AddOrder")
    (txid,) = placed(master)
    assert call(gateway.url, pair, "AmendOrder", f"txid={txid}&order_qty=2").errors == []
    until(lambda: methods(fake).count("ClosedOrders") == 2)
    assert_unknown(send(gateway.url, request), "AddOrder")
    assert methods(fake).count("AddOrder") == 1


def test_an_order_that_is_seen_late_is_found_for_the_repeat(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Kraken's lists may show it only seconds later: the gateway goes on looking after it has said "unknown"."""
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=2.2)
    request = order_request(pair)
    assert_unknown(send(gateway.url, request), "AddOrder")
    got = send(gateway.url, request)
    while got.status == 504:
        got = send(gateway.url, request)
    assert_found(got, placed(master)[0])
    assert methods(fake).count("AddOrder") == 1


def test_repeats_of_an_order_that_stays_unknown_do_not_use_up_the_rate_limit(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that repeats it each half second, for hours, has Kraken asked again only after some time."""
    monkeypatch.setattr(fence, "LOOKED_FOR", 0.0)
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=60.0)
    request = order_request(pair)
    for _ in range(5):
        assert_unknown(send(gateway.url, request), "AddOrder")
    assert methods(fake).count("OpenOrders") == 1


def test_searches_for_many_orders_do_not_use_up_the_rate_limit_of_cancels(
    fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """Kraken was away for a moment; of each order it is asked only as often as its rate limit allows."""
    fake.rules.tier = "starter"
    fake.faults.add("AddOrder", "drop", times=12)
    account = Account("MASTER", master.key, master.secret, "starter")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=0.5) as gateway:
        pair = gateway.add("bot")
        requests = [order_request(pair, f"{ORDER}&userref={number}") for number in range(1, 13)]
        with ThreadPoolExecutor(12) as pool:
            for got in pool.map(lambda each: send(gateway.url, each), requests):
                assert_unknown(got, "AddOrder")
        assert call(gateway.url, pair, "CancelAll").errors == []
    assert len([each for each in fake.arrivals if each.error]) < 5


def test_what_the_gateway_knows_is_kept_with_an_answer_that_nobody_received(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """The repeat is told that the gateway has found the order, as the first sender would have been."""
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    request = order_request(pair)
    send_and_leave(gateway.url, request, lambda: placed(master))
    until(lambda: not gateway.accounts["MASTER"].queue.busy)
    assert_found(send(gateway.url, request), placed(master)[0])


def test_a_cancel_waits_for_one_search_at_most(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kraken is slow, and has lost many orders: all of them are looked for."""
    monkeypatch.setattr(finding_out, "_LOOKS", (1.5,))
    fake.faults.add("AddOrder", "drop", times=10)
    requests = [order_request(pair, f"{ORDER}&userref={number}") for number in range(1, 11)]
    with ThreadPoolExecutor(10) as pool:
        for got in pool.map(lambda each: send(gateway.url, each), requests):
            assert_unknown(got, "AddOrder")
    looks = methods(fake).count("OpenOrders")
    fake.faults.add("OpenOrders", "slow_answer", seconds=0.3, times=10)
    until(lambda: methods(fake).count("OpenOrders") > looks + 2)
    before = len(fake.seen)
    assert call(gateway.url, pair, "CancelAll").errors == []
    assert methods(fake)[before:].index("CancelAll") <= 3


def test_searches_for_unknown_orders_leave_room_for_the_next_one(
    fake: WatchedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose answer is lost as well: it is found at once, because the others are looked for in half of the limit."""
    monkeypatch.setattr(finding_out, "_LOOKS", [look / 20 for look in range(1, 8)])
    fake.rules.tier = "starter"
    fake.faults.add("AddOrder", "drop")
    fake.faults.add("AddOrder", "process_then_cut")
    account = Account("MASTER", master.key, master.secret, "starter")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=2.0) as gateway:
        pair = gateway.add("bot")
        assert_unknown(send(gateway.url, order_request(pair, f"{ORDER}&userref=1")), "AddOrder")  # after its search
        assert_found(send(gateway.url, order_request(pair, f"{ORDER}&userref=2")), *placed(master))


def test_a_second_order_with_the_same_cl_ord_id_waits_for_the_first(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """With a new nonce, as nautilus_trader sends it up to four times: one order, and all get its txid."""
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    order = f"{MARKET}&cl_ord_id=bot-1"
    first = order_request(pair, order)
    send_and_leave(gateway.url, first, lambda: placed(master))
    got = send(gateway.url, order_request(pair, order))
    assert_found(got, placed(master)[0])
    assert "X-Krakenonce-Repeat" in got.headers
    assert methods(fake).count("AddOrder") == len(placed(master)) == 1


def test_another_order_with_the_same_cl_ord_id_goes_on_its_own(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Other fields make another order; and once the first is answered, an equal one is the client's own decision."""
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0)
    send_and_leave(gateway.url, order_request(pair, f"{MARKET}&cl_ord_id=bot-1"), lambda: placed(master))
    other = f"{MARKET.replace('0.01', '0.02')}&cl_ord_id=bot-1"
    for _ in range(2):
        assert send(gateway.url, order_request(pair, other)).errors == []
    assert len(placed(master)) == 3


def test_a_cl_ord_id_that_is_used_already_is_refused_as_at_kraken(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """A bot that was restarted sends its order anew: Kraken has refused it, and the open one is known to be another."""
    assert send(gateway.url, order_request(pair, f"{ORDER}&cl_ord_id=bot-1")).errors == []
    begun = time.time()
    until(lambda: time.time() > begun + 1.0)  # the record has whole seconds
    for order in (ORDER, ORDER.replace("volume=1", "volume=2")):
        got = send(gateway.url, order_request(pair, f"{order}&cl_ord_id=bot-1"))
        assert got.errors == ["EOrder:Duplicate cl_ord_id"]
        assert "X-Krakenonce-Executed" not in got.headers
    assert (len(master.orders), methods(fake).count("AddOrder")) == (1, 3)


@pytest.mark.parametrize("fault", ["process_then_cut", "drop", "error"])
def test_a_search_that_kraken_does_not_answer_leaves_the_order_unknown(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, fault: Any
) -> None:
    """And sends nothing but the questions."""
    fake.faults.add("AddOrder", "process_then_cut")
    fake.faults.add("OpenOrders", fault, times=20)
    assert_unknown(send(gateway.url, order_request(pair)), "AddOrder")
    assert set(methods(fake)) <= {"AddOrder", "OpenOrders"}


def test_a_poisoned_key_is_told_from_a_lost_answer(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Invalid nonce to the order and to the question: that is Kraken's answer."""
    master.last_nonce = 2**62
    got = send(gateway.url, order_request(pair))
    assert got.errors == ["EAPI:Invalid nonce"]
    assert "X-Krakenonce-Executed" not in got.headers


def test_a_stopping_gateway_says_what_it_knows(gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken) -> None:
    """It does not look for a minute: who waits is told that the outcome is unknown."""
    fake.faults.add("AddOrder", "drop")
    fake.faults.add("OpenOrders", "slow_answer", seconds=1.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, gateway.url, order_request(pair))
        until(lambda: "OpenOrders" in methods(fake))
        gateway.stop()
        assert_unknown(waiting.result(), "AddOrder")


def add_orders_as_json(gateway: RunningGateway, local: LocalKey, params: dict[str, Any], nonce: int) -> Got:
    """Send an order as JSON, with blanks behind it."""
    body, path = json.dumps({"nonce": nonce, **params}).encode() + b" \n", "/0/private/AddOrder"
    return fetch(gateway.url, "POST", path, body, signed(local, path, nonce, body, JSON))


def test_a_traced_order_has_an_id_and_a_deadline(
    gateway: RunningGateway, fake: WatchedKraken, master: FakeAccount
) -> None:
    """As a form and as JSON; so it is found for certain, also among equal orders."""
    traced = gateway.add("traced", trace_orders=True)
    assert send(gateway.url, order_request(traced)).errors == []
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}
    assert add_orders_as_json(gateway, traced, order, 7).errors == []
    ids = {each.cl_ord_id for each in master.orders.values()}
    assert len(ids - {None}) == 2
    assert all(b"deadline" in seen.body for seen in fake.seen)
    fake.faults.add("AddOrder", "process_then_cut")
    assert_found(send(gateway.url, order_request(traced)), placed(master)[-1])
    assert [seen.path for seen in fake.seen][-1] == "/0/private/OpenOrders"


def test_tracing_breaks_no_order(gateway: RunningGateway, fake: WatchedKraken, master: FakeAccount) -> None:
    """Kraken accepts no cl_ord_id beside a userref or a close; what the client has given stays; edits go on."""
    traced = gateway.add("traced", trace_orders=True)
    fake.rules.edits_named_orders = True  # Kraken's page on EditOrder can be read either way
    own = f"cl_ord_id=bot-1&deadline={deadline(30)}"
    for more in ("userref=7", "close[ordertype]=limit&close[price]=200", "validate=true", own):
        assert send(gateway.url, order_request(traced, f"{ORDER}&{more}")).errors == []
        sent = fake.seen[-1].body.decode()
        assert ("cl_ord_id" in sent) == ("cl_ord_id" in more)
        assert ("deadline" in sent) == (more != "validate=true")
    assert sent.count("deadline") == sent.count("cl_ord_id") == 1
    assert len(master.orders) == 3
    assert send(gateway.url, order_request(traced)).errors == []
    txid = placed(master)[-1]
    assert call(gateway.url, traced, "EditOrder", f"txid={txid}&pair=XBTUSD&volume=2").errors == []
    assert call(gateway.url, traced, "CancelOrder", f"txid={placed(master)[-2]}").errors == []


def test_a_traced_order_that_was_not_placed_is_refused(
    gateway: RunningGateway, fake: WatchedKraken, master: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deadline proves it, without one of the client's."""
    monkeypatch.setattr(sending, "LIFETIME", 2.2)
    traced = gateway.add("traced", trace_orders=True)
    fake.faults.add("AddOrder", "drop")
    request = order_request(traced)
    got = send(gateway.url, request)
    while got.status == 504:
        got = send(gateway.url, request)
    assert got.errors == ["EService:Deadline elapsed"]
    assert got.headers["X-Krakenonce-Executed"] == "no"
    assert "was not placed" in got.headers["X-Krakenonce-Explanation"]
    assert placed(master) == []


def test_a_wrong_clock_hides_no_order(
    fake: WatchedKraken,
    master: FakeAccount,
    server: FakeKrakenServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call of a gateway on a machine that is half a minute ahead; Kraken shows the order a second later."""
    monkeypatch.setattr(kraken_time(urlsplit(server.url).netloc), "local", lambda: time.time() + 30)
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=0.5) as gateway:
        fake.faults.add("AddOrder", "process_then_cut", hidden_for=0.8)
        request = order_request(gateway.add("bot"), f"{ORDER}&deadline={deadline(2.2)}")
        got = send(gateway.url, request)
        while got.status == 504:
            got = send(gateway.url, request)
    assert_found(got, placed(master)[0])


def test_no_order_is_given_to_two_that_wait_for_one(
    gateway: RunningGateway, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Two bots send equal orders, one is placed and shown late: neither the wrong one gets it, nor is it denied."""
    first, second = order_request(gateway.add("first")), order_request(gateway.add("second"))
    fake.faults.add("AddOrder", "drop")
    assert_unknown(send(gateway.url, first), "AddOrder")
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=0.8)
    assert_unknown(send(gateway.url, second), "AddOrder")
    asked = methods(fake).count("OpenOrders")
    until(lambda: methods(fake).count("OpenOrders") >= asked + 4)
    assert len(placed(master)) == 1
    assert_unknown(send(gateway.url, first), "AddOrder")
    assert_unknown(send(gateway.url, second), "AddOrder")


@pytest.mark.parametrize(("fault", "hidden_for"), [("drop", 0), ("error", 0), ("html", 0), ("hidden", 0.8)])
def test_a_refused_nonce_counts_only_if_the_next_one_is_refused_as_well(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount, fault: Any, hidden_for: float
) -> None:
    """Else it may be the answer to a copy. While the order is not seen it is unknown; then it is found."""
    fake.faults.add("AddOrder", "process_then_error", error="EAPI:Invalid nonce", hidden_for=hidden_for)
    fake.faults.add("OpenOrders", fault, hidden_for=1.0)
    request = order_request(pair)
    got = send(gateway.url, request)
    assert_unknown(got, "AddOrder")
    while got.status == 504:
        got = send(gateway.url, request)
    assert_found(got, placed(master)[0])


def test_the_deadline_of_an_equal_order_proves_nothing_after_a_kill(
    processes: Processes, fake: WatchedKraken, master: FakeAccount
) -> None:
    """The first had none. It is placed, and Kraken shows it late: the second is not told that it was not placed."""
    pair = processes.add("bot")
    process, url = processes.serve()
    order = f"{ORDER}&cl_ord_id=bot-1"
    fake.faults.add("AddOrder", "slow_answer", seconds=20.0, hidden_for=60.0)
    send_and_leave(url, order_request(pair, order), lambda: fake.seen)
    process.kill()
    process.wait()
    _, url = processes.serve()
    assert_unknown(send(url, order_request(pair, f"{order}&deadline={deadline(-10)}")), "AddOrder")


def test_another_gateway_knows_an_order_before_its_sender_has_the_answer(
    gateway: RunningGateway,
    pair: LocalKey,
    processes: Processes,
    fake: WatchedKraken,
    master: FakeAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes it for none of its own, which has the same fields and was lost."""
    is_read = threading.Event()

    async def late(*_: object) -> None:
        await asyncio.to_thread(is_read.wait)

    monkeypatch.setattr(front.Front, "_write", late)
    another_pair = gateway.add("other")
    _, other = processes.serve()
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(send, gateway.url, order_request(pair))
        until(lambda: master.orders and not gateway.accounts["MASTER"].queue.busy)
        fake.faults.add("AddOrder", "drop")
        got = send(other, order_request(another_pair))
        is_read.set()
        assert answered.result().errors == []
    assert_unknown(got, "AddOrder")


def test_a_network_that_doubles_order_and_question_hides_no_order(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Both are answered with Invalid nonce, as the second copies: one more question finds the order."""
    fake.faults.add("AddOrder", "duplicate")
    fake.faults.add("OpenOrders", "duplicate")
    assert_found(send(gateway.url, order_request(pair)), placed(master)[0])
    assert len(placed(master)) == 1


def test_a_refused_nonce_of_a_public_call_says_nothing_about_the_key(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, master: FakeAccount
) -> None:
    """Whatever has answered so, it was not asked for the order; and that was placed."""
    fake.faults.add("AddOrder", "duplicate")
    fake.faults.add("AssetPairs", "error", error="EAPI:Invalid nonce")
    request = order_request(pair)
    assert_unknown(send(gateway.url, request), "AddOrder")
    got = send(gateway.url, request)
    while got.status == 504:
        got = send(gateway.url, request)
    assert_found(got, placed(master)[0])
