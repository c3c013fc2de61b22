"""One TCP connection, with TLS or without: bytes in both directions, each with a time limit.

The sockets are the operating system's own, also where gevent or eventlet has replaced Python's: a turn must not end in
a wait.
"""

from __future__ import annotations

import _socket
import os
import time
from typing import TYPE_CHECKING, Any

from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from collections.abc import Callable


class Stream:
    """A connection, which is opened once. One thread at a time uses it. Its errors are those of sockets.

    All deadlines are by ``time.monotonic()``.
    """

    _fstat = staticmethod(os.fstat)  # at the end of the interpreter, modules are gone before the last objects

    def __init__(self) -> None:
        self._socket: _socket.socket | None = None
        self._inode = 0
        self._tls: Any = None
        self._to_send: Any = None
        self._arrived: Any = None
        call_in_children(self)  # at once: a child that is forked now must not keep the connection

    def open(self, place: tuple[str, int], context: Any, deadline: float) -> None:
        """Connect.

        Args:
            place: Host and port.
            context: An ``ssl.SSLContext``; None: no TLS.
            deadline: Until when.
        """
        self._connect(place, deadline)
        if context is not None:
            import ssl

            self._to_send, self._arrived = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(self._arrived, self._to_send, server_hostname=place[0])
            self._in_tls(lambda: tls.do_handshake() or b"done", deadline)
            self._tls = tls

    @property
    def is_met(self) -> bool:
        """Whether somebody listens there: also if :meth:`open` has failed, until it is closed."""
        return self._socket is not None

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of *data*."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._to_send.read()
        self._raw(deadline).sendall(data)

    def receive(self, deadline: float) -> bytes:
        """Wait until something has arrived, and return it."""
        if self._tls is None:
            data = self._raw(deadline).recv(65536)
        else:
            data = self._in_tls(lambda: self._tls.read(65536), deadline)
        if not data:
            raise ConnectionResetError
        return data

    def close(self) -> None:
        """Close it. In a forked child its parent's stays open."""
        sock, self._socket = self._socket, None
        if sock is not None:
            try:  # no contextlib, for the same reason
                if self._fstat(sock.fileno()).st_ino == self._inode:
                    sock.close()
            except OSError:  # other code has closed the descriptor
                pass
            sock.detach()  # or it is another file's by now

    _after_fork = close
    __del__ = close  # else Python warns of it

    def _connect(self, place: tuple[str, int], deadline: float) -> None:
        addresses = _socket.getaddrinfo(*place, 0, _socket.SOCK_STREAM)
        for more, (family, kind, protocol, _, address) in enumerate(addresses, 1 - len(addresses)):
            sock = self._socket = _socket.socket(family, kind, protocol)
            try:
                self._inode = self._fstat(sock.fileno()).st_ino
                self._raw(deadline).connect(address)
                sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
                return
            except OSError:
                self.close()
                if more == 0:
                    raise

    def _in_tls(self, do: Callable[[], bytes], deadline: float) -> bytes:
        """Do something that may have to send or receive first."""
        import ssl

        while True:
            try:
                done = do()
            except ssl.SSLWantReadError:
                done = None
            except ssl.SSLZeroReturnError:
                done = b""
            if to_send := self._to_send.read():
                self._raw(deadline).sendall(to_send)
            if done is not None:
                return done
            if not (data := self._raw(deadline).recv(65536)):
                raise ConnectionResetError
            self._arrived.write(data)

    def _raw(self, deadline: float) -> _socket.socket:
        if self._socket is None:
            raise ConnectionResetError
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        return self._socket
