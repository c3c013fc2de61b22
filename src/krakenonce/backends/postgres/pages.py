"""Bytes that a step reads and writes parts of, in pages: rate counters, about 120 KB each, and records of sent calls.

A step is two round trips: the pages that it will probably want come with the lock. A page of zeros is not kept.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row, Session


_T = TypeVar("_T")
_AT_ONCE = 4  # pages that come with the lock
# The names are checked, and data is written as hexadecimal digits: so all of it can stand in a statement.
_BEGIN = """
begin; {commit}
insert into krakenonce.{table} values ('{name}', 0) on conflict do nothing;
select size, extract(epoch from clock_timestamp()) from krakenonce.{table} where name = '{name}' for update;
select page, data from krakenonce.{pages} where name = '{name}' and page in ({numbers})
"""
_PAGES = "insert into krakenonce.{pages} values {values} on conflict (name, page) do update set data = excluded.data;"
_ZEROS = "delete from krakenonce.{pages} where name = '{name}' and page in ({numbers});"
_SIZE = """
update krakenonce.{table} set size = greatest(size, {size}), version = version + 1 where name = '{name}';
"""
_FETCH = "select page, data from krakenonce.{pages} where name = $1 and page = any($2::int[])"
_LOOK = """
select size, page, data from krakenonce.{table} left join krakenonce.{pages}
    on {pages}.name = {table}.name and page between $2 and $3 where {table}.name = $1
"""


class Kind(NamedTuple):
    """One kind of such bytes.

    Args:
        table: The table with the size of each.
        pages: The table with the pages.
        page: Bytes of a page.
        is_durable: Whether a step waits for the server's disk.
        use: What is done with them, for messages.
    """

    table: str
    pages: str
    page: int
    is_durable: bool
    use: str


# They follow the server's clock, because the hosts' clocks may differ; and they need not survive a power cut.
RATE_LIMITS = Kind("limits", "limit_pages", 4096, False, "keep the rate limits in")
# Small pages, because a call changes ten bytes, and what is larger than 2 KB is kept elsewhere by the server.
SENT_CALLS = Kind("sent", "sent_pages", 1024, True, "write to the record of sent calls in")


class PostgresPages:
    """The bytes of one kind in a database.

    Args:
        links: The sessions to use; one for each name.
        kind: Which.
    """

    def __init__(self, links: Sequence[Link], kind: Kind) -> None:
        self._links = links
        self._kind = kind
        self._known: set[str] = set()
        self._wanted: dict[str, list[int]] = {}  # the pages that the steps before have used, the latest first

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes."""
        if name not in self._known:
            found = self._link(name).read(f"select 1 from krakenonce.{self._kind.table} where name = $1", name)  # noqa: S608 - one of ours
            if found:
                self._known.add(name)
        return name in self._known

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* with the bytes of this name, without any other caller, and return what it returns.

        Raises:
            NonceStoreError: They cannot be read or written, or the connection was lost on the way.
        """
        check_name("rate limits or sent calls", name, NonceStoreError)
        link = self._link(name)
        try:
            return link.step(lambda session: self._step(session, name, step))
        except Refused as error:
            raise cannot(link.server, self._kind.use, error) from None

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without the lock; None if no step was taken yet. Raises NonceStoreError."""
        numbers = _numbers(self._kind, offset, offset + size)
        statement = _LOOK.format(table=self._kind.table, pages=self._kind.pages)
        rows = self._link(name).read(statement, name, numbers.start, numbers.stop - 1)
        if not rows:
            return None
        pages = {int(page): _bytes(self._kind, data) for _, page, data in rows if page is not None}
        end = min(offset + size, int(rows[0][0] or 0))
        return _cut(self._kind, pages, offset, end)

    def sync(self, name: str) -> None:
        """Nothing to do: a step is durable when it returns."""

    def _link(self, name: str) -> Link:
        return self._links[zlib.crc32(name.encode()) % len(self._links)]

    def _step(self, session: Session, name: str, step: Callable[[Pages], _T]) -> _T:
        wanted = self._wanted.get(name, [0])
        commit = "" if self._kind.is_durable else "set local synchronous_commit = off;"
        numbers = ", ".join(map(str, wanted))
        begin = _BEGIN.format(**self._kind._asdict(), commit=commit, name=name, numbers=numbers)
        try:
            *_, head, found = session.script(begin)
            pages = Pages(self._fetcher(session, name), self._kind, name, head[0], wanted, found)
            result = self._within(session, pages, step)
        except BaseException:  # also an error of the step's own: the server then takes back what was begun
            session.close()
            raise
        self._known.add(name)
        self._note(name, pages)
        return result

    def _note(self, name: str, pages: Pages) -> None:
        """Remember which pages the next step will probably want."""
        if len(pages.used) <= _AT_ONCE:
            self._wanted[name] = list(dict.fromkeys([*pages.used, *self._wanted.get(name, [0])]))[:_AT_ONCE]

    def _fetcher(self, session: Session, name: str) -> Callable[[Sequence[int]], list[Row]]:
        statement = _FETCH.format(pages=self._kind.pages)
        return lambda numbers: session.run(statement, name, array(numbers))

    def _within(self, session: Session, pages: Pages, step: Callable[[Pages], _T]) -> _T:
        try:
            result = step(pages)
            session.script(pages.end())
        except SessionLost as error:  # the step must not be called twice
            raise cannot(self._links[0].server, self._kind.use, error) from None
        return result


