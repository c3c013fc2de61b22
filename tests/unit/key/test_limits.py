"""Costs and counters against the tables of Kraken's pages and a simple model of Kraken's side."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakenonce.backends.memory import BytesInMemory
from krakenonce.key.counting import Place, ask, note, send
from krakenonce.key.limits import RESERVE, TIERS, Charge, Order, Tier, engine_cost, level_now, pair_hash, stable_hash
from krakenonce.key.limits_state import REST_AT, State
from krakenonce.key.methods import METHODS
from krakenonce.key.state_time import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STARTER = TIERS["starter"]
XBT, ETH = pair_hash("XBTUSD"), pair_hash("ETHUSD")
READING = Reading(1, 1000.0, 1.8e9)
HASH_OF_XBTUSD = 6668525282415666962
ROUNDING = 1e-6


def highest(arrivals: Iterable[tuple[float, float]], decay: float) -> float:
    """Kraken's counter: rises by the cost of each call as it arrives, falls all the time; return its highest level."""
    level = at = peak = 0.0
    for time, cost in sorted(arrivals):
        level = max(0.0, level - decay * (time - at)) + cost
        at, peak = time, max(peak, level)
    return peak


def test_the_tiers_are_krakens() -> None:
    """Maxima and decays of both counters as on Kraken's pages."""
    assert TIERS == {
        "starter": ("starter", 15, 0.33, 60, 1),
        "intermediate": ("intermediate", 20, 0.5, 125, 2.34),
        "pro": ("pro", 20, 1, 180, 3.75),
    }


@pytest.mark.parametrize(
    ("cost", "methods"),
    [
        (0, "AddOrder CancelOrder"),
        (1, "Balance BalanceEx TradeBalance QueryOrders GetApiKeyInfo GetWebSocketsToken Withdraw Earn/Strategies"),
        (1, "AmendOrder EditOrder AddOrderBatch CancelOrderBatch CancelAll CancelAllOrdersAfter"),
        (2, "Ledgers QueryLedgers TradesHistory QueryTrades OpenOrders ClosedOrders"),
    ],
)
def test_rest_costs(cost: int, methods: str) -> None:
    """Each private call costs what Kraken documents, the larger value where its sources differ."""
    assert {METHODS[method].rest for method in methods.split()} == {cost}


AGES = [(0, 4.99), (5, 9.99), (10, 14.99), (15, 44.99), (45, 89.99), (90, 299.99), (300, 100_000)]


@pytest.mark.parametrize(
    ("method", "costs"),
    [
        ("AmendOrder", [4, 3, 2, 1, 1, 1, 1]),
        ("EditOrder", [7, 6, 5, 3, 2, 1, 1]),
        ("CancelOrder", [8, 6, 5, 4, 2, 1, 0]),
    ],
)
def test_engine_costs_by_age(method: str, costs: list[int]) -> None:
    """The fixed part and the part by age, at both ends of every column."""
    for (youngest, oldest), cost in zip(AGES, costs, strict=True):
        for age in (youngest, oldest):
            known = {"OA": Order(XBT, age)}
            assert engine_cost(method, {"txid": "OA"}, known) == ({XBT: cost} if cost else {})
            if method == "EditOrder":
                assert engine_cost(method, {"txid": "OA", "pair": "XBTUSD"}, known) == {XBT: cost}


@pytest.mark.parametrize(
    ("params", "cost"),
    [({"orders": [{}] * 2}, 1), ({"orders": [{}] * 5}, 2.5), ({"orders": ({},) * 15}, 7.5), ({"orders": "[...]"}, 7.5)],
)
def test_a_batch_of_new_orders_costs_half_a_point_each(params: dict[str, Any], cost: float) -> None:
    """Half of the number of orders; as for the largest batch, if they cannot be counted."""
    assert engine_cost("AddOrderBatch", {"pair": "XBT/USD", **params}, {}) == {XBT: cost}


def test_a_batch_of_cancels_costs_each_pair_its_orders() -> None:
    """Each order by its age, each pair on its own; an order that is not known costs nothing."""
    orders = {"OA": Order(XBT, 1), "OB": Order(XBT, 20), "OC": Order(ETH, 299), "OD": Order(ETH, 301)}
    assert engine_cost("CancelOrderBatch", {"orders": [*orders, "OE"]}, orders) == {XBT: 12, ETH: 1}


