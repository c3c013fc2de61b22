"""Connections of the package ``redis`` over sockets that gevent and eventlet have not replaced.

The package's own sockets would let other greenlets run in the middle of a step. Only its single connections are used:
its clients and pools connect again and repeat commands silently.
"""

from __future__ import annotations

import _socket
import contextlib
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from krakenonce.backends.redis.server import Address, Server

# A host that is gone is noticed after a few seconds. Other systems than Linux lack some of these.
_ALIVE = {"TCP_NODELAY": 1, "TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 4000}


class Wire:
    """One connection; it connects when told to, and never again.

    Args:
        address: Host and port.
        server: How to encrypt.
        user: The name to log in with; None: the default user.
        password: Its password; None: do not log in.
        database: Its number.
        patience: Seconds that each step of connecting may take.
    """

    def __init__(
        self, address: Address, server: Server, user: str | None, password: str | None, database: int, patience: float
    ) -> None:
        from redis.backoff import NoBackoff
        from redis.connection import Connection
        from redis.retry import Retry

        self.raw: _socket.socket | None = None  # the socket; None: it was never connected
        self.is_ready = False  # whether it is connected, and encrypted if it is to be
        self.connection: Any = Connection(
            host=address.host,
            port=address.port,
            username=user,
            password=password,
            db=database,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        # What its subclasses have to make a socket of another kind.
        self.connection._connect = partial(_connected, address, server.tls, patience, self)


def _connected(
    address: Address, context: ssl.SSLContext | None, patience: float, wire: Wire
) -> _socket.socket | TlsSocket:
    """Return a connected socket, and note it."""
    last = OSError("the host has no address")
    for family, kind, protocol, _, where in _socket.getaddrinfo(*address, 0, _socket.SOCK_STREAM):
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(patience)
            _keep_alive(sock)
            sock.connect(where)
            wire.raw = sock
            ready = sock if context is None else TlsSocket(sock, context, address.host)
            wire.is_ready = True
            return ready
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise last


class TlsSocket:
    """TLS over a socket. The one of the module ``ssl`` would be replaced by gevent and eventlet.

    Args:
        sock: A connected socket.
        context: How to encrypt.
        host: Whose certificate it must be.
    """

    def __init__(self, sock: _socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.settimeout, self.shutdown, self.close, self.fileno = (
            *(sock.settimeout, sock.shutdown),
            *(sock.close, sock.fileno),
        )
        self._do(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            view = view[self._do(lambda: self._tls.write(view)) :]  # noqa: B023 - called at once

    def recv(self, size: int) -> bytes:
        """Return what is there, at most *size* bytes; none: the other side has closed."""
        try:
            data: bytes = self._do(lambda: self._tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        return data

    def recv_into(self, buffer: bytearray) -> int:
        """Put what is there into *buffer*, and return how much it was."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _do(self, step: Any) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                if data := self._sock.recv(65536):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())


def _keep_alive(sock: _socket.socket) -> None:
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    for name, value in _ALIVE.items():
        if (option := getattr(_socket, name, None)) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(_socket.IPPROTO_TCP, option, value)
