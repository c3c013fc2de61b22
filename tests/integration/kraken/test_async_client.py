"""The client for asyncio over HTTP: what was sent and what was not, turns, cancelling, loops and forks."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.kraken import AsyncKraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.kraken.helpers import CUT, HTML_502, OK, SILENCE, ScriptedServer, held
from tests.integration.kraken.test_client import (
    HALF,
    JSON_503,
    KEY,
    LIST,
    MOVED,
    NOT_HTTP,
    SECRET,
    assert_discreet,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def client(url: str, key: str = KEY, secret: str = SECRET, **more: Any) -> AsyncKraken:
    """Return a client with numbers of its own."""
    options = {"manager": NonceManager("memory:"), "tier": "none", "timeout": 10, **more}
    return AsyncKraken(key, secret, base_url=url, **options)


def query(url: str, *methods: str, timeout: float | None = None) -> Any:
    """Make private calls one after the other with one client; return the last answer."""

    async def run() -> Any:
        answer = None
        async with client(url) as kraken:
            for method in methods:
                answer = await kraken.query_private(method, timeout=timeout)
        return answer

    return asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until the condition is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells when a request has come
            await asyncio.sleep(0.001)


# --- answers ---------------------------------------------------------------------------------------------------


def test_the_answer_is_kraken_s(account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken) -> None:
    """In krakenex's shape, errors included, with fractions as Decimal; None of the caller's data is changed."""
    data = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": Decimal("5E-5"), "price": 30000}
    given = dict(data)

    async def run() -> None:
        async with client(server.url, account.key, account.secret) as kraken:
            assert await kraken.query_private("Balance") == {"error": [], "result": {"ZUSD": "100.0000"}}
            assert await kraken.query_private("Guess") == {"error": ["EGeneral:Unknown method"]}
            assert (await kraken.query_private("AddOrder", data))["error"] == []
            (order,) = (await kraken.query_private("OpenOrders"))["result"]["open"].values()
            assert isinstance(order["opentm"], Decimal)
            await kraken.query_private("Balance", {"nonce": 2**62})
        async with AsyncKraken(base_url=server.url) as kraken:
            assert (await kraken.query_public("Ticker", {"pair": "XBT/USD"}))["error"] == []

    asyncio.run(run())
    assert data == given
    assert fake.accepted()[-1].nonce == 2**62


def test_repr_shows_no_credentials() -> None:
    """Neither key nor secret, nor the beginning of the key."""
    told = repr(client("http://127.0.0.1:1"))
    assert "AsyncKraken(" in told
    assert KEY[:12] not in told
    assert SECRET not in told


# --- sent or not -----------------------------------------------------------------------------------------------


def test_no_connection_means_not_sent() -> None:
    """A refused connection is reported as not sent, without credentials."""
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(RequestNotSent, match=r"/0/private/AddOrder at 127\.0\.0\.1:\d+: no connection") as caught:
            query(f"http://127.0.0.1:{reserved.getsockname()[1]}", "AddOrder")
    assert caught.value.may_have_executed == "no"
    assert_discreet(caught.value)


def test_an_unknown_host_means_not_sent() -> None:
    """A name that does not resolve is reported as not sent."""
    with pytest.raises(RequestNotSent) as caught:
        query("http://kraken.invalid", "AddOrder")
    assert_discreet(caught.value)


def test_a_failed_tls_handshake_means_not_sent(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """When the other side does not speak TLS, nothing of the call has left this machine."""
    with pytest.raises(RequestNotSent) as caught:
        query(server.url.replace("http:", "https:"), "AddOrder")
    assert fake.arrivals == []
    assert_discreet(caught.value)


@pytest.mark.parametrize("script", [(CUT,), (OK, CUT)], ids=["new connection", "kept connection"])
def test_a_cut_connection_is_not_sent_again(script: tuple[bytes | None, ...]) -> None:
    """When the answer never comes the outcome is unknown, and the server has seen the call exactly once."""
    methods = ["Balance"] * (len(script) - 1) + ["AddOrder"]
    with ScriptedServer(*script) as server, pytest.raises(OutcomeUnknown, match="AddOrder") as caught:
        query(server.url, *methods)
    assert len(server.requests) == len(script)
    assert caught.value.may_have_executed == "unknown"
    assert_discreet(caught.value)


@pytest.mark.parametrize("script", [(CUT,), (OK, CUT)], ids=["new connection", "kept connection"])
def test_a_cut_public_call_is_not_sent_again_either(script: tuple[bytes | None, ...]) -> None:
    """Nothing below the client repeats a call, not even a GET."""

    async def run() -> None:
        async with client(server.url) as kraken:
            for _ in script[:-1]:
                await kraken.query_public("Time")
            with pytest.raises(OutcomeUnknown):
                await kraken.query_public("Time")

    with ScriptedServer(*script) as server:
        asyncio.run(run())
    assert len(server.requests) == len(script)


@pytest.mark.parametrize("script", [(SILENCE,), (HALF, CUT)], ids=["silence", "half an answer"])
def test_an_answer_that_does_not_come_is_an_unknown_outcome(script: tuple[bytes | None, ...]) -> None:
    """A timeout says nothing about what became of the call."""
    with ScriptedServer(*script) as server, pytest.raises(OutcomeUnknown) as caught:
        query(server.url, "AddOrder", timeout=0.1)
    assert len(server.requests) == 1
    assert_discreet(caught.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HTML_502, "502 .*<html> <b>Bad</b> </html>"),
        (MOVED, "307"),
        (JSON_503, "503"),
        (LIST, "200"),
        (NOT_HTTP, "no answer"),
    ],
)
def test_other_answers_are_unknown_outcomes(answer: bytes, told: str) -> None:
    """What is not Kraken's API answering says nothing about the order; redirects are not followed."""
    with ScriptedServer(answer) as server, pytest.raises(OutcomeUnknown, match=told) as caught:
        query(server.url, "AddOrder")
    assert len(server.requests) == 1
    assert_discreet(caught.value)


