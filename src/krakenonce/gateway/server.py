"""The gateway over HTTP: what is listened on, how large and how slow a request may be, and how it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import stat
import time
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from krakenonce.errors import ConfigError
from krakenonce.gateway.gateway import NONCE_PATH
from krakenonce.gateway.replies import Reply, refusal

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.public import PublicCalls

__all__ = ["GatewayServer"]

LARGEST_BODY = 256 * 1024  # bytes; Kraken's largest batch of orders has some 10 kB
LARGEST_HEADER = 8 * 1024  # bytes, of one header and of the request line
SLOWEST = 10.0  # seconds that a request may take to arrive, on a connection that has brought none yet from its opening
BACKLOG = 128  # connections that the event loop takes in at once
SPARE = 64  # files for the state, for Kraken, and for what else is open
KEPT_ALIVE = 75.0  # seconds that a connection may rest between two requests
logger = logging.getLogger("krakenonce")

DRAIN = 35.0  # seconds at most for what was sent to come back when the gateway stops
_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)


class GatewayServer:
    """Serves a gateway until :meth:`stop`.

    Args:
        gateway: What answers private calls.
        public: What answers public ones.
        pages: What else is served with GET: path to what makes the reply.
    """

    def __init__(
        self, gateway: Gateway, public: PublicCalls, pages: dict[str, Callable[[], Awaitable[Reply]]] | None = None
    ) -> None:
        self._gateway = gateway
        self._public = public
        self._pages = pages or {}
        self._server = _Server(
            self._handle,
            access_log=None,
            logger=_http_logger(),
            handler_cancellation=True,  # whoever hangs up while waiting costs no nonce
            keepalive_timeout=KEPT_ALIVE,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
        )
        self._runner: web.ServerRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._busy: dict[object, int] = {}  # transports whose request is being answered
        self._due: dict[object, float] = {}  # when the others must have sent a whole request
        self._socket: tuple[Path, os.stat_result] | None = None
        self._all_answered = asyncio.Event()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on an address; return the port.

        Raises:
            OSError: It cannot be listened on.
        """
        runner = await self._run()
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=BACKLOG).start()
        return int(runner.addresses[-1][1])

    async def start_unix(self, path: Path) -> None:
        """Listen on a Unix socket, which nobody but this user may open from the moment it is there.

        Raises:
            ConfigError: Something else is at this path, or another gateway listens on it.
            OSError: It cannot be listened on.
        """
        runner = await self._run()
        listener = _unix_socket(path)
        self._socket = path, os.stat(path)
        await web.SockSite(runner, listener, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Accept nothing more, refuse those who wait, and let what was sent come back."""
        self._gateway.draining = True
        if self._runner is None:
            return
        self._remove_socket()  # while it is still listened on, so that it cannot be another gateway's by now
        for site in list(self._runner.sites):
            await site.stop()
        if self._busy:
            logger.warning("stopping; calls under way: %d, waited for at most %.0f s", sum(self._busy.values()), DRAIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.gather(*(key.close() for key in self._gateway.keys.values()))
                if self._busy:
                    self._all_answered.clear()
                    await self._all_answered.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._runner.cleanup()

    def _remove_socket(self) -> None:
        if self._socket is not None:
            path, ours = self._socket
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(path), ours):
                    os.unlink(path)

    async def _run(self) -> web.ServerRunner:
        if self._runner is None:
            self._runner = web.ServerRunner(self._server, shutdown_timeout=1.0)
            await self._runner.setup()
            self._sweeper = asyncio.create_task(self._sweep())
        return self._runner

    async def _sweep(self) -> None:
        """Close connections that have been without a whole request for too long: half-open ones, and slow senders."""
        while True:
            await asyncio.sleep(SLOWEST / 4)
            now = time.monotonic()
            open_now = {connection.transport: connection for connection in self._server.connections}
            for transport in open_now:
                if transport is None or self._busy.get(transport):
                    self._due.pop(transport, None)
                elif now > self._due.setdefault(transport, now + SLOWEST):
                    transport.abort()
            for closed in set(self._due) - set(open_now):
                del self._due[closed]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        self._due[transport] = time.monotonic() + SLOWEST
        try:
            reply = await self._reply(request)
        finally:
            self._due[transport] = time.monotonic() + KEPT_ALIVE
        headers = {"Content-Type": reply.content_type} if reply.content_type else {}
        response = web.Response(status=reply.status, body=reply.body, headers={**headers, **reply.headers})
        if reply.status == 413:
            response.force_close()
        return response

    async def _reply(self, request: web.BaseRequest) -> Reply:
        page = self._pages.get(request.path) if request.method == "GET" else None
        if page is not None:
            return await page()
        path = request.raw_path
        public = path.startswith("/0/public/")
        if not (public or path.startswith("/0/private/") or path == NONCE_PATH):
            return refusal("path", "EGeneral:Unknown method", "the gateway serves /0/private/ and /0/public/", 404)
        if request.method not in (("GET", "POST") if public else ("POST",)):
            return refusal("verb", "EGeneral:Unknown method", "private methods are called with POST", 405)
        transport = request.transport
        body = await self._body(request)
        if body is None:
            return refusal("too large", "EGeneral:Invalid arguments", f"more than {LARGEST_BODY} bytes", 413)
        self._busy[transport] = self._busy.get(transport, 0) + 1
        try:
            if public:
                return await self._public.answer(request.method, path, body, request.headers.get("Content-Type", ""))
            return await self._gateway.answer(path, request.headers, body)
        finally:
            self._busy[transport] -= 1
            if not self._busy[transport]:
                del self._busy[transport]
            if not self._busy:
                self._all_answered.set()

    @staticmethod
    async def _body(request: web.BaseRequest) -> bytes | None:
        if (request.content_length or 0) > LARGEST_BODY:
            return None
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > LARGEST_BODY:
                    return None
        except _NO_HTTP:
            return b""  # chunks that are none: signed by nobody, and so refused
        return bytes(body)


class _Server(web.Server):
    """Hangs up on new connections while few files are left: without them no call could be made, nor one refused."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # An unwanted one is closed four rounds of the event loop after it was taken in.
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY and len(self.connections) > max(files - 4 * BACKLOG - SPARE, SPARE):
            transport.abort()


def _http_logger() -> logging.Logger:
    """Return a logger that leaves out what is no HTTP: answered with 400, and the line in question may hold a key."""
    logger = logging.getLogger("krakenonce.http")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], _NO_HTTP))


def _unix_socket(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"{path} is there and is no socket: choose another --listen")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            told = probe.connect_ex(os.fspath(path))
        if told in (0, errno.EAGAIN):
            raise ConfigError(f"another gateway listens on {path}")
        if told != errno.ECONNREFUSED:
            raise OSError(told, os.strerror(told))
        os.unlink(path)  # left by one that was killed
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
