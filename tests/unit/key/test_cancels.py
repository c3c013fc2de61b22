"""Which orders were cancelled before they were sent: by name, by time, and whatever is in the state."""

from __future__ import annotations

import math
from typing import Any

import pytest

from krakenonce.backends.memory import BytesInMemory
from krakenonce.errors import CancelledBeforeSent, KrakenError
from krakenonce.key.cancels import refuse_if_cancelled, why_not
from krakenonce.key.counting import Place, ask, send
from krakenonce.key.limits import TIERS, stable_hash
from krakenonce.key.limits_state import CANCELS_AT, NAMES, Moment, State
from krakenonce.key.state_time import Reading

STARTER = TIERS["starter"]
NOW = 1000.0
ALL = "it was cancelled before it was sent (CancelAll)"
BY_NAME = "it was cancelled before it was sent (CancelOrder)"


@pytest.fixture
def state() -> State:
    """An empty state."""
    return State(BytesInMemory(), Reading(1, NOW, 1.8e9))


def place(method: str, params: dict[str, Any], waited: float) -> Place:
    """A call that has waited for so many seconds."""
    made = Place("key", STARTER, method, params)
    made.waited = waited
    return made


def cancel(state: State, method: str, params: dict[str, Any] | None = None, waited: float = 0.0) -> None:
    """Send a cancel now."""
    assert send(state, place(method, params or {}, waited), NOW) == 0


def why(state: State, params: dict[str, Any], waited: float = 5.0, method: str = "AddOrder") -> str:
    """Try to send an order that has waited for so long; return why it is not sent."""
    order = place(method, {"pair": "XBTUSD", **params}, waited)
    assert send(state, order, NOW) == 0
    assert bool(order.counted) != bool(order.cancelled) or method == "AddStrategy"
    return order.cancelled


def test_cancel_all_stops_what_began_before_it(state: State) -> None:
    """Orders, batches and strategies that waited; not those that began afterwards, and no call of another kind."""
    assert why(state, {}) == ""
    cancel(state, "CancelAll", waited=60.0)
    assert [why(state, {}, waited) for waited in (5.0, 0.1, 0.0, -0.1)] == [ALL, ALL, "", ""]
    assert why(state, {"orders": [{}, {}]}, method="AddOrderBatch") == ALL
    assert why(state, {}, method="AddStrategy") == ALL
    assert why(state, {"validate": True}) == ""
    for method in ("Balance", "CancelAll", "CancelOrder", "AmendOrder", "EditOrder", "Withdraw"):
        assert why_not(state, method, {"txid": "OA"}, 5.0, NOW) == ""


def test_the_dead_man_s_switch_cancels_nothing_when_it_is_set(state: State) -> None:
    """Kraken cancels when its timer ends."""
    cancel(state, "CancelAllOrdersAfter", {"timeout": 60})
    assert why(state, {}) == ""


@pytest.mark.parametrize(
    ("method", "cancelled", "order"),
    [
        ("CancelOrder", {"cl_ord_id": "mine"}, {"cl_ord_id": "mine"}),
        ("CancelOrder", {"txid": 7}, {"userref": "7"}),
        ("CancelOrder", {"txid": "7"}, {"userref": 7}),
        ("CancelOrder", {"txid": "-7"}, {"userref": -7}),
        ("CancelOrderBatch", {"cl_ord_ids": ["other", "mine"]}, {"cl_ord_id": "mine"}),
        ("CancelOrderBatch", {"orders": ["OA", 7]}, {"userref": 7}),
        ("CancelOrderBatch", {"orders": ({"cl_ord_id": "mine"}, {"txid": "7"})}, {"userref": 7}),
    ],
)
def test_a_cancel_stops_the_order_that_it_names(
    state: State, method: str, cancelled: dict[str, Any], order: dict[str, Any]
) -> None:
    """By the client's id or the group's number, however they are written; not one that began later."""
    cancel(state, method, cancelled, waited=2.0)
    assert [why(state, order, waited) for waited in (5.0, 2.1, 2.0, 1.9)] == [BY_NAME, BY_NAME, "", ""]


@pytest.mark.parametrize(
    ("cancelled", "order"),
    [
        ({"cl_ord_id": "mine"}, {"cl_ord_id": "other"}),
        ({"cl_ord_id": "mine"}, {}),
        ({"cl_ord_id": "7"}, {"userref": 7}),
        ({"txid": 7}, {"cl_ord_id": "7"}),
        ({"txid": "OABCDE-ABCDE-ABCDEF"}, {"cl_ord_id": "OABCDE-ABCDE-ABCDEF"}),
        ({"txid": True}, {"userref": 1}),
        ({"txid": "9" * 30}, {"userref": "9" * 30}),
    ],
)
def test_a_cancel_stops_no_other_order(state: State, cancelled: dict[str, Any], order: dict[str, Any]) -> None:
    """Names of different kinds are different names, and Kraken's own id is that of an order that was sent."""
    cancel(state, "CancelOrder", cancelled)
    assert why(state, order) == ""


