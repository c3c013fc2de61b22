"""This machine's clock is wrong: orders and histories go by Kraken's."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import errors
from krakenonce.brokers import Account, BrokerManager
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken import Kraken
from krakenonce.kraken.kraken_time import kraken_time
from krakenonce.kraken.request import host_of
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import in_child

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
    from krakenonce.testing.request import Request
    from tests.integration.kraken.helpers import Twin

LIMIT = ("XBTUSD", "buy", "0.001", "30000")


@pytest.fixture(params=[8.0, -50.0, 3600.0, -1e7], autouse=True)
def ahead(request: pytest.FixtureRequest, fake: FakeKraken) -> float:
    """By how many seconds Kraken's clock is ahead of this machine's."""
    fake.rules.change(clock_ahead=request.param)
    seconds: float = request.param
    return seconds


def test_the_first_order_has_a_deadline_by_kraken_s_clock(twin: Twin, rich: FakeAccount) -> None:
    """Of one order and of a batch; both are placed."""
    twin("add_order", *LIMIT)
    twin("add_orders", "XBTUSD", [{"type": "buy", "ordertype": "limit", "price": "1", "volume": "1"}] * 2)
    assert len(rich.orders) == 3


def test_a_child_does_not_wait_for_a_thread_of_its_parent_that_asks_for_the_time(
    rich: FakeAccount, server: FakeKrakenServer
) -> None:
    """It asks itself, and its first order is placed."""

    def place() -> str:
        with Kraken(rich.key, rich.secret, manager=NonceManager("memory:"), tier="none", base_url=server.url) as kraken:
            return str(kraken.add_order(*LIMIT).txid)

    with kraken_time(host_of(server.url)).asking:
        assert in_child(place) in rich.orders


def test_histories_end_with_the_newest_entry(twin: Twin, rich: FakeAccount) -> None:
    """Also if it is younger than this machine's clock says."""
    twin("add_order", "XBTUSD", "buy", "0.001")
    (trade,) = twin.each("trades")
    assert trade[1]["ordertxid"] in rich.done
    assert len(twin.each("ledger")) >= 2


def test_an_order_that_got_no_answer_is_found(twin: Twin, rich: FakeAccount, fake: FakeKraken) -> None:
    """Its deadline and its age are by Kraken's clock, too."""
    fake.faults.add("AddOrder", "process_then_cut")
    with pytest.raises(errors.OutcomeUnknown) as caught:
        twin("add_order", *LIMIT)
    found = twin.wait(caught.value.reconcile())
    assert (found.placed, set(found.orders)) == (True, set(rich.orders))


def test_the_error_of_a_refused_deadline_names_the_clocks(twin: Twin, ahead: float) -> None:
    """Whose deadline it was, and how far this machine's clock is from Kraken's."""
    mine = (datetime.now(UTC) + timedelta(seconds=5 if ahead > 0 else 20)).isoformat()
    with pytest.raises(errors.KrakenAPIError) as caught:
        twin("add_order", *LIMIT, deadline=mine)
    where = "behind" if ahead > 0 else "ahead of"
    said = re.search(
        r"The deadline was the call's own; this machine's clock is (\d+) s (.+) Kraken's\.", str(caught.value)
    )
    assert said
    assert (abs(ahead) - int(said[1]) in (0, 1), said[2]) == (True, where)
    assert caught.value.may_have_executed == "no"


def test_a_broker_asks_for_the_time_once_for_all_accounts(
    fake: FakeKraken, server: FakeKrakenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all orders are placed."""
    asked: list[str] = []
    answer_to = fake.answer_to

    def counted(request: Request) -> dict[str, Any]:
        asked.append(request.method)
        return answer_to(request)

    monkeypatch.setattr(fake, "answer_to", counted)
    made = [fake.add_account(f"USER:u{number}", balances={"ZUSD": "1000"}) for number in range(20)]
    accounts = [Account(each.name, each.key, each.secret, "none") for each in made]
    nonces = GlobalKrakenNonceManager(NonceManager("memory:"))
    with BrokerManager(accounts, nonces=nonces, base_url=server.url) as brokers:
        order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "10", "volume": Decimal("0.1")}
        outcomes = brokers.copy_order(order)
    assert all(outcome.ok for outcome in outcomes.values())
    assert asked.count("Time") == 1