def test_krakens_worked_example() -> None:
    """An order, an amend 7 seconds later and a cancel 36 seconds later make 8."""
    add = engine_cost("AddOrder", {"pair": "XBTUSD"}, {})
    amend = engine_cost("AmendOrder", {"txid": "OA"}, {"OA": Order(XBT, 7)})
    cancel = engine_cost("CancelOrder", {"txid": "OA"}, {"OA": Order(XBT, 36)})
    assert (add, amend, cancel) == ({XBT: 1}, {XBT: 3}, {XBT: 4})


@pytest.mark.parametrize(
    ("method", "params", "cost"),
    [
        ("CancelOrder", {"txid": "OA"}, {}),
        ("AmendOrder", {"txid": "OA"}, {}),
        ("AmendOrder", {"txid": "OA", "pair": "xbt/usd"}, {XBT: 1}),
        ("EditOrder", {"txid": "OA", "pair": "XBTUSD"}, {XBT: 1}),
        ("AddOrder", {}, {}),
        ("CancelAll", {}, {}),
        ("CancelAllOrdersAfter", {"timeout": 60}, {}),
        ("Balance", {"pair": "XBTUSD"}, {}),
    ],
)
def test_what_is_not_known_costs_nothing(method: str, params: dict[str, Any], cost: dict[int, float]) -> None:
    """An order that is not known has the fixed part only, and a call without a known pair nothing."""
    assert engine_cost(method, params, {}) == cost


def test_names_of_pairs() -> None:
    """Case and the slash make no difference; an alias is another pair; the hash is the same in every process."""
    assert pair_hash("xbt/usd") == pair_hash("XBTUSD") == stable_hash("XBTUSD") == HASH_OF_XBTUSD
    assert pair_hash("XXBTZUSD") != pair_hash("XBTUSD")


@pytest.mark.parametrize(
    ("method", "params", "old", "young"),
    [
        ("CancelOrder", {"txid": "OA"}, ["OA"], []),
        ("CancelOrder", {"cl_ord_id": "mine"}, ["mine"], []),
        ("CancelOrder", {"txid": 7}, ["7"], []),
        ("AmendOrder", {"cl_ord_id": "mine"}, ["mine"], ["mine"]),
        ("EditOrder", {"txid": "OA", "pair": "XBTUSD"}, ["OA"], []),
        (
            "CancelOrderBatch",
            {"orders": ["OA", 7, {"txid": "OB"}], "cl_ord_ids": ["mine"]},
            ["OA", "7", "OB", "mine"],
            [],
        ),
        ("CancelOrderBatch", {"orders": "OA,OB"}, [], []),
        ("AddOrder", {"pair": "XBTUSD", "cl_ord_id": "mine"}, [], ["mine"]),
        ("AddOrder", {"pair": "XBTUSD"}, [], []),
        ("AddOrderBatch", {"orders": [{"cl_ord_id": "a"}, {}, {"cl_ord_id": "b"}]}, [], ["a", "b"]),
        ("QueryOrders", {"txid": "OA"}, [], []),
    ],
)
def test_which_orders_a_call_names(method: str, params: dict[str, Any], old: list[str], young: list[str]) -> None:
    """Those whose age decides the cost, and those that are new or as good as new after the call."""

    def costs(method: str, params: dict[str, Any], state: State) -> list[float]:
        place = Place("key", STARTER, method, params)
        send(state, place, 1000.0)
        return [charge.cost for charge in place.counted.values()]

    def known(*ids: str) -> State:
        state = State(BytesInMemory(), READING)
        note(state, "XBTUSD", ids, 999.0)
        return state

    ids = ["OA", "7", "OB", "mine", "a", "b", "OA,OB"]
    assert [each for each in ids if costs(method, params, known(each)) != costs(method, params, known())] == old
    state = State(BytesInMemory(), READING)
    costs(method, {"pair": "XBTUSD", **params}, state)
    assert [each for each in ids if costs("CancelOrder", {"txid": each}, state)] == young


def test_a_counter_falls_to_zero_and_stays_there() -> None:
    """By its decay per second, never below zero."""
    assert level_now(10, 100, 0.5, 104) == 8
    assert level_now(10, 100, 0.5, 1000) == 0


