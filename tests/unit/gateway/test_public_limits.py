"""When a public call may be sent, in simulated time: buckets, order, and what is remembered."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import given

from krakenonce.gateway import public_limits
from krakenonce.gateway.public_limits import ALL_OTHERS, BURST, Place, PublicLimits, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable

LONG = 1000.0  # seconds
AT_ONCE = int(BURST)


class World:
    """The limits of one address, with a clock that a test sets, and what was sent of each bucket."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.limits = PublicLimits(lambda: self.now)
        self.sent: defaultdict[int, list[float]] = defaultdict(list)

    def ask(self, place: Place, longest: float = LONG) -> float:
        """Ask for a call; it is sent if it may be."""
        wait = self.limits.ask(place, longest)
        if wait == 0:
            self.sent[place.bucket].append(self.now)
        return wait

    def calls(self, count: int, bucket: int = ALL_OTHERS) -> list[float]:
        """Ask for so many new calls, and return for how long each has to wait."""
        return [self.ask(Place(bucket)) for _ in range(count)]


@pytest.fixture
def world() -> World:
    """Limits that nobody has used."""
    return World()


@pytest.mark.parametrize("path", ["OHLC?pair=XBTUSD", "Trades?since=5&pair=xbt%2Fusd", "OHLC?interval=5&pair=XBT/USD"])
def test_ohlc_and_trades_of_a_pair_share_its_bucket(path: str) -> None:
    """In any spelling that differs in case and slash only."""
    assert bucket_of(f"/0/public/{path}") == bucket_of("/0/public/Trades", b"pair=XBTUSD") != ALL_OTHERS


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("Ticker?pair=XBTUSD", b""),
        ("Depth?pair=XBTUSD", b""),
        ("OHLC", b""),
        ("OHLC?pair=", b""),
        ("OHLC?pair=XBTUSD&pair=ETHUSD", b""),
        ("OHLC?pair=XBTUSD", b"pair=ETHUSD"),
        ("OHLC", b'{"pair": "XBTUSD"}'),
        ("OHLC", b"\xff&%ff"),
        ("ohlc?pair=XBTUSD", b""),
    ],
)
def test_what_is_not_counted_by_pair_shares_one_bucket(path: str, body: bytes) -> None:
    """Other methods, and calls that name no pair or two."""
    assert bucket_of(f"/0/public/{path}", body) == ALL_OTHERS


def test_each_bucket_takes_its_calls_at_once_and_then_one_a_second(world: World) -> None:
    """Those of one pair leave the others as they are."""
    assert world.calls(AT_ONCE + 2, 1) == [0.0] * AT_ONCE + [1.0, 2.0]
    assert world.calls(AT_ONCE + 1, 2) == [0.0] * AT_ONCE + [1.0]
    assert world.calls(AT_ONCE) == [0.0] * AT_ONCE
    world.now += 0.25
    assert world.calls(1) == [0.75]


def test_calls_are_sent_in_the_order_in_which_they_came(world: World) -> None:
    """A new call, and one that asks more often, wait behind those that came before."""
    world.calls(AT_ONCE)
    first, second = Place(ALL_OTHERS), Place(ALL_OTHERS)
    assert [world.ask(first), world.ask(second), world.ask(second), world.ask(first)] == [1.0, 2.0, 2.0, 1.0]
    world.now += 1
    assert [world.ask(second), world.ask(Place(ALL_OTHERS)), world.ask(first), world.ask(second)] == [
        1.0,
        2.0,
        0.0,
        1.0,
    ]


def test_a_call_that_stops_waiting_leaves_its_place_to_the_next(world: World) -> None:
    """It costs nothing; and one that would have to wait too long gets no place."""
    world.calls(AT_ONCE)
    first, second = Place(ALL_OTHERS), Place(ALL_OTHERS)
    assert [world.ask(first), world.ask(second), world.ask(Place(ALL_OTHERS), 2.5)] == [1.0, 2.0, 3.0]
    world.limits.leave(first)
    assert [world.ask(second), world.ask(second, 0.5), *world.calls(1)] == [1.0, 1.0, 1.0]


def test_a_bucket_that_kraken_has_refused_is_full(world: World) -> None:
    """From then on it takes one call a second; the others are as they were."""
    refused, first, second = Place(1), Place(1), Place(1)
    assert world.ask(refused) == 0.0
    world.limits.fill(refused)
    assert [world.ask(first), world.ask(second), *world.calls(1, 2)] == [1.0, 2.0, 0.0]
    world.now += 1
    assert [world.ask(first), world.ask(second)] == [0.0, 1.0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only three buckets are remembered."""
    monkeypatch.setattr(public_limits, "BUCKETS", 3)


def test_pairs_that_are_forgotten_had_a_bucket_like_a_new_one(few: None, world: World) -> None:
    """Those of which a call was sent lately, or waits, are remembered; further pairs share the bucket of all others."""
    world.calls(AT_ONCE + 1, 1)
    world.calls(1, 2)
    assert world.calls(AT_ONCE + 1, 3) == [0.0] * AT_ONCE + [1.0]
    assert [world.calls(1, 4), world.calls(1)] == [[2.0], [3.0]]
    world.now += 1
    assert world.calls(AT_ONCE + 1, 4) == [0.0] * AT_ONCE + [1.0]  # 2 is forgotten
    world.now += 100
    assert world.calls(1, 3) == world.calls(1, 5) == [0.0]
    assert world.calls(1, 1) == [0.0]
    assert len(world.limits) == 3


# A new call of a bucket, which may wait so long; the n-th of the calls that wait asks again, or leaves; time passes.
NEW = st.tuples(st.just("new"), st.integers(-1, 4), st.integers(0, 12).map(lambda eighths: eighths / 8))
AGAIN = st.tuples(st.sampled_from(["again", "leave"]), st.integers(0, 9), st.just(0.0))
PASSES = st.tuples(st.just("passes"), st.just(0), st.integers(0, 60).map(lambda eighths: eighths / 8))
STEPS = st.lists(st.one_of(NEW, NEW, AGAIN, PASSES), max_size=60)


def run(world: World, steps: Iterable[tuple[str, int, float]]) -> list[Place]:
    """Carry out the steps and return the calls that still wait."""
    waiting: list[Place] = []
    for what, number, seconds in steps:
        if what == "passes":
            world.now += seconds
        elif what == "new":
            place = Place(number)
            waiting += [place] * (0 < world.ask(place, seconds) <= seconds)
        elif waiting:
            place = waiting.pop(number % len(waiting))
            if what == "leave":
                world.limits.leave(place)
            else:
                waiting += [place] * (world.ask(place) > 0)
    return waiting


@given(STEPS)
def test_no_more_is_sent_than_the_burst_and_one_a_second(steps: list[tuple[str, int, float]]) -> None:
    """In any stretch of time, whoever asks, leaves or is forgotten; and nobody waits for ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(public_limits, "BUCKETS", 3)
        patch.setattr(public_limits, "BURST", 2.0)
        world = World()
        waiting = run(world, steps)
        assert len(world.limits) <= 3
        for _ in range(len(waiting)):
            world.now += 1
            waiting = [place for place in waiting if world.ask(place) > 0]
        assert not waiting
    for times in world.sent.values():
        for (first, begin), (last, end) in combinations(enumerate(times), 2):
            assert last - first + 1 <= 2 + end - begin
