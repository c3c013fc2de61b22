"""A state in a database that was moved away: a row says where to, which every statement that issues a nonce reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.moved import was_moved
from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused
from krakenonce.rule import check_floor, check_scope

if TYPE_CHECKING:
    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row
    from krakenonce.backends.protocol import Kept
    from krakenonce.errors import NonceStoreError


# The lock waits for all nonces that are being issued. A statement that waits for this lock reads the row afterwards.
# No row is inserted, but the right to do so is asked for: a state that is moved here needs it.
_BEGIN = "begin; lock table krakenonce.nonces in share row exclusive mode;"
_RETIRE = r"""
update krakenonce.about set moved_to = convert_from('\x{to}', 'utf8');
insert into krakenonce.nonces select * from krakenonce.nonces where false;
select scope, last from krakenonce.nonces;
commit
"""
_TABLES: dict[Kept, str] = {"rate limits": "limits", "records": "records", "sent calls": "sent"}
_RESTORE = "update krakenonce.about set moved_to = null;"
_FLOOR = """
insert into krakenonce.nonces as kept
    values ('{scope}', {floor}, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
    on conflict (scope) do update set last = greatest(kept.last, excluded.last);
"""


def retire(link: Link, to: str) -> dict[str, int]:
    """Let nobody use the counters any more, and return the last nonce of each. Raises NonceStoreError."""
    rows = _script(link, _BEGIN + _RETIRE.format(to=to.encode().hex()))[-2]
    return {(scope or b"").decode(): int(last or 0) for scope, last in sorted(rows, key=str)}


def moved_to(link: Link) -> str | None:
    """Return where the state was moved to; None: it is in use. Raises NonceStoreError."""
    rows = link.read("select moved_to from krakenonce.about")
    return rows[0][0].decode() if rows and rows[0][0] is not None else None


def names(link: Link, kept: Kept) -> list[str]:
    """Return the names of all rate limits, records or sent calls, sorted. Raises NonceStoreError."""
    return sorted((name or b"").decode() for (name,) in link.read(f"select name from krakenonce.{_TABLES[kept]}"))  # noqa: S608 - one of ours


def restore(link: Link, floors: dict[str, int]) -> None:
    """Let the counters be used again, with all nonces larger than these floors. Raises NonceStoreError."""
    for scope in floors:
        check_scope(scope)
    raised = "".join(_FLOOR.format(scope=scope, floor=check_floor(floor)) for scope, floor in floors.items())
    _script(link, f"{_BEGIN} {_RESTORE} {raised} commit")


def refused_as_moved(link: Link) -> NonceStoreError:
    """Return the error for everybody who still uses a state that was moved away."""
    return was_moved(link.server.url, moved_to(link) or "another state")


def _script(link: Link, statements: str) -> list[list[Row]]:
    try:
        return link.step(lambda session: session.script(statements))
    except Refused as error:
        raise cannot(link.server, "move", error) from None
