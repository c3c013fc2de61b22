"""The gateway as a server: where it listens, with which event loops, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError
from krakenonce.gateway.accepting import Acceptor
from krakenonce.gateway.front import Front
from krakenonce.gateway.loop_thread import run_in

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from krakenonce.gateway.gateway import Gateway
    from krakenonce.gateway.loop_thread import LoopThread
    from krakenonce.gateway.pages import Pages
    from krakenonce.gateway.public import PublicCalls
    from krakenonce.gateway.replies import Reply


BACKLOG = 128  # connections that may wait to be accepted
DRAIN = 35.0  # seconds that the gateway waits at most, when it stops, for the answers to calls in progress
logger = logging.getLogger("krakenonce")


class GatewayServer:
    """Serves a gateway until :meth:`stop`.

    Calls are answered in the event loop that starts the server. It waits for the disk when a nonce is stored, and so
    do all calls then. Pages are answered in the second loop, which never waits.

    Args:
        gateway: Answers private calls.
        public: Answers public calls.
        second: The second loop.
        pages: Answers other requests with GET and HEAD; None: there are no pages.
    """

    def __init__(self, gateway: Gateway, public: PublicCalls, second: LoopThread, pages: Pages | None = None) -> None:
        self._gateway = gateway
        self._public = public
        self._second = second.loop
        self._pages = pages
        self._fronts: list[tuple[asyncio.AbstractEventLoop, Front]] = []
        self._acceptor: Acceptor | None = None
        self._busy = 0  # calls that have arrived and are not answered
        self._all_answered = asyncio.Event()
        self._socket: tuple[Path, os.stat_result] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on an address; return the port. Raises OSError if that is impossible."""
        listeners = await _bound(host, port)
        await self._listen(listeners, tls)
        return int(listeners[-1].getsockname()[1])

    async def start_unix(self, path: Path) -> None:
        """Listen on a Unix socket that no other user may open, from the moment it exists.

        Raises:
            ConfigError: Something else is at this path, or another gateway listens on it.
            OSError: It is impossible to listen there.
        """
        listener = _unix_socket(path)
        self._socket = path, os.stat(path)
        await self._listen([listener], None)

    async def stop(self) -> None:
        """Accept no more connections, refuse the calls that wait, and wait for the answers to calls in progress."""
        self._gateway.stop()
        self._public.close()
        self._remove_socket()  # before it is closed, so that it cannot be another gateway's by now
        if self._acceptor is not None:
            await run_in(self._second, self._acceptor.close())
        if self._busy:
            logger.warning("stopping; waiting for %d calls in progress, at most %.0f s", self._busy, DRAIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.gather(*(each.close() for each in self._gateway.accounts.values()))
                if self._busy:
                    self._all_answered.clear()
                    await self._all_answered.wait()
        for loop, front in self._fronts:
            await run_in(loop, front.close())
        self._gateway.end()

    async def _listen(self, listeners: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        for listener in listeners:
            listener.listen(BACKLOG)
            listener.setblocking(False)
        here = asyncio.get_running_loop()
        calls = Front(self._answer, self._pages, self._public.time)
        self._fronts.append((here, calls))

        async def answer(*call: Any) -> Reply:  # in the second loop
            return await _answered_in(here, lambda: self._answer(*call))

        async def accept() -> None:
            pages = Front(answer, self._pages, self._public.time)
            self._fronts.append((self._second, pages))
            self._acceptor = Acceptor(listeners, calls, here, pages, tls)

        await run_in(self._second, accept())

    def _remove_socket(self) -> None:
        if self._socket is not None:
            path, ours = self._socket
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(path), ours):
                    os.unlink(path)

    async def _answer(self, verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one call, in the first loop."""
        self._busy += 1
        try:
            if path.startswith("/0/public/"):
                return await self._public.answer(verb, path, headers, body)
            return await self._gateway.answer(path, headers, body)
        finally:
            self._busy -= 1
            if not self._busy:
                self._all_answered.set()


async def _answered_in(loop: asyncio.AbstractEventLoop, answer: Callable[[], Awaitable[Reply]]) -> Reply:
    """Run a call in another loop; there it is told, too, whether its reply was received."""
    replies: list[Reply] = []

    async def there() -> Reply:
        replies.append(await answer())
        return replies[0]

    def tell(is_received: bool) -> None:
        for reply in replies:
            if reply.received is not None:
                reply.received(is_received)

    try:
        reply = await run_in(loop, there())
    except asyncio.CancelledError:  # the reply may be there all the same, and nobody waits for it
        loop.call_soon_threadsafe(tell, False)
        raise
    if reply.received is None:
        return reply

    def received(is_received: bool) -> None:
        loop.call_soon_threadsafe(tell, is_received)

    return reply._replace(received=received)


async def _bound(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host. Raises OSError if that is impossible."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    try:
        return [socket.socket(fileno=os.dup(each.fileno())) for each in server.sockets]
    finally:
        server.close()


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
