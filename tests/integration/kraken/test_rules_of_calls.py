"""The small print of the rules of calls: waits, lockouts, what is known of an order, and how the clients keep them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import urllib3

from krakenonce import errors
from krakenonce.errors import InvalidNonce, LockedOut, OutcomeUnknown, PoisonedKey, RateLimited
from krakenonce.key.answers import error_from
from krakenonce.key.limits import TIERS
from krakenonce.key.lockout import LOCKOUT
from krakenonce.key.methods import Kind, kind_of
from krakenonce.kraken import AsyncKraken, Kraken, orders, queries
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.calling import ONE_A_SECOND
from krakenonce.kraken.repeating import PAUSES, REFUSALS
from krakenonce.kraken.request import Answer, Key, PrivateCall, Sleep, StateStep, read_answer
from krakenonce.kraken.sent import LIFETIME, WITHOUT_DEADLINE, SentOrder
from krakenonce.kraken.transport import Transport
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import in_thread, join, until_waiting
from tests.integration.kraken.helpers import CUT, OK, SILENCE, ScriptedServer, Twin, held
from tests.integration.kraken.simulation import World
from tests.integration.kraken.test_client import KEY, SECRET
from tests.unit.kraken.test_calling import LIMIT, say

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.kraken.request import Request, Steps
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


TXID = "OQCLML-BW3P3-BUCMWZ"


def fill_the_counter(world: World) -> None:
    """Have the next call that reads wait for room."""
    world.limiter.refused(world.calls.api_key.place("Balance", {}))


def lost_order(world: World, fault: str = "lost", **more: Any) -> SentOrder:
    """Send an order that gets no answer; return what its error knows of it."""
    world.faults["AddOrder"].append(fault)
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", {**LIMIT, **more}))
    order = caught.value.order
    assert isinstance(order, SentOrder)
    return order


EACH = {name: text for name, text in LIMIT.items() if name != "pair"}  # in a batch


def change_answers(world: World, change: Callable[[str, dict[str, Any]], None]) -> None:
    """Have *change* told each method and answer on its way back."""
    real = world._answer

    def answer(request: Request) -> dict[str, Any]:
        reply = real(request)
        change(request.path.rpartition("/")[2].partition("?")[0], reply)
        return reply

    world._answer = answer  # type: ignore[method-assign]


# --- waits -----------------------------------------------------------------------------------------------------


def test_the_waits_for_room_of_one_call_count_together() -> None:
    """A read that is repeated does not wait max_wait a second time."""
    world = World(TIERS["starter"], max_wait=5)
    fill_the_counter(world)
    world.faults["Balance"].append("lost")
    with pytest.raises(RateLimited):
        world.run(queries.balances(world.calls))
    assert world.sent == ["Balance"]
    assert 3 < sum(world.slept) < 5


def test_the_waits_for_kraken_s_refusals_count_together() -> None:
    """Two refusals of four seconds each are more than a patience of six."""
    world = World(max_wait=6)
    now = int(world.now())
    say(world, "Balance", f"EService:Throttled: {now + 4}", f"EService:Throttled: {now + 8}")
    with pytest.raises(errors.Throttled):
        world.run(queries.balances(world.calls))
    assert world.slept == [pytest.approx(4, abs=0.1)]


def test_refusals_are_not_waited_for_without_end() -> None:
    """However short each wait is, and however long the patience."""
    world = World(max_wait=9999)
    say(world, "Balance", *["EService:Throttled: 1"] * 99)
    with pytest.raises(errors.Throttled):
        world.run(queries.balances(world.calls))
    assert len(world.sent) <= 99 - 1
    assert len(world.slept) == REFUSALS


def test_kraken_s_refusal_keeps_other_calls_back() -> None:
    """What Kraken counts beyond our count holds for the next call as well: it is not tried."""
    world = World(TIERS["pro"], max_wait=0)
    say(world, "Balance", "EAPI:Rate limit exceeded")
    with pytest.raises(RateLimited, match="Kraken answered") as caught:
        world.run(queries.balances(world.calls))
    assert (caught.value.retry_after or 0) > 0
    with pytest.raises(RateLimited, match="Not sent"):
        world.run(queries.balances(world.calls))


@pytest.mark.parametrize("shape", ["private", "once"])
def test_too_many_at_a_time_does_not_fill_the_counter(shape: str) -> None:
    """Throttled is about calls at the same time: the next one waits only as long as Kraken says."""
    world = World(TIERS["pro"], max_wait=4.5)
    say(world, "Balance", f"EService:Throttled: {int(world.now()) + 4}")
    if shape == "private":
        world.run(world.calls.private("Balance", {}))
        assert world.slept == [pytest.approx(4, abs=0.1)]
    else:
        world.run(world.calls.once("Balance", {}))
        world.run(world.calls.once("Balance", {}))
        assert world.slept == []


def test_who_brings_a_number_is_not_made_to_wait() -> None:
    """The number is taken and the turn is held already: a wait would hold others up."""
    world = World(TIERS["starter"], max_wait=0)
    fill_the_counter(world)
    assert world.run(world.calls.once("Balance", {"nonce": world.clock.now_ns()}))["error"] == []
    assert world.slept == []


def test_a_bot_paced_by_the_limits_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first long wait is a warning, those after it are not."""
    caplog.set_level(logging.INFO, "krakenonce")
    world = World(TIERS["starter"])
    fill_the_counter(world)
    for _ in range(4):
        world.run(queries.balances(world.calls))
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO", "INFO", "INFO"]
    assert "Balance waits 4 s for Kraken's rate limit of tier starter" in caplog.text


