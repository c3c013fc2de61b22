"""The shared counters: threads, processes, forks, lockouts and damage; and Kraken's side as a model."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import heapq
import itertools
import math
import os
import random
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends import BytesInMemory, FileStore, MemoryStore
from krakenonce.backends.file.locked_files import LockedFiles
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.key.counting import LAPSE, Booking, Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS, Tier, engine_cost, pair_hash
from krakenonce.key.limits import Order as Known
from krakenonce.key.methods import METHODS
from krakenonce.key.naming import fingerprint
from krakenonce.key.state_time import Reading
from krakenonce.testing.clock import ManualClock
from tests.integration.key.helpers import in_child, in_thread, is_waiting, start_child, until
from tests.unit.key.test_limits import ROUNDING, highest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "a key"
STARTER, PRO = TIERS["starter"], TIERS["pro"]
NOW = Booking(0.0, 0.0)
ORDER = {"pair": "XBTUSD"}


@pytest.fixture
def clock() -> ManualClock:
    """A clock that does not change."""
    return ManualClock()


@pytest.fixture(params=["file", "memory"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Limiter]:
    """A limiter of each kind."""
    store = FileStore(tmp_path / "state") if request.param == "file" else MemoryStore()
    yield Limiter(store.rate_limits, clock=clock)
    store.close()


def path_in(directory: Path, key: str = KEY) -> Path:
    """Where the state of a key is."""
    return directory / "lanes" / f"kraken_limits_{fingerprint(key)}.bin"


def book(
    limiter: Limiter, tier: Tier | None, method: str, params: dict[str, Any], longest: float, key: str = KEY
) -> Booking:
    """Ask for a call, and send it if it need not wait; else it keeps its place."""
    place = Place(key, tier, method, params)
    booking = limiter.book(place, longest)
    if not booking.wait:
        assert limiter.send(place) == 0
    return booking


class Placed:
    """A call that has asked, and keeps its place."""

    def __init__(self, limiter: Limiter, method: str = "Balance", tier: Tier = STARTER) -> None:
        self.place = Place(KEY, tier, method, {})
        self._limiter = limiter
        self.wait = self.look()

    def look(self) -> float:
        """Ask again."""
        return self._limiter.book(self.place, 1e9).wait


def wait_and_send(limiter: Limiter, clock: ManualClock, place: Place) -> float:
    """Ask until the call may be sent, and send it; return how long that took."""
    waited = 0.0
    while wait := limiter.book(place, math.inf).wait:
        pause = min(wait, 1.0)
        clock.pass_time(pause)
        waited += pause
    assert limiter.send(place) == 0
    return waited


def at_once(limiter: Limiter, tier: Tier = STARTER, method: str = "Balance", **params: object) -> int:
    """Book calls until one would have to wait; return how many need not."""
    for count in itertools.count():
        if book(limiter, tier, method, params, 0).wait:
            return count
    raise AssertionError


def test_the_levels_are_those_of_what_was_booked(limiter: Limiter, clock: ManualClock) -> None:
    """The REST counter, and the engine's of the fullest pair; both fall with time, and looking adds nothing."""
    assert limiter.levels(KEY, STARTER) == (0.0, 0.0)
    for method, pair in (("AddOrder", "XBTUSD"), ("AddOrder", "XBTUSD"), ("AddOrder", "ETHUSD"), ("Ledgers", "")):
        book(limiter, STARTER, method, {"pair": pair}, 0)
    assert [limiter.levels(KEY, STARTER) for _ in range(2)] == [(2.0, 2.0)] * 2
    clock.pass_time(1)
    assert limiter.levels(KEY, STARTER) == pytest.approx((2 - STARTER.rest_decay, 2 - STARTER.engine_decay))
    clock.pass_time(100)
    assert limiter.levels(KEY, STARTER) == (0.0, 0.0)


def test_looking_at_the_levels_makes_no_file(tmp_path: Path) -> None:
    """A page that only shows changes nothing."""
    limiter = Limiter(FileStore(tmp_path / "state").rate_limits)
    assert limiter.levels(KEY, STARTER) == (0.0, 0.0)
    assert not (tmp_path / "state").exists()


