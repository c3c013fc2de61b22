"""The fake Kraken as a real HTTP server on loopback, in a thread of its own.

Requests on different connections may overtake each other when there is jitter, as on a real network. A
request is processed although its sender has gone away.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from krakenonce.extras import needed_by
from krakenonce.testing.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp import web

    from krakenonce.testing.fake_kraken import FakeKraken


_GRACE = 1.0  # seconds that stop() leaves to requests in flight


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
        self._delivery = Delivery(fake, lambda: max(0.0, chance.uniform(least, most)) if most else 0.0)
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

        from krakenonce.testing.responses import Responses

        self._responses = Responses(self.fake, self._delivery)
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            site = web.SockSite(runner, listener)
            await site.start()
            await stopping.wait()
            self.fake.cut_sockets()
            await site.stop()
            for _ in range(3):  # the runner learns of connections accepted at the last moment, and closes them
                await asyncio.sleep(0)
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._responses.answer(request)


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(serving)
