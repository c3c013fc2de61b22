"""What other people's clients make of the gateway's answers: each row of docs/reference/clients.md is carried out."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.testing.clock import ManualClock
from tests.integration.gateway.conftest import ORDER, call, until
from tests.integration.gateway.stock_clients import HERE, KRAKENAPI, NODE, StockClients, tables, version_of
from tests.integration.gateway.stock_world import ALL, HERE_NOW, REFUSALS, World, busy, without_krakenapi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.stock_clients import Outcome

SETTINGS, ANSWERS = tables()
ORDERS: dict[str, object] = {**dict(each.split("=") for each in ORDER.split("&"))}
MARKET: dict[str, object] = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.01"}
WITHDRAWAL: dict[str, object] = {"asset": "XBT", "key": "fake-key", "amount": "0.1"}
SLOW = 11.5  # seconds
INVALID_NONCE = "`EAPI:Invalid nonce`"


@pytest.fixture(scope="module")
def clients() -> Iterator[StockClients]:
    """All clients, in processes that make the calls of all tests."""
    running = StockClients()
    yield running
    running.close()


@pytest.fixture
def world(fake: WatchedKraken, server: FakeKrakenServer, tmp_path: Path, clients: StockClients) -> World:
    """Where the clients make their calls."""
    return World(fake, server.url, tmp_path, clients)


def unfit(outcomes: dict[str, Outcome], *columns: str) -> dict[str, Outcome]:
    """Return the outcomes that are in none of these columns of the page."""
    return {
        client: got
        for client, got in outcomes.items()
        if not any(got.fits(ANSWERS[client][column]) for column in columns)
    }


def placed(world: World, client: str) -> int:
    """How many orders a client has placed, open or filled."""
    return len(world.owned[client].orders) + len(world.owned[client].done)


def withdrawn(world: World, client: str) -> int:
    """How often a client has withdrawn."""
    return len(world.owned[client].withdrawals)


def assert_has_its_order(world: World, client: str, outcomes: dict[str, Outcome]) -> None:
    """A client has placed one order, and has its txid."""
    (txid,) = world.owned[client].orders
    assert outcomes[client].kind == "result"
    assert txid in outcomes[client].text


def test_the_page_has_every_client_and_the_version_that_is_run() -> None:
    """What the page says of a version was tried with it."""
    assert set(SETTINGS) == set(ANSWERS) == set(ALL)
    installed = {client: version_of(client) or SETTINGS[client]["version"] for client in ALL}
    assert {client: row["version"] for client, row in SETTINGS.items()} == installed


@pytest.mark.parametrize("client", ALL)
def test_every_client_of_the_page_is_run_with_what_the_page_says(client: str) -> None:
    """Its program sets the URL and the timeout in the page's words."""
    if client not in HERE_NOW:
        pytest.skip("needs Node.js and npm, curl, or Python 3.12")
    program = HERE / "node" / "stock.mjs" if client in NODE else HERE / "stock_client.py"
    said = re.findall(r"`([^`]+)`", SETTINGS[client]["base URL"] + SETTINGS[client]["timeout"])
    assert said
    assert [words for words in said if words not in program.read_text(encoding="utf-8")] == []


def test_every_client_gets_the_result(world: World) -> None:
    """Each of them places one order."""
    with world.gateway() as gateway:
        outcomes = world.make(gateway.url, world.pairs(gateway), "AddOrder", ORDERS)
    assert {client: got.kind for client, got in outcomes.items()} == dict.fromkeys(HERE_NOW, "result")
    assert {len(account.orders) for account in world.owned.values()} == {1}


@pytest.mark.parametrize(("method", "params"), [("AddOrder", ORDERS), ("Withdraw", WITHDRAWAL)])
def test_no_client_takes_an_unknown_outcome_for_refused_or_done(
    world: World, method: str, params: dict[str, object]
) -> None:
    """Kraken executes the call, hangs up, and does not show it: what each client gets, it gets for no refusal."""
    with world.gateway() as gateway:
        pairs = without_krakenapi(world.pairs(gateway))
        world.fake.faults.add(method, "process_then_cut", times=len(pairs), hidden_for=60.0)
        outcomes = world.make(gateway.url, pairs, method, params)
    assert unfit(outcomes, "unknown: 504") == {}
    assert {client: got for client, got in outcomes.items() if got.kind == "result"} == {}
    assert {client: got for client, got in outcomes.items() if got.fits(ANSWERS[client]["refused: not sent"])} == {}
    assert [placed(world, client) + withdrawn(world, client) for client in pairs] == [1] * len(pairs)