@pytest.mark.parametrize(
    ("level", "at"),
    [
        (math.nan, 5),
        (-1, 5),
        (math.inf, 5),
        (1e300, 5),
        (9, math.nan),
        (9, -1),
        (9, 1e12),
        (9, math.inf),
        (9, -math.inf),
    ],
)
def test_impossible_values_count_as_an_empty_counter(level: float, at: float) -> None:
    """That is damage."""
    assert level_now(level, at, 0.001, 10) == 0


def test_a_counter_of_a_later_time_has_not_fallen_yet() -> None:
    """Clocks may disagree; a call rather waits too long."""
    assert level_now(9, 11, 0.5, 10) == 9


def charge(level: float, cost: float = 1, tier: Tier = TIERS["starter"]) -> Charge:
    """What a call adds to a tier's REST counter."""
    return Charge(level, cost, tier.rest_max, tier.rest_decay)


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
def test_nobody_waits_longer_than_needed(tier: Tier) -> None:
    """Of many calls at once, the counter's worth goes out at once but for the reserve, the rest at its decay."""
    waits = [charge(0.0, 1, tier).wait(ahead=count) for count in range(100)]
    at_once = math.floor(tier.rest_max - tier.rest_decay)
    assert waits[:at_once] == [0] * at_once
    for number, wait in enumerate(waits[at_once:], at_once + 1):
        assert wait == pytest.approx((number - tier.rest_max) / tier.rest_decay + 1)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_who_comes_later_waits_no_shorter(level: float, ahead: float, more: float) -> None:
    """What goes before a call, and what has been sent, only makes it wait longer; so does a counter that is full."""
    assert charge(level).wait(ahead) <= charge(level).wait(ahead + more)
    assert charge(level).wait(ahead) <= charge(level + more).wait(ahead)
    assert charge(level).full().wait() >= max(charge(level).wait(), RESERVE)


# Some calls of one kind in a row: how many, seconds since the one before, which method, seconds late on the way,
# seconds in line for the turn, seconds of patience.
BURSTS = st.tuples(
    st.integers(1, 20),
    st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0]) | st.floats(0, 60),
    st.sampled_from(["Balance", "Ledgers", "AddOrder", "AmendOrder", "CancelAll", "CancelOrder"]),
    st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    st.sampled_from([0.0, 2.0]),
    st.sampled_from([0.0, 5.0, 60.0, 1e9]),
)


@example(STARTER, [(15, 0.0, "Balance", 1.0, 0.0, 1e9), (1, 0.0, "Balance", 0.0, 0.0, 1e9)])  # on time, after late ones
@example(STARTER, [(14, 0.0, "Balance", 0.0, 2.0, 1e9), (9, 0.0, "CancelAll", 0.0, 0.0, 1e9)])
@given(st.sampled_from(list(TIERS.values())), st.lists(BURSTS, max_size=5))
def test_krakens_counters_never_exceed_their_maxima(
    tier: Tier, bursts: list[tuple[int, float, str, float, float, float]]
) -> None:
    """Whatever is asked for, waits, is given up or goes before others: no counter of Kraken goes over its maximum."""
    counters = BytesInMemory()
    arrivals: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    events: list[tuple[float, int, Callable[[float], object]]] = []
    order = itertools.count()
    at = 1000.0

    def do(time: float, action: Callable[[float], object]) -> None:
        heapq.heappush(events, (time, next(order), action))

    def ask_again(place: Place, late: float, turn: float, until: float, now: float) -> None:
        wait = ask(State(counters, READING), place, until - now, now).wait
        if wait > until - now:
            return
        after = partial(ask_again, place, late, turn, until) if wait else partial(go, place, late)
        do(now + (min(wait, 1.0) or turn), after)

    def go(place: Place, late: float, now: float) -> None:
        assert send(State(counters, READING), place, now) == 0
        for counter, charged in place.counted.items():
            arrivals[counter].append((now + late, charged.cost))

    for count, gap, method, late, turn, patience in bursts:
        at += gap
        for _ in range(count):
            place = Place("key", tier, method, {"pair": "XBTUSD"})
            do(at, partial(ask_again, place, late, turn, at + patience))
    while events:
        now, _, action = heapq.heappop(events)
        action(now)
    assert State(counters, READING).waiting() == []
    for counter, sent in arrivals.items():
        maximum, decay = (
            (tier.rest_max, tier.rest_decay) if counter == REST_AT else (tier.engine_max, tier.engine_decay)
        )
        assert highest(sent, decay) <= maximum + ROUNDING
