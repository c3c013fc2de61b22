"""A TCP proxy that delays both directions, in a process of its own, as the network between two hosts does.

``python -m bench.delay PORT MILLISECONDS JITTER``: connections to the port that it prints lead to PORT of this machine.
It ends when its input does. After the line ``cut`` it is a cable that was pulled: nothing gets through, and nobody is
told, not even by an acknowledgement of TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import selectors
import socket
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.limits import Late, readable
from tests.hosts.packets import drop_all

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_WAY = 2.0  # milliseconds
_ROOT = Path(__file__).parents[1]


class Delay:
    """A proxy in front of a port, from its making until :meth:`close`, or the end of this process.

    Args:
        port: Where connections lead.
        one_way: Milliseconds that each direction takes.
        jitter: Milliseconds that each direction may take in addition, by chance. No connection's bytes change places.
    """

    def __init__(self, port: int, one_way: float = ONE_WAY, jitter: float = 0.0) -> None:
        command = [sys.executable, "-m", "bench.delay", str(port), str(one_way), str(jitter)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        self.port = int(self._line())

    def cut(self) -> None:
        """Let nothing through any more, also no acknowledgement."""
        assert self._process.stdin
        self._process.stdin.write(b"cut\n")
        self._process.stdin.flush()
        assert self._line() == b"cut"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> bytes:
        assert self._process.stdout
        if not readable(self._process.stdout, 20.0):
            self.close()
            raise Late("the delaying proxy does not answer")
        return self._process.stdout.readline().strip()


class _Side(asyncio.Protocol):
    """One of two connections; what it gets, the other one sends, some time later and in the same order."""

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self._to_do: deque[Callable[[], object]] = deque()
        self._last = 0.0
        self._is_ended = False  # whether the other side knows that no more comes from this one
        self.transport: Any = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to send."""
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy.sides.add(self)

    def data_received(self, data: bytes) -> None:
        """Let the other side send it."""
        self._later(lambda other: other.write(data))

    def eof_received(self) -> bool:
        """Let the other side say so, and keep this one open."""
        self._later(self._pass_end)
        return True

    def _pass_end(self, other: Any) -> None:
        """Say so to the other side; close both if it has said so as well: asyncio does not by itself.

        Nor does it notice then that the other side was reset. To say so to that one would be an error.
        """
        self._is_ended = True
        if self.other is not None and self.other._is_ended:
            other.close()
            self.transport.close()
        else:
            other.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other side, and reset it if this one was reset."""
        self._proxy.sides.discard(self)
        self._later(lambda other: other.close() if error is None else _reset(other))

    def _later(self, do: Callable[[Any], object]) -> None:
        """Do it to the other side, after the delay, and not before what has come first."""

        def on_other() -> None:
            if self.other is not None and self.other.transport is not None and not self._proxy.is_cut:
                with contextlib.suppress(OSError):  # it is closed by now
                    do(self.other.transport)

        loop = asyncio.get_running_loop()
        self._to_do.append(on_other)
        self._last = max(self._last, loop.time() + self._proxy.delay())
        loop.call_at(self._last, self._do_next)

    def _do_next(self) -> None:
        """What has come first: two times that are equal may be called in any order."""
        self._to_do.popleft()()


def _reset(transport: Any) -> None:
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


class _Client(_Side):
    """The side of the client. What it says is kept until the server's is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server."""
        super().connection_made(transport)
        self.transport.pause_reading()
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        await asyncio.sleep(2 * self._proxy.delay())  # as long as the handshake takes
        try:
            _, side = await asyncio.get_running_loop().create_connection(
                lambda: _Side(self._proxy), "127.0.0.1", self._proxy.port
            )
        except OSError:
            _reset(self.transport)
            return
        self.other, side.other = side, self
        if self.transport.is_closing():
            side.transport.abort()
        else:
            self.transport.resume_reading()


class _Proxy:
    """What all connections share.

    Args:
        port: Where they lead.
        one_way: Seconds that each direction takes.
        jitter: Seconds in addition, by chance.
    """

    def __init__(self, port: int, one_way: float, jitter: float) -> None:
        self.port = port
        self.is_cut = False
        self.sides: set[_Side] = set()
        self._one_way, self._jitter = one_way, jitter
        self._chance = random.Random(1)

    def delay(self) -> float:
        """Seconds that the next bytes take."""
        return self._one_way + self._jitter * self._chance.random()

    async def serve(self) -> None:
        """Serve until the input ends."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=200)
        listening = server.sockets[0]
        print(listening.getsockname()[1], flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line == "cut\n":
                self.is_cut = True
                for each in [listening, *(side.transport.get_extra_info("socket") for side in self.sides)]:
                    drop_all(each.fileno())
                print("cut", flush=True)


def main() -> None:
    """Run one. select() waits for microseconds, where epoll() waits for whole milliseconds."""
    port, one_way, jitter = sys.argv[1:]
    proxy = _Proxy(int(port), float(one_way) / 1000, float(jitter) / 1000)

    def new_loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(proxy.serve())


if __name__ == "__main__":
    main()