def test_every_client_makes_of_a_refused_call_what_the_page_says(world: World) -> None:
    """Whatever the reason is, and Kraken gets nothing. The page names nothing that did not come."""
    seen: dict[str, list[Outcome]] = {client: [] for client in HERE_NOW}
    for refusal in REFUSALS:
        with refusal(world) as (url, pairs, method):
            arrived = len(world.fake.arrivals)
            outcomes = world.make(url, pairs, method, ORDERS)
            assert unfit(outcomes, "refused: not sent") == {}, refusal.__name__
            assert len(world.fake.arrivals) == arrived
        for client, got in outcomes.items():
            seen[client].append(got)
    for client, outcomes_of_it in seen.items():
        for said in re.findall("`[^`]+`", ANSWERS[client]["refused: not sent"]):
            assert any(got.fits(said) for got in outcomes_of_it), f"{client}: {said}"


def test_calls_that_wait_while_the_gateway_stops_are_refused(world: World) -> None:
    """Each client sees a refusal, and Kraken gets nothing more."""
    with world.gateway() as gateway, ThreadPoolExecutor(len(world.owned) + 1) as pool:
        pairs = world.pairs(gateway)
        world.make(gateway.url, pairs, "TradesHistory", {})  # whatever they load with their first call
        busy(world, gateway, pool, 4.0)
        outcomes = pool.submit(world.make, gateway.url, pairs, "AddOrder", ORDERS)
        until(lambda: all(gateway.waiting(name) for name in gateway.accounts))
        gateway.stop()
        assert unfit(outcomes.result(), "refused: not sent") == {}
    assert not any(account.orders for account in world.owned.values())


def test_every_client_makes_of_invalid_nonce_what_the_page_says(world: World) -> None:
    """Another program has used the Kraken keys, with larger nonces."""
    for account in world.owned.values():
        account.last_nonce = 2**62
    with world.gateway() as gateway:
        outcomes = world.make(gateway.url, world.pairs(gateway), "AddOrder", ORDERS)
    assert unfit(outcomes, INVALID_NONCE) == {}


@pytest.mark.parametrize("client", [client for client in HERE_NOW if client.startswith("python-kraken-sdk")])
def test_python_kraken_sdk_returns_an_error_of_kraken_s_that_it_does_not_know(world: World, client: str) -> None:
    """The gateway itself answers none of these."""
    world.fake.faults.add("Balance", "error", error="EService:Busy")
    with world.gateway() as gateway:
        outcomes = world.make(gateway.url, {client: world.pairs(gateway)[client]}, "Balance", {})
    assert outcomes[client].fits("`error: EService:Busy`")


@pytest.mark.parametrize(("method", "params"), [("AddOrder", ORDERS), ("Withdraw", WITHDRAWAL)])
@pytest.mark.skipif(KRAKENAPI not in HERE_NOW, reason="needs Python 3.12")
def test_krakenapi_goes_on_while_the_outcome_is_unknown(world: World, method: str, params: dict[str, object]) -> None:
    """It sends the same bytes again, and Kraken gets them once."""
    world.fake.faults.add(method, "process_then_cut", hidden_for=60.0)
    with world.gateway() as gateway, ThreadPoolExecutor(1) as pool:
        pairs = {KRAKENAPI: world.pairs(gateway)[KRAKENAPI]}
        going_on = pool.submit(world.make, gateway.url, pairs, method, params)
        until(lambda: gateway.activity.unknown_outcomes > 1)
        assert not going_on.done()
        world.end(KRAKENAPI)
        assert unfit(going_on.result(), "unknown: 504") == {}
    assert placed(world, KRAKENAPI) + withdrawn(world, KRAKENAPI) == 1


@pytest.mark.skipif(KRAKENAPI not in HERE_NOW, reason="needs Python 3.12")
def test_krakenapi_ends_with_the_txid_once_the_gateway_finds_the_order(world: World) -> None:
    """Kraken's lists show the order only after the first repeats."""
    world.fake.faults.add("AddOrder", "process_then_cut", hidden_for=0.8)
    with world.gateway() as gateway:
        pairs = {KRAKENAPI: world.pairs(gateway)[KRAKENAPI]}
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS)
        assert gateway.activity.unknown_outcomes
    assert_has_its_order(world, KRAKENAPI, outcomes)


