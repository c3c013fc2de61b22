"""WebSocket connections over HTTP, in the event loop of the server, with aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.session import Session

_PATH = "/v2"
_MOST_WAITING = 1000  # messages to one client
_LARGEST = 1 << 20  # bytes of a message from a client
_BEAT = 1.0  # seconds


class Outbox:
    """The messages that wait for one client. Any thread may add to it; none has to wait.

    A client that does not read is cut off when too many messages wait for it.

    Args:
        loop: The event loop of the connection.
        transport: The connection, ``None`` if it is gone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport | None) -> None:
        self._loop, self._transport = loop, transport
        self._waiting: deque[str] = deque()
        self._added = asyncio.Event()
        self._is_cut = False

    def send(self, text: str) -> None:
        """Add a message; too many of them cut the connection."""
        if self._is_cut:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.cut()
            return
        self._waiting.append(text)
        if len(self._waiting) == 1:  # otherwise the loop has been told and has not come yet
            self._call(self._added.set)

    def cut(self) -> None:
        """Cut the connection; nothing more can be added."""
        self._is_cut = True
        if self._transport is not None:
            self._call(self._transport.abort)

    async def take(self) -> str:
        """Wait for the next message, and return it."""
        while not self._waiting:
            self._added.clear()
            if not self._waiting:
                await self._added.wait()
        return self._waiting.popleft()

    def _call(self, function: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(function)  # type: ignore[arg-type]


def is_upgrade(request: web.BaseRequest) -> bool:
    """Return whether a request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def serve(fake: FakeKraken, request: web.BaseRequest) -> web.StreamResponse:
    """Serve a WebSocket until one side ends it.

    Args:
        fake: The fake Kraken.
        request: The request for it; any path but ``/v2`` is refused.
    """
    if request.path.rstrip("/") != _PATH:
        return web.Response(status=404, text="The fake Kraken has version 2 of the WebSocket API, at the path /v2.")
    socket = web.WebSocketResponse(max_msg_size=_LARGEST, compress=False)
    await socket.prepare(request)
    outbox = Outbox(asyncio.get_running_loop(), request.transport)
    session = fake.streams.open(outbox)
    others = [asyncio.create_task(each) for each in (_write(socket, outbox), _tick(fake, session))]
    try:
        async for message in socket:
            if message.type is web.WSMsgType.TEXT:
                fake.streams.receive(session, message.data)
    finally:
        fake.streams.close(session)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return socket


async def _write(socket: web.WebSocketResponse, outbox: Outbox) -> None:
    with contextlib.suppress(ConnectionError):  # the other side ends the connection
        while True:
            await socket.send_str(await outbox.take())


async def _tick(fake: FakeKraken, session: Session) -> None:
    while True:
        await asyncio.sleep(_BEAT)
        fake.streams.tick(session)