@pytest.mark.parametrize("batch", [False, True], ids=["one by one", "batch"])
@pytest.mark.parametrize("own", [False, True], ids=["by Kraken's id", "by our id"])
def test_young_orders_that_are_cancelled_are_counted(batch: bool, own: bool) -> None:
    """Cancelling at once costs eight times as much as placing; Kraken's own count refuses nothing."""
    world = World(TIERS["starter"])
    world.fake.rules.change(tier="starter")
    for _ in range(8):
        if batch:
            lines = [{**EACH, "volume": "0.1"}] * 2
            placed: list[Any] = world.run(orders.add_orders(world.calls, "XBTUSD", lines))
        else:
            placed = [world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.1", "30000"))]
        for each in placed:
            ids = {"cl_ord_id": each.cl_ord_id} if own else {"txid": each.txid}
            assert world.run(orders.cancel_order(world.calls, **ids)).count == 1
    assert [each.error for each in world.fake.arrivals if each.error] == []
    assert sum(world.slept) > 0


def test_young_orders_placed_in_krakenex_s_shape_are_counted_too() -> None:
    """The limiter hears of them, so that cancelling them waits for room."""
    world = World(TIERS["starter"])
    world.fake.rules.change(tier="starter")
    for _ in range(10):
        (txid,) = world.run(world.calls.once("AddOrder", LIMIT))["result"]["txid"]
        assert world.run(world.calls.once("CancelOrder", {"txid": txid}))["error"] == []


def test_polls_that_do_not_wait_long_starve_nobody() -> None:
    """A call that is given up keeps no place in the limits: polls of half a second get what the tier allows."""
    world = World(TIERS["starter"])
    answered = 0
    for _ in range(200):
        began = world.now()
        with contextlib.suppress(errors.CallTimeout):
            world.run(queries.balances(world.calls), within=0.5)
            answered += 1
        world.clock.pass_time(max(0.0, began + 0.5 - world.now()))
    assert answered >= 14 + 0.33 * 90
    world.slept.clear()
    assert world.run(orders.cancel_all(world.calls)).count == 0
    assert sum(world.slept) < 5


def test_a_wait_that_is_too_long_for_the_call_is_not_begun() -> None:
    """The error says when there would have been room, and that nothing was sent."""
    world = World(TIERS["starter"])
    fill_the_counter(world)
    with pytest.raises(errors.CallTimeout, match=r"Not sent\. Kraken's rate limit allows it only in 4.0 s") as caught:
        world.run(queries.balances(world.calls), within=0.5)
    assert (caught.value.may_have_executed, world.sent, world.slept) == ("no", [], [])


@pytest.mark.parametrize(
    "urgent", [lambda calls: orders.cancel_all_after(calls, 20), orders.cancel_all, queries.websocket_token]
)
def test_panic_does_not_wait_behind_reads(urgent: Callable[..., Steps[Any]]) -> None:
    """Fifteen readers wait; the dead man's switch is armed in time, all the same."""
    world = World(TIERS["starter"])
    for _ in range(14):
        world.run(queries.balances(world.calls))
    readers = [world.calls.private("Balance", {}) for _ in range(15)]
    for reader in readers:
        world.until_it_waits(reader)
    world.run(urgent(world.calls))
    assert sum(world.slept) < 5
    for reader in readers:
        reader.close()
    assert world.limiter.levels(world.account.key, TIERS["starter"]).rest < 15


@pytest.mark.parametrize("fault", ["not sent", "no nonce"])
def test_what_was_not_sent_is_not_counted(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection, or without a nonce."""
    world = World(TIERS["starter"])
    if fault == "not sent":
        world.faults["Balance"].extend(["not sent"] * 3)
        with pytest.raises(errors.RequestNotSent):
            world.run(queries.balances(world.calls))
    else:
        with monkeypatch.context() as patch:
            patch.setattr(world.calls.api_key, "next", Mock(side_effect=errors.NonceStoreError("the disk is full")))
            with pytest.raises(errors.NonceStoreError):
                world.run(queries.balances(world.calls))
    for _ in range(14):
        world.run(queries.balances(world.calls))
    assert sum(world.slept) == (pytest.approx(1.2) if fault == "not sent" else 0)


def test_a_call_that_is_given_up_while_it_waits_leaves_its_place() -> None:
    """The next call waits as long as if there had been none."""
    world = World(TIERS["starter"])
    fill_the_counter(world)
    given_up = world.calls.private("Balance", {})
    world.until_it_waits(given_up)
    given_up.close()
    world.run(queries.balances(world.calls))
    assert sum(world.slept) == pytest.approx(4, abs=0.1)


# --- lockout ---------------------------------------------------------------------------------------------------


def test_a_lockout_says_when_it_is_over() -> None:
    """Kraken's own word, and ours afterwards, come with the seconds to wait."""
    world = World()
    say(world, "Balance", "EGeneral:Temporary lockout")
    with pytest.raises(LockedOut) as caught:
        world.run(queries.balances(world.calls))
    assert caught.value.retry_after == LOCKOUT >= 15 * 60
    world.clock.pass_time(100)
    with pytest.raises(LockedOut, match="Not sent") as caught:
        world.run(queries.balances(world.calls))
    assert caught.value.retry_after == pytest.approx(LOCKOUT - 100, abs=1)


def test_a_lockout_that_comes_during_a_wait_is_kept() -> None:
    """A call that waits for room is not sent when another one was told of a lockout meanwhile."""
    world = World(TIERS["starter"])
    fill_the_counter(world)
    waiting = world.calls.private("Balance", {})
    pause = world.until_it_waits(waiting)
    world.limiter.lock_out(world.account.key, 60)
    world.clock.pass_time(pause.seconds)
    asking = waiting.send(None)
    assert isinstance(asking, StateStep)
    with pytest.raises(LockedOut):
        asking.take()


# --- public calls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["not sent", "lost", "html", "busy", "limit"])
def test_a_public_call_is_made_three_times_at_most(fault: str) -> None:
    """Whatever kept it from being answered, it changes nothing."""
    for times in (len(PAUSES), len(PAUSES) + 1):
        world = World()
        if fault == "limit":
            say(world, "Time", *["EGeneral:Too many requests"] * times)
        else:
            world.faults["Time"].extend([fault] * times)
        if times == len(PAUSES):
            assert world.run(queries.server_time(world.calls)) == int(world.now())
        else:
            with pytest.raises(errors.KrakenError):
                world.run(queries.server_time(world.calls))
        assert world.slept == ([ONE_A_SECOND] * len(PAUSES) if fault == "limit" else list(PAUSES))


# --- Invalid nonce ---------------------------------------------------------------------------------------------


def test_an_order_refused_twice_for_its_number_is_not_known_to_be_absent() -> None:
    """PoisonedKey of an order: something on the way may have sent the second one twice."""
    world = World()
    say(world, "AddOrder", *["EAPI:Invalid nonce"] * 2)
    with pytest.raises(PoisonedKey) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert caught.value.may_have_executed == "unknown"
    assert caught.value.order.cl_ord_ids
    assert world.sent.count("AddOrder") == 2


def test_an_order_that_cannot_be_looked_for_with_a_poisoned_key_is_not_repeated() -> None:
    """The look is refused as well: PoisonedKey, and nothing is known of the order."""
    world = World()
    say(world, "AddOrder", "EAPI:Invalid nonce")
    say(world, "OpenOrders", *["EAPI:Invalid nonce"] * 2)
    with pytest.raises(PoisonedKey) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert caught.value.may_have_executed == "unknown"
    assert caught.value.order.cl_ord_ids
    assert world.sent.count("AddOrder") == 1


def test_an_order_whose_look_fails_is_not_repeated() -> None:
    """The error stays that of the order, with all it takes to ask later."""
    world = World()
    say(world, "AddOrder", "EAPI:Invalid nonce")
    world.faults["ClosedOrders"].extend(["not sent"] * (1 + len(PAUSES)))
    with pytest.raises(InvalidNonce) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert type(caught.value.__cause__) is errors.RequestNotSent
    assert (caught.value.may_have_executed, world.sent.count("AddOrder")) == ("unknown", 1)
    assert world.run(world.calls.reconcile(caught.value.order)).placed is False


def test_a_batch_that_something_sent_twice_is_placed_once() -> None:
    """The first copy stands; there is no answer to make of it, so the error says yes."""
    world = World()
    world.faults["AddOrderBatch"].append("twice")
    with pytest.raises(InvalidNonce) as caught:
        world.run(orders.add_orders(world.calls, "XBTUSD", [EACH, EACH]))
    assert caught.value.may_have_executed == "yes"
    assert len(world.run(world.calls.reconcile(caught.value.order)).orders) == 2
    assert len(world.account.orders) == 2


def test_an_order_that_is_there_already_can_be_looked_at() -> None:
    """Kraken says that the id is taken: the order was placed before, and is found."""
    world = World()
    first = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    with pytest.raises(errors.DuplicateOrder) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", cl_ord_id=first.cl_ord_id))
    assert caught.value.may_have_executed == "unknown"
    assert list(world.run(world.calls.reconcile(caught.value.order)).orders) == [first.txid]


# --- looking for an order --------------------------------------------------------------------------------------


def test_an_order_that_is_filled_while_it_is_looked_for_is_found() -> None:
    """Open orders are asked for first: an order moves from the open to the closed ones, never back."""
    world = World()
    order = lost_order(world, "cut")
    (txid,) = world.account.orders
    world.clock.pass_time(100)

    def fill(method: str, _reply: dict[str, Any]) -> None:
        if method.endswith("Orders") and txid in world.account.orders:
            world.fake.fill(txid, "0.5")

    change_answers(world, fill)
    assert world.run(world.calls.reconcile(order)).placed is True


def test_our_own_clock_does_not_end_the_search() -> None:
    """It has been put ahead by minutes: an order that is not to be seen yet is not given up."""
    world = World(hidden_for=2.9)
    order = lost_order(world, "cut")
    world.time.local = lambda: world.now() + 600
    found = world.run(world.calls.reconcile(order))
    assert found.placed is True
    assert world.orders_placed() == 1


def test_a_batch_is_found_as_a_whole() -> None:
    """As long as one of its orders is missing, and may come, it is looked for."""
    world = World()
    world.faults["AddOrderBatch"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_orders(world.calls, "XBTUSD", [EACH, EACH]))
    _, second = world.account.orders
    world._born[second] = world.now() + 5  # in no list for so long
    found = world.run(world.calls.reconcile(caught.value.order))
    assert (found.placed, set(found.orders)) == (True, set(world.account.orders))


def test_a_batch_of_which_only_a_part_was_taken_stands() -> None:
    """What is there after the deadline is the result."""
    world = World()
    world.faults["AddOrderBatch"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_orders(world.calls, "XBTUSD", [EACH, {**EACH, "ordertype": "guess"}]))
    found = world.run(world.calls.reconcile(caught.value.order))
    assert found.placed is bool(world.account.orders)
    assert set(found.orders) == set(world.account.orders)
    assert sum(world.slept) > LIFETIME


def test_another_order_is_not_taken_for_ours() -> None:
    """Should Kraken not filter by our id, what comes along is told apart."""
    world = World()
    other = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    order = lost_order(world)
    listed = world.run(queries.open_orders(world.calls))
    assert list(listed) == [other.txid]

    def all_of_them(method: str, reply: dict[str, Any]) -> None:
        if method == "OpenOrders":
            reply["result"]["open"] = listed

    change_answers(world, all_of_them)
    found = world.run(world.calls.reconcile(order))
    assert (found.placed, found.orders) == (False, {})


def test_without_a_deadline_the_search_ends_with_kraken_s_own() -> None:
    """Ninety seconds after the first look, by Kraken's clock, and not much later."""
    world = World()
    order = lost_order(world, deadline=None)
    assert order.deadline is None
    assert world.run(world.calls.reconcile(order)).placed is False
    assert timedelta(seconds=sum(world.slept)) > WITHOUT_DEADLINE
    assert timedelta(seconds=sum(world.slept)) < 2 * WITHOUT_DEADLINE


def test_a_deadline_without_a_time_zone_is_not_relied_on() -> None:
    """Nobody says which clock it means, so the search goes on as if there were none."""
    assert lost_order(World(), deadline="2027-01-15T08:00:30").deadline is None


def test_a_batch_with_one_order_without_an_id_has_none() -> None:
    """It could not be found as a whole by its ids."""
    world = World()
    world.faults["AddOrderBatch"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_orders(world.calls, "XBTUSD", [EACH, {**EACH, "userref": 5}]))
    assert caught.value.order.cl_ord_ids == ()
    found = world.run(world.calls.reconcile(caught.value.order))
    assert (found.placed, len(found.orders)) == (True, 2)


def test_equal_orders_without_an_id_are_told_apart_by_who_placed_them() -> None:
    """An order of this client's is known; with one of another program's it cannot be told which is which."""
    world = World()
    world.run(world.calls.private("AddOrder", {**LIMIT, "cl_ord_id": None}))
    found = world.run(world.calls.reconcile(lost_order(world, "cut", cl_ord_id=None)))
    assert (found.placed, list(found.orders)) == (True, list(world.account.orders)[1:])
    world.calls.known.clear()
    found = world.run(world.calls.reconcile(lost_order(world, "cut", cl_ord_id=None)))
    assert (found.placed, len(found.orders)) == (None, 3)


@pytest.mark.parametrize("name", ["XXBTZUSD", "XBT/USD", "BTC/USD"])
def test_an_order_without_an_id_is_found_under_each_name_of_its_pair(name: str) -> None:
    """Kraken's lists have one of the names only; another pair's order of the same size is another order."""
    world = World()
    world.run(world.calls.private("AddOrder", {**LIMIT, "pair": "ETHUSD", "cl_ord_id": None}))
    found = world.run(world.calls.reconcile(lost_order(world, "cut", pair=name, cl_ord_id=None)))
    assert found.placed is True
    assert [order["descr"]["pair"] for order in found.orders.values()] == ["XBTUSD"]


@pytest.mark.parametrize(
    ("other", "age"),
    [
        ({"type": "sell", "price": "90000"}, 1),
        ({"ordertype": "market", "price": None}, 1),
        ({"volume": "0.4"}, 1),
        ({"userref": 5}, 1),
        ({}, 1000),
    ],
    ids=["side", "type", "volume", "group", "time"],
)
def test_of_orders_without_an_id_only_one_like_it_may_be_it(other: dict[str, Any], age: float) -> None:
    """An order of another side, type, volume, group or time is another order."""
    world = World()
    world.run(world.calls.private("AddOrder", {**LIMIT, "cl_ord_id": None, **other}))
    world.clock.pass_time(age)
    found = world.run(world.calls.reconcile(lost_order(world, cl_ord_id=None)))
    assert (found.placed, found.orders) == (False, {})


def test_a_clock_that_was_put_back_meanwhile_does_not_hide_an_order_without_an_id() -> None:
    """It was signed by a clock nearly a minute ahead; such a clock is put right at any time."""
    world = World()
    order = lost_order(world, "cut", cl_ord_id=None)
    assert order.sent_at is not None
    found = world.run(world.calls.reconcile(replace(order, sent_at=order.sent_at + timedelta(seconds=50))))
    assert (found.placed, len(found.orders)) == (True, 1)


# --- what is sent ----------------------------------------------------------------------------------------------


def sent_fields(world: World) -> list[dict[str, Any]]:
    """Return the list of what each private call to come is sent with, as text."""
    seen: list[dict[str, Any]] = []
    real = world._answer

    def answer(request: Request) -> dict[str, Any]:
        body = (request.body or b"").decode()
        if body:
            pairs = (pair.partition("=") for pair in body.split("&"))
            seen.append(json.loads(body) if body.startswith("{") else {name: value for name, _, value in pairs})
        return real(request)

    world._answer = answer  # type: ignore[method-assign]
    return seen


def test_none_switches_the_deadline_off() -> None:
    """Beside it the order goes as it is."""
    world = World()
    seen = sent_fields(world)
    world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", deadline=None))
    world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    assert ["deadline" in fields for fields in seen] == [False, True]


def test_a_batch_has_an_id_for_each_order_and_one_deadline() -> None:
    """The ids are all different and within the orders; the deadline is beside them."""
    world = World()
    seen = sent_fields(world)
    world.run(orders.add_orders(world.calls, "XBTUSD", [EACH, {**EACH, "oflags": None}]))
    (fields,) = seen
    assert fields["deadline"].endswith("Z")
    assert len({each["cl_ord_id"] for each in fields["orders"]}) == 2
    assert not any("deadline" in each or "oflags" in each for each in fields["orders"])


def test_what_the_caller_says_of_an_order_goes_first() -> None:
    """Also where it is not what the method would write."""
    world = World()
    with pytest.raises(errors.InvalidArguments, match="ordertype"):
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", ordertype="guess"))


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("AddOrder", {"validate": True}, Kind.READ),
        ("AddOrder", {"validate": "true"}, Kind.READ),
        ("AddOrderBatch", {"validate": 1}, Kind.ORDER),
        ("AddOrder", {"validate": 1.0}, Kind.ORDER),
        ("EditOrder", {"validate": True}, Kind.READ),
        ("AddOrder", {"validate": False}, Kind.ORDER),
        ("AddOrder", {"validate": "false"}, Kind.ORDER),
        ("AddOrderBatch", {}, Kind.ORDER),
        ("Withdraw", {"validate": True}, Kind.OTHER),
        ("DepositAddresses", {}, Kind.READ),
        ("DepositAddresses", {"new": "true"}, Kind.OTHER),
        ("OpenOrders", {}, Kind.READ),
        ("CancelOrder", {"txid": TXID}, Kind.CANCEL),
        ("CancelOrder", {"txid": "42"}, Kind.OTHER),
        ("CancelOrder", {"txid": 42}, Kind.OTHER),
        ("CancelOrder", {"cl_ord_id": "mine"}, Kind.OTHER),
        ("CancelOrder", {"txid": TXID, "cl_ord_id": "mine"}, Kind.OTHER),
        ("CancelOrder", {}, Kind.OTHER),
        ("CancelOrderBatch", {"orders": [TXID, {"txid": TXID}]}, Kind.CANCEL),
        ("CancelOrderBatch", {"orders": [TXID, 42]}, Kind.OTHER),
        ("CancelOrderBatch", {"orders": [{"txid": TXID}, {"cl_ord_id": "mine"}]}, Kind.OTHER),
        ("CancelOrderBatch", {"orders": [TXID], "cl_ord_ids": ["mine"]}, Kind.OTHER),
        ("CancelOrderBatch", {"orders": TXID}, Kind.OTHER),
        ("CancelOrderBatch", {}, Kind.OTHER),
        ("CancelAllOrdersAfter", {"timeout": 60}, Kind.OTHER),
        ("CancelAll", {}, Kind.OTHER),
        ("AmendOrder", {}, Kind.OTHER),
        ("EditOrder", {}, Kind.OTHER),
        ("WalletTransfer", {}, Kind.OTHER),
        ("WithdrawCancel", {}, Kind.OTHER),
        ("Earn/Allocate", {}, Kind.OTHER),
        ("Earn/Deallocate", {}, Kind.OTHER),
        ("CreateSubaccount", {}, Kind.OTHER),
        ("AddExport", {}, Kind.OTHER),
    ],
)
def test_what_may_be_repeated(method: str, params: dict[str, Any], kind: Kind) -> None:
    """Only what changes nothing, and cancels by txid; an order that says that it is not to be checked is an order."""
    assert kind_of(method, params) is kind


