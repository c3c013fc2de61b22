"""Signed requests, and a server that does exactly what it is told."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

from krakenonce.kraken.wire import FORM, JSON, decode_secret, encode_form, encode_json, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krakenonce.testing import FakeAccount

CUT = None  # read the request, then close the connection
SILENCE = b""  # read the request and never answer

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"error":[],"result":{}}'
HTML_502 = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 25\r\n\r\n<html>\n<b>Bad</b>\n</html>"


def signed(
    account: FakeAccount,
    method: str,
    nonce: int,
    params: Mapping[str, object] | None = None,
    *,
    as_json: bool = False,
) -> tuple[str, dict[str, str], bytes]:
    """Return the path, headers and body of a private call."""
    path = f"/0/private/{method}"
    fields = {"nonce": nonce, **(params or {})}
    body = encode_json(fields) if as_json else encode_form(fields)
    signature = sign(path, nonce, body, decode_secret(account.secret))
    headers = {"API-Key": account.key, "API-Sign": signature, "Content-Type": JSON if as_json else FORM}
    return path, headers, body.encode()


def as_http(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: fake", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class ScriptedServer:
    """Answers one request after the other with the given bytes and keeps what it received."""

    def __init__(self, *script: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._script = iter(script)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._stopping = False
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopping = True
        socket.create_connection(self._listener.getsockname()).close()  # wakes accept()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping:
            connection, _ = self._listener.accept()
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        while (request := _read_request(connection)) is not None:
            self.requests.append(request)
            answer = next(self._script, CUT)
            if answer is CUT:
                return
            connection.sendall(answer)


def _read_request(connection: socket.socket) -> bytes | None:
    received = b""
    while b"\r\n\r\n" not in received or len(received) < _length(received):
        piece = connection.recv(65536)
        if not piece:
            return None
        received += piece
    return received


def _length(received: bytes) -> int:
    head, _, _ = received.lower().partition(b"\r\n\r\n")
    _, _, after = head.partition(b"content-length:")
    return len(head) + 4 + int(after.split()[0] if after else 0)