class Exchange:
    """Kraken's counters, after its pages: costs are added as calls arrive, by the true ages of the orders."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.costs: dict[object, list[tuple[float, float]]] = {}
        self.orders: dict[str, tuple[str, float]] = {}

    def receive(self, now: float, method: str, params: dict[str, Any], pair: str, order: str) -> None:
        """Take a call."""
        ages = {name: Known(pair_hash(its), now - since) for name, (its, since) in self.orders.items() if name == order}
        for counter, cost in engine_cost(method, {**params, "pair": pair}, ages).items():
            self.costs.setdefault(counter, []).append((now, cost))
        self.costs.setdefault("REST", []).append((now, METHODS[method].rest))
        if method == "CancelOrder":
            self.orders.pop(order, None)
        elif method == "AddOrder" or order in self.orders:
            self.orders[order] = (pair, now)

    def check(self) -> None:
        """No counter was ever above its maximum, and there was something to count."""
        tier = self.tier
        for counter, arrivals in self.costs.items():
            is_rest = counter == "REST"
            peak = highest(arrivals, tier.rest_decay if is_rest else tier.engine_decay)
            assert 1 <= peak <= (tier.rest_max if is_rest else tier.engine_max) + ROUNDING


class Bot:
    """Calls at random, sent at the times they were booked for, up to a second late, answered after another while."""

    def __init__(self, tier: Tier, seed: int) -> None:
        self.exchange = Exchange(tier)
        self.clock = ManualClock()
        self.limiter = Limiter(MemoryStore().rate_limits, clock=self.clock)
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Any]] = []
        self._ids = itertools.count()
        self._open: dict[str, str] = {}  # orders the bot may change, and their pairs
        self._late = 0.0
        self._arrived: dict[str, float] = {}  # calls for one order do not overtake one another

    def now(self) -> float:
        """The time since boot, in seconds."""
        return self.clock.boot_ns() / 1e9

    def at(self, time: float, action: Any) -> None:
        """Do something later."""
        heapq.heappush(self._events, (time, next(self._ids), action))

    def run_until(self, time: float) -> None:
        """Let time pass, and what is due happen."""
        while self._events and self._events[0][0] <= time:
            due, _, action = heapq.heappop(self._events)
            self.clock.pass_time(max(0.0, due - self.now()))
            action()
        if time < math.inf:
            self.clock.pass_time(max(0.0, time - self.now()))

    def call(self) -> None:
        """Begin one call, which is given up if it would have to wait too long."""
        choose = self._random.choice
        method = choose(["AddOrder", "AddOrder", "AmendOrder", "CancelOrder", "CancelOrder", "Balance", "Ledgers"])
        params: dict[str, Any] = {}
        pair = order = ""
        if method == "AddOrder":
            order, pair = f"order {next(self._ids)}", choose(["XBTUSD", "ETHUSD"])
            params = {"pair": pair} | ({"cl_ord_id": order} if choose([True, False]) else {})
        elif method in ("AmendOrder", "CancelOrder"):
            if not self._open:
                return
            order = choose(list(self._open))
            pair, params = self._open[order], {"txid": order}
        if method == "CancelOrder":
            del self._open[order]
        self.ask(Place(KEY, self.exchange.tier, method, params), pair, order, self.now() + 40)

    def ask(self, place: Place, pair: str, order: str, until: float) -> None:
        """Ask until the call may go, or give it up: one in ten before its time."""
        booking = self.limiter.book(place, until - self.now())
        if booking.wait > until - self.now():
            return
        if booking.wait and self._random.random() < 0.1:
            self.limiter.leave(place)
        elif booking.wait:
            self.at(self.now() + min(booking.wait, 1), lambda: self.ask(place, pair, order, until))
        else:  # and then it waits for its turn
            self.at(self.now() + self._random.choice([0, 0, 5]), lambda: self.send(place, pair, order))

    def send(self, place: Place, pair: str, order: str) -> None:
        """Send the call; one in twenty finds no connection."""
        assert self.limiter.send(place) == 0
        if self._random.random() < 0.05:
            self.at(self.now() + self._random.random() * 5, lambda: self.limiter.not_sent(place))
            return
        if self._random.random() < 0.1:  # calls are late for a while, and then on time again
            self._late = self._random.choice([0, 1, self._random.random()])
        arrival = max(self.now() + self._late, self._arrived.get(order, 0))
        self._arrived[order] = arrival if order else 0
        method, params = place.method, dict(place.params)
        if "cl_ord_id" in params:
            self._open[order] = pair
        self.at(arrival, lambda: self.exchange.receive(self.now(), method, params, pair, order))
        if method in ("AddOrder", "AmendOrder"):
            self.at(arrival + self._random.random(), lambda: self.answered(method, pair, order))

    def answered(self, method: str, pair: str, order: str) -> None:
        """Report to the limiter an order placed or amended."""
        self.limiter.placed(KEY, pair if method == "AddOrder" else "", [order])
        if method == "AddOrder":
            self._open.setdefault(order, pair)


@pytest.mark.parametrize("tier", TIERS.values(), ids=lambda tier: tier.name)
@pytest.mark.parametrize("pace", [0.05, 0.4, 3])
def test_kraken_never_has_a_reason_to_refuse(tier: Tier, pace: float) -> None:
    """A bot that trades as fast as it is let, or slower, keeps every counter of Kraken within its maximum."""
    for seed in range(3):
        bot = Bot(tier, seed)
        for _ in range(400):
            bot.run_until(bot.now() + bot._random.expovariate(1 / pace))
            bot.call()
        bot.run_until(math.inf)
        bot.exchange.check()


def test_calls_beyond_the_maximum_are_given_a_time(limiter: Limiter, clock: ManualClock) -> None:
    """Each call learns at once how long to wait; as time passes, the waits become shorter."""
    assert at_once(limiter) == 14
    waits = [book(limiter, STARTER, "Balance", {}, 60).wait for _ in range(3)]
    assert waits == pytest.approx([1, 1 + 1 / 0.33, 1 + 2 / 0.33])
    clock.pass_time(1)
    assert book(limiter, STARTER, "Balance", {}, 60).wait == pytest.approx(3 / 0.33)


def test_keys_and_pairs_have_counters_of_their_own(limiter: Limiter) -> None:
    """The REST counter is the key's, the engine's is the key's and pair's; neither affects the other."""
    assert at_once(limiter) == 14
    assert at_once(limiter, method="AddOrder", pair="XBT/USD") == 59
    assert book(limiter, STARTER, "AddOrder", {"pair": "xbtusd"}, 0).wait > 0
    assert book(limiter, STARTER, "AddOrder", {"pair": "ETHUSD"}, 0) == NOW
    assert book(limiter, STARTER, "Balance", {}, 0, key="another key") == NOW
    assert book(limiter, STARTER, "AddOrder", ORDER, 0, key="another key") == NOW


def test_a_call_with_two_counters_waits_for_both(limiter: Limiter, clock: ManualClock) -> None:
    """An amend that waits for the engine still counts at the REST counter when it is sent."""
    assert at_once(limiter, method="AddOrder", pair="XBTUSD") == 59
    for _ in range(20):
        book(limiter, STARTER, "AddOrder", ORDER, 60)
    amend = Place(KEY, STARTER, "AmendOrder", {"txid": "OA", **ORDER})
    assert limiter.book(amend, 60).wait == pytest.approx(21)
    assert at_once(limiter) == 13
    waited = wait_and_send(limiter, clock, amend)
    assert limiter.levels(KEY, STARTER).rest == pytest.approx(13 - 0.33 * waited + 1)


def test_nothing_is_booked_when_the_wait_is_too_long(tmp_path: Path, clock: ManualClock) -> None:
    """A call that is not going to be sent leaves no trace, in the counters or among the orders."""
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    while not book(limiter, STARTER, "Balance", {}, 3).wait > 3:
        pass
    before = path_in(tmp_path).read_bytes()
    wait = book(limiter, STARTER, "AmendOrder", {"cl_ord_id": "mine", **ORDER}, 3).wait
    assert wait > 3
    assert path_in(tmp_path).read_bytes() == before
    assert book(limiter, STARTER, "AmendOrder", {"cl_ord_id": "mine", **ORDER}, wait) == Booking(wait, 0.0)


def test_a_call_that_is_given_up_leaves_its_place(limiter: Limiter, clock: ManualClock) -> None:
    """Those behind it move up, and it costs nothing."""
    assert at_once(limiter) == 14
    waiting = [Placed(limiter) for _ in range(10)]
    assert [each.wait for each in waiting] == pytest.approx([1 + count / 0.33 for count in range(10)])
    for each in waiting[:-1]:
        limiter.leave(each.place)
    assert waiting[-1].look() == pytest.approx(1)
    limiter.leave(waiting[-1].place)
    limiter.leave(waiting[-1].place)
    assert limiter.levels(KEY, STARTER).rest == 14
    assert book(limiter, STARTER, "Balance", {}, 60).wait == pytest.approx(1)


def test_a_call_that_may_go_keeps_its_place_until_it_is_sent(limiter: Limiter) -> None:
    """Sixty threads that ask at the same moment do not all find the counter empty."""
    waits = [Placed(limiter).wait for _ in range(60)]
    assert waits[:14] == [0] * 14
    assert min(waits[14:]) == pytest.approx(1)


def test_the_places_of_a_process_that_is_gone_fade(tmp_path: Path, clock: ManualClock) -> None:
    """A call that has not asked again for some seconds counts as gone."""
    gone, here = (Limiter(FileStore(tmp_path).rate_limits, clock=clock) for _ in range(2))
    for _ in range(40):
        Placed(gone)
    mine = Placed(here)
    assert mine.wait == pytest.approx(26 / 0.33 + 1)
    clock.pass_time(LAPSE)
    assert mine.look() == 0


def test_a_call_that_found_no_connection_is_not_counted(limiter: Limiter, clock: ManualClock) -> None:
    """The counter is as if it had not been; what the counter may have forgotten of it by then is not taken back."""
    for seconds, level in ((0.0, 0.0), (1.0, 0.0), (60.0, 0.0)):
        place = Place(KEY, STARTER, "Balance", {})
        assert limiter.send(place) == 0
        clock.pass_time(seconds)
        limiter.not_sent(place)
        limiter.not_sent(place)
        assert limiter.levels(KEY, STARTER).rest == pytest.approx(level)


@pytest.mark.parametrize("method", ["CancelAll", "CancelAllOrdersAfter", "GetWebSocketsToken"])
def test_what_protects_an_account_takes_the_next_free_place(method: str, limiter: Limiter, clock: ManualClock) -> None:
    """Before all readers that wait, in their own order; and the readers wait for it in turn."""
    assert at_once(limiter) == 14
    readers = [Placed(limiter) for _ in range(24)]
    first, second = Placed(limiter, method), Placed(limiter, method)
    assert (first.wait, second.wait) == pytest.approx((1, 1 + 1 / 0.33))
    assert readers[0].look() == pytest.approx(1 + 2 / 0.33)
    wait_and_send(limiter, clock, first.place)
    assert (second.look(), readers[0].look()) == pytest.approx((1 / 0.33, 2 / 0.33))


def test_a_call_that_may_go_is_not_overtaken(limiter: Limiter) -> None:
    """A reader that waits for its turn only may be sent before the cancel: the limits allow both, or both wait."""
    for _ in range(14):
        Placed(limiter)
    assert Placed(limiter, "CancelAll").wait == pytest.approx(1)


def test_more_calls_than_the_file_has_places_for_ask_again(limiter: Limiter) -> None:
    """No call is sent before its time; one that finds no place comes after those that have one."""
    patient = Tier("patient", 15, 10.0, 1, 1)
    waits = [Placed(limiter, tier=patient).wait for _ in range(300)]
    assert waits[:5] == [0] * 5
    assert min(waits[5:]) > 0


def test_a_batch_of_cancels_does_not_wait_for_the_engine(limiter: Limiter) -> None:
    """Kraken accepts it over the threshold; all other calls then wait until the counter has come down."""
    limiter.placed(KEY, "XBTUSD", [f"O{number}" for number in range(50)])
    batch = {"orders": [f"O{number}" for number in range(50)]}
    assert limiter.refused(Place(KEY, PRO, "CancelOrderBatch", batch)) == pytest.approx(2)  # for the REST counter alone
    assert book(limiter, Tier("patient", 60, 1, 60, 1), "CancelOrderBatch", batch, 0) == NOW
    assert book(limiter, STARTER, "AddOrder", ORDER, 0).wait == pytest.approx(400 + 1 - 60 + 1)


def test_krakens_worked_example(limiter: Limiter, clock: ManualClock) -> None:
    """An order, an amend after 7 seconds and a cancel 36 seconds later cost 1, 3 and 4, with the pair given once."""
    slow = Tier("slow", 100, 1, 100, 1e-9)  # the engine's reserve is next to nothing, and so is what decays
    book(limiter, slow, "AddOrder", ORDER, 0)
    limiter.placed(KEY, "XBTUSD", ["OA", "mine"])
    clock.pass_time(7)
    book(limiter, slow, "AmendOrder", {"txid": "OA"}, 0)
    limiter.placed(KEY, "", ["OA"])
    clock.pass_time(36)
    book(limiter, slow, "CancelOrder", {"txid": "OA"}, 0)
    assert at_once(limiter, slow, "AddOrder", pair="XBTUSD") == 100 - 8


def test_the_age_of_an_order_is_known_to_all_processes(tmp_path: Path, clock: ManualClock) -> None:
    """What one process has placed costs another the age's points to cancel, and nothing after 300 seconds."""
    ours, theirs = (Limiter(FileStore(tmp_path).rate_limits, clock=clock) for _ in range(2))
    ours.placed(KEY, "XBTUSD", ["OA"])
    assert at_once(theirs, STARTER, "CancelOrder", txid="OA") == 59 // 8
    clock.pass_time(300)
    assert at_once(ours, STARTER, "AddOrder", pair="XBTUSD") == 59
    assert book(theirs, STARTER, "CancelOrder", {"txid": "OA"}, 0) == NOW


