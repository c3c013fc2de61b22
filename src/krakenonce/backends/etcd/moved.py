"""A state on etcd that was moved away: a key says where to, and every transaction that stores a nonce looks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.etcd.txn import delete, fetch, found, is_absent, put
from krakenonce.backends.moved import was_moved

if TYPE_CHECKING:
    from krakenonce.backends.etcd.server import Server
    from krakenonce.backends.etcd.wire import Json, Wire
    from krakenonce.backends.protocol import Kept


FOLDERS: dict[Kept, str] = {"rate limits": "limits", "records": "records", "sent calls": "sent"}


def is_here(wire: Wire) -> Json:
    """Compare: the state was not moved away."""
    return is_absent(moved_key(wire.server))


def refuse_moved(wire: Wire, answer: Json) -> None:
    """Raise NonceStoreError if the first request of an answer has found that the state was moved away."""
    for each in found(answer):
        raise was_moved(wire.server.url, each.value.decode(errors="replace"))


def retire(wire: Wire, to: str, folder: str) -> Json:
    """Let nobody store a nonce any more; the answer has all counters, which are in *folder*."""
    return wire.txn([], [put(moved_key(wire.server), to.encode()), fetch(folder)])


def moved_to(wire: Wire) -> str | None:
    """Return where the state was moved to; None: it is in use."""
    keys = found(wire.read(fetch(moved_key(wire.server))))
    return keys[0].value.decode(errors="replace") if keys else None


def bring_back(wire: Wire) -> None:
    """Let the counters be used again."""
    wire.delete(delete(moved_key(wire.server)))


def moved_key(server: Server) -> str:
    """Return the name of the key."""
    return f"{server.prefix}/moved"