@pytest.mark.parametrize("lost", ["lost", "cut"])
def test_the_dead_mans_switch_is_not_armed_again_behind_its_owners_back(lost: str) -> None:
    """The answer to arm(60) is lost and another thread disarms: a repetition would cancel all orders a minute later."""
    world = World()
    world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    world.faults["CancelAllOrdersAfter"].append(lost)
    with pytest.raises(OutcomeUnknown):
        world.run(orders.cancel_all_after(world.calls, 60))
    world.run(orders.cancel_all_after(world.calls, 0))
    world.clock.pass_time(61)
    assert world.sent.count("CancelAllOrdersAfter") == 2
    assert len(world.run(queries.open_orders(world.calls))) == 1


def test_a_cancel_by_userref_does_not_hit_a_younger_order() -> None:
    """The answer to the cancel is lost, and an order of the same group is placed before a repetition could arrive."""
    world = World()
    world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", userref=42))
    world.faults["CancelOrder"].append("cut")
    with pytest.raises(OutcomeUnknown):
        world.run(orders.cancel_order(world.calls, "42"))
    assert world.sent.count("CancelOrder") == 1
    assert world.run(queries.open_orders(world.calls)) == {}


def test_a_warning_beside_an_error_does_not_make_it_less_certain() -> None:
    """A warning that nobody knows says nothing of the call."""
    error = error_from(["WGeneral:Something new", "EOrder:Invalid price"])
    assert (type(error), error.may_have_executed) == (errors.InvalidOrder, "no")