def test_hundreds_of_young_orders_are_known(limiter: Limiter) -> None:
    """The age of an order need not be guessed because many others were placed after it, some of them twice."""
    ids = [f"O{number}" for number in range(300)]
    limiter.placed(KEY, "XBTUSD", ids)
    for _ in range(5):
        limiter.placed(KEY, "", [*ids[:150], "never placed"])
    book(limiter, STARTER, "CancelOrderBatch", {"orders": [*ids, "never placed"]}, 0)
    assert book(limiter, STARTER, "AddOrder", ORDER, 0).wait == pytest.approx(8 * 300 + 1 - 60 + 1)


def test_an_order_still_under_way_counts_as_new(limiter: Limiter, clock: ManualClock) -> None:
    """Who cancels an order before it, or its amend, was answered pays for an order that has just come."""
    book(limiter, STARTER, "AddOrder", {"cl_ord_id": "mine", **ORDER}, 0)
    clock.pass_time(299)
    book(limiter, STARTER, "AmendOrder", {"cl_ord_id": "mine"}, 0)
    clock.pass_time(4)
    assert at_once(limiter, STARTER, "CancelOrder", cl_ord_id="mine") == 59 // 8


def test_an_amend_that_waits_makes_its_order_new_when_it_is_sent(limiter: Limiter, clock: ManualClock) -> None:
    """The order's age counts from the time the amend may arrive, not from its first question."""
    limiter.placed(KEY, "XBTUSD", ["OA"])
    for _ in range(20):
        book(limiter, STARTER, "Balance", {}, 60)
    amend = Place(KEY, STARTER, "AmendOrder", {"txid": "OA"})
    assert limiter.book(amend, 60).wait > 10
    wait_and_send(limiter, clock, amend)
    clock.pass_time(1 + 4.9)
    assert book(limiter, STARTER, "CancelOrder", {"txid": "OA"}, 0) == NOW
    assert at_once(limiter, STARTER, "AddOrder", pair="XBTUSD") == 59 - 8


