"""An order that was cancelled before it was sent is not sent: over threads, processes, and the keys of an account."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends import FileStore, MemoryStore
from krakenonce.clock import SystemClock
from krakenonce.errors import CancelledBeforeSent
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS, Tier
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from tests.integration.key.helpers import start_child
from tests.integration.key.test_account_limits import key, levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from tests.integration.conftest import Opener

NAMED = {"pair": "XBTUSD", "cl_ord_id": "mine", "userref": 7}
CANCELS: dict[str, dict[str, Any]] = {
    "CancelAll": {},
    "CancelOrder": {"cl_ord_id": "mine"},
    "CancelOrderBatch": {"orders": [7]},
}
TIERS_AND_NONE = pytest.mark.parametrize("tier", [TIERS["pro"], None], ids=["pro", "none"])


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


@TIERS_AND_NONE
@pytest.mark.parametrize("method", CANCELS)
@pytest.mark.parametrize("account", ["MASTER", ""])
def test_an_order_that_waits_when_it_is_cancelled_is_not_sent(
    stores: Callable[[], Backend], tier: Tier | None, method: str, account: str
) -> None:
    """Whoever cancels it, with whichever key of the account: nothing is counted, and no nonce is taken."""
    one, two = key(stores(), "one", tier), key(stores(), "two" if account else "one", tier)
    assert [each.belongs_to(account) for each in (one, two) if account] in ([False, False], [])
    order = one.place("AddOrder", NAMED)
    batch = one.place("AddOrderBatch", {"pair": "XBTUSD", "orders": [{}, {"userref": 7, "cl_ord_id": "mine"}]})
    last = two.nonce(two.place(method, CANCELS[method]))
    for place in (order, batch):
        with pytest.raises(CancelledBeforeSent, match=r"^Not sent: .*was cancelled before it was sent \(Cancel"):
            one.nonce(place)
        with pytest.raises(CancelledBeforeSent):
            one.count(place)
        one.leave(place)
    assert levels(one)[1] == 0
    assert one._manager.peek() == last
    assert one.nonce(one.place("AddOrder", NAMED)) > last


@TIERS_AND_NONE
def test_a_cancel_stops_no_order_that_begins_after_it_has_begun(
    stores: Callable[[], Backend], tier: Tier | None
) -> None:
    """A cancel that waits, for its turn or the rate limit, is not for the orders that were placed meanwhile."""
    one = key(stores(), "one", tier)
    begun = one.seconds()
    cancel = one.place("CancelOrder", {"cl_ord_id": "mine"}, begun - 5.0)
    before, after = one.place("AddOrder", NAMED, begun - 10.0), one.place("AddOrder", NAMED, begun - 4.9)
    one.nonce(cancel)
    with pytest.raises(CancelledBeforeSent):
        one.nonce(before)
    assert one.nonce(after)


def test_an_order_that_waits_for_the_rate_limit_is_told_when_it_asks_again() -> None:
    """It leaves its place at once, and the calls behind it move up."""
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    one, two = (ApiKey(NonceManager(store, clock=clock), name, Tier("t", 9, 1.0, 2, 0.1)) for name in ("one", "two"))
    for each in (one, two):
        each.belongs_to("MASTER")
    one.nonce(one.place("AddOrder", {"pair": "XBTUSD"}))
    order, other = one.place("AddOrder", NAMED), two.place("AddOrder", {"pair": "XBTUSD"})
    assert [one.ask(order, math.inf), two.ask(other, math.inf)] == [1, 11]
    clock.pass_time(0.5)
    two.nonce(two.place("CancelOrder", {"cl_ord_id": "mine"}))
    with pytest.raises(CancelledBeforeSent):
        one.ask(order, math.inf)
    assert two.ask(other, math.inf) == pytest.approx(0.5)


def test_cancels_alone_make_a_state_for_a_key_without_limits(tmp_path: Path) -> None:
    """Orders and reads make none, nor do cancels by Kraken's own id, which name orders that were sent."""
    one = key(FileStore(tmp_path), "one", None)
    for method, params in (("AddOrder", NAMED), ("Balance", {}), ("CancelOrder", {"txid": "OABCDE-ABCDE-ABCDEF"})):
        one.nonce(one.place(method, params))
    assert not list(tmp_path.glob("lanes/kraken_limits_*"))
    one.nonce(one.place("CancelOrder", {"cl_ord_id": "mine"}))
    assert len(list(tmp_path.glob("lanes/kraken_limits_*"))) == 1


def test_orders_that_wait_in_other_processes_are_not_sent(tmp_path: Path) -> None:
    """Each has begun to wait with a key of its own, when a process with yet another one cancels all."""
    canceller = key(FileStore(tmp_path), "canceller", TIERS["pro"])
    canceller.belongs_to("MASTER")
    reader, writer = os.pipe()
    begun, done = os.pipe()

    def wait_and_send(name: str) -> str:
        mine = key(FileStore(tmp_path), name, TIERS["pro"])
        mine.belongs_to("MASTER")
        place = mine.place("AddOrder", {"pair": "XBTUSD"})
        os.write(done, b"x")
        os.read(reader, 1)
        try:
            mine.nonce(place)
        except CancelledBeforeSent as error:
            return str(error)
        return "sent"

    answers = [start_child(lambda name=name: wait_and_send(name)) for name in ("one", "two", "three")]  # type: ignore[misc]
    waiting = b""
    while len(waiting) < 3:
        waiting += os.read(begun, 3)
    canceller.nonce(canceller.place("CancelAll", {}))
    os.write(writer, b"xxx")
    assert {answer() for answer in answers} == {"Not sent: it was cancelled before it was sent (CancelAll)."}
    for fd in (reader, writer, begun, done):
        os.close(fd)
    assert canceller.nonce(canceller.place("AddOrder", {"pair": "XBTUSD"}))
    assert canceller.levels().engine == pytest.approx(1, abs=0.5)