class Pages:
    """The bytes of one name, while nobody else changes them.

    Args:
        fetch: Reads pages that were not asked for.
        kind: What they are.
        name: Their name.
        head: How many bytes there are, and the server's time.
        wanted: The pages that were asked for.
        found: Those of them that there are.

    Attributes:
        server_time: Seconds since 1970 by the server's clock, with the lock.
        used: The pages that were read or written.
        size: How many bytes there are.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[int]], list[Row]],
        kind: Kind,
        name: str,
        head: Row,
        wanted: Sequence[int],
        found: Sequence[Row],
    ) -> None:
        self._fetch_more = fetch
        self._kind = kind
        self._name = name
        self.size = int(head[0] or 0)
        self.server_time = float(head[1] or 0)
        self._is_new = self.size == 0
        self._pages = {number: bytearray(kind.page) for number in wanted}
        self._changed: set[int] = set()
        self.used: dict[int, None] = {}
        self._take(found)

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        self._fetch(_numbers(self._kind, offset, end))
        return _cut(self._kind, self._pages, offset, end)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        end, size = offset + len(data), self._kind.page
        numbers = _numbers(self._kind, offset, end)
        self._fetch([number for number in numbers if number * size < offset or (number + 1) * size > end])
        for number in numbers:
            start = number * size
            page = self._pages.setdefault(number, bytearray(size))
            low, high = max(offset, start), min(end, start + size)
            page[low - start : high - start] = data[low - offset : high - offset]
        self.used.update(dict.fromkeys(numbers))
        self._changed.update(numbers)
        self.size = max(self.size, end)

    def end(self) -> str:
        """Return the statements that write what was changed, and end the transaction."""
        if not self._changed and not self._is_new:
            return "rollback"  # which does not wait for the disk, though a row was locked
        kept = [number for number in sorted(self._changed) if any(self._pages[number])]
        zeros = [] if self._is_new else sorted(self._changed.difference(kept))
        names = {**self._kind._asdict(), "name": self._name, "size": self.size}
        values = ", ".join(rf"('{self._name}', {number}, '\x{self._pages[number].hex()}')" for number in kept)
        write = _PAGES.format(**{**names, "values": values}) if kept else ""
        delete = _ZEROS.format(**names, numbers=", ".join(map(str, zeros))) if zeros else ""
        return f"{write}{delete}{_SIZE.format(**names)} commit"

    def changed(self) -> dict[int, bytes]:
        """Return the pages that were written."""
        return {number: bytes(self._pages[number]) for number in sorted(self._changed)}

    def _fetch(self, numbers: Sequence[int]) -> None:
        self.used.update(dict.fromkeys(numbers))
        missing = [number for number in numbers if number not in self._pages]
        if not missing:
            return
        self._pages.update((number, bytearray(self._kind.page)) for number in missing)
        if not self._is_new:
            self._take(self._fetch_more(missing))

    def _take(self, rows: Sequence[Row]) -> None:
        for number, data in rows:
            self._pages[int(number or 0)] = _bytes(self._kind, data)


def array(each: Iterable[object]) -> str:
    """Return numbers, or bytes, as the text of an array."""
    texts = (rf'"\\x{one.hex()}"' if isinstance(one, bytes) else str(one) for one in each)
    return f"{{{','.join(texts)}}}"


def _numbers(kind: Kind, offset: int, end: int) -> range:
    """Return the pages from one byte to the one before another."""
    return range(offset // kind.page, (end - 1) // kind.page + 1) if end > offset else range(0)


def _cut(kind: Kind, pages: dict[int, bytearray], offset: int, end: int) -> bytes:
    numbers = _numbers(kind, offset, end)
    whole = b"".join(pages.get(number, bytes(kind.page)) for number in numbers)
    start = numbers.start * kind.page
    return whole[offset - start : end - start]


def _bytes(kind: Kind, text: bytes | None) -> bytearray:
    """Return a page from what the server gives for it."""
    data = bytearray.fromhex(text[2:].decode()) if text else bytearray()
    return data.ljust(kind.page, b"\0")
