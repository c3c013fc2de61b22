"""A plain client of the fake Kraken's WebSocket API: it sends and reads exactly what a test says."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tests.integration.kraken.helpers import signed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
LIMIT = {"order_type": "limit", "side": "buy", "symbol": "BTC/USD", "order_qty": 1.25, "limit_price": 37500}
_PATIENCE = 10  # seconds for a message


def token_for(fake: FakeKraken, account: FakeAccount, now: float | None = None) -> str:
    """Get a WebSocket token as a client does, with a signed REST call."""
    request = signed(account, "GetWebSocketsToken", account.last_nonce + 1, {})
    answer = fake.answer(*request, fake.time() if now is None else now)
    assert answer["error"] == []
    return str(answer["result"]["token"])


class Client:
    """One connection; numbers in its messages are ``int`` and ``Decimal``."""

    def __init__(self, url: str, path: str = "/v2") -> None:
        self._url = url.replace("http", "ws") + path
        self._kept: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        try:
            self.socket = await self._session.ws_connect(self._url)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.socket.close()
        await self._session.close()

    async def say(self, message: object) -> None:
        """Send a message: a text as it is, anything else as JSON."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def read(self) -> dict[str, Any]:
        """Return the next message, whatever it is, but for heartbeats.

        Raises:
            ConnectionError: The connection is gone.
        """
        async with asyncio.timeout(_PATIENCE):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(message.type.name)
                found: dict[str, Any] = json.loads(message.data, parse_float=Decimal)
                if found != {"channel": "heartbeat"}:
                    return found

    async def ask(self, method: str, /, **params: Any) -> dict[str, Any]:
        """Return the answer to a message; messages of channels that come before it are kept for ``heard``."""
        await self.say({"method": method, "params": params, "req_id": 7})
        while "method" not in (found := await self.read()):
            self._kept.append(found)
        assert found["req_id"] == 7
        return found

    async def heard(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel; others before it are dropped."""
        while True:
            found = self._kept.pop(0) if self._kept else await self.read()
            if found.get("channel") == channel:
                return found

    async def follow(self, channel: str, **params: Any) -> dict[str, Any]:
        """Subscribe, and return the snapshot."""
        answer = await self.ask("subscribe", channel=channel, **params)
        assert answer["success"], answer
        return await self.heard(channel)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test."""
    asyncio.run(work)


class Trader(Client):
    """A client whose messages have the token of an account."""

    def __init__(self, server: FakeKrakenServer, account: FakeAccount) -> None:
        super().__init__(server.url)
        self.account, self.token = account, token_for(server.fake, account)

    async def order(self, method: str, /, **params: Any) -> Any:
        """Return the result of a message that has to succeed."""
        answer = await self.ask(method, token=self.token, **params)
        assert answer["success"], answer
        return answer.get("result")

    async def error(self, method: str, /, **params: Any) -> str:
        """Return the error of a message that has to fail."""
        answer = await self.ask(method, token=self.token, **params)
        assert not answer["success"]
        assert "result" not in answer
        return str(answer["error"])

    async def event(self) -> dict[str, Any]:
        """Return what the next message of the channel executions says."""
        message = await self.heard("executions")
        (entry,) = message["data"]
        assert message["type"] == "update"
        assert TIME.fullmatch(entry.pop("timestamp"))
        return dict(entry)


def trading(server: FakeKrakenServer, account: FakeAccount, work: Callable[[Trader], Awaitable[None]]) -> None:
    """Run a test with a connected trader."""

    async def connected() -> None:
        async with Trader(server, account) as trader:
            await work(trader)

    run(connected())