def test_a_refusal_makes_all_calls_wait(tmp_path: Path, clock: ManualClock) -> None:
    """Kraken's word counts: all who share the counter wait until it has come down from its maximum."""
    ours, theirs = (Limiter(FileStore(tmp_path).rate_limits, clock=clock) for _ in range(2))
    assert ours.refused(Place(KEY, STARTER, "Balance", {})) == pytest.approx(1 / 0.33 + 1)
    assert book(theirs, STARTER, "Balance", {}, 0).wait == pytest.approx(1 / 0.33 + 1)
    assert book(theirs, STARTER, "AddOrder", ORDER, 0) == NOW
    assert ours.refused(Place(KEY, PRO, "AddOrder", ORDER)) == pytest.approx(1 / 3.75 + 1)
    assert book(theirs, PRO, "AddOrder", ORDER, 0).wait == pytest.approx(1 / 3.75 + 1)


def test_a_refusal_takes_no_booking_back(limiter: Limiter) -> None:
    """A counter that is already higher than its maximum is not lowered to it."""
    for _ in range(30):
        limiter.send(Place(KEY, STARTER, "Balance", {}))  # by a caller who does not wait
    wait = book(limiter, STARTER, "Balance", {}, 0).wait
    assert wait > 40
    assert limiter.refused(Place(KEY, STARTER, "Balance", {})) == pytest.approx(wait)
    assert book(limiter, STARTER, "Balance", {}, 0).wait == pytest.approx(wait)


