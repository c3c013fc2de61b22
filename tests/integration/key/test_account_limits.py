"""Several keys of one account: the engine's counters are the account's, the REST counter and a lockout are a key's."""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends import FileStore, MemoryStore
from krakenonce.clock import SystemClock
from krakenonce.errors import LockedOut, NonceStoreError, RateLimited
from krakenonce.key.api_key import ApiKey, MustWait
from krakenonce.key.limits import TIERS, Tier, pair_hash
from krakenonce.key.limits_state import PAIRS
from krakenonce.key.naming import account_state, fingerprint
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from tests.integration.key.helpers import in_child, start_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from tests.integration.conftest import Opener

# Counters that do not fall while a test runs, and leave room for 99 points.
SLOW = Tier("slow", 100, 1e-9, 100, 1e-9)
ORDER = {"pair": "XBTUSD"}
BATCH = {"pair": "XBTUSD", "orders": [{}] * 4}  # costs 1 for REST, 2 for the engine


@pytest.fixture
def stores(tmp_path: Path, opener: Opener) -> Iterator[Callable[[], Backend]]:
    """What opens the state once more, as another process does."""
    opened: list[Backend] = []

    def store() -> Backend:
        if not opened or opened[0].shared != "process":
            opened.append(opener(tmp_path / "state", SystemClock()))
        return opened[-1]

    yield store
    for each in opened:
        each.close()


def key(store: Backend, name: str, tier: Tier | None = SLOW) -> ApiKey:
    """An API key."""
    return ApiKey(NonceManager(store), name, tier)


def count(api_key: ApiKey, method: str, params: dict[str, Any] | None = None) -> None:
    """Send a call that need not wait."""
    api_key.nonce(api_key.place(method, params or {}))


def levels(api_key: ApiKey) -> tuple[float, float]:
    """The key's counters, without what has decayed meanwhile."""
    rest, engine = api_key.levels()
    return round(rest, 3), round(engine, 3)


def test_the_engine_counts_for_all_keys_of_an_account_together(stores: Callable[[], Backend]) -> None:
    """And the REST counter for each; a key of another account has its own."""
    one, two, other = (key(stores(), name) for name in ("one", "two", "other"))
    assert [each.belongs_to("MASTER") for each in (one, two)] == [False, False]
    for each in (one, two, other):
        count(each, "AddOrderBatch", BATCH)
    count(one, "Balance")
    assert [levels(each) for each in (one, two, other)] == [(2, 4), (1, 4), (1, 2)]


def test_who_knows_only_the_key_counts_for_the_account(stores: Callable[[], Backend]) -> None:
    """The state says to which account a key belongs, also to those who have used the key before."""
    early = key(stores(), "one")
    count(early, "AddOrder", ORDER)
    key(stores(), "one").belongs_to("MASTER")
    key(stores(), "two").belongs_to("MASTER")
    late = key(stores(), "one")
    for each in (early, late):
        count(each, "AddOrder", ORDER)
    assert levels(key(stores(), "two")) == (0, 3)


def test_the_age_of_an_order_is_known_to_all_keys_of_its_account(stores: Callable[[], Backend]) -> None:
    """One places it, another pays for its cancel."""
    one, two, other = (key(stores(), name) for name in ("one", "two", "other"))
    for each in (one, two):
        each.belongs_to("MASTER")
    one.placed("XBTUSD", ["OA"])
    count(one, "AddOrder", {**ORDER, "cl_ord_id": "mine"})
    count(two, "CancelOrder", {"txid": "OA"})
    count(two, "CancelOrder", {"cl_ord_id": "mine"})
    count(other, "CancelOrder", {"txid": "OA"})
    assert [levels(each)[1] for each in (one, two, other)] == [17, 17, 0]


def test_what_a_key_has_counted_before_is_carried_over_once(stores: Callable[[], Backend]) -> None:
    """The levels of each key are added, the ages of its orders noted; and nothing is added again."""
    one, two = (key(stores(), name) for name in ("one", "two"))
    slots = {pair_hash(f"P{number}USD") % PAIRS: f"P{number}USD" for number in range(40)}  # two may have one slot
    for number, pair in enumerate(slots.values()):
        count(one, "AddOrder", {"pair": pair, "cl_ord_id": f"o{number}"})
        count(two, "AddOrder", {"pair": pair})
    for _ in range(2):
        assert [each.belongs_to("MASTER") for each in (one, two)] == [False, False]
    assert levels(one) == levels(two) == (0, 2)
    assert len(slots) > 32  # more than one step carries over
    count(two, "CancelOrder", {"cl_ord_id": "o33"})
    assert levels(one) == (0, 10)


