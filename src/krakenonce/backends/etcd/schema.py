"""What a state on etcd looks like, and what a server is asked before it is used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from krakenonce.backends.etcd.txn import fetch, found, is_absent, put
from krakenonce.backends.etcd.wire import Lost
from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.etcd.txn import Found
    from krakenonce.backends.etcd.wire import Json, Wire


logger = logging.getLogger("krakenonce")

_VERSION = b"1"
_SOUND = (3, 5, 6)  # several versions of 3.5 before this one may damage their data
_LARGE = 2**30  # bytes; half of what etcd's quota is by default


def check_status(server: Server, status: Json) -> None:
    """Warn of what may go wrong later. Raises Lost if the server belongs to a minority."""
    if status.get("leader", "0") == "0":
        raise Lost("it has no leader")
    version, size = str(status.get("version", "")), int(status.get("dbSize", 0))
    if _numbers(version) < _SOUND:
        _warn(server, f"runs etcd {version}, which may lose or damage data after a crash; use 3.5.6 or newer")
    if size > int(status.get("dbSizeQuota", 0)) // 2 + _LARGE * ("dbSizeQuota" not in status):
        _warn(
            server,
            f"has a database of {size >> 20} MiB, and when its quota is full it takes no more nonces; let it compact "
            "(--auto-compaction-retention=1h) and defragment it",
        )


def check_state(wire: Wire) -> None:
    """Raise NonceStoreError if there is a state of another version."""
    _check(wire, found(wire.read(fetch(_key(wire.server)))))


def make_state(wire: Wire) -> None:
    """Make an empty state, unless there is one."""
    key = _key(wire.server)
    answer = wire.txn([is_absent(key)], [put(key, _VERSION), fetch(key)], [fetch(key), fetch(key)])
    _check(wire, found(answer, 1))


def _check(wire: Wire, keys: list[Found]) -> None:
    for _, version, *_ in keys:
        if version != _VERSION:
            raise NonceStoreError(
                f"the state in {wire.server.url} has version {version.decode(errors='replace')[:9]}, and this "
                f"krakenonce knows version {_VERSION.decode()}; use the same krakenonce on all hosts"
            )
        wire.is_made = True


def _key(server: Server) -> str:
    return f"{server.prefix}/version"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.partition("-")[0].split(".") if each.isdigit())


def _warn(server: Server, text: str) -> None:
    """Warn once in this process."""
    if (server.name, text[:20]) not in _warned:
        _warned.add((server.name, text[:20]))
        logger.warning("%s %s", server.url, text)


_warned: set[tuple[str, str]] = set()
