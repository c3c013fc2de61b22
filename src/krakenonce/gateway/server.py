"""The gateway over HTTP: where it listens, how large and how slow a request may be, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
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
from krakenonce.gateway.replies import not_sent

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.pages import Pages
    from krakenonce.gateway.public import PublicCalls
    from krakenonce.gateway.replies import Reply


LARGEST_BODY = 256 * 1024  # bytes; Kraken's largest batch of orders has some 10 kB
LARGEST_HEADER = 8 * 1024  # bytes, of one header and of the request line
SLOWEST = 10.0  # seconds that a request may take to arrive; the first of a connection counts from its opening
BACKLOG = 128  # connections that the event loop accepts at once
SPARE = 64  # file descriptors for the state, for Kraken, and for everything else that is open
KEPT_ALIVE = 75.0  # seconds that a connection may be idle between two requests
DRAIN = 35.0  # seconds that the gateway waits at most, when it stops, for the answers to calls in progress
logger = logging.getLogger("krakenonce")
_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)
_http_logger = logging.getLogger("krakenonce.http")
# Bytes that are not HTTP are answered with 400 and not logged: they may contain a key.
_http_logger.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _NO_HTTP)))


class GatewayServer:
    """Serves a gateway until :meth:`stop`.

    Args:
        gateway: Answers private calls.
        public: Answers public calls.
        pages: Answers other requests with GET; None: there are no pages.
    """

    def __init__(self, gateway: Gateway, public: PublicCalls, pages: Pages | None = None) -> None:
        self._gateway = gateway
        self._public = public
        self._pages = pages
        self._server = _Server(
            self._handle,
            access_log=None,
            logger=_http_logger,
            handler_cancellation=True,  # a client that disconnects while it waits uses no nonce
            keepalive_timeout=KEPT_ALIVE,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=1.0)
        self._sweeper = asyncio.create_task(self._sweep())
        self._busy = 0  # requests that have arrived and are not answered
        self._due: dict[asyncio.Transport | None, float] = {}  # when each connection must have sent a whole request
        self._all_answered = asyncio.Event()
        self._socket: tuple[Path, os.stat_result] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on an address; return the port. Raises OSError if that is impossible."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=BACKLOG).start()
        return int(self._runner.addresses[-1][1])

    async def start_unix(self, path: Path) -> None:
        """Listen on a Unix socket that no other user may open, from the moment it exists.

        Raises:
            ConfigError: Something else is at this path, or another gateway listens on it.
            OSError: It is impossible to listen there.
        """
        await self._runner.setup()
        listener = _unix_socket(path)
        self._socket = path, os.stat(path)
        await web.SockSite(self._runner, listener, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Accept no more connections, refuse the calls that wait, and wait for the answers to calls in progress."""
        self._gateway.stopping = True
        self._remove_socket()  # before it is closed, so that it cannot be another gateway's by now
        for site in self._runner.sites:
            await site.stop()
        if self._busy:
            logger.warning("stopping; waiting for %d calls in progress, at most %.0f s", self._busy, DRAIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.gather(*(key.close() for key in self._gateway.keys.values()))
                if self._busy:
                    self._all_answered.clear()
                    await self._all_answered.wait()
        self._sweeper.cancel()
        await self._runner.cleanup()

    def _remove_socket(self) -> None:
        if self._socket is not None:
            path, ours = self._socket
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(path), ours):
                    os.unlink(path)

    async def _sweep(self) -> None:
        """Close connections that have been without a whole request for too long: half-open ones, and slow senders."""
        while True:
            await asyncio.sleep(SLOWEST / 4)
            now = time.monotonic()
            transports = [connection.transport for connection in self._server.connections if connection.transport]
            self._due = {transport: self._due.get(transport, now + SLOWEST) for transport in transports}
            for transport in transports:
                if now > self._due[transport]:
                    transport.abort()

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
        page = self._pages.get(request.path) if self._pages and request.method == "GET" else None
        if page is not None:
            return page
        path = request.raw_path
        public = path.startswith("/0/public/")
        if not (public or path.startswith("/0/private/") or path == NONCE_PATH):
            explanation = "the path must begin with /0/private/ or /0/public/"
            return not_sent("unknown_path", "EGeneral:Unknown method", explanation, 404)
        if request.method not in (("GET", "POST") if public else ("POST",)):
            return not_sent("http_method", "EGeneral:Unknown method", "call private methods with POST", 405)
        body = await self._body(request)
        if body is None:
            explanation = f"the body has more than {LARGEST_BODY} bytes"
            return not_sent("too_large", "EGeneral:Invalid arguments", explanation, 413)
        self._due[request.transport] = math.inf
        self._busy += 1
        try:
            if public:
                return await self._public.answer(request.method, path, request.headers, body)
            return await self._gateway.answer(path, request.headers, body)
        finally:
            self._busy -= 1
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
            return b""  # not the chunks that it says; no signature fits, so it is refused
        return bytes(body)


class _Server(web.Server):
    """Closes new connections while few file descriptors are left: without them no call could be made or refused."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        # A connection is closed four rounds of the event loop after it was accepted.
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY and len(self.connections) > max(files - 4 * BACKLOG - SPARE, SPARE):
            transport.abort()


def _unix_socket(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"{path} exists and is not a socket; choose another --listen")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(os.fspath(path))
        if code in (0, errno.EAGAIN):
            raise ConfigError(f"another gateway listens on {path}")
        if code != errno.ECONNREFUSED:
            raise OSError(code, os.strerror(code))
        os.unlink(path)  # left by a gateway that was killed
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