def test_a_call_that_is_counted_while_its_key_joins_is_carried_over(
    stores: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key's state belongs to the account only when all that it has counted is there."""
    store = stores()
    one, another = key(store, "one"), key(stores(), "one")
    count(one, "AddOrder", ORDER)
    step = store.rate_limits.step
    carried: list[str] = []

    def between(name: str, what: Callable[[Any], Any]) -> Any:
        if name == account_state("MASTER") and len(carried) < 2:  # the key's counters were read
            carried.append(name)
            count(another, "AddOrder", ORDER)
        return step(name, what)

    monkeypatch.setattr(one._limiter._states._rate_limits, "step", between)
    assert not one.belongs_to("MASTER")
    monkeypatch.undo()
    assert levels(one) == (0, 3)
    assert len(carried) == 2


def test_another_account_is_told(stores: Callable[[], Backend]) -> None:
    """The last one counts, for all."""
    one = key(stores(), "one")
    assert [one.belongs_to(name) for name in ("MASTER", "USER:a", "USER:a", "MASTER")] == [False, True, False, True]
    key(stores(), "two").belongs_to("MASTER")
    count(key(stores(), "one"), "AddOrder", ORDER)
    assert levels(key(stores(), "two")) == (0, 1)


def test_a_call_that_one_counter_does_not_allow_is_counted_in_none(stores: Callable[[], Backend]) -> None:
    """A full engine takes nothing from REST, and a full REST counter nothing from the engine; either may be first."""
    one, two = key(stores(), "one"), key(stores(), "two")
    for each in (one, two):
        each.belongs_to("MASTER")
    for _ in range(99):
        count(two, "AddOrder", ORDER)
    place = one.place("AddOrderBatch", BATCH)
    with pytest.raises(MustWait):
        one.nonce(place)
    assert levels(one) == (0, 99)
    one.leave(place)
    for _ in range(102):
        one.count(one.place("Balance", {}))
    place = one.place("AddOrderBatch", {**BATCH, "orders": [{}]})
    with pytest.raises(MustWait):
        one.nonce(place)
    assert levels(one) == (102, 99)
    with pytest.raises(RateLimited):
        one.ask(place, 0.5)
    for each in (one, two):  # nobody waits in either line any more
        assert each._limiter._states.inside(account_state("MASTER"), lambda state: state.waiting()) == []
        assert each._limiter._states.inside(fingerprint(each.key), lambda state: state.waiting()) == []


def test_a_call_waits_in_both_lines_until_it_is_sent() -> None:
    """Behind all calls of the account for the engine, and behind those of its key for REST."""
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    tier = Tier("tiny", 3, 1.0, 3, 0.5)
    one, two = (ApiKey(NonceManager(store, clock=clock), name, tier) for name in ("one", "two"))
    for each in (one, two):
        each.belongs_to("MASTER")
    count(two, "AddOrder", ORDER)
    count(two, "AddOrder", ORDER)
    first, batch, last = (
        two.place("AddOrder", ORDER),
        one.place("AddOrderBatch", {**ORDER, "orders": [{}] * 2}),
        one.place("AddOrder", ORDER),
    )
    reads = [one.place("Balance", {}) for _ in range(3)]
    assert [two.ask(first, math.inf), one.ask(batch, math.inf), one.ask(last, math.inf)] == [1, 3, 5]
    assert [one.ask(each, math.inf) for each in reads] == [0, pytest.approx(2 - 1), 2]
    two.leave(first)
    assert [one.ask(batch, math.inf), one.ask(last, math.inf)] == [1, 3]
    clock.pass_time(1)
    assert [one.ask(batch, math.inf), one.ask(last, math.inf)] == [0, 2]
    one.nonce(batch)
    assert levels(one) == (1, 2.5)
    one.leave(reads[0])
    assert one.ask(reads[1], math.inf) == 0


def test_what_was_not_sent_is_taken_back_from_both(stores: Callable[[], Backend]) -> None:
    """And a refusal fills both."""
    one = key(stores(), "one", TIERS["starter"])
    one.belongs_to("MASTER")
    place = one.place("AddOrderBatch", BATCH)
    one.nonce(place)
    one.not_sent(place)
    assert levels(one) == (0, 0)
    assert one._limiter.refused(place) == pytest.approx(1 / 0.33 + 1)
    rest, engine = one.levels()
    assert rest == pytest.approx(15, abs=0.5)
    assert engine == pytest.approx(60, abs=1)
    assert one._limiter.refused(one.place("AddOrder", ORDER)) == pytest.approx(2, abs=0.1)


def test_a_lockout_is_the_key_s(stores: Callable[[], Backend]) -> None:
    """The account's other keys go on; nothing of the key that is locked out is counted or waits."""
    one, two = key(stores(), "one"), key(stores(), "two")
    for each in (one, two):
        each.belongs_to("MASTER")
    one._limiter.lock_out("one", 900.0)
    for method, params in (("AddOrder", ORDER), ("AddOrderBatch", BATCH), ("Balance", {})):
        with pytest.raises(LockedOut):
            count(one, method, params)
    count(two, "AddOrder", ORDER)
    assert levels(two) == (0, 1)


def test_an_error_at_the_account_s_state_takes_the_first_step_back(
    stores: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is not sent, and not counted; no place is kept."""
    one = key(stores(), "one")
    one.belongs_to("MASTER")
    limits = one._limiter._states._rate_limits
    step = limits.step

    def fail(name: str, what: Callable[[Any], Any]) -> Any:
        if name == account_state("MASTER"):
            raise NonceStoreError("no disk")
        return step(name, what)

    with monkeypatch.context() as patch:
        patch.setattr(limits, "step", fail)
        with pytest.raises(NonceStoreError, match="no disk"):
            count(one, "AddOrderBatch", BATCH)
        with pytest.raises(NonceStoreError, match="no disk"):
            one.ask(one.place("AddOrderBatch", BATCH), math.inf)
    assert levels(one) == (0, 0)
    assert one._limiter._states.inside(fingerprint("one"), lambda state: state.waiting()) == []


def test_without_a_tier_a_key_of_an_account_counts_nothing(stores: Callable[[], Backend]) -> None:
    """Its calls go on all the same."""
    one, two = key(stores(), "one", None), key(stores(), "two")
    assert not one.belongs_to("MASTER")
    assert not two.belongs_to("MASTER")
    for method, params in (("AddOrder", ORDER), ("Balance", {}), ("CancelOrder", {"txid": "OA"})):
        count(one, method, params)
    assert levels(two) == (0, 0)


def test_an_order_writes_nothing_in_its_key_s_state(tmp_path: Path) -> None:
    """It takes the lockout and the account from there, and counts in the account's."""
    one = key(FileStore(tmp_path), "one")
    one.belongs_to("MASTER")
    [file] = (tmp_path / "lanes").glob("kraken_limits_????????????????.bin")
    before = file.read_bytes()
    count(one, "AddOrder", ORDER)
    count(one, "CancelOrder", {"cl_ord_id": "mine"})
    assert file.read_bytes() == before
    assert levels(one) == (0, 1)


def test_a_key_of_no_account_has_one_state(tmp_path: Path) -> None:
    """As before there were accounts with several keys."""
    one = key(FileStore(tmp_path), "one")
    for method, params in (("AddOrder", ORDER), ("CancelAll", {}), ("AddOrderBatch", BATCH)):
        count(one, method, params)
    one.placed("XBTUSD", ["OA"])
    assert levels(one) == (2, 3)
    assert len(list((tmp_path / "lanes").glob("kraken_limits_*"))) == 1


def test_a_process_that_is_killed_between_two_steps_has_counted_once_too_often(tmp_path: Path) -> None:
    """In the key's state alone: the call was not sent. Never is a call sent that is not counted."""
    one = key(FileStore(tmp_path), "one")
    one.belongs_to("MASTER")

    def killed() -> None:
        limits = one._limiter._states._rate_limits
        step = limits.step

        def kill(name: str, what: Callable[[Any], Any]) -> Any:
            if name == account_state("MASTER"):
                os.kill(os.getpid(), signal.SIGKILL)
            return step(name, what)

        limits.step = kill  # type: ignore[assignment, method-assign]
        count(one, "AddOrderBatch", BATCH)

    assert in_child(killed) == ""
    assert levels(one) == (1, 0)


def test_processes_with_a_key_each_share_the_engine(tmp_path: Path) -> None:
    """All together send as many orders as the account may, and no more, also while their keys join the account."""
    tier = TIERS["pro"]

    def trade(name: str) -> int:
        mine = key(FileStore(tmp_path), name, tier)
        sent = 0
        for number in range(100):
            if number == 10:
                mine.belongs_to("MASTER")
            place = mine.place("AddOrder", ORDER)
            try:
                mine.ask(place, 0.0)
            except RateLimited:
                continue
            mine.nonce(place)
            sent += 1
        return sent

    answers = [start_child(lambda name=name: trade(name)) for name in ("one", "two", "three")]  # type: ignore[misc]
    sent = sum(int(answer()) for answer in answers)
    assert sent >= tier.engine_max - tier.engine_decay - 1
    engine = key(FileStore(tmp_path), "one", tier).levels().engine
    assert engine <= tier.engine_max