@pytest.mark.parametrize(("tier", "method"), [(None, "Balance"), (STARTER, "CancelOrder")])
def test_a_refusal_at_a_counter_that_is_not_known(limiter: Limiter, tier: Tier | None, method: str) -> None:
    """Then a few seconds have to do, as Kraken says."""
    assert limiter.refused(Place(KEY, tier, method, {})) == 5


def test_a_lockout_closes_the_key_for_all_calls(tmp_path: Path, clock: ManualClock) -> None:
    """With limits or without, through every limiter, until it ends; other keys go on. Nothing is booked meanwhile."""
    ours, theirs = (Limiter(FileStore(tmp_path).rate_limits, clock=clock) for _ in range(2))
    book(ours, STARTER, "Balance", {}, 0)
    ours.lock_out(KEY, 900)
    before = path_in(tmp_path).read_bytes()
    clock.pass_time(899)
    for tier in (STARTER, None):
        assert book(theirs, tier, "Balance", {}, 1e9) == pytest.approx((1, 1))
    assert book(theirs, STARTER, "Balance", {}, 0, key="another key") == NOW
    assert path_in(tmp_path).read_bytes() == before
    clock.pass_time(1)
    for tier in (STARTER, None):
        assert book(theirs, tier, "Balance", {}, 0) == NOW


def test_a_lockout_is_not_shortened(limiter: Limiter) -> None:
    """A shorter one changes nothing, a longer one counts, and no key is locked out for more than a day."""
    for seconds, left in ((900, 900), (60, 900), (1000, 1000), (-1, 1000), (math.nan, 1000), (math.inf, 86_400)):
        limiter.lock_out(KEY, seconds)
        assert limiter.locked_out(KEY) == pytest.approx(left)


def test_a_key_without_limits_needs_no_file(tmp_path: Path) -> None:
    """Nothing is opened or made for a key whose tier is not given, nor by making a limiter."""
    limiter = Limiter(FileStore(tmp_path / "state").rate_limits)
    assert book(limiter, None, "Balance", {}, 0) == NOW
    assert not (tmp_path / "state").exists()


def test_the_file_takes_its_space_at_once(tmp_path: Path) -> None:
    """It is private, is named without the key, and does not grow later."""
    limiter = Limiter(FileStore(tmp_path / "state").rate_limits)
    book(limiter, STARTER, "Balance", {}, 0)
    [file] = (tmp_path / "state" / "lanes").iterdir()
    size = file.stat().st_size
    limiter.placed(KEY, "XBTUSD", [f"O{number}" for number in range(10_000)])
    for number in range(3000):
        book(limiter, STARTER, "AddOrder", {"pair": f"{number}USD"}, 1e9)
    assert (file.stat().st_size, file.stat().st_mode & 0o777) == (size, 0o600)
    assert file == path_in(tmp_path / "state")
    assert [path.stat().st_mode & 0o777 for path in file.parents[:2]] == [0o700] * 2


def open_here(path: Path) -> int:
    """How many descriptors of this process lead to a file."""
    found = 0
    for fd in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the one that lists them is gone by now
            found += os.path.samestat(os.fstat(int(fd)), path.stat())
    return found


