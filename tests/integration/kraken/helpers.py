"""Signed requests, a server that does exactly what it is told, and both clients behind one way of calling."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.wire import FORM, JSON, decode_secret, encode_form, encode_json, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from krakenonce.key.lane import Lane
    from krakenonce.testing import ApiKey, FakeAccount

CUT = None  # read the request, then close the connection
SILENCE = b""  # read the request and never answer

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"error":[],"result":{}}'
HTML_502 = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 25\r\n\r\n<html>\n<b>Bad</b>\n</html>"


def signed(
    account: FakeAccount | ApiKey,
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


class Twin:
    """A client of either kind behind one way of calling, so that each test is written once.

    Args:
        kind: ``sync`` or ``async``.
        key: The API key.
        secret: Its secret.
        options: As for both clients.
    """

    def __init__(self, kind: str, key: str = "", secret: str = "", **options: Any) -> None:
        made = Kraken if kind == "sync" else AsyncKraken
        self.client: Any = made(key, secret, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wait(self.client.close())
        self._runner.close()

    def __call__(self, name: str, *args: Any, **more: Any) -> Any:
        """Call a method of the client and return its result."""
        return self.wait(getattr(self.client, name)(*args, **more))

    def wait(self, outcome: Any) -> Any:
        """Return the result of what a method of the client, or of its errors, returned."""
        return self._runner.run(outcome) if inspect.iscoroutine(outcome) else outcome

    def each(self, name: str, do: Callable[[int], None] = lambda _: None, **more: Any) -> list[tuple[str, Any]]:
        """Go through a history; *do* is told the number of each entry before the next one is asked for."""
        entries = getattr(self.client, name)(**more)
        found: list[tuple[str, Any]] = []

        async def ask() -> None:
            async for entry in entries:
                found.append(entry)
                do(len(found))

        if inspect.isasyncgen(entries):
            self._runner.run(ask())
            return found
        for entry in entries:
            found.append(entry)
            do(len(found))
        return found


@contextlib.contextmanager
def held(lane: Lane) -> Iterator[Callable[[], None]]:
    """Have another thread hold a lane; what the block gets lets go of it."""
    taken, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with lane:
            taken.set()
            enough.wait()

    holder = threading.Thread(target=hold)

    def let_go() -> None:
        enough.set()
        holder.join()

    holder.start()
    taken.wait()
    try:
        yield let_go
    finally:
        let_go()