# --- tasks -----------------------------------------------------------------------------------------------------


def test_two_hundred_tasks_of_one_key_never_cross(account: FakeAccount, fake: FakeKraken) -> None:
    """On a jittery network no number comes late, because each task waits for its turn."""

    async def run() -> None:
        async with client(server.url, account.key, account.secret) as kraken:
            await asyncio.gather(*(kraken.private("Balance") for _ in range(200)))

    with FakeKrakenServer(fake, latency=0.002, jitter=0.002) as server:
        asyncio.run(run())
    assert len(fake.accepted()) == 200
    assert fake.invalid_nonces() == []


def test_a_task_that_waits_for_its_turn_does_not_block_the_loop(account: FakeAccount, fake: FakeKraken) -> None:
    """Somebody else holds the key; another key's call is answered meanwhile."""
    other = fake.add_account("other")
    manager = NonceManager("memory:")

    async def run() -> None:
        kraken = client(server.url, account.key, account.secret, manager=manager)
        async with kraken, client(server.url, other.key, other.secret, manager=manager) as free:
            waiting = asyncio.create_task(kraken.private("Balance"))
            assert await free.private("Balance") == {}
            assert not waiting.done()
            let_go()
            assert await waiting

    with FakeKrakenServer(fake) as server, held(manager.lane(account.key)) as let_go:
        asyncio.run(run())
    assert [arrival.account for arrival in fake.accepted()] == ["other", "bot"]


def test_a_task_cancelled_while_it_waits_leaves_nothing_behind(account: FakeAccount, server: FakeKrakenServer) -> None:
    """The next in line gets the turn, and no number was used."""
    manager = NonceManager("memory:")

    async def run() -> None:
        async with client(server.url, account.key, account.secret, manager=manager) as kraken:
            async with manager.lane(account.key):
                first, second = (asyncio.create_task(kraken.private("Balance")) for _ in range(2))
                await until(lambda: len(manager.lane(account.key)._queue._turn.waiting) == 2)
                first.cancel()
            assert await second
            assert first.cancelled()

    asyncio.run(run())
    assert account.last_nonce == manager.peek()


def test_a_task_cancelled_in_flight_gives_the_turn_back() -> None:
    """The call may have been executed; the next one goes out at once, with a larger number."""

    async def run() -> None:
        async with client(server.url) as kraken:
            lost = asyncio.create_task(kraken.query_private("Balance"))
            await until(lambda: server.requests)
            lost.cancel()
            with pytest.raises(asyncio.CancelledError):
                await lost
            assert await kraken.run(kraken.calls.once("Balance", {}), within=5)

    with ScriptedServer(SILENCE, OK) as server:
        asyncio.run(run())
    assert len(server.requests) == 2


