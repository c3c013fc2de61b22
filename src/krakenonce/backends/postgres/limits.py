"""The rate counters in a database: see :mod:`krakenonce.backends.limits`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from krakenonce.backends.limits import USE, Seen, ServerLimits
from krakenonce.backends.postgres.pages import array, bytes_of
from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krakenonce.backends.pages import Pages
    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row, Session, Value


_PAGE = 4096  # bytes
_READ = """
select size, extract(epoch from clock_timestamp()), version, page, data from krakenonce.limits
    left join krakenonce.limit_pages on limit_pages.name = limits.name and page = any($2::int[]) where limits.name = $1
"""
# They need not survive a power cut.
_STORE = """
with off as materialized (select set_config('synchronous_commit', 'off', true)),
changed as ({change} returning 1),
written as (insert into krakenonce.limit_pages select $1, page, data
    from changed, unnest($4::int[], $5::bytea[]) as new (page, data)
    on conflict (name, page) do update set data = excluded.data)
select count(*) from changed
"""
_CHANGE = _STORE.format(
    change="""update krakenonce.limits set size = greatest(size, $3), version = version + 1 from off
    where name = $1 and version = $2"""
)
_MAKE = _STORE.format(
    change="insert into krakenonce.limits select $1, $3::int, $2::bigint from off on conflict do nothing"
)


class PostgresLimits(ServerLimits):
    """The rate counters in a database.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(link, _PAGE)

    @staticmethod
    def look(name: str, numbers: Sequence[int]) -> tuple[Value, ...]:
        """Return the statement that reads pages of a key's counters, and its values."""
        return _READ, name, array(numbers)

    @staticmethod
    def seen(numbers: Sequence[int], rows: Sequence[Row]) -> Seen:
        """Return what that statement has found."""
        size, now, version = rows[0][:3] if rows else (None, None, None)
        pages = {int(page): bytes_of(data) for _, _, _, page, data in rows if page is not None}
        return Seen(
            None if version is None else int(version),
            int(size or 0),
            {number: pages.get(number, b"") for number in numbers},
            float(now) if now is not None else time.time(),
            time.monotonic(),
        )

    def _is_there(self, name: str) -> bool:
        return bool(self._link.read("select 1 from krakenonce.limits where name = $1", name))

    def _read(self, name: str, numbers: list[int]) -> Seen:
        return self.seen(numbers, *self._do(lambda session: session.run_all(self.look(name, numbers))))

    def _change(self, name: str, seen: Seen, pages: Pages) -> Seen | None:
        statement, version = (_MAKE, 0) if seen.version is None else (_CHANGE, seen.version)
        changes, numbers, tries = pages.changes(), self.wanted(name), []
        change = statement, name, version, pages.size, array(changes), array(changes.values())

        def store(session: Session) -> list[list[Row]]:
            tries.append(1)
            return session.run_all(change, self.look(name, numbers))

        done, rows = self._do(store)
        if done == [(b"1",)]:
            return None
        if len(tries) > 1:
            raise self._not_known()
        return self.seen(numbers, rows)

    def _do(self, step: Callable[[Session], list[list[Row]]]) -> list[list[Row]]:
        try:
            found: list[list[Row]] = self._link.inside(step)
        except Refused as error:
            raise cannot(self._link.server, USE, error) from None
        return found
