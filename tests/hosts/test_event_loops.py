"""An event loop never waits for the server of the state: its other tasks go on, whatever a call does with the state."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import NonceManager
from krakenonce.brokers.credentials import Account
from krakenonce.errors import LockedOut, RateLimited, RequestNotSent
from krakenonce.key.counting import Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS
from krakenonce.key.limits_state import State
from krakenonce.kraken import AsyncKraken
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.hosts.servers import free_port
from tests.integration.gateway.conftest import ORDER as FORM
from tests.integration.gateway.conftest import RunningGateway, WatchedKraken, call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from krakenonce.testing import FakeAccount
    from tests.hosts.engines import Engine

PRO = TIERS["pro"]
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "100", "volume": "1"}
PATIENCE = 3.0  # seconds in which a loop that waits for nothing has its next ticks


class Ticks:
    """A task that ticks, and a server each of whose answers comes only when it has ticked again."""

    def __init__(self) -> None:
        self.count = 0
        self.stalls: list[bytes] = []  # the answers for which the loop has waited
        self.is_on = False
        self._ticked = threading.Condition()

    async def tick(self) -> None:
        """The task."""
        while True:
            with self._ticked:
                self.count += 1
                self._ticked.notify_all()
            await asyncio.sleep(0.001)

    @contextlib.asynccontextmanager
    async def going(self) -> Any:
        """Let it tick, and answers wait for it."""
        task = asyncio.create_task(self.tick())
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False
            task.cancel()

    def hold(self, data: bytes) -> bytes:
        """Return an answer of the server when the task has ticked."""
        with self._ticked:
            seen = self.count
            if self.is_on and not self._ticked.wait_for(lambda: self.count > seen + 2 or not self.is_on, PATIENCE):
                self.stalls.append(data[:200])
        return data


@pytest.fixture
def ticks() -> Ticks:
    """A task that ticks."""
    return Ticks()


@pytest.fixture
def url(engine: Engine, ticks: Ticks, proxy: Callable[[int, Callable[[bytes], bytes]], int]) -> str:
    """The state on a server whose answers wait for the event loop."""
    return engine.url_at(proxy(engine.port, ticks.hold))


@pytest.fixture
def fake() -> FakeKraken:
    """A Kraken."""
    return WatchedKraken()


@pytest.fixture
def account(fake: FakeKraken) -> FakeAccount:
    """An account at it."""
    return fake.add_account("MASTER", balances={"ZUSD": "1000"})


@pytest.fixture
def kraken(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The same over HTTP."""
    with FakeKrakenServer(fake) as server:
        yield server


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what :func:`fill` has opened: a test after this one may ask for the same state anew."""
    yield
    while _opened:
        _opened.pop().close()


_opened: list[NonceManager] = []


def fill(engine: Engine, key: str, calls: int) -> Limiter:
    """Count calls of a key on another host; return its rate limits."""
    _opened.append(NonceManager(engine.url))
    limiter = Limiter(_opened[-1].store.rate_limits)
    for _ in range(calls):
        limiter.send(Place(key, PRO, "Balance", {}))
    return limiter


async def reads(kraken: AsyncKraken, _: Engine) -> None:
    """Make a call."""
    assert await kraken.balances()


async def places(kraken: AsyncKraken, _: Engine) -> None:
    """Place an order, which is noted, and cancel it."""
    placed = await kraken.private("AddOrder", **ORDER)
    await kraken.private("CancelOrder", txid=placed["txid"][0])


async def is_refused(kraken: AsyncKraken, _: Engine) -> None:
    """Make a call that Kraken refuses, of which all processes learn."""
    kraken.calls.max_wait = 0.0
    with pytest.raises(RateLimited):
        await kraken.private("Ledgers")


async def is_locked_out(kraken: AsyncKraken, _: Engine) -> None:
    """The same, and no process sends anything from then on."""
    for _call in range(2):
        with pytest.raises(LockedOut):
            await kraken.private("AmendOrder", txid="OAAAAA-BBBBB-CCCCCC", limit_price="1")


async def waits(kraken: AsyncKraken, engine: Engine) -> None:
    """Make a call that has to wait for its rate limit."""
    await asyncio.to_thread(fill, engine, kraken.key, 20)
    assert await kraken.balances()


async def is_cancelled(kraken: AsyncKraken, engine: Engine) -> None:
    """Give up a call that waits for its rate limit; its place is free at once."""
    limiter = await asyncio.to_thread(fill, engine, kraken.key, 40)
    asked, api_key = threading.Event(), kraken.calls.api_key
    ask = api_key.ask

    def note(*words: Any, **more: Any) -> float:
        try:
            return ask(*words, **more)
        finally:
            asked.set()

    api_key.ask = note  # type: ignore[method-assign]
    waiting = asyncio.create_task(kraken.balances())
    await asyncio.to_thread(asked.wait)
    assert len(await asyncio.to_thread(limiter._inside_of, kraken.key, State.waiting)) == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(limiter._inside_of, kraken.key, State.waiting) == []


async def is_not_sent(kraken: AsyncKraken, _: Engine) -> None:
    """Make a call without a connection, which is not counted after all."""
    async with AsyncKraken(
        kraken.key, "c2VjcmV0", manager=kraken._manager, tier="pro", base_url=f"http://127.0.0.1:{free_port()}"
    ) as other:
        with pytest.raises(RequestNotSent):
            await other.balances()


@pytest.mark.parametrize("does", [reads, places, is_refused, is_locked_out, waits, is_cancelled, is_not_sent])
def test_other_tasks_go_on_while_a_client_s_call_waits_for_the_server(
    engine: Engine,
    url: str,
    ticks: Ticks,
    fake: FakeKraken,
    account: FakeAccount,
    kraken: FakeKrakenServer,
    does: Callable[[AsyncKraken, Engine], Awaitable[None]],
) -> None:
    """From its beginning to its end, with all that is noted after Kraken's answer."""
    fake.faults.add("Ledgers", "error", error="EAPI:Rate limit exceeded")
    fake.faults.add("AmendOrder", "error", error="EGeneral:Temporary lockout")

    async def run() -> None:
        manager = NonceManager(url)
        async with (
            ticks.going(),
            AsyncKraken(
                account.key, account.secret, manager=manager, tier="pro", base_url=kraken.url, max_wait=20.0
            ) as client,
        ):
            await does(client, engine)
        manager.close()

    asyncio.run(run())
    assert ticks.stalls == []


