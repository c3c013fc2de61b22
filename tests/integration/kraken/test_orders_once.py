"""No order is ever placed twice: hundreds of orders over HTTP, while answers and requests get lost.

A bot with threads and a bot with tasks place orders at the same time. Whatever an error leaves open they ask for, and
they place an order again only when the answer is that it does not stand. Each order has a volume of its own, by which
the test counts at the fake Kraken how often it was placed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import KrakenError, OutcomeUnknown
from krakenonce.kraken import AsyncKraken, Kraken, orders, sent
from krakenonce.kraken.request import Key, PrivateCall, Request
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.kraken.simulation import World

if TYPE_CHECKING:
    from collections.abc import Iterable

ORDERS = 300
ACCOUNTS = 8  # half of them for the threads, half for the tasks
THREADS = 20
TRIES = 5

FINE: dict[str, Any] = {"fault": "slow_answer", "seconds": 0.001}
CUT: dict[str, Any] = {"fault": "process_then_cut"}
HIDDEN: dict[str, Any] = {"fault": "process_then_cut", "hidden_for": 0.3}
LOST: list[dict[str, Any]] = [{"fault": "drop"}] * 4 + [{"fault": "html"}, {"fault": "error", "error": "EService:Busy"}]
EXECUTED: list[dict[str, Any]] = [
    CUT,
    CUT,
    {"fault": "process_then_html", "status": 502},
    {"fault": "process_then_html", "status": 520},
    {"fault": "process_then_error", "error": "EService:Unavailable"},
    {"fault": "process_then_error", "error": "EGeneral:Internal error"},
    {"fault": "duplicate", "answer": "second"},
    {"fault": "duplicate", "answer": "first"},
]


def volume_of(number: int) -> Decimal:
    """The volume by which an order is told from all others."""
    return Decimal("0.001") + number * Decimal("0.000001")


def price_of(number: int) -> str | None:
    """Most orders rest in the book; every fifth is filled at once, and is soon among the closed ones."""
    return "30000" if number % 5 else None


def times_placed(fake: FakeKraken) -> Counter[Decimal]:
    """How often each order was placed, by its volume."""
    return Counter(
        order.volume
        for account in fake.accounts.values()
        for order in (*account.orders.values(), *account.done.values())
    )


def make_trouble(fake: FakeKraken, first: Iterable[dict[str, Any]], then: list[dict[str, Any]]) -> None:
    """Have the first orders meet some faults, and those after them the others, shuffled."""
    random.Random(1).shuffle(then)
    for fault in (*first, *then):
        fake.faults.add("AddOrder", **fault)


class Bot:
    """Places orders and never one twice.

    Args:
        fake: Whose accounts it gets.
        url: Where the fake is.
        more: Parameters of each order.
    """

    def __init__(self, fake: FakeKraken, url: str, **more: Any) -> None:
        self.more = more
        self.unclear: list[int] = []  # orders of which it is not known whether they stand
        self.repeated: list[int] = []
        options: dict[str, Any] = {"manager": NonceManager("memory:"), "tier": "none", "base_url": url}
        accounts = [fake.add_account(f"bot {number}") for number in range(ACCOUNTS)]
        self.sync = [Kraken(each.key, each.secret, **options) for each in accounts[::2]]
        self.tasks = [AsyncKraken(each.key, each.secret, **options) for each in accounts[1::2]]

    def place(self, number: int) -> None:
        """Place an order from a thread."""
        kraken = self.sync[number % len(self.sync)]
        for _ in range(TRIES):
            try:
                kraken.add_order("XBTUSD", "buy", volume_of(number), price_of(number), **self.more)
                return
            except KrakenError as error:
                found = None if error.may_have_executed == "no" else error.reconcile()
            if self._is_settled(number, found):
                return
        raise AssertionError(f"order {number} could not be placed")

    async def place_in_a_task(self, number: int) -> None:
        """Place an order from a task."""
        kraken = self.tasks[number % len(self.tasks)]
        for _ in range(TRIES):
            try:
                await kraken.add_order("XBTUSD", "buy", volume_of(number), price_of(number), **self.more)
                return
            except KrakenError as error:
                found = None if error.may_have_executed == "no" else await error.reconcile()
            if self._is_settled(number, found):
                return
        raise AssertionError(f"order {number} could not be placed")

    def _is_settled(self, number: int, found: sent.Reconciled | None) -> bool:
        if found is not None and found.placed is None:
            self.unclear.append(number)
        if found is None or found.placed is False:
            self.repeated.append(number)
            return False
        return True

    def place_all(self, count: int) -> None:
        """Place that many orders, half of them from threads and half from tasks, at the same time."""
        with ThreadPoolExecutor(THREADS + 1) as threads:
            tasks = threads.submit(asyncio.run, self._in_tasks(range(1, count, 2)))
            list(threads.map(self.place, range(0, count, 2)))
            tasks.result()
        for kraken in self.sync:
            kraken.close()

    async def _in_tasks(self, numbers: Iterable[int]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for kraken in self.tasks:
                await stack.enter_async_context(kraken)
            await asyncio.gather(*map(self.place_in_a_task, numbers))


@pytest.fixture
def impatient(fake: FakeKraken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders live for three seconds, so that the test need not wait long until a lost one cannot come any more."""
    monkeypatch.setattr(sent, "LIFETIME", 3.0)
    fake.rules.min_deadline = 0.0  # a busy machine may take a second of them