@pytest.mark.usefixtures("few_files")
def test_few_files_stay_open(tmp_path: Path, clock: ManualClock) -> None:
    """A thousand accounts do not need a thousand descriptors, and none of them is forgotten."""
    store = FileStore(tmp_path)
    limiter = Limiter(store.rate_limits, clock=clock)
    before = len(os.listdir("/dev/fd"))
    for _ in range(2):
        for number in range(200):
            book(limiter, STARTER, "Ledgers", {}, 0, key=f"key {number}")
    assert len(os.listdir("/dev/fd")) - before == 64
    assert open_here(path_in(tmp_path, "key 199")) == open_here(path_in(tmp_path, "key 136")) == 1
    for number in range(200):
        assert book(limiter, STARTER, "Balance", {}, 0, key=f"key {number}") == NOW
        assert book(limiter, Tier("tiny", 5.9, 0.1, 1, 1), "Balance", {}, 0, key=f"key {number}").wait > 0
    store.close()
    assert len(os.listdir("/dev/fd")) == before
    assert book(limiter, STARTER, "Balance", {}, 0, key="key 1") == NOW


def numbers(offset: int, *values: float) -> tuple[int, bytes]:
    """Numbers written at a place in the file."""
    return offset, struct.pack(f"<{len(values)}d", *values)


NOTED, UNTIL, REST = 32, 40, 48  # where the file has the lockout's times and the REST counter


@pytest.mark.parametrize(
    "damage",
    [
        (0, b"garbage!"),
        (0, b"KNLIMIT2"),
        (0, random.Random(1).randbytes(120_000)),
        (REST, random.Random(2).randbytes(120_000)),
        *(numbers(REST, level, 1) for level in (math.nan, -math.inf, math.inf, -1, 1e300)),
        *(numbers(REST, 15, at) for at in (math.nan, math.inf, -1, 1e12)),
        *(numbers(NOTED, noted) for noted in (math.nan, -math.inf, -1e12, 1e12)),
        *(numbers(UNTIL, until) for until in (math.nan, math.inf, -1, 1e12)),
    ],
    ids=lambda damage: f"{damage[0]}:{damage[1][:16].hex()}",
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, damage: tuple[int, bytes]) -> None:
    """Whatever it holds, calls go on and are counted."""
    limiter = Limiter(FileStore(tmp_path).rate_limits)
    limiter.lock_out(KEY, 0.000_001)
    with path_in(tmp_path).open("r+b") as file:
        file.seek(damage[0])
        file.write(damage[1])
    assert at_once(limiter) == 14
    limiter.placed(KEY, "XBTUSD", ["OA"])
    assert book(limiter, STARTER, "CancelOrder", {"txid": "OA"}, 1e9).locked_out == 0


@pytest.mark.parametrize("size", [0, 10, 16, 30, 40, 60, 1000])
def test_a_file_cut_short_counts_as_empty(tmp_path: Path, size: int, clock: ManualClock) -> None:
    """What is missing was never booked; what comes is counted."""
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    book(limiter, STARTER, "AddOrder", ORDER, 0)
    os.truncate(path_in(tmp_path), size)
    assert at_once(limiter) == 14
    assert at_once(limiter, method="AddOrder", pair="XBTUSD") in (58, 59)


def test_a_deleted_file_is_made_again(tmp_path: Path, clock: ManualClock) -> None:
    """A running limiter notices, and shares the new file with those that come later."""
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    assert at_once(limiter) == 14
    path_in(tmp_path).unlink()
    for _ in range(7):
        assert book(limiter, STARTER, "Balance", {}, 0) == NOW
    assert at_once(Limiter(FileStore(tmp_path).rate_limits, clock=clock)) == 7


@pytest.mark.parametrize("what", ["link", "directory", "parent"])
def test_a_path_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    """Links and directories are refused; no message holds the key."""
    path = path_in(tmp_path / "state")
    path.parent.mkdir(parents=True)
    if what == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "directory":
        path.mkdir()
    else:
        path.parent.rmdir()
        path.parent.write_text("a file")
    with pytest.raises(NonceStoreError) as refusal:
        book(Limiter(FileStore(tmp_path / "state").rate_limits), STARTER, "Balance", {}, 0)
    assert KEY not in str(refusal.value)


def test_a_failing_disk_is_an_error_and_leaves_nothing_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so, nothing stays locked, and the next call opens the file again."""
    limiter = Limiter(FileStore(tmp_path).rate_limits)
    book(limiter, STARTER, "Balance", {}, 0)

    def fail(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        with pytest.raises(NonceStoreError) as failure:
            book(limiter, STARTER, "Balance", {}, 0)
        assert "cannot keep the rate limits in" in str(failure.value)
        assert not is_locked(path_in(tmp_path))
    assert at_once(limiter) == 13


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that did not get all its space is not used; it is made again when there is space."""
    write = os.pwrite
    limiter = Limiter(FileStore(tmp_path).rate_limits)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:4096], offset))
        for _ in range(2):
            with pytest.raises(NonceStoreError, match="free some space"):
                book(limiter, STARTER, "Balance", {}, 0)
    assert at_once(limiter) == 14


