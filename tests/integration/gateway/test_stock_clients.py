"""What other people's clients make of the gateway's answers: each row of docs/reference/clients.md is carried out."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway.conftest import ORDER, call, until
from tests.integration.gateway.stock_clients import HERE, KRAKENAPI, NODE, StockClients, tables, version_of
from tests.integration.gateway.stock_world import ALL, HERE_NOW, REFUSALS, World, at_the_rate_limit, busy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.stock_clients import Outcome

SETTINGS, ANSWERS = tables()
ORDERS: dict[str, object] = {**dict(each.split("=") for each in ORDER.split("&"))}
WITHDRAWAL: dict[str, object] = {"asset": "XBT", "key": "fake-key", "amount": "0.1"}
SLOW = 14.0  # seconds
LATE = {at_the_rate_limit: ("repeated: `EAPI:Invalid nonce`",)}  # krakenapi repeats it


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
    world.fake.faults.add(method, "process_then_cut", times=len(HERE_NOW), hidden_for=60.0)
    with world.gateway() as gateway:
        outcomes = world.make(gateway.url, world.pairs(gateway), method, params)
    assert unfit(outcomes, "unknown: 504") == {}
    assert {client: got for client, got in outcomes.items() if got.kind == "result"} == {}
    assert {client: got for client, got in outcomes.items() if got.fits(ANSWERS[client]["refused: not sent"])} == {}
    done = [len(account.orders) + len(account.withdrawals) for account in world.owned.values()]
    assert done == [1] * len(HERE_NOW)


def test_every_client_makes_of_a_refused_call_what_the_page_says(world: World) -> None:
    """Whatever the reason is, and Kraken gets nothing. The page names nothing that did not come."""
    seen: dict[str, list[Outcome]] = {client: [] for client in HERE_NOW}
    for refusal in REFUSALS:
        with refusal(world) as (url, pairs, method):
            arrived = len(world.fake.arrivals)
            outcomes = world.make(url, pairs, method, ORDERS)
            assert unfit(outcomes, "refused: not sent", *LATE.get(refusal, ())) == {}, refusal.__name__
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
        busy(world, gateway, pool, 6.0)
        outcomes = pool.submit(world.make, gateway.url, pairs, "AddOrder", ORDERS)
        until(lambda: all(gateway.waiting(name) for name in gateway.keys))
        gateway.stop()
        assert unfit(outcomes.result(), "refused: not sent") == {}
    assert not any(account.orders for account in world.owned.values())


def test_a_repeated_request_is_refused_as_the_page_says(world: World) -> None:
    """A strict local key takes no nonce that is not larger than the last one."""
    with world.gateway() as gateway:
        pairs = world.pairs(gateway, strict=HERE_NOW)
        for pair in pairs.values():
            assert call(gateway.url, pair, "Balance", nonce=10**19).errors == []
        arrived = len(world.fake.arrivals)
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS)
    assert unfit(outcomes, "repeated: `EAPI:Invalid nonce`") == {}
    assert len(world.fake.arrivals) == arrived


@pytest.mark.skipif(KRAKENAPI not in HERE_NOW, reason="needs Python 3.12")
def test_krakenapi_needs_a_strict_local_key(world: World) -> None:
    """It sends the same bytes until an answer comes: without one, it buys again each time."""
    world.fake.faults.add("AddOrder", "process_then_cut", times=2, hidden_for=60.0)
    with world.gateway() as gateway:
        pairs = {KRAKENAPI: world.pairs(gateway, strict=())[KRAKENAPI]}
        assert world.make(gateway.url, pairs, "AddOrder", ORDERS)[KRAKENAPI].kind == "result"
    assert len(world.owned[KRAKENAPI].orders) == 3


@pytest.mark.parametrize("client", [client for client in HERE_NOW if client.startswith("ccxt")])
def test_ccxt_that_may_repeat_what_failed_buys_again(world: World, client: str) -> None:
    """It takes an unknown outcome for a failure of the network."""
    world.fake.faults.add("AddOrder", "process_then_cut", hidden_for=60.0)
    with world.gateway() as gateway:
        pairs = {client: world.pairs(gateway)[client]}
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS | {"maxRetriesOnFailure": 2})
    assert (outcomes[client].kind, len(world.owned[client].orders)) == ("result", 2)


def test_a_client_that_is_told_a_timeout_gives_up_after_it(world: World) -> None:
    """What it raises then is in the page, and it is no refusal."""
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        world.make(gateway.url, pairs, "TradesHistory", {})  # whatever they load with their first call
        world.fake.faults.add("AddOrder", "slow_answer", seconds=6.0, times=len(pairs))
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS, 0.5)
    assert unfit(outcomes, "no answer in time") == {}
    assert {client: got for client, got in outcomes.items() if got.fits(ANSWERS[client]["refused: not sent"])} == {}
    assert {client: got.seconds for client, got in outcomes.items() if not 0.4 < got.seconds < 5} == {}


def test_a_client_that_is_told_none_has_the_timeout_that_the_page_says(world: World) -> None:
    """Kraken needs longer than most of them wait."""
    said = {client: SETTINGS[client]["default"].removesuffix(" s") for client in HERE_NOW}
    defaults = {client: float(seconds.replace("none", "inf")) for client, seconds in said.items()}
    with world.gateway() as gateway:
        pairs = world.pairs(gateway)
        world.make(gateway.url, pairs, "TradesHistory", {})  # whatever they load with their first call
        world.fake.faults.add("AddOrder", "slow_answer", seconds=SLOW, times=len(pairs))
        outcomes = world.make(gateway.url, pairs, "AddOrder", ORDERS, None)
    expected = {client: min(seconds, SLOW) for client, seconds in defaults.items()}
    assert {client: got for client, got in outcomes.items() if not -0.1 < got.seconds - expected[client] < 3.5} == {}
    patient = {client for client, seconds in defaults.items() if seconds > SLOW}
    assert {client for client, got in outcomes.items() if got.kind == "result"} == patient
