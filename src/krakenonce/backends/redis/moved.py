"""A state on a server that was moved away: a field of the counters says where to, which every step looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krakenonce.backends.moved import was_moved
from krakenonce.backends.redis.link import confirm
from krakenonce.backends.redis.scripts import NONCES, PREFIX, RECORDS, RESTORE, RETIRE
from krakenonce.rule import check_floor, check_scope

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Kept
    from krakenonce.backends.redis.link import Link
    from krakenonce.backends.redis.server import Server
    from krakenonce.backends.redis.session import Script, Session


_KINDS: dict[Kept, str] = {"rate limits": "counters", "sent calls": "sent"}


def retire(link: Link, to: str) -> dict[str, int]:
    """Let nobody use the counters any more, and return the last nonce of each. Raises NonceStoreError."""
    found = _run(link, RETIRE, to)
    return dict(sorted((scope.decode(), int(last)) for scope, last in zip(found[::2], found[1::2], strict=True)))


def moved_to(link: Link) -> str | None:
    """Return where the state was moved to; None: it is in use. Raises NonceStoreError."""
    to = link.read("HGET", NONCES, "moved")
    return None if to is None else to.decode()


def names(link: Link, kept: Kept) -> list[str]:
    """Return the names of all rate limits, records or sent calls, sorted. Raises NonceStoreError."""
    if kept == "records":
        return sorted(name.decode() for name in link.read("HKEYS", RECORDS))
    begin, cursor = f"{PREFIX}{_KINDS[kept]}:", b"0"
    found: set[str] = set()
    while True:
        cursor, keys = link.read("SCAN", cursor.decode(), "MATCH", f"{begin}*", "COUNT", 1000)
        found.update(key.decode().removeprefix(begin) for key in keys)
        if cursor == b"0":
            return sorted(name for name in found if ":" not in name)  # their locks have one


def restore(link: Link, floors: dict[str, int]) -> None:
    """Let the counters be used again, with all nonces larger than these floors. Raises NonceStoreError."""
    for scope in floors:
        check_scope(scope)
    _run(link, RESTORE, *(word for scope, floor in floors.items() for word in (scope, check_floor(floor))))


def refuse_moved(server: Server, reply: list[bytes]) -> None:
    """Raise NonceStoreError if a step has found that the state was moved away."""
    if reply[0] == b"moved":
        raise was_moved(server.url, reply[1].decode())


def _run(link: Link, what: Script, *values: str | int) -> Any:
    def run(session: Session) -> Any:
        found = session.script(what, [NONCES], *values)
        confirm(session, link.server, "the move")
        return found

    return link.write(run, "move")
