"""The rate counters in a database, which come along with the turn of their key: a call is counted in one round trip.

What was read with the turn is changed only if nobody else has changed it since. Otherwise the step is taken again, with
the counters locked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from krakenonce.backends.postgres.pages import RATE_LIMITS, Pages, PostgresPages, array
from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row, Session, Value


_T = TypeVar("_T")
_FRESH = 1.0  # seconds for which it is worth a try
_READ = """
select size, extract(epoch from clock_timestamp()), version, page, data from krakenonce.limits
    left join krakenonce.limit_pages on limit_pages.name = limits.name and page = any($2::int[]) where limits.name = $1
"""
_CHANGE = """
with off as materialized (select set_config('synchronous_commit', 'off', true)),
changed as (update krakenonce.limits set size = greatest(size, $3), version = version + 1 from off
    where name = $1 and version = $2 returning 1),
written as (insert into krakenonce.limit_pages select $1, page, data
    from changed, unnest($4::int[], $5::bytea[]) as new (page, data)
    on conflict (name, page) do update set data = excluded.data)
select count(*) from changed
"""


class _Seen(NamedTuple):
    wanted: list[int]
    rows: Sequence[Row]
    at: float


class PostgresLimits(PostgresPages):
    """The rate counters in a database.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        super().__init__([link], RATE_LIMITS)
        self._seen: dict[str, _Seen] = {}

    def look(self, name: str) -> tuple[Value, ...]:
        """Return the statement that reads the counters of a key, and its values."""
        return _READ, name, array(self._wanted.get(name, [0]))

    def see(self, name: str, rows: Sequence[Row]) -> None:
        """Keep what that statement has returned for the next step, which is taken in the turn."""
        self._seen[name] = _Seen(self._wanted.get(name, [0]), rows, time.monotonic())

    def forget(self, name: str) -> None:
        """The turn is over."""
        self._seen.pop(name, None)

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes."""
        seen = self._seen.get(name)
        return bool(seen.rows) if seen is not None and self._is_fresh(seen) else super().exist(name)

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* with the counters of this name, and return what it returns. It may be called twice.

        Raises:
            NonceStoreError: They cannot be read or written, or the connection was lost on the way.
        """
        seen = self._seen.pop(name, None)
        if seen is None or not seen.rows or not self._is_fresh(seen):
            return super().step(name, step)
        link = self._link(name)
        try:
            result = link.step(lambda session: self._quickly(session, name, seen, step))
        except Refused as error:
            raise cannot(link.server, RATE_LIMITS.use, error) from None
        return super().step(name, step) if result is None else result[0]

    def _quickly(self, session: Session, name: str, seen: _Seen, step: Callable[[Pages], _T]) -> tuple[_T] | None:
        """Take a step with what was seen; return None if another caller has changed it since."""
        size, at, version = seen.rows[0][:3]
        now = b"%f" % (float(at or 0) + time.monotonic() - seen.at)
        found = [row[3:] for row in seen.rows if row[3] is not None]
        pages = Pages(self._fetcher(session, name), RATE_LIMITS, name, (size, now), seen.wanted, found)
        result = step(pages)
        self._note(name, pages)
        changed = pages.changed()
        if not changed:
            return (result,)
        values = (name, int(version or 0), pages.size, array(changed), array(changed.values()))
        try:
            done = session.run(_CHANGE, *values) == [(b"1",)]
        except SessionLost as error:  # it may be counted
            raise cannot(self._links[0].server, RATE_LIMITS.use, error) from None
        return (result,) if done else None

    @staticmethod
    def _is_fresh(seen: _Seen) -> bool:
        return time.monotonic() - seen.at < _FRESH
