"""The HTTP responses of the fake Kraken's server, with aiohttp.

Kraken answers with status 200 also to a call that it refuses; other statuses are pages of what is in front of it.
"""

from __future__ import annotations

import json
import select
import socket
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from aiohttp import web

from krakenonce.key.funding import is_funding
from krakenonce.testing.control import control
from krakenonce.testing.request import unpack
from krakenonce.testing.sockets import is_upgrade, serve

if TYPE_CHECKING:
    import asyncio

    from krakenonce.testing.delivery import Delivery
    from krakenonce.testing.fake_kraken import FakeKraken


_JSON = {"Content-Type": "application/json; charset=utf-8"}
_PAGE = "<html>\n<head><title>{0}</title></head>\n<body><h1>{0}</h1><hr>cloudflare</body>\n</html>\n"


class Responses:
    """Makes the responses.

    Args:
        fake: The fake Kraken.
        delivery: What brings it the requests.
    """

    def __init__(self, fake: FakeKraken, delivery: Delivery) -> None:
        self._fake, self._delivery = fake, delivery

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the response to a request; it has Kraken's time."""
        if is_upgrade(request):
            return await serve(self._fake, request)
        response = await self._response(request)
        response.headers["Date"] = _http_date(int(self._fake.time()))
        return response

    async def _response(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path  # as it was sent: the signature covers these bytes
        is_control = path.startswith("/fake/")
        is_query = request.method == "GET" and path.startswith("/0/public/")
        if not (request.method == "POST" or is_control or is_query or is_funding(path, request.headers)):
            return web.Response(status=405, text="Call private methods with POST.")
        try:
            body = await request.read()
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400, text="The request ended too early.")
        if is_control:
            status, answer = control(self._fake, request.method, request.path, body)
            return web.json_response(answer, status=status)
        unpacked = unpack(path, request.headers, body, self._fake.time())
        reply = await self._delivery.bring(unpacked, lambda: _is_gone(request.transport))
        if reply is None and request.transport is not None:
            request.transport.abort()
        if isinstance(reply, dict) and isinstance(reply.get("result"), bytes):
            return web.Response(body=reply["result"], content_type="application/octet-stream")  # RetrieveExport
        if isinstance(reply, dict):
            return web.Response(body=json.dumps(reply).encode(), headers=_JSON)
        return web.Response(status=reply or 502, text=_PAGE.format(reply), content_type="text/html")


@lru_cache(2)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _is_gone(transport: asyncio.Transport | None) -> bool:
    """Return whether the other end has closed the connection, also if the event loop does not know it yet."""
    if transport is None or transport.is_closing():
        return True
    fd = transport.get_extra_info("socket").fileno()
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    if not waiting.poll(0):  # nothing has come in, no end either
        return False
    # asyncio's own object for this connection cannot look.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:  # reset
        return True
    finally:
        connection.detach()
