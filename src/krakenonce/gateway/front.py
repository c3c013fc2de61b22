"""The gateway's side of HTTP in one event loop: how large and how slow a request may be, pages, and calls."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from krakenonce.gateway.gateway import NONCE_PATH
from krakenonce.gateway.replies import not_sent
from krakenonce.key.funding import WHY, is_funding
from krakenonce.shown import blind_async

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from krakenonce.gateway.pages import Pages
    from krakenonce.gateway.replies import Reply
    from krakenonce.kraken.kraken_time import KrakenTime


LARGEST_BODY = 256 * 1024  # bytes; Kraken's largest batch of orders has some 10 kB
LARGEST_HEADER = 8 * 1024  # bytes, of one header and of the request line
SLOWEST = 10.0  # seconds that a request may take to arrive
KEPT_ALIVE = 75.0  # seconds that a connection may be idle between two requests
# States of a TCP connection, from Linux' tcp_states.h: that neither side has closed; that one side has reset.
_ESTABLISHED, _RESET = 1, 7
_NO_HTTP = (HttpProcessingError, web.RequestPayloadError)
_http_logger = logging.getLogger("krakenonce.http")
# Bytes that are not HTTP are answered with 400 and not logged: they may contain a key.
_http_logger.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _NO_HTTP)))

# Answers a call: verb, path with query string, headers, body.
Call: TypeAlias = "Callable[[str, str, Mapping[str, str], bytes], Awaitable[Reply]]"


class Front:
    """Reads requests and writes answers, in the event loop in which it was made.

    Args:
        call: Answers calls.
        pages: Answers other requests with GET and HEAD; None: there are no pages.
        time: What time it is at Kraken: clients read it in each answer.
    """

    def __init__(self, call: Call, pages: Pages | None, time: KrakenTime) -> None:
        self._call = call
        self._pages = pages
        self._time = time
        self._server = _Server(
            self._handle,
            access_log=None,
            logger=_http_logger,
            handler_cancellation=True,  # a client that disconnects while it waits uses no nonce
            keepalive_timeout=KEPT_ALIVE,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
        )
        self._due: dict[asyncio.Transport | None, float] = {}  # when each connection must have sent a whole request
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Close all connections, after the answers that are being written."""
        self._sweeper.cancel()
        self._server.pre_shutdown()
        await self._server.shutdown(1.0)

    async def serve(self, connection: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a connection that was accepted."""
        try:
            patience = None if tls is None else SLOWEST
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, connection, ssl=tls, ssl_handshake_timeout=patience
            )
        except OSError:  # the client has gone, or does not speak TLS
            connection.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.connections)

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
        self._server.perhaps_unread.pop(request.protocol, None)  # who asks again has read the answer before
        self._due[transport] = time.monotonic() + SLOWEST
        page = None
        try:
            pages = self._pages if request.method in ("GET", "HEAD") else None
            page = await pages.get(request.path) if pages is not None else None
            reply = await self._reply(request) if page is None else page
        finally:
            self._due[transport] = time.monotonic() + KEPT_ALIVE
        headers = {"Content-Type": reply.content_type} if reply.content_type else {}
        # While Kraken's time is not known there is no date: aiohttp would add this machine's, which may be wrong.
        dated = {} if "Date" in reply.headers else self._time.header() or {"Date": ""}
        response = web.Response(status=reply.status, body=reply.body, headers={**headers, **dated, **reply.headers})
        # A page's connection is served by the second event loop; a call would go a longer way there.
        if page is not None or reply.status == 413:
            response.force_close()
        if reply.received is not None:
            await self._write(response, request, reply.received)
        return response

    async def _write(self, response: web.Response, request: web.BaseRequest, received: Callable[[bool], None]) -> None:
        """Write a response, and tell whether its client has received it, as far as TCP shows that."""
        is_received = False
        try:
            was_there = _is_there(request.transport)  # a client that has read the answer may close at once
            await response.prepare(request)
            await response.write_eof()
            is_received = was_there
        except ConnectionError:  # it has gone meanwhile
            pass
        finally:
            received(is_received)
            self._server.perhaps_unread[request.protocol] = received

    @blind_async
    async def _reply(self, request: web.BaseRequest) -> Reply:
        path = request.raw_path
        if is_funding(path, request.headers):
            return not_sent("funding", "EGeneral:Unknown method", WHY, 404)
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
        return await self._call(request.method, path, request.headers, body)

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
    """aiohttp's server, which tells about answers that a client has not read.

    A client that gives up has closed its connection with the answer unread; then the system resets the connection.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.perhaps_unread: dict[object, Callable[[bool], None]] = {}  # the last answer of each connection

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        received = self.perhaps_unread.pop(handler, None)
        if received is not None and (exc is not None or _tcp_state(handler.transport) == _RESET):
            received(False)
        super().connection_lost(handler, exc)


def _is_there(transport: asyncio.Transport | None) -> bool:
    """Whether a client has not closed its connection. The event loop may not have been told yet; Linux knows."""
    return transport is not None and not transport.is_closing() and _tcp_state(transport) in (None, _ESTABLISHED)


def _tcp_state(transport: asyncio.Transport | None) -> int | None:
    """Return the state of a connection; None: it is not known."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    if sys.platform != "linux" or connection is None or connection.family == socket.AF_UNIX:
        return None
    try:
        return int(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
    except OSError:  # it is closed
        return None