# --- both clients ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


def made(kind: str, url: str, **more: Any) -> Twin:
    """Return a client that has all the time in the world."""
    options = {"manager": NonceManager("memory:"), "tier": "none", "timeout": 1000, **more}
    return Twin(kind, KEY, SECRET, base_url=url, **options)


@pytest.mark.parametrize(
    ("ask", "more"),
    [
        (lambda twin: twin("query_private", "Balance", timeout=0.1), {}),
        (lambda twin: twin("query_public", "Time", timeout=0.1), {}),
        (lambda twin: twin("query_private", "Balance"), {"timeout": 0.1}),
        (lambda twin: twin("query_public", "Time"), {"timeout": 0.1}),
        (lambda twin: twin("run", twin.client.calls.once("Balance", {}), within=1000), {"timeout": 0.1}),
        (lambda twin: twin("run", twin.client.calls.public("Time", {}), within=0.1), {}),
    ],
    ids=["private", "public", "client", "client, public", "shorter than within", "within, public"],
)
def test_each_timeout_holds(kind: str, ask: Callable[[Twin], Any], more: dict[str, Any]) -> None:
    """That of the call, that of the client, and that of the whole: whichever is the shortest."""
    with ScriptedServer(SILENCE) as server, made(kind, server.url, **more) as twin:
        with pytest.raises(OutcomeUnknown):
            ask(twin)
        assert len(server.requests) == 1
        twin("close")