# --- loops, forks, connections ---------------------------------------------------------------------------------


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What asyncio and aiohttp have to say about what was left open."""
    gc.collect()
    return [record.message for record in caplog.get_records("call") if record.name == "asyncio"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # asyncio's own, of a loop that was closed first
def test_another_event_loop_may_come_later(
    account: FakeAccount, server: FakeKrakenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A client made once serves one loop after the other, and is closed in the last."""
    kraken = client(server.url, account.key, account.secret)
    for _ in range(3):
        assert asyncio.run(kraken.private("Balance"))
    asyncio.run(kraken.close())
    assert asyncio.run(kraken.private("Balance"))
    asyncio.run(kraken.close())
    assert complaints(caplog) == []


@pytest.mark.parametrize("is_shared", [False, True])
def test_calls_that_still_wait_when_a_client_is_closed_leave_nothing_open(
    account: FakeAccount, server: FakeKrakenServer, caplog: pytest.LogCaptureFixture, *, is_shared: bool
) -> None:
    """They go on with connections of their own, which are closed with the last of them; so is a later call's."""
    manager = NonceManager("memory:")

    async def run() -> None:
        transport = AsyncTransport(server.url)
        given: dict[str, Any] = {"transport": transport} if is_shared else {"base_url": server.url}
        kraken = AsyncKraken(account.key, account.secret, manager=manager, tier="none", **given)
        turn = kraken.calls.api_key.turn()
        async with turn:
            waiting = [asyncio.create_task(kraken.private("Balance")) for _ in range(3)]
            await asyncio.sleep(0)
            await (transport if is_shared else kraken).close()
        assert [await each for each in waiting] == [{"ZUSD": "100.0000"}] * 3
        connections = [kraken._transport._session]
        assert await kraken.private("Balance")
        assert [*connections, kraken._transport._session].count(None) == 1  # a later call leaves its own open
        await (transport if is_shared else kraken).close()

    asyncio.run(run())
    assert complaints(caplog) == []


CHILD = """
import asyncio, gc, os, sys
from krakenonce.kraken import AsyncKraken

key, secret, url = sys.argv[1:]
kraken = AsyncKraken(key, secret, tier="none", base_url=url, timeout=20)
with asyncio.Runner() as runner:
    runner.run(kraken.private("Balance"))
    if (child := os.fork()) == 0:
        asyncio.run(kraken.private("Balance"))
        asyncio.run(kraken.close())
        del kraken
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    runner.run(kraken.private("CancelAll"))  # not repeated, should there be no answer
    runner.run(kraken.close())
"""


def test_a_forked_child_leaves_the_parent_s_connection_alone(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, tmp_path: Path
) -> None:
    """Parent and child go on with one client, each on connections of its own; nobody complains."""
    environment = {**os.environ, "KRAKENONCE_STATE_DIR": str(tmp_path / "state")}
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, account.key, account.secret, server.url],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [arrival.method for arrival in fake.accepted()] == ["Balance", "Balance", "CancelAll"]
    assert fake.invalid_nonces() == []


def test_clients_may_share_their_connections(account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken) -> None:
    """Closing one client leaves them open for the others."""
    other = fake.add_account("other", balances={"ZUSD": "1"})

    async def run() -> None:
        shared = AsyncTransport(server.url)
        async with AsyncKraken(account.key, account.secret, tier="none", manager=manager, transport=shared) as kraken:
            await kraken.private("Balance")
        session = shared._session
        async with AsyncKraken(other.key, other.secret, tier="none", manager=manager, transport=shared) as kraken:
            await kraken.private("Balance")
        assert shared._session is session
        await shared.close()

    manager = NonceManager("memory:")
    asyncio.run(run())
    assert [arrival.account for arrival in fake.accepted()] == ["bot", "other"]


def test_without_aiohttp_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client can be made; its first call says what to install."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"pip install 'krakenonce\[async\]'"):
        query("http://127.0.0.1:1", "Balance")