@pytest.mark.skipif(KRAKENAPI not in HERE_NOW, reason="needs Python 3.12")
def test_krakenapi_goes_on_until_the_rate_limit_allows_its_call(world: World) -> None:
    """Kraken gets the call then, once."""
    clock = ManualClock(time.time_ns())
    with world.gateway(tier="starter", max_wait=0.01, clock=clock) as gateway, ThreadPoolExecutor(1) as pool:
        pairs = {KRAKENAPI: world.pairs(gateway)[KRAKENAPI]}
        until(lambda: call(gateway.url, pairs[KRAKENAPI], "Balance").errors)
        arrived = len(world.fake.arrivals)
        going_on = pool.submit(world.make, gateway.url, pairs, "Balance", {})
        until(lambda: gateway.activity.not_sent["rate_limit"] > 1)
        clock.pass_time(60)
        assert going_on.result()[KRAKENAPI].kind == "result"
    assert len(world.fake.arrivals) == arrived + 1


@pytest.mark.parametrize(("more", "orders"), [({}, 2), ({"cl_ord_id": "bot-1"}, 1)])
def test_ccxt_that_may_repeat_what_failed_buys_again_unless_the_order_has_an_id(
    world: World, more: dict[str, object], orders: int
) -> None:
    """It takes an unknown outcome for a failure of the network, and signs the order anew. The first one is filled."""
    with world.gateway() as gateway:
        pairs = {client: pair for client, pair in world.pairs(gateway).items() if client.startswith("ccxt")}
        world.fake.faults.add("AddOrder", "process_then_cut", times=len(pairs), hidden_for=0.8)
        outcomes = world.make(gateway.url, pairs, "AddOrder", {**MARKET, **more, "maxRetriesOnFailure": 5})
        assert gateway.activity.unknown_outcomes >= len(pairs)
    assert {client: (outcomes[client].kind, placed(world, client)) for client in pairs} == dict.fromkeys(
        pairs, ("result", orders)
    )


@pytest.mark.parametrize(("fault", "details"), [("process_then_cut", {}), ("slow_answer", {"seconds": 20.0})])
def test_every_client_ends_with_the_txid_of_an_order_whose_answer_was_lost(
    world: World, fault: Any, details: dict[str, float]
) -> None:
    """The gateway asks Kraken for it, before a client gives up that waits ten seconds; there is one order."""
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        world.fake.faults.add("AddOrder", fault, times=len(pairs), **details)
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS, 10.0)
    for client in pairs:
        assert_has_its_order(world, client, outcomes)


def test_a_client_that_is_told_a_timeout_gives_up_after_it(world: World) -> None:
    """What it raises then is in the page, and it is no refusal."""
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        world.make(gateway.url, pairs, "TradesHistory", {})  # whatever they load with their first call
        world.fake.faults.add("Withdraw", "slow_answer", seconds=5.0, times=len(pairs))
        outcomes = world.make(gateway.url, pairs, "Withdraw", WITHDRAWAL, 0.5)
    assert unfit(outcomes, "no answer in time") == {}
    assert {client: got for client, got in outcomes.items() if got.fits(ANSWERS[client]["refused: not sent"])} == {}
    assert {client: got.seconds for client, got in outcomes.items() if not 0.4 < got.seconds < 4} == {}


def test_a_client_that_is_told_none_has_the_timeout_that_the_page_says(world: World) -> None:
    """Kraken needs longer than most of them wait."""
    said = {client: SETTINGS[client]["default"].removesuffix(" s") for client in HERE_NOW}
    defaults = {client: float(seconds.replace("none", "inf")) for client, seconds in said.items()}
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        world.make(gateway.url, pairs, "TradesHistory", {})  # whatever they load with their first call
        world.fake.faults.add("Withdraw", "slow_answer", seconds=SLOW, times=len(pairs))
        outcomes = world.make(gateway.url, pairs, "Withdraw", WITHDRAWAL, None)
    expected = {client: min(seconds, SLOW) for client, seconds in defaults.items()}
    assert {client: got for client, got in outcomes.items() if not -0.1 < got.seconds - expected[client] < 3.5} == {}
    patient = {client for client, seconds in defaults.items() if seconds > SLOW}
    assert {client for client, got in outcomes.items() if got.kind == "result"} == patient