def test_who_brings_a_number_takes_no_turn(kind: str) -> None:
    """The turn is the caller's already: to wait for it again would be for ever."""
    manager = NonceManager("memory:")
    with ScriptedServer(OK) as server, made(kind, server.url, manager=manager) as twin, held(manager.lane(KEY)):
        assert twin("run", twin.client.calls.once("Balance", {"nonce": manager.next()}), within=20)


def test_a_tier_that_does_not_exist_is_an_error(kind: str) -> None:
    """Said when the client is made, with those there are."""
    with pytest.raises(errors.ConfigError, match="starter, intermediate, pro, none"):
        made(kind, "http://127.0.0.1:1", tier="gold")


def test_a_scope_that_was_given_is_kept_after_invalid_nonce(
    kind: str, account: FakeAccount, server: FakeKrakenServer
) -> None:
    """Whoever names a counter has its numbers, and no other's."""
    manager = NonceManager("memory:")
    account.last_nonce = 2**62
    with (
        Twin(kind, account.key, account.secret, manager=manager, scope="mine", base_url=server.url) as twin,
        pytest.raises(PoisonedKey),
    ):
        twin("balances")
    assert manager.peek("global") is None
    assert manager.peek("mine") is not None


def test_clients_of_one_manager_share_a_lockout(
    account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer
) -> None:
    """Also without a state directory, and over both kinds of client."""
    manager = NonceManager("memory:")
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    options: dict[str, Any] = {"manager": manager, "base_url": server.url}
    with (
        Twin("sync", account.key, account.secret, **options) as first,
        Twin("async", account.key, account.secret, **options) as second,
    ):
        second("system_status")
        for twin in (first, second):
            with pytest.raises(LockedOut):
                twin("balances")
    assert [arrival.error for arrival in fake.arrivals] == ["EGeneral:Temporary lockout"]  # the first call alone


