"""Public calls through the gateway: passed on, kept, and made to wait for Kraken's public rate limit."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import ccxt
import pytest

from krakenonce.brokers import Account
from krakenonce.gateway import public_limits
from krakenonce.kraken.wire import FORM
from tests.integration.gateway.conftest import PATIENCE, RunningGateway, call, connect, fetch, until
from tests.integration.kraken.helpers import OK, ScriptedServer
from tests.integration.kraken.test_blocked import SOON, answer

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes

STATUS = "/0/public/SystemStatus"
ASSETS = "/0/public/Assets"


def test_public_calls_are_passed_on(gateway: RunningGateway, fake: WatchedKraken) -> None:
    """With their query string, with GET as with POST."""
    got = fetch(gateway.url, "GET", "/0/public/Ticker?pair=XBTUSD")
    assert got.errors == []
    assert fetch(gateway.url, "POST", "/0/public/Ticker", b"pair=XBTUSD", {"Content-Type": FORM}).errors == []
    assert fake.public_calls == ["/0/public/Ticker?pair=XBTUSD", "/0/public/Ticker"]


def test_what_changes_rarely_is_asked_once(gateway: RunningGateway, fake: WatchedKraken) -> None:
    """Thirty bots that start together cost one call, and each set of parameters has its own answer."""
    fake.faults.add("AssetPairs", "slow_answer", seconds=0.2)
    with ThreadPoolExecutor(15) as pool:
        answers = [pool.submit(fetch, gateway.url, "GET", "/0/public/AssetPairs") for _ in range(30)]
        assert len({each.result().body for each in answers}) == 1
    fetch(gateway.url, "GET", "/0/public/Assets")
    fetch(gateway.url, "GET", "/0/public/Assets")
    fetch(gateway.url, "GET", "/0/public/Assets?asset=XBT")
    assert fake.public_calls == ["/0/public/AssetPairs", "/0/public/Assets", "/0/public/Assets?asset=XBT"]


def test_errors_are_not_kept(gateway: RunningGateway, fake: WatchedKraken) -> None:
    """An error, an HTML page and a cut connection are each answered, and asked again."""
    fake.faults.add("Assets", "error", error="EService:Unavailable")
    fake.faults.add("Assets", "html", status=502)
    fake.faults.add("Assets", "drop")
    statuses = [fetch(gateway.url, "GET", "/0/public/Assets").status for _ in range(4)]
    assert statuses == [200, 502, 504, 200]
    assert fetch(gateway.url, "GET", "/0/public/Assets").errors == []
    assert len(fake.public_calls) == 1


@pytest.fixture
def account(master: FakeAccount) -> Account:
    """The account behind the gateway."""
    return Account("MASTER", master.key, master.secret, "none")


BOTS = ("BTC/USD", "BTC/EUR", "ETH/USD", "ETH/EUR")
CALLS = 9  # of each method


def watch(url: str, symbol: str) -> None:
    """Fetch candles and trades of a pair with ccxt, which raises on an error."""
    exchange = ccxt.kraken({"enableRateLimit": False})
    exchange.urls["api"].update(public=url, private=url)
    for _ in range(CALLS):
        assert exchange.fetch_ohlcv(symbol)
        exchange.fetch_trades(symbol)
    exchange.session.close()


def test_bots_that_watch_different_pairs_do_not_wait_for_each_other(
    fake: WatchedKraken, server: FakeKrakenServer, account: Account, tmp_path: Path
) -> None:
    """Four bots with ccxt make more calls than one bucket takes at once: none is refused where none may wait."""
    with (
        RunningGateway(server.url, [account], tmp_path, max_wait=0.1) as gateway,
        ThreadPoolExecutor(len(BOTS)) as pool,
    ):
        list(pool.map(watch, [gateway.url] * len(BOTS), BOTS))
    by_pair = [path for path in fake.public_calls if path.startswith(("/0/public/OHLC?", "/0/public/Trades?"))]
    assert len(by_pair) == len(BOTS) * 2 * CALLS > public_limits.BURST


def test_ccxt_can_send_its_private_calls_alone_through_the_gateway(
    gateway: RunningGateway, fake: WatchedKraken, server: FakeKrakenServer, pair: LocalKey
) -> None:
    """Its public calls then go where they went."""
    exchange = ccxt.kraken({"apiKey": pair.key, "secret": pair.secret, "enableRateLimit": False})
    assert exchange.urls["api"]["public"] == "https://api.kraken.com"
    exchange.urls["api"]["public"] = server.url  # Kraken's
    exchange.urls["api"]["private"] = gateway.url
    assert exchange.fetch_balance()["info"]["error"] == []
    exchange.session.close()
    assert [seen.path for seen in fake.seen] == ["/0/private/BalanceEx"]
    assert gateway.activity.answered == {"bot": 1}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call at once, for each bucket."""
    monkeypatch.setattr(public_limits, "BURST", 1.0)


def test_a_call_waits_for_the_rate_limit(small: None, gateway: RunningGateway, fake: WatchedKraken) -> None:
    """It is not refused, but sent and answered."""
    assert [fetch(gateway.url, "GET", STATUS).errors for _ in range(2)] == [[], []]
    assert len(fake.public_calls) == 2