def test_a_batch_says_which_of_its_orders_was_cancelled(state: State) -> None:
    """By its place alone."""
    cancel(state, "CancelOrder", {"cl_ord_id": "mine"})
    said = why(state, {"orders": [{"cl_ord_id": "a"}, {"cl_ord_id": "mine"}, {}]}, method="AddOrderBatch")
    assert said == "order 2 of 3 was cancelled before it was sent (CancelOrder)"
    with pytest.raises(KrakenError, match=r"^Not sent: order 2 of 3 was cancelled .*\.$") as error:
        refuse_if_cancelled(said)
    assert isinstance(error.value, CancelledBeforeSent)
    assert (error.value.may_have_executed, error.value.may_be_repeated) == ("no", False)


def test_the_last_names_are_remembered(state: State) -> None:
    """As many as there is room for, over several cancels and in one."""
    for number in range(NAMES + 3):
        cancel(state, "CancelOrder", {"cl_ord_id": f"o{number}"})
    assert [number for number in range(NAMES + 3) if not why(state, {"cl_ord_id": f"o{number}"})] == [0, 1, 2]
    cancel(state, "CancelOrderBatch", {"cl_ord_ids": [f"p{number}" for number in range(50)]})
    assert all(why(state, {"cl_ord_id": f"p{number}"}) for number in range(50))


def test_a_cancelled_order_that_waits_leaves_its_place(state: State) -> None:
    """The calls behind it move up, and it is not counted later."""
    tiny = TIERS["starter"]._replace(engine_max=0.5)
    order = Place("key", tiny, "AddOrder", {"pair": "XBTUSD", "cl_ord_id": "mine"})
    assert ask(state, order, 60.0, NOW).wait > 0
    assert len(state.waiting()) == 0 or order.waiting_id
    later = State(state._counters, Reading(1, NOW + 1.0, 1.8e9 + 1.0))
    order.waited = 1.0
    send(later, place("CancelOrder", {"cl_ord_id": "mine"}, 0.5), NOW + 1.0)
    assert ask(later, order, 60.0, NOW + 1.0) == (0.0, 0.0)
    assert (order.cancelled, order.waiting_id, order.counted) == (BY_NAME, 0, {})
    assert State(state._counters, Reading(1, NOW + 1.0, 1.8e9 + 1.0)).waiting() == []


@pytest.mark.parametrize("all_at", [math.nan, math.inf, -math.inf, -1.0, 1e300, NOW + 2.0])
@pytest.mark.parametrize("latest", [math.nan, math.inf, -1.0, NOW + 2.0])
def test_damage_stops_no_order_and_no_cancel(state: State, all_at: float, latest: float) -> None:
    """A time that cannot be right counts as none."""
    state.keep_cancels(Moment(all_at, 1, math.inf), latest, 2**64 - 1)
    for number in range(NAMES):
        state.keep_cancelled(number, stable_hash("cl_ord_id mine"), Moment(latest, 1, math.inf))
    assert why(state, {"cl_ord_id": "mine"}) == ""
    cancel(state, "CancelOrder", {"cl_ord_id": "mine"})
    assert why(state, {"cl_ord_id": "mine"}) == BY_NAME
    cancel(state, "CancelAll")
    assert why(state, {}) == ALL


def test_a_state_of_an_older_version_has_no_cancels() -> None:
    """It ends before them, and goes on to count what it has counted."""
    counters = BytesInMemory()
    send(State(counters, Reading(1, NOW, 1.8e9)), place("Ledgers", {}, 0.0), NOW)
    older = BytesInMemory(bytes(counters)[:CANCELS_AT])
    state = State(older, Reading(1, NOW, 1.8e9))
    assert (state.account(), state.counter(48)) == ("", (2.0, NOW))
    assert why(state, {"cl_ord_id": "mine"}) == ""
    cancel(state, "CancelOrder", {"cl_ord_id": "mine"})
    assert why(State(older, Reading(1, NOW, 1.8e9)), {"cl_ord_id": "mine"}) == BY_NAME


def test_on_one_host_what_is_before_what_is_exact() -> None:
    """Also if the server's time is rough: by the clock that all processes of the host have."""
    counters = BytesInMemory()

    def at(server: float, clock: int, boot: float) -> State:
        return State(counters, Reading(0, server, server), Reading(clock, boot, 1.8e9))

    send(at(2000.0, 1, 500.0), place("CancelAll", {}, 0.0), 2000.0)
    send(at(2000.0, 1, 500.0), place("CancelOrder", {"cl_ord_id": "mine"}, 0.0), 2000.0)
    for params, reason in (({}, ALL), ({"cl_ord_id": "mine"}, ALL)):
        for ahead in (-0.5, 0.0, 0.5):
            now = 2000.0 + ahead
            assert why_not(at(now, 1, 500.1), "AddOrder", params, 0.2, now) == reason
            assert why_not(at(now, 1, 500.1), "AddOrder", params, 0.05, now) == ""
            assert why_not(at(now + 0.1, 2, 700.0), "AddOrder", params, 1.0, now + 0.1) == reason
            assert why_not(at(2000.2, 2, 3.0), "AddOrder", params, 0.1, 2000.2) == ""
