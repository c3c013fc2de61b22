"""The network between hosts and servers: a proxy for each connection that can be cut, in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.hosts.packets import drop_all, drop_nothing

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable, Coroutine, Iterable

__all__ = ["Network"]

_T = TypeVar("_T")


class Network:
    """Ports of 127.0.0.1, each of which stands for one way through the network."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._ways: defaultdict[str, list[_Way]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def way(self, name: str, target: Callable[[], int]) -> int:
        """Open a way to the port that *target* returns for each new connection; return the way's port.

        Several ways may have one name: they are cut and healed together.
        """
        way = _Way(target)
        self._ways[name].append(way)
        return self._do(way.listen())

    def cut(self, names: Iterable[str], how: str) -> None:
        """Let nothing through these ways until they are healed.

        Args:
            names: Their names.
            how: ``cut off``: what is sent is late; ``reset``: its connection is reset; ``unplugged``: its packets
                vanish on both sides, and are not acknowledged.
        """
        self._do(self._cut([way for each in names for way in self._ways[each]], how))

    def heal(self, names: Iterable[str]) -> None:
        """Let through again, and first what has waited."""
        self._do(self._heal([way for each in names for way in self._ways[each]]))

    def _do(self, work: Coroutine[None, None, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _cut(self, ways: list[_Way], how: str) -> None:
        for way in ways:
            way.cuts += 1
            way.is_open.clear()
            if how == "reset":
                way.reset()
            elif how == "unplugged":
                way.unplug()

    async def _heal(self, ways: list[_Way]) -> None:
        for way in ways:
            way.cuts -= 1
            if not way.cuts:
                way.plug_in()
                way.is_open.set()

    async def _end(self) -> None:
        for way in (way for ways in self._ways.values() for way in ways):
            way.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Way:
    """One of them."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._writers: set[StreamWriter] = set()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.cuts = 0

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def reset(self) -> None:
        for each in self._writers:
            each.transport.abort()

    def unplug(self) -> None:
        for each in self._sockets():
            drop_all(each.fileno())

    def plug_in(self) -> None:
        for each in self._sockets():
            drop_nothing(each)

    def close(self) -> None:
        self._server.close()
        self.reset()

    def _sockets(self) -> list[Any]:
        ours = (each.get_extra_info("socket") for each in self._writers if not each.is_closing())
        return [*self._server.sockets, *ours]

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        writers = {writer}
        self._writers.add(writer)
        try:
            await self.is_open.wait()
            drop_nothing(writer.get_extra_info("socket"))  # it was accepted when the way was unplugged
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target())
            writers.add(server_writer)
            self._writers.add(server_writer)
            for each in writers:
                _look_for_its_end(each.get_extra_info("socket"))
            await asyncio.gather(self._pass(reader, server_writer), self._pass(server_reader, writer))
        except OSError:  # the server is down
            pass
        finally:
            self._writers -= writers
            for each in writers:
                each.transport.abort()

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self.is_open.wait()
                writer.write(data)
                await writer.drain()
        await self.is_open.wait()  # the other end does not learn of it before
        writer.close()


def _look_for_its_end(sock: Any) -> None:
    """Ask the other side for a sign of life each second, and notice ten seconds without one.

    If it has ended while its packets vanished, it does not say so again. Without a proxy its peer would ask, and does.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 10)):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
