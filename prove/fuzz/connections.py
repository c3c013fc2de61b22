"""Bytes that come back over a connection, through both transports: one answer, or one error that says it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from krakenonce.errors import AccessBlocked, KrakenonceError, OutcomeUnknown, RateLimited
from krakenonce.kraken import http_status
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.transport import Transport
from prove.fuzz.answers import ANSWERS, REQUEST, check_error
from prove.fuzz.targets import Target, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prove.fuzz.answers import Reply

__all__ = ["TARGETS"]

MAX_WAIT = 10.0  # seconds for a connection and an answer


class _Host:
    """Answers every request with the same bytes and cuts the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._stopping = False
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        socket.create_connection(self._listener.getsockname()).close()  # wakes accept()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping:
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(MAX_WAIT)
                received = b""
                while not received.endswith(b"\r\n\r\nnonce=1"):  # the one request that is sent here
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    received += piece
                else:
                    connection.sendall(self.answer)


@contextlib.contextmanager
def _both() -> Iterator[Callable[[Any], None]]:
    host = _Host()
    transport = Transport(host.url)
    async_transport = AsyncTransport(host.url)
    with asyncio.Runner() as runner:

        def check(given: bytes | tuple[bytes, list[bytes], Reply]) -> None:
            host.answer = given if isinstance(given, bytes) else _as_http(*given)
            _check(lambda: transport.send(REQUEST, MAX_WAIT), host.answer)
            _check(lambda: runner.run(async_transport.send(REQUEST, MAX_WAIT)), host.answer)

        try:
            yield check
        finally:
            runner.run(async_transport.close())
            transport.close()
            host.stop()


def _check(send: Callable[[], Any], sent: bytes) -> None:
    http_status._closed_until.clear()  # status 429 of the answer before
    try:
        answer = send()
    except KrakenonceError as error:
        check_error(error)
        seen = isinstance(error, AccessBlocked | OutcomeUnknown | RateLimited) and "Not sent" not in str(error)
        require(seen, "the call was sent, and the error denies it", sent, error)
    else:
        given = b"200" in sent or (b" 4" in sent and bool(answer.get("error")))
        require(isinstance(answer, dict) and given, "a result that was not sent", sent, answer)


def _as_http(line: bytes, headers: list[bytes], reply: Reply) -> bytes:
    head = [line.replace(b"STATUS", str(reply.status).encode()), b"Content-Length: %d" % len(reply.data), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + reply.data


_LINES = st.sampled_from(
    [b"HTTP/1.1 STATUS OK"] * 3 + [b"HTTP/1.0 STATUS", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 STATUS OK"]
)
_HEADERS = st.sampled_from(
    [
        *(b"Content-Type: application/json", b"Content-Encoding: gzip", b"Content-Encoding: br", b"Location: http://["),
        *(
            b"Transfer-Encoding: chunked",
            b"Content-Length: 7",
            b"Content-Length: -1",
            b"Set-Cookie: a=b",
            b"Connection: close",
        ),
        *(
            b"Retry-After: 30",
            b"Retry-After: Sun, 06 Nov 2044 08:50:07 GMT",
            b"Retry-After: \xff",
            b"cf-mitigated: challenge",
        ),
        *(b"Content-Type: text/html; charset=nowhere", b"Content-Encoding: deflate", b"no header"),
    ]
)
_PIECES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"\r\n", b"5\r\n", b"Transfer-Encoding: chunked\r\n", b"{}", b"HTTP/1.1 2"]
)
_RAW = st.lists(st.binary(max_size=8) | _PIECES, max_size=8).map(b"".join)

TARGETS = [
    Target(
        "answers over HTTP",
        st.tuples(_LINES, st.lists(_HEADERS | st.binary(max_size=12), max_size=2), ANSWERS) | _RAW,
        _both,
        batch=10,
    )
]