@pytest.mark.usefixtures("impatient")
def test_orders_with_ids_are_each_placed_once(fake: FakeKraken) -> None:
    """More than half of them meet a fault; in the end each stands exactly once."""
    make_trouble(fake, LOST, EXECUTED * 20 + [HIDDEN] * 6 + [FINE] * 40)
    for method in ("OpenOrders", "ClosedOrders", "Time"):
        fake.faults.add(method, "process_then_html", times=5)
    with FakeKrakenServer(fake) as server:
        bot = Bot(fake, server.url)
        bot.place_all(ORDERS)
    assert times_placed(fake) == Counter(map(volume_of, range(ORDERS)))
    assert len(fake.faults) == 0
    assert len(bot.repeated) >= len(LOST)
    assert bot.unclear == []
    fake.assert_no_invalid_nonce()


@pytest.mark.usefixtures("impatient")
def test_orders_without_ids_are_never_placed_twice(fake: FakeKraken) -> None:
    """They are recognized by their fields; what is not there at all is repeated."""
    make_trouble(fake, LOST, EXECUTED * 6 + [HIDDEN] * 6)
    with FakeKrakenServer(fake) as server:
        bot = Bot(fake, server.url, cl_ord_id=None)
        bot.place_all(ORDERS)
    assert times_placed(fake) == Counter(map(volume_of, range(ORDERS)))
    assert len(fake.faults) == 0
    assert len(bot.repeated) >= len(LOST)
    assert bot.unclear == []
    fake.assert_no_invalid_nonce()


def test_a_bot_that_simply_repeats_places_orders_twice(fake: FakeKraken) -> None:
    """The control: without asking, the same faults lead to doubles, and they are counted."""
    account = fake.add_account("rash bot")
    make_trouble(fake, [], [CUT, FINE, HIDDEN] * 10)
    options: dict[str, Any] = {"manager": NonceManager("memory:"), "tier": "none"}
    with FakeKrakenServer(fake) as server:
        kraken = Kraken(account.key, account.secret, base_url=server.url, **options)
        for number in range(10):
            for _ in range(30):
                with contextlib.suppress(OutcomeUnknown):
                    kraken.add_order("XBTUSD", "buy", volume_of(number), "30000")
                    break
        kraken.close()
    assert len(fake.faults) < 20
    assert sum(times_placed(fake).values()) > 10


@pytest.mark.parametrize("others", [3, 60, 130])
def test_an_order_without_an_id_is_found_among_many_that_closed_after_it(others: int) -> None:
    """ClosedOrders comes in pages of fifty, the newest first: an order filled at once may be on a later one."""
    world = World()
    world.faults["AddOrder"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", cl_ord_id=None))
    for _ in range(others):
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.1"))
    found = world.run(world.calls.reconcile(caught.value.order))
    assert found.placed is True
    assert [order["vol"] for order in found.orders.values()] == ["0.50000000"]


class ClockAhead(World):
    """A machine whose clock is two minutes ahead of Kraken's."""

    AHEAD = 120.0

    def _signed(self, step: PrivateCall) -> Request:
        self._last += 1
        return step.request(Key(self.account.key, self.account.secret), self._last, self.now() + self.AHEAD)


def test_a_clock_that_is_ahead_does_not_hide_an_order_without_an_id() -> None:
    """Its time at Kraken seems to be before it was sent; it is found nevertheless."""
    world = ClockAhead()
    world.faults["AddOrder"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", cl_ord_id=None, deadline=None))
    found = world.run(world.calls.reconcile(caught.value.order))
    assert (found.placed, len(found.orders)) == (True, 1)
