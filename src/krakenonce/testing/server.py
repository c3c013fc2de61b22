"""The fake Kraken as a real HTTP server on loopback, in a thread of its own.

Requests on different connections may overtake each other when there is jitter, as on a real network. A
request is processed although its sender has gone away.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from krakenonce.extras import needed_by
from krakenonce.testing.control import control
from krakenonce.testing.delivery import Delivery
from krakenonce.testing.request import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp import web

    from krakenonce.testing.fake_kraken import FakeKraken


_GRACE = 1.0  # seconds that stop() leaves to requests in flight
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_PAGE = "<html>\n<head><title>{0}</title></head>\n<body><h1>{0}</h1><hr>cloudflare</body>\n</html>\n"


class FakeKrakenServer:
    """Serves a :class:`FakeKraken` over HTTP, between ``start()`` and ``stop()`` or in a ``with`` block.

    Besides Kraken's paths there are those of :mod:`krakenonce.testing.control`, such as ``GET /fake/arrivals``
    (the log as JSON). While it runs, the address is also the ``url`` of the fake.

    Args:
        fake: The fake Kraken.
        host: The address to listen on.
        port: The port; 0 for any free one.
        latency: Seconds that each request takes, half of them before and half after it is processed.
        jitter: The latency varies by up to so many seconds in either direction; it is never below 0.
        seed: Makes the variation repeatable; ``None`` for another one each time.
    """

    def __init__(
        self,
        fake: FakeKraken,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float = 0.0,
        jitter: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self.fake = fake
        self._host, self._port = host, port
        least, most, chance = latency - jitter, latency + jitter, random.Random(seed)  # noqa: S311 - delays need no cryptography
        self._delivery = Delivery(fake, lambda: max(0.0, chance.uniform(least, most)))
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        """The address to give to a client, such as ``http://127.0.0.1:8000``."""
        return f"http://{self._host}:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when connections are accepted. Does nothing while running.

        Raises:
            ConfigError: aiohttp is not installed.
            OSError: The address cannot be listened on.
        """
        with needed_by("The fake Kraken", "testing"):
            import aiohttp  # noqa: F401 - looked for early, so that the message comes early
        if self._thread is not None:
            return
        listener = socket.create_server((self._host, self._port))
        self._port = listener.getsockname()[1]
        loop, stopping = asyncio.new_event_loop(), asyncio.Event()
        self._end = lambda: loop.call_soon_threadsafe(stopping.set)
        serving = self._serve(listener, stopping)
        self._thread = threading.Thread(target=_run, args=(loop, serving), name="fake-kraken", daemon=True)
        self._thread.start()
        self.fake.url = self.url

    def stop(self) -> None:
        """Close all connections and end the thread. Does nothing when stopped.

        Requests in flight are answered if that takes no longer than a second or two.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._end()
        thread.join()
        self.fake.url = ""

    async def _serve(self, listener: socket.socket, stopping: asyncio.Event) -> None:
        from aiohttp import web

        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            site = web.SockSite(runner, listener)
            await site.start()
            await stopping.wait()
            await site.stop()
            for _ in range(3):  # the runner learns of connections accepted at the last moment, and closes them
                await asyncio.sleep(0)
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._response(request)
        response.headers["Date"] = _http_date(int(self.fake.time()))
        return response

    async def _response(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        is_control = request.path.startswith("/fake/")
        is_query = request.method == "GET" and request.path.startswith("/0/public/")
        if not (request.method == "POST" or is_control or is_query):
            return web.Response(status=405, text="Call private methods with POST.")
        try:
            body = await request.read()
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400, text="The request ended too early.")
        if is_control:
            status, answer = control(self.fake, request.method, request.path, body)
            return web.json_response(answer, status=status)
        # The raw path: the signature covers the bytes that were sent.
        unpacked = unpack(request.raw_path, request.headers, body, self.fake.time())
        reply = await self._delivery.bring(unpacked, lambda: _is_gone(request.transport))
        if reply is None and request.transport is not None:
            request.transport.abort()
        if isinstance(reply, dict):
            return web.Response(body=json.dumps(reply).encode(), headers=_JSON)
        return web.Response(status=reply or 502, text=_PAGE.format(reply), content_type="text/html")


@lru_cache(2)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(serving)


def _is_gone(transport: asyncio.Transport | None) -> bool:
    """Return whether the other end has closed the connection, also if the event loop does not know it yet."""
    if transport is None or transport.is_closing():
        return True
    # asyncio's own object for the same connection cannot look.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, transport.get_extra_info("socket").fileno())
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:  # reset
        return True
    finally:
        connection.detach()
