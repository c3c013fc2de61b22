"""Kraken's WebSocket API v2 over real sockets: connections and subscriptions."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest

from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.testing.helpers import ORDER, Wire
from tests.integration.testing.socket_client import TIME, Client, run


def test_the_status_comes_first(server: FakeKrakenServer) -> None:
    """Kraken tells the state of the system before it is asked, and again when it changes."""

    async def work() -> None:
        async with Client(server.url) as client:
            first = await client.read()
            number = first["data"][0].pop("connection_id")
            status = {"system": "online", "api_version": "v2", "version": "2.0.10"}
            assert first == {"channel": "status", "type": "update", "data": [status]}
            assert 0 <= number < 2**64
            server.fake.rules.change(status="cancel_only")
            assert (await client.read())["data"][0]["system"] == "cancel_only"

    run(work())


def test_a_ping_is_answered(server: FakeKrakenServer) -> None:
    """With the same number, and without one if there was none."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.read()
            answer = await client.ask("ping")
            assert (answer.pop("method"), answer.pop("req_id")) == ("pong", 7)
            assert all(TIME.fullmatch(answer.pop(name)) for name in ("time_in", "time_out"))
            assert answer == {}
            await client.say({"method": "ping"})
            assert list(await client.read()) == ["method", "time_in", "time_out"]

    run(work())


def test_a_heartbeat_comes_while_nothing_else_does(server: FakeKrakenServer) -> None:
    """Only to a client that has subscribed to something."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.follow("ticker", symbol=["BTC/USD"])
            message = await client.socket.receive_json(timeout=20)
            assert message == {"channel": "heartbeat"}

    run(work())


def test_each_symbol_is_answered_for_itself(server: FakeKrakenServer) -> None:
    """One answer per symbol, each with what was subscribed to; a wrong symbol stops no other."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.read()
            symbols = ["ETH/USD", "XBT/USD", "BTC/USD"]
            params = {"channel": "book", "symbol": symbols, "depth": 25, "snapshot": False}
            await client.say({"method": "subscribe", "params": params, "req_id": 3})
            answers = [await client.read() for _ in symbols]
            assert [answer["success"] for answer in answers] == [True, False, True]
            assert answers[0]["result"] == {"channel": "book", "depth": 25, "snapshot": False, "symbol": "ETH/USD"}
            assert {name: answers[1][name] for name in ("method", "error", "symbol", "req_id", "success")} == {
                "method": "subscribe",
                "error": "Currency pair not supported XBT/USD",
                "symbol": "XBT/USD",
                "req_id": 3,
                "success": False,
            }
            assert list(answers[1]) == sorted(answers[1])
            answer = await client.ask("unsubscribe", channel="book", symbol=["BTC/USD"], depth=25)
            assert (answer["success"], answer["result"]) == (
                True,
                {"channel": "book", "depth": 25, "symbol": "BTC/USD"},
            )

    run(work())


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "guess", "symbol": ["BTC/USD"]}, "Subscription name invalid"),
        ({"channel": "level3", "symbol": ["BTC/USD"]}, "Subscription name invalid"),
        ({"channel": ["ticker"]}, "Subscription name invalid"),
        ({"channel": "ticker"}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": "BTC/USD"}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": [{}]}, "Symbol(s) not found"),
        ({"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": 1}, "EGeneral:Invalid arguments:event_trigger"),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": 1}, "Subscription depth not supported"),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": True}, "Subscription depth not supported"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 2}, "Subscription ohlc interval not supported"),
        ({"channel": "executions"}, "ESession:Invalid session"),
        ({"channel": "executions", "token": "guess"}, "ESession:Invalid session"),
        ({"channel": "balances", "token": ["guess"]}, "ESession:Invalid session"),
    ],
)
def test_a_wrong_subscription_is_refused(server: FakeKrakenServer, params: dict[str, Any], error: str) -> None:
    """With an error that names what is wrong; the connection stays."""

    async def work() -> None:
        async with Client(server.url) as client:
            answer = await client.ask("subscribe", **params)
            assert (answer["success"], answer["error"]) == (False, error)
            assert (await client.ask("ping"))["method"] == "pong"

    run(work())


