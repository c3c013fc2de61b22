"""The rate counters of all API keys: about 120 KB each, of which a step reads and writes a few hundred bytes.

They are kept in pages, so that a step is two round trips. They follow the server's clock, because the hosts' clocks may
differ. They need not survive a power cut, so a step does not wait for the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused, SessionLost
from krakenonce.errors import NonceStoreError
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Session


_T = TypeVar("_T")
_PAGE = 4096  # bytes
# The names are checked, and data is written as hexadecimal digits: so all of it can stand in a statement.
_BEGIN = """
begin; set local synchronous_commit = off;
insert into krakenonce.limits values ('{name}', 0) on conflict do nothing;
select size, extract(epoch from clock_timestamp()) from krakenonce.limits where name = '{name}' for update;
select data from krakenonce.limit_pages where name = '{name}' and page = 0
"""
_PAGES = """
insert into krakenonce.limit_pages values {pages} on conflict (name, page) do update set data = excluded.data;
"""
_SIZE = "update krakenonce.limits set size = {size} where name = '{name}' and size < {size};"


class PostgresLimits:
    """The rate counters in a database.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: set[str] = set()

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with the counters of this name. Never writes."""
        if name not in self._known and self._link.read("select 1 from krakenonce.limits where name = $1", name):
            self._known.add(name)
        return name in self._known

    def step(self, name: str, step: Callable[[Pages], _T]) -> _T:
        """Call *step* with the counters of this name, without any other caller, and return what it returns.

        Raises:
            NonceStoreError: They cannot be read or written, or the connection was lost on the way.
        """
        check_name("rate limits", name, NonceStoreError)
        try:
            return self._link.step(lambda session: self._step(session, name, step))
        except Refused as error:
            raise cannot(self._link.server, "keep the rate limits in", error) from None

    def _step(self, session: Session, name: str, step: Callable[[Pages], _T]) -> _T:
        try:
            *_, head, first = session.script(_BEGIN.format(name=name))
            pages = Pages(session, name, int(head[0][0] or 0), float(head[0][1] or 0), first[0][0] if first else None)
            result = self._within(session, pages, step)
        except BaseException:  # also an error of the step's own: the server then takes back what was begun
            session.close()
            raise
        self._known.add(name)
        return result

    def _within(self, session: Session, pages: Pages, step: Callable[[Pages], _T]) -> _T:
        try:
            result = step(pages)
            session.script(f"{pages.changes()} commit")
        except SessionLost as error:  # the step must not be called twice
            raise cannot(self._link.server, "keep the rate limits in", error) from None
        return result


class Pages:
    """The rate counters of one API key, while their row is locked.

    Args:
        session: In a transaction that has the lock.
        name: Their name.
        size: How many bytes there are.
        server_time: Seconds since 1970 by the server's clock, with the lock.
        first: The first page, as the server gives it; None: there is none.
    """

    def __init__(self, session: Session, name: str, size: int, server_time: float, first: bytes | None) -> None:
        self.server_time = server_time
        self._session = session
        self._name = name
        self._size = size
        self._is_new = size == 0
        self._pages = {0: bytearray(_bytes(first))}
        self._changed: set[int] = set()

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        end = min(offset + size, self._size)
        if end <= offset:
            return b""
        numbers = range(offset // _PAGE, (end - 1) // _PAGE + 1)
        self._fetch(numbers)
        whole = b"".join(self._pages[number] for number in numbers)
        start = numbers.start * _PAGE
        return bytes(whole[offset - start : end - start])

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        end = offset + len(data)
        numbers = range(offset // _PAGE, (end - 1) // _PAGE + 1) if data else range(0)
        partly = {number for number in numbers if number * _PAGE < offset or (number + 1) * _PAGE > end}
        self._fetch(sorted(partly))
        for number in numbers:
            start = number * _PAGE
            page = self._pages.setdefault(number, bytearray(_PAGE))
            low, high = max(offset, start), min(end, start + _PAGE)
            page[low - start : high - start] = data[low - offset : high - offset]
            if not self._is_new or any(page):  # of a new one, pages of zeros need not be kept
                self._changed.add(number)
        self._size = max(self._size, end)

    def changes(self) -> str:
        """Return the statements that write what was changed."""
        values = ", ".join(
            rf"('{self._name}', {number}, '\x{self._pages[number].hex()}')" for number in sorted(self._changed)
        )
        write = _PAGES.format(pages=values) if values else ""
        return write + _SIZE.format(size=self._size, name=self._name)

    def _fetch(self, numbers: range | list[int]) -> None:
        missing = [number for number in numbers if number not in self._pages]
        if not missing:
            return
        found: dict[int, bytes | None] = {}
        if not self._is_new:
            rows = self._session.run(
                "select page, data from krakenonce.limit_pages where name = $1 and page between $2 and $3",
                *(self._name, missing[0], missing[-1]),
            )
            found = {int(page or 0): data for page, data in rows}
        for number in missing:
            self._pages[number] = bytearray(_bytes(found.get(number)))


def _bytes(text: bytes | None) -> bytes:
    """Return a page from what the server gives for it."""
    data = bytes.fromhex(text[2:].decode()) if text else b""
    return data.ljust(_PAGE, b"\0")