def test_a_call_with_a_nonce_of_its_own_is_not_sent_either(
    kind: str, account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer
) -> None:
    """Whoever has taken the turn and the number himself, as a broker does, is refused during a lockout."""
    manager = NonceManager("memory:")
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    with Twin(kind, account.key, account.secret, manager=manager, tier="none", base_url=server.url) as twin:
        answer = twin("query_private", "Balance", {"nonce": manager.next()})
        assert answer["error"] == ["EGeneral:Temporary lockout"]
        with pytest.raises(LockedOut, match="Not sent"):
            twin("query_private", "Balance", {"nonce": manager.next()})
    assert [arrival.error for arrival in fake.arrivals] == ["EGeneral:Temporary lockout"]  # the first call alone


def test_a_call_that_waits_in_the_queue_when_the_lockout_comes_is_not_sent(
    kind: str, account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer
) -> None:
    """The first is told of it in its turn; those behind had looked before they lined up."""
    manager = NonceManager("memory:")
    told: list[str] = []
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")

    def ask() -> None:
        with Twin(kind, account.key, account.secret, manager=manager, tier="none", base_url=server.url) as twin:
            try:
                told.append(str(twin("balances")))
            except LockedOut as error:
                told.append("not sent" if str(error).startswith("Not sent") else "Kraken said so")

    lane = manager.lane(account.key)
    with held(lane) as let_go:
        threads = [in_thread(ask) for _ in range(4)]
        until_waiting(lane, 4)
        let_go()
        join(threads)
    assert sorted(told) == ["Kraken said so", *["not sent"] * 3]
    assert [arrival.error for arrival in fake.arrivals] == ["EGeneral:Temporary lockout"]  # the first call alone