def test_other_tasks_go_on_when_a_client_closes_the_state_that_it_has_opened(
    url: str, ticks: Ticks, account: FakeAccount, kraken: FakeKrakenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turns are given back, which the server confirms."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", url)

    async def run() -> None:
        async with ticks.going(), AsyncKraken(account.key, account.secret, base_url=kraken.url) as client:
            assert await client.balances()

    asyncio.run(run())
    assert ticks.stalls == []


def test_other_calls_go_on_while_a_gateway_s_call_waits_for_the_server(
    url: str, ticks: Ticks, fake: WatchedKraken, account: FakeAccount, kraken: FakeKrakenServer
) -> None:
    """Whatever Kraken answers, and whether there was a connection or not."""
    keys = [Account("MASTER", account.key, account.secret, "pro")]
    with RunningGateway(kraken.url, keys, url) as gateway:
        pair = gateway.add("bot")
        ticking = asyncio.run_coroutine_threadsafe(ticks.tick(), gateway._loop)
        ticks.is_on = True
        fake.faults.add("Ledgers", "error", error="EAPI:Rate limit exceeded")
        fake.faults.add("TradesHistory", "error", error="EGeneral:Temporary lockout")
        assert call(gateway.url, pair, "Balance").errors == []
        assert call(gateway.url, pair, "AddOrder", FORM).errors == []
        fake.faults.add("AddOrder", "process_then_cut")
        assert call(gateway.url, pair, "AddOrder", FORM).errors == []  # it is looked for
        assert call(gateway.url, pair, "Ledgers").errors == ["EAPI:Rate limit exceeded"]
        assert call(gateway.url, pair, "TradesHistory").errors == ["EGeneral:Temporary lockout"]
        assert call(gateway.url, pair, "Balance").errors == ["EGeneral:Temporary lockout"]
        ticks.is_on = False
        ticking.cancel()
    assert ticks.stalls == []


def test_other_calls_go_on_while_a_gateway_without_a_connection_waits_for_the_server(
    url: str, ticks: Ticks, account: FakeAccount
) -> None:
    """The call that was not sent is not counted after all."""
    keys = [Account("MASTER", account.key, account.secret, "pro")]
    with RunningGateway(f"http://127.0.0.1:{free_port()}", keys, url) as gateway:
        pair = gateway.add("bot")
        ticking = asyncio.run_coroutine_threadsafe(ticks.tick(), gateway._loop)
        ticks.is_on = True
        assert call(gateway.url, pair, "Balance").errors == ["EService:Unavailable"]
        assert call(gateway.url, pair, "AddOrder", FORM).errors == ["EService:Unavailable"]
        ticks.is_on = False
        ticking.cancel()
    assert ticks.stalls == []
