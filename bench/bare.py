"""What a round trip to each server costs with as little as possible around it, for our figures to be divided by.

PostgreSQL is asked by libpq itself, the others by their bytes on a socket.
"""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from tests.hosts.servers import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT = 10.0  # seconds


def bare(kind: str, url: str, port: int, what: str) -> Callable[[], object]:
    """Return what makes one round trip.

    Args:
        kind: ``postgres``, ``valkey`` or ``etcd``.
        url: Where the state is.
        port: The port in it.
        what: ``trip``: the least that can be asked, for etcd a put. ``write``: a committed write of one row, a script
            that raises a number, a put.
    """
    if kind == "postgres":
        return _postgres(url, what)
    return _valkey(port, what) if kind == "valkey" else _etcd(port)


def _postgres(url: str, what: str) -> Callable[[], object]:
    import psycopg
    from psycopg.pq import ExecStatus

    connection = psycopg.connect(url, autocommit=True, tcp_user_timeout=10_000)
    connection.execute("create table if not exists bare (name text primary key, last bigint not null)")
    connection.execute("insert into bare values ('one', 0) on conflict do nothing")
    pg: Any = connection.pgconn
    statement = "select 1" if what == "trip" else "update bare set last = last + 1 where name = 'one' returning last"
    pg.prepare(b"bare", statement.encode())

    def ask() -> None:
        assert connection.pgconn is pg  # which is closed with its connection
        assert pg.exec_prepared(b"bare", None).status == ExecStatus.TUPLES_OK

    return ask


def _valkey(port: int, what: str) -> Callable[[], object]:
    sock = _connected(port)
    sock.sendall(_command("AUTH", PASSWORD))
    assert sock.recv(100) == b"+OK\r\n"
    script = "return redis.call('HINCRBY', KEYS[1], 'last', 1)"
    sock.sendall(_command("SCRIPT", "LOAD", script))
    sha = sock.recv(100).split()[1].decode()
    asked = _command("PING") if what == "trip" else _command("EVALSHA", sha, "1", "bare")

    def ask() -> None:
        sock.sendall(asked)
        said = sock.recv(100)
        assert said[:1] in b"+:", said

    return ask


def _command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)


def _etcd(port: int) -> Callable[[], object]:
    sock = _connected(port)
    body = json.dumps({name: b64encode(b"%019d" % 1).decode() for name in ("key", "value")}).encode()
    asked = b"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def ask() -> None:
        sock.sendall(asked)
        said = b""
        while not said.endswith(b"}"):
            more = sock.recv(65536)
            assert more, said
            said += more
        assert said.startswith(b"HTTP/1.1 200"), said

    return ask


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_LIMIT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
