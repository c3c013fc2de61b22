"""The sent calls in a database: bytes in pages, which a step locks while it reads and writes parts of them.

A step is two round trips: the pages that it will probably want come with the lock. A page of zeros is not kept.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.pages import Pages, numbers_of
from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row, Session


_T = TypeVar("_T")
# Small pages, because a call changes ten bytes, and what is larger than 2 KB is kept elsewhere by the server.
_PAGE = 1024
_USE = "write to the record of sent calls in"
# The names are checked, and data is written as hexadecimal digits: so all of it can stand in a statement.
_BEGIN = """
begin;
insert into krakenonce.sent values ('{name}', 0) on conflict do nothing;
select size, extract(epoch from clock_timestamp()) from krakenonce.sent where name = '{name}' for update;
select page, data from krakenonce.sent_pages where name = '{name}' and page in ({numbers})
"""
_PAGES = """
insert into krakenonce.sent_pages values {values} on conflict (name, page) do update set data = excluded.data;
"""
_ZEROS = "delete from krakenonce.sent_pages where name = '{name}' and page in ({numbers});"
_SIZE = "update krakenonce.sent set size = greatest(size, {size}), version = version + 1 where name = '{name}';"
_FETCH = "select page, data from krakenonce.sent_pages where name = $1 and page = any($2::int[])"
_LOOK = """
select size, page, data from krakenonce.sent left join krakenonce.sent_pages
    on sent_pages.name = sent.name and page between $2 and $3 where sent.name = $1
"""


class PostgresPages:
    """The sent calls in a database.

    Args:
        links: The sessions to use; one for each name.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links
        self._known: set[str] = set()
        self._wanted: dict[str, list[int]] = {}  # the pages that the steps before have used, the latest first

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes."""
        if name not in self._known and self._link(name).read("select 1 from krakenonce.sent where name = $1", name):
            self._known.add(name)
        return name in self._known

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* with the bytes of this name, without any other caller, and return what it returns.

        Raises:
            NonceStoreError: They cannot be read or written, or the connection was lost on the way.
        """
        check_name("sent calls", name, NonceStoreError)
        link = self._link(name)
        try:
            return link.step(lambda session: self._step(session, name, step))
        except Refused as error:
            raise cannot(link.server, _USE, error) from None

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without the lock; None if no step was taken yet. Raises NonceStoreError."""
        numbers = numbers_of(_PAGE, offset, offset + size)
        rows = self._link(name).read(_LOOK, name, numbers.start, numbers.stop - 1)
        if not rows:
            return None
        pages = _pages([(page, data) for _, page, data in rows if page is not None], numbers)
        return Pages(_PAGE, pages, int(rows[0][0] or 0), 0.0, lambda _: {}).read(offset, size)

    def sync(self, name: str) -> None:
        """Nothing to do: a step is durable when it returns."""

    def _link(self, name: str) -> Link:
        return self._links[zlib.crc32(name.encode()) % len(self._links)]

    def _step(self, session: Session, name: str, step: Callable[[Pages], _T]) -> _T:
        wanted = self._wanted.get(name, [0])
        begin = _BEGIN.format(name=name, numbers=", ".join(map(str, wanted)))
        try:
            *_, head, found = session.script(begin)
            size, now = int(head[0][0] or 0), float(head[0][1] or 0)

            def fetch(numbers: list[int]) -> Mapping[int, bytes]:
                return _pages(session.run(_FETCH, name, array(numbers)), numbers)

            pages = Pages(_PAGE, _pages(found, wanted), size, now, fetch)
            result = self._within(session, name, pages, step, is_new=size == 0)
        except BaseException:  # also an error of the step's own: the server then takes back what was begun
            session.close()
            raise
        self._known.add(name)
        self._wanted[name] = pages.wanted(wanted)
        return result

    def _within(self, session: Session, name: str, pages: Pages, step: Callable[[Pages], _T], *, is_new: bool) -> _T:
        try:
            result = step(pages)
            # A rollback does not wait for the disk, though a row was locked.
            session.script(_end(name, pages) if pages.is_changed or is_new else "rollback")
        except SessionLost as error:  # the step must not be called twice
            raise cannot(self._links[0].server, _USE, error) from None
        return result


def _end(name: str, pages: Pages) -> str:
    """Return the statements that write what was changed, and end the transaction."""
    changes = pages.changes()
    values = ", ".join(rf"('{name}', {number}, '\x{data.hex()}')" for number, data in changes.items() if data)
    zeros = ", ".join(str(number) for number, data in changes.items() if not data)
    write = _PAGES.format(values=values) if values else ""
    delete = _ZEROS.format(name=name, numbers=zeros) if zeros else ""
    return f"{write}{delete}{_SIZE.format(name=name, size=pages.size)} commit"


def array(each: Iterable[object]) -> str:
    """Return numbers, or bytes, as the text of an array."""
    texts = (rf'"\\x{one.hex()}"' if isinstance(one, bytes) else str(one) for one in each)
    return f"{{{','.join(texts)}}}"


def bytes_of(text: bytes | None) -> bytes:
    """Return a page from what the server gives for it."""
    return bytes.fromhex(text[2:].decode()) if text else b""


def _pages(rows: Sequence[Row], asked: Iterable[int]) -> dict[int, bytes]:
    """Return the pages that were asked for."""
    found = {int(number or 0): bytes_of(data) for number, data in rows}
    return {number: found.get(number, b"") for number in asked}