def test_a_child_forked_while_a_client_makes_its_manager_does_not_hang(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor does a signal handler that comes in the middle of it."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    making, forked = threading.Event(), threading.Event()
    client, parent = Kraken(KEY, SECRET), os.getpid()

    def slowly() -> NonceManager:
        if os.getpid() == parent:
            making.set()
            forked.wait()
        return NonceManager()

    monkeypatch.setattr("krakenonce.manager.NonceManager", slowly)
    thread = in_thread(lambda: client._manager)
    making.wait()
    if (child := os.fork()) == 0:
        signal.alarm(20)
        os._exit(client._manager is not client._manager)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.close()


def test_a_manager_made_by_the_client_is_closed_with_it(
    kind: str, server: FakeKrakenServer, account: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was given is not; afterwards the client makes another."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    closed: list[NonceManager] = []
    real = NonceManager.close

    def close(self: NonceManager) -> None:
        closed.append(self)
        real(self)

    monkeypatch.setattr(NonceManager, "close", close)
    options: dict[str, Any] = {"tier": "none", "base_url": server.url}
    with Twin(kind, account.key, account.secret, **options) as twin:
        twin("balances")
        twin("close")
        assert len(closed) == 1
        twin("balances")
    assert len(set(closed)) == 2
    with NonceManager("memory:") as given:
        with Twin(kind, account.key, account.secret, manager=given, **options) as twin:
            account.last_nonce = 0
            twin("balances")
        assert given not in closed


def test_shared_connections_stay_open(kind: str) -> None:
    """One client is closed, the other's next call goes over the same connection."""
    with ScriptedServer(OK, OK) as server, asyncio.Runner() as runner:
        connections: list[socket.socket] = []
        real = server._serve

        def serve(connection: socket.socket) -> None:
            connections.append(connection)
            real(connection)

        server._serve = serve  # type: ignore[method-assign]
        if kind == "sync":
            shared = Transport(server.url)
            for _ in range(2):
                with Kraken(KEY, SECRET, manager=NonceManager("memory:"), tier="none", transport=shared) as kraken:
                    kraken.query_private("Balance")
            shared.close()
        else:

            async def run() -> None:
                shared = AsyncTransport(server.url)
                for _ in range(2):
                    manager = NonceManager("memory:")
                    async with AsyncKraken(KEY, SECRET, manager=manager, tier="none", transport=shared) as kraken:
                        await kraken.query_private("Balance")
                await shared.close()

            runner.run(run())
        assert (len(server.requests), len(connections)) == (2, 1)


def test_a_task_that_pauses_does_not_block_the_loop() -> None:
    """An hour's wait for the limits is one task's own, and can be cancelled."""

    def patient() -> Steps[None]:
        yield Sleep(3600)

    async def run() -> None:
        waiting = asyncio.create_task(AsyncKraken().run(patient()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


# --- sent or not -----------------------------------------------------------------------------------------------


def test_over_https_a_call_without_an_answer_is_not_taken_for_one_that_was_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection of https notes that sending began, as that of http does (here without its handshake)."""

    def connect(self: Any) -> None:
        urllib3.connection.HTTPConnection.connect(self)
        self.is_verified = True

    monkeypatch.setattr(urllib3.connection.HTTPSConnection, "connect", connect)
    with ScriptedServer(CUT) as server, made("sync", server.url.replace("http:", "https:")) as twin:
        with pytest.raises(OutcomeUnknown):
            twin("query_private", "AddOrder")
        assert len(server.requests) == 1


def test_one_thread_s_failure_to_connect_says_nothing_of_another_s_call() -> None:
    """A call is under way while another thread finds no connection; the first one was sent all the same."""
    enough = threading.Event()

    def cut_later() -> Iterator[None]:
        enough.wait()
        yield CUT

    with ScriptedServer() as server, made("sync", server.url) as first, made("sync", "http://127.0.0.1:1") as second:
        server._script = cut_later()
        caught: list[errors.KrakenonceError] = []

        def order() -> None:
            try:
                first("query_private", "AddOrder")
            except errors.KrakenonceError as error:
                caught.append(error)

        thread = threading.Thread(target=order)
        thread.start()
        try:
            while not server.requests:
                thread.join(0.001)
            with pytest.raises(errors.RequestNotSent):
                second("query_private", "AddOrder")
        finally:
            enough.set()
            thread.join()
    assert [type(error) for error in caught] == [OutcomeUnknown]


def test_no_part_of_a_key_is_shown() -> None:
    """Neither by its repr, nor where an error page that quotes it is cut short in its middle."""
    key = Key(KEY, SECRET)
    request = PrivateCall("Balance", {}).request(key, 1, 1_800_000_000)
    with pytest.raises(errors.AccessBlocked) as caught:
        read_answer(request, "host", Answer(403, "text/html", f"{'x' * 60} {KEY}".encode()))
    for told in (f"{caught.value}", repr(key)):
        assert KEY[:12] not in told
        assert SECRET[:12] not in told


@pytest.mark.parametrize("serialization", ["key", "global"])
def test_a_cancel_goes_before_reads_that_wait_for_their_turn(
    fake: FakeKraken, server: FakeKrakenServer, account: FakeAccount, serialization: str
) -> None:
    """Another call has the turn; of those that wait, the cancel is sent first."""
    manager = NonceManager("memory:")
    options: dict[str, Any] = {"manager": manager, "serialization": serialization, "base_url": server.url}
    with Kraken(account.key, account.secret, **options) as client:
        lane = manager.lane() if serialization == "global" else manager.lane(account.key)
        with held(lane) as let_go:
            threads = [in_thread(client.balances), in_thread(client.balances)]
            until_waiting(lane, 2)
            threads.append(in_thread(client.cancel_all))
            until_waiting(lane, 3)
            let_go()
            join(threads)
    assert [arrival.method for arrival in fake.arrivals] == ["CancelAll", "Balance", "Balance"]