def is_locked(path: Path) -> bool:
    """Whether a thread is inside the step just now."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Stopping(SystemClock):
    """A clock that stops its first caller, in the middle of the step, until the test releases it."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def boot_ns(self) -> int:  # type: ignore[override]
        """The time since boot, at last."""
        if not self.reached.is_set():
            self.reached.set()
            self.go_on.wait()
        return SystemClock.boot_ns()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[Limiter, Stopping]]:
    """A limiter that another thread is in the middle of, and the clock that lets it go on."""
    clock = Stopping()
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    thread = threading.Thread(target=book, args=(limiter, STARTER, "Balance", {}, 0))
    thread.start()
    clock.reached.wait()
    yield limiter, clock
    clock.go_on.set()
    thread.join()


def test_a_fork_in_the_middle_of_anothers_step(stopped: tuple[Limiter, Stopping]) -> None:
    """The child waits for the parent's thread as every process does, and then books on the same counter."""
    limiter, clock = stopped
    answer = start_child(lambda: at_once(limiter))
    clock.go_on.set()
    assert answer() == "13"


def test_a_child_does_not_unlock_its_parents_step(stopped: tuple[Limiter, Stopping], tmp_path: Path) -> None:
    """A child that comes and goes leaves the lock of the parent's thread alone."""
    limiter, _ = stopped
    assert is_locked(path_in(tmp_path))
    assert isinstance(limiter._states._rate_limits, LockedFiles)
    assert in_child(limiter._states._rate_limits.close) == "None"
    assert is_locked(path_in(tmp_path))


def test_parent_and_child_share_the_counters(tmp_path: Path) -> None:
    """What the child books counts for the parent, and the lock between them is the kernel's."""
    limiter = Limiter(FileStore(tmp_path).rate_limits)
    book(limiter, STARTER, "Balance", {}, 0)
    assert open_here(path_in(tmp_path)) == 1
    assert in_child(lambda: open_here(path_in(tmp_path))) == "0"
    assert in_child(lambda: [book(limiter, STARTER, "Balance", {}, 0).wait for _ in range(6)]) == str([0.0] * 6)
    assert at_once(limiter) == 7


def test_a_child_keeps_what_is_in_memory_to_itself() -> None:
    """Without a directory, parent and child count on their own from the fork on."""
    limiter = Limiter(MemoryStore().rate_limits)
    book(limiter, STARTER, "Balance", {}, 0)
    assert in_child(lambda: at_once(limiter)) == "13"
    assert at_once(limiter) == 13


@pytest.mark.parametrize("kind", ["the same store", "another store", "memory"])
def test_a_signal_handler_inside_the_step_gets_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A call from a handler that interrupted the same in its thread is refused, for it would wait for itself."""
    store = MemoryStore() if kind == "memory" else FileStore(tmp_path)
    others = FileStore(tmp_path) if kind == "another store" else store
    limiter, other = Limiter(store.rate_limits), Limiter(others.rate_limits)

    def interrupt(clock: int) -> Reading:
        with pytest.raises(NonceStoreError, match="signal handler"):
            book(other, STARTER, "Balance", {}, 0)
        store.close()  # that leaves alone what is in use
        return Reading(clock, 1000.0, 1.8e9)

    with monkeypatch.context() as patch:
        patch.setattr(limiter._states, "_read", interrupt)
        assert book(limiter, STARTER, "Balance", {}, 0) == NOW
    assert book(limiter, STARTER, "Balance", {}, 0) == NOW


class Remembering(SystemClock):
    """A clock that shows what it has last returned to this thread: the time of a booking."""

    def __init__(self) -> None:
        self._shown = threading.local()

    def boot_ns(self) -> int:  # type: ignore[override]
        """The time since boot."""
        self._shown.ns = SystemClock.boot_ns()
        return int(self._shown.ns)

    def shown(self) -> float:
        """The last answer, in seconds."""
        return float(self._shown.ns) / 1e9


def book_many(limiter: Limiter, clock: Remembering, count: int) -> list[tuple[float, float]]:
    """Send calls of both kinds while they need not wait; return when, negative for the engine's, and what they cost."""
    times = []
    for _ in range(count):
        for sign, cost, method in ((1, 2, "Ledgers"), (-1, 1, "AddOrder"), (1, 1, "Balance")):
            if not book(limiter, STARTER, method, ORDER, 0).wait:
                times.append((sign * clock.shown(), float(cost)))
    return times


def check_times(times: list[tuple[float, float]]) -> None:
    """All together, sent up to a second late, they keep within Kraken's maxima, and use them."""
    assert len(times) >= 59 + 14 / 2
    assert highest([(t, cost) for t, cost in times if t > 0], 0.33) <= 15 - 0.33 + ROUNDING
    assert highest([(-t, cost) for t, cost in times if t < 0], 1) <= 60 - 1 + ROUNDING


