"""Accepts connections, in the event loop of the pages, and chooses the event loop that serves each."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import TYPE_CHECKING

from krakenonce.gateway import front
from krakenonce.gateway.loop_thread import run_in

if TYPE_CHECKING:
    import ssl

    from krakenonce.gateway.front import Front


SPARE = 64  # file descriptors for the state, for Kraken, and for everything else that is open


class Acceptor:
    """Accepts connections, in the event loop in which it was made.

    Args:
        listeners: The sockets that listen; they are closed with the acceptor.
        calls: Serves calls, in *calls_loop*.
        calls_loop: An event loop that may wait for the disk.
        pages: Serves pages, in the event loop that accepts, which never waits; and all requests over TLS, for what a
            connection over TLS asks for is seen only after its handshake.
        tls: The certificate.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        calls: Front,
        calls_loop: asyncio.AbstractEventLoop,
        pages: Front,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._calls = calls
        self._calls_loop = calls_loop
        self._pages = pages
        self._tls = tls
        self._new: set[asyncio.Task[None]] = set()  # connections that nobody serves yet
        self._accepting = [asyncio.create_task(self._accept(each)) for each in listeners]

    async def close(self) -> None:
        """Accept no more connections, and close those that have sent nothing yet."""
        for task in (*self._accepting, *self._new):
            task.cancel()
        await asyncio.wait(self._accepting)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:  # the client has gone, or there are too many open files
                    await asyncio.sleep(0.1)
                    continue
                if self._too_many():
                    connection.close()
                    continue
                task = loop.create_task(self._serve(connection))
                self._new.add(task)
                task.add_done_callback(self._new.discard)
                await asyncio.sleep(0)  # sock_accept() lets no other task run while more connections wait

    async def _serve(self, connection: socket.socket) -> None:
        if self._tls is not None:
            await self._pages.serve(connection, self._tls)
            return
        try:
            page = await _asks_for_page(connection)
        except (OSError, asyncio.CancelledError):  # nothing came in time, the client has gone, or the gateway stops
            connection.close()
            return
        if page:
            await self._pages.serve(connection)
        else:
            await run_in(self._calls_loop, self._calls.serve(connection))

    def _too_many(self) -> bool:
        """Whether few file descriptors are left: without them no call could be made or refused."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = self._calls.connections + self._pages.connections + len(self._new)
        return files != resource.RLIM_INFINITY and count > max(files - 2 * SPARE, SPARE)


async def _asks_for_page(connection: socket.socket) -> bool:
    """Wait for the first bytes and return whether they begin a request for a page. They are not taken.

    Raises:
        TimeoutError: Nothing has come.
        OSError: The client has gone.
    """
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(connection, _set, readable)
    try:
        async with asyncio.timeout(front.SLOWEST):
            await readable
    finally:
        loop.remove_reader(connection)
    verb, _, path = connection.recv(len(b"HEAD /0/"), socket.MSG_PEEK).partition(b" ")
    return verb in (b"GET", b"HEAD") and path.startswith(b"/") and not path.startswith(b"/0/")


def _set(readable: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        readable.set_result(None)