def test_nothing_is_subscribed_to_twice(server: FakeKrakenServer) -> None:
    """Neither with the same parameters nor with others, and what is not there cannot be ended."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.follow("ohlc", symbol=["BTC/USD"], interval=5)
            again = await client.ask("subscribe", channel="ohlc", symbol=["BTC/USD"], interval=5)
            assert again["error"] == "Already subscribed"
            other = await client.ask("subscribe", channel="ohlc", symbol=["BTC/USD"], interval=1)
            assert other["error"] == "Already subscribed to one ohlc interval on this symbol"
            wrong = await client.ask("unsubscribe", channel="ohlc", symbol=["BTC/USD"], interval=1)
            # Kraken names the other method in this one answer (python-kraken-sdk's live tests).
            assert (wrong["error"], wrong["method"]) == ("Subscription Not Found", "subscribe")
            assert (await client.ask("unsubscribe", channel="ohlc", symbol=["BTC/USD"], interval=5))["success"]
            assert (await client.ask("subscribe", channel="ohlc", symbol=["BTC/USD"], interval=1))["success"]

    run(work())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", ("error", "Malformed request")),
        ("guess", ("error", "Malformed request")),
        ("[]", ("error", "Malformed request")),
        ('{"method": NaN}', ("error", "Malformed request")),
        ("[" * 100_000, ("error", "Malformed request")),
        ("{}", ("error", "Malformed request")),
        ('{"method": "subscribe", "params": []}', ("error", "Malformed request")),
        ('{"method": {}}', ("error", "Malformed request")),
        ('{"method": "guess"}', ("guess", "Unsupported event")),
        ('{"event": "ping"}', ("error", "Malformed request")),
    ],
)
def test_a_message_that_is_none_is_refused(server: FakeKrakenServer, text: str, answer: tuple[str, str]) -> None:
    """Also one of version 1 of the API; the connection stays."""

    async def work() -> None:
        async with Client(server.url) as client:
            await client.read()
            await client.say(text)
            found = await client.read()
            assert (found["method"], found["error"], found["success"]) == (*answer, False)
            assert (await client.ask("ping"))["method"] == "pong"

    run(work())


def test_only_version_2_is_there(server: FakeKrakenServer) -> None:
    """A client of version 1 connects to another path, and is told so."""

    async def work() -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with Client(server.url, "/"):
                pass
        assert refused.value.status == 404

    run(work())


def test_all_sockets_are_cut_on_request(server: FakeKrakenServer, account: FakeAccount, wire: Wire) -> None:
    """Without a word, so that a bot has to notice it; it may connect again, and its orders are still there."""
    assert wire.reply("AddOrder", **ORDER)["error"] == []

    async def work() -> None:
        async with Client(server.url) as client, Client(server.url) as other:
            for each in (client, other):
                await each.read()
            assert await asyncio.to_thread(wire.control, "POST", "sockets/cut") == (200, {})
            for each in (client, other):
                with pytest.raises(ConnectionError, match=r"CLOSED|ERROR"):
                    await each.read()
            assert client.socket.close_code == 1006  # no close frame
        async with Client(server.url) as client:
            assert (await client.read())["channel"] == "status"

    run(work())
    assert len(account.orders) == 1


def test_a_client_that_does_not_read_is_cut(server: FakeKrakenServer, wire: Wire) -> None:
    """What waits for it is limited, and it stops neither the others nor REST."""
    host, port = server.url.removeprefix("http://").split(":")
    hello = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    hello += "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    params = {"channel": "instrument", "padding": "." * 5000}  # what the kernel holds back is few messages
    texts = [json.dumps({"method": method, "params": params}).encode() for method in ("subscribe", "unsubscribe")]
    frames = b"".join(b"\x81\xfe" + len(text).to_bytes(2) + bytes(4) + text for text in texts)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        deaf.settimeout(20)
        deaf.connect((host, int(port)))
        deaf.sendall(hello.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):  # as clients do: after frames that come sooner, aiohttp may stall
            answer += deaf.recv(1)
        with pytest.raises(ConnectionError):
            _flood(deaf, frames)
    assert wire.reply("Balance")["error"] == []


def _flood(deaf: socket.socket, frames: bytes) -> None:
    for _ in range(5000):  # the answers are 20 MB
        deaf.sendall(frames)


def test_a_stop_does_not_wait_for_clients(fake: FakeKraken) -> None:
    """Sockets that stay open are cut when the server stops."""

    async def work() -> None:
        with FakeKrakenServer(fake) as server:
            async with Client(server.url) as client:
                await client.read()
                await asyncio.to_thread(server.stop)
                with pytest.raises(ConnectionError):
                    await client.read()

    run(work())
    fake.set_price("XBTUSD", "50000")  # nobody is told, and nothing fails