def test_threads_share_the_counters(tmp_path: Path) -> None:
    """Threads with one limiter or another, on one directory: all that they send together fits."""
    clock = Remembering()
    limiters = [Limiter(FileStore(tmp_path).rate_limits, clock=clock) for _ in range(2)]
    times: list[tuple[float, float]] = []
    threads = [
        threading.Thread(target=lambda limiter=limiter: times.extend(book_many(limiter, clock, 50)))
        for limiter in limiters * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_times(times)


PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from krakenonce.key.limiter import Limiter
from krakenonce.backends import FileStore
from tests.integration.key.test_limiter import KEY, Remembering, book_many
clock = Remembering()
limiter = Limiter(FileStore(sys.argv[1]).rate_limits, clock=clock)
print("ready", flush=True)
if sys.stdin.readline() == "book\\n":
    print(book_many(limiter, clock, 100))
else:
    limiter.lock_out(KEY, 900)
"""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of their own that wait for a word."""
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in running:
        assert process.stdout
        process.stdout.readline()
    yield running
    for process in running:
        process.kill()
        process.communicate()


def test_processes_share_the_counters(programs: list[subprocess.Popen[str]]) -> None:
    """Processes that send with one key at the same time: all that they send together fits."""
    for process in programs:
        assert process.stdin
        process.stdin.write("book\n")
        process.stdin.flush()
    times: list[tuple[float, float]] = []
    for process in programs:
        times += eval(process.communicate()[0])  # noqa: S307 - our own numbers
    check_times(times)


class Halting(SystemClock):
    """A clock that stops all callers, which is done inside the step; for another process, too."""

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()
        self._going, self._go = os.pipe()

    def boot_ns(self) -> int:  # type: ignore[override] # this one has a state
        """Nanoseconds since boot, some time."""
        os.write(self._ask, b"?")
        os.read(self._going, 1)
        return SystemClock.boot_ns()

    def until_asked(self) -> None:
        """Wait until a caller asks."""
        os.read(self._asked, 1)

    def go_on(self) -> None:
        """Release all callers."""
        os.write(self._go, b"!" * 100)


def test_who_books_waits_while_another_process_is_inside(tmp_path: Path) -> None:
    """The kernel's lock keeps them apart."""
    clock = Halting()
    first = start_child(lambda: book(Limiter(FileStore(tmp_path).rate_limits, clock=clock), STARTER, "Balance", {}, 0))
    clock.until_asked()
    second = in_thread(book, Limiter(FileStore(tmp_path).rate_limits), STARTER, "Balance", {}, 0)
    until(lambda: is_waiting(os.getpid()) or not second.is_alive())
    waited = second.is_alive()
    clock.go_on()
    assert first() == str(NOW)
    second.join()
    assert waited


def test_a_lockout_is_seen_by_other_processes(programs: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """One process is locked out, and all are."""
    limiter = Limiter(FileStore(tmp_path).rate_limits)
    assert book(limiter, STARTER, "Balance", {}, 0) == NOW
    programs[0].communicate("lock out\n")
    assert 800 < book(limiter, STARTER, "Balance", {}, 0).locked_out <= 900


class TwiceFor:
    """Rate limits of a backend that takes each step twice, as one does that another caller has been faster than."""

    def __init__(self) -> None:
        self.exist: Any = lambda _: True
        self._bytes = BytesInMemory()

    def step(self, _: str, step: Any) -> Any:
        """Take a step on a copy that is dropped, then take it."""
        step(BytesInMemory(bytes(self._bytes)))
        return step(self._bytes)


def test_a_step_that_is_taken_again_finds_the_place_as_it_was() -> None:
    """Nothing counts twice, and a call that is sent has no place among those that wait any more."""
    limiter = Limiter(TwiceFor())
    place = Place("key", TIERS["starter"], "Balance", {})
    assert limiter.book(place, 60.0).wait == 0.0
    limiter.send(place)
    assert limiter.levels("key", TIERS["starter"]).rest > 0.9
    limiter.not_sent(place)
    assert limiter.levels("key", TIERS["starter"]).rest == 0.0
    waiting: list[object] = []
    limiter._inside_of("key", lambda state: waiting.append(state.waiting()))
    assert waiting == [[], []]


class LeftFirst:
    """Rate limits of a backend on whose first step a caller does not wait, so that it leaves before the step begins."""

    def __init__(self) -> None:
        self.exist: Any = lambda _: True
        self.gives_up: list[Any] = []
        self._bytes = BytesInMemory()

    def step(self, _: str, step: Any) -> Any:
        """Let the caller leave, and then take the step."""
        while self.gives_up:
            self.gives_up.pop()()
        return step(self._bytes)


def test_a_place_that_is_left_while_it_is_asked_for_is_not_kept() -> None:
    """A task that was cancelled does not wait until its thread has an answer of the server."""
    limits = LeftFirst()
    limiter, place = Limiter(limits), Place("key", TIERS["starter"], "Balance", {})
    limits.gives_up.append(lambda: limiter.leave(place))
    limiter.book(place, 60.0)
    assert limiter._inside_of("key", lambda state: state.waiting()) == []
    limiter.book(place, 60.0)
    assert len(limiter._inside_of("key", lambda state: state.waiting())) == 1
