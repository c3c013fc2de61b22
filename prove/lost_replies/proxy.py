"""A proxy that sends the same bytes again, as HAProxy's ``retry-on all-retryable-errors`` does."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Self

from prove.lost_replies.exchange import BROKEN_OFF, Message, leave, read_message, whole_in

if TYPE_CHECKING:
    import random
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Coroutine

    from prove.lost_replies.jobs import Jobs

__all__ = ["ORDER", "Proxy"]

ORDER = "x-order"  # the header that says whose story a request belongs to
_RETRIES = 3
_RETRIED = frozenset((500, 502, 503, 504))
_TIMEOUTS = (0.3, 1.0, 3.0)  # seconds to wait for an answer
_KEPT_ALIVE = 0.5  # in so many of its tries it uses a connection that is open already


class Proxy:
    """Passes requests on to one of the gateways, and after a cut, a timeout or a 5xx again, also to another.

    Args:
        ports: Of the gateways.
        jobs: Whose orders it passes on.
        chance: Its choices.
    """

    def __init__(self, ports: list[int], jobs: Jobs, chance: random.Random) -> None:
        self._ports = ports
        self._jobs = {str(job.number): job for job in jobs}
        self._chance = chance
        self._idle: defaultdict[int, list[_Connection]] = defaultdict(list)
        self.port = 0
        self.count: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in [each for idle in self._idle.values() for each in idle]:
            connection.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            writer.write((await self._answer(await read_message(reader))).packed())
            await writer.drain()
        except BROKEN_OFF:
            pass
        finally:
            await leave(writer)

    async def _answer(self, request: Message) -> Message:
        job = self._jobs[request.headers[ORDER]]
        timeout, port = self._chance.choice(_TIMEOUTS), self._chance.choice(self._ports)
        answer = None
        for again in range(_RETRIES + 1):
            if again:
                self.count["repeats by the proxy"] += 1
                port = self._chance.choice(self._ports)
            where = f"proxy: gateway {self._ports.index(port)}"
            job.note(f"{where} gets the request{' again' if again else ''}, for {timeout} s")
            try:
                answer = await self._tried(port, request, timeout)
            except BROKEN_OFF as error:
                answer = None
                job.note(f"{where} does not answer ({type(error).__name__})")
                continue
            job.note(f"{where} answers {answer.status} {answer.body[:200]!r}")
            if answer.status not in _RETRIED:
                break
        return answer or Message("HTTP/1.1 502 Bad Gateway", {"content-length": "0"}, b"")

    async def _tried(self, port: int, request: Message, timeout: float) -> Message:
        """Send a request once. Raises one of ``BROKEN_OFF``."""
        idle, begun = self._idle[port], time.monotonic()
        if idle and self._chance.random() < _KEPT_ALIVE:
            connection = idle.pop()
        else:
            connecting = asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
            _, connection = await asyncio.wait_for(connecting, timeout)
        answer = await connection.ask(request, begun + timeout - time.monotonic())
        idle.append(connection)
        return answer


class _Connection(asyncio.Protocol):
    """A connection to a gateway. An answer is read to its end, or its connection is reset."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is one of TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        answer = whole_in(bytes(self._data))
        if answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport.abort()
        if not self._answer.done():
            self._answer.set_exception(EOFError())
            self._answer.exception()  # perhaps nobody waits for it

    def ask(self, request: Message, timeout: float) -> Coroutine[Any, Any, Message]:
        """Send a request, and return what waits for the answer."""
        self._data.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request.packed())
        return self._waited_for(timeout)

    async def _waited_for(self, timeout: float) -> Message:
        if self._transport.is_closing():
            raise EOFError
        await asyncio.wait([self._answer], timeout=max(0.0, timeout))
        if not self._answer.done():
            self.close()  # at once: what comes in now is not read, and the gateway is told so
            raise TimeoutError
        return self._answer.result()

    def close(self) -> None:
        """Close it; the system tells the gateway if something was not read."""
        self._transport.abort()
