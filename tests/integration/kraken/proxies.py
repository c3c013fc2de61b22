"""A small HTTP proxy and TLS in front of a fake Kraken, in a thread; both are real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from krakenonce.gateway.loop_thread import LoopThread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


SILENT = -1


class Thread(LoopThread):
    """An event loop in a thread, with the servers that are started in it."""

    def listen(self, serve: Serve, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> int:
        """Start a server and return its port; it ends with the thread."""
        ready: Future[int] = Future()

        async def run() -> None:
            server = await asyncio.start_server(_quietly(serve), host, port, ssl=tls)
            ready.set_result(int(server.sockets[0].getsockname()[1]))
            try:
                await server.serve_forever()
            finally:
                server.close()

        asyncio.run_coroutine_threadsafe(run(), self.loop)
        return ready.result()


def _quietly(serve: Serve) -> Serve:
    """Close the connection in the end; asyncio would log a handler that is cancelled."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await serve(reader, writer)
        writer.close()

    return handler


async def join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes = b"", said: bytes = b""
) -> None:
    """Carry bytes between a connection and a port of this machine, until one end closes."""
    there, to_there = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, begun: bytes) -> None:
        try:
            sink.write(begun)
            while piece := await source.read(65536):
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    await asyncio.gather(carry(reader, to_there, first), carry(there, writer, said))


class HttpProxy:
    """An HTTP proxy: CONNECT, and forwarding for http. Every name leads to one port of this machine.

    Args:
        thread: Where it runs.
        port: Where every name leads to.
        pair: The user name and the password that it wants, in base64.

    Attributes:
        asked: The first line of each request that it got.
        heads: The whole head of each.
        refuses: The status with which it refuses; 0: it closes the connection; SILENT: it does not answer; None: it
            does not refuse.
    """

    def __init__(self, thread: Thread, port: int, pair: str = "") -> None:
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.refuses: int | None = None
        self._port, self._pair = port, pair
        self.port = thread.listen(self._serve)
        self.host = f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            line, _, rest = head.partition(b"\r\n")
            verb, target, version = line.decode().split()
            self.asked.append(f"{verb} {target}")
            status = self.refuses
            if status is None and self._pair and f"Basic {self._pair}".encode() not in head:
                status = 407
            if status == SILENT:
                await reader.read()
            elif status is not None:
                writer.write(f"{version} {status} No\r\nContent-Length: 2\r\n\r\nNo".encode() if status else b"")
            elif verb == "CONNECT":
                await join(reader, writer, self._port, said=b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                parts = urlsplit(target)
                await join(reader, writer, self._port, f"{verb} {parts.path} {version}\r\n".encode() + rest)