def test_a_call_that_would_have_to_wait_too_long_is_refused(
    small: None, fake: WatchedKraken, server: FakeKrakenServer, account: Account, tmp_path: Path
) -> None:
    """At once, without being sent; its bot learns how long it would have been, and what to do."""
    with RunningGateway(server.url, [account], tmp_path, max_wait=0.5) as gateway:
        assert fetch(gateway.url, "GET", STATUS).errors == []
        got = fetch(gateway.url, "GET", STATUS)
    assert (got.status, got.errors) == (200, ["EAPI:Rate limit exceeded"])
    assert got.headers["X-Krakenonce-Executed"] == "no"
    assert "would have to wait 1 s" in got.headers["X-Krakenonce-Explanation"]
    assert "Call less often" in got.headers["X-Krakenonce-Explanation"]
    assert len(fake.public_calls) == 1


def test_calls_wait_once_kraken_itself_has_refused_one(
    fake: WatchedKraken, server: FakeKrakenServer, account: Account, tmp_path: Path
) -> None:
    """With its error string; those that Kraken counts apart go on."""
    fake.faults.add("SystemStatus", "error", error="EGeneral:Too many requests")
    with RunningGateway(server.url, [account], tmp_path, max_wait=0.5) as gateway:
        assert fetch(gateway.url, "GET", STATUS).errors == ["EGeneral:Too many requests"]
        got = fetch(gateway.url, "GET", STATUS)
        assert "would have to wait 1 s" in got.headers["X-Krakenonce-Explanation"]
        assert fetch(gateway.url, "GET", "/0/public/Trades?pair=XBTUSD").errors == []
    assert fake.public_calls == ["/0/public/Trades?pair=XBTUSD"]


def test_a_call_waits_until_kraken_s_address_wants_calls_again(account: Account, tmp_path: Path) -> None:
    """As long as Retry-After says, if that is not too long."""
    with (
        ScriptedServer(answer(429, Retry_After=SOON), OK) as kraken,
        RunningGateway(kraken.url, [account], tmp_path) as gateway,
    ):
        assert fetch(gateway.url, "GET", STATUS).status == 429
        assert fetch(gateway.url, "GET", STATUS).errors == []


def ask(gateway: RunningGateway, path: str) -> http.client.HTTPConnection:
    """Make a public call whose answer is not awaited."""
    connection = connect(gateway.url)
    connection.request("GET", path)
    return connection


def waiting(gateway: RunningGateway) -> int:
    """Return how many public calls wait."""
    return len(gateway.public._limits._buckets[public_limits.ALL_OTHERS].waiting)


@pytest.fixture
def none(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Every call has to wait for a while, until this is undone."""
    with monkeypatch.context() as patch:
        patch.setattr(public_limits, "BURST", -20.0)
        yield patch


@pytest.fixture
def patient(server: FakeKrakenServer, account: Account, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway whose calls may wait longer than a test does."""
    with RunningGateway(server.url, [account], tmp_path, max_wait=10 * PATIENCE) as running:
        yield running
    assert running.complaints == []


def test_a_client_that_hangs_up_does_not_wait(
    patient: RunningGateway, fake: WatchedKraken, none: pytest.MonkeyPatch
) -> None:
    """Its call is not sent, and the calls behind it move up."""
    first, second = ask(patient, STATUS), ask(patient, STATUS)
    until(lambda: waiting(patient) == 2)
    first.close()
    until(lambda: waiting(patient) == 1)
    none.undo()
    assert second.getresponse().status == 200
    second.close()
    assert len(fake.public_calls) == 1


def test_a_call_that_several_clients_wait_for_is_sent_for_the_last(
    patient: RunningGateway, fake: WatchedKraken, none: pytest.MonkeyPatch
) -> None:
    """Until it has hung up, too. A client that comes later makes a new call."""

    def callers() -> int:
        return patient.public._asked[ASSETS]._callers

    first, second = ask(patient, ASSETS), ask(patient, ASSETS)
    until(lambda: waiting(patient) == 1 and callers() == 2)
    first.close()
    until(lambda: callers() == 1)
    assert waiting(patient) == 1
    second.close()
    until(lambda: waiting(patient) == 0)
    third, fourth = ask(patient, ASSETS), ask(patient, ASSETS)
    until(lambda: waiting(patient) == 1 and callers() == 2)
    third.close()
    until(lambda: callers() == 1)
    none.undo()
    assert fourth.getresponse().status == 200
    fourth.close()
    assert fake.public_calls == [ASSETS]


def test_calls_that_wait_are_refused_when_the_gateway_stops(processes: Processes, fake: WatchedKraken) -> None:
    """It does not stay for them; its clients learn that nothing was sent."""
    process, url = processes.serve()
    connections = [connect(url) for _ in range(30)]
    for connection in connections:
        connection.request("GET", STATUS)
    until(lambda: len(fake.public_calls) >= public_limits.BURST)
    call(url, processes.add("bot"), "Balance")  # so the gateway has read what came before
    process.terminate()
    last = [connection.getresponse() for connection in connections][-1]
    assert json.loads(last.read())["error"] == ["EService:Unavailable"]
    assert last.headers["X-Krakenonce-Executed"] == "no"
    assert "stopping" in last.headers["X-Krakenonce-Explanation"]
    for connection in connections:
        connection.close()
    assert processes.end(process)[0] == 0
