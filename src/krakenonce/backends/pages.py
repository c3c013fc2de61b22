"""Bytes in pages, while a step reads and writes parts of them: how servers keep them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_AT_ONCE = 8  # pages that are read before a step, because it will probably want them


class Pages:
    """The bytes of one name. A page of zeros need not be kept.

    Args:
        page: Bytes of a page.
        found: The pages that were asked for, by number; zeros at the end of one may be missing, also all of them.
        size: How many bytes there are.
        server_time: Seconds since 1970 by the server's clock.
        fetch: Returns more pages, as *found*: all that it is asked for.

    Attributes:
        size: How many bytes there are, with those that were written.
        used: The numbers of the pages that were read or written, in the order of their use.
    """

    def __init__(
        self,
        page: int,
        found: Mapping[int, bytes],
        size: int,
        server_time: float,
        fetch: Callable[[list[int]], Mapping[int, bytes]],
    ) -> None:
        self.server_time = server_time
        self.size = size
        self.used: dict[int, None] = {}
        self._page = page
        self._before = size
        self._fetch_more = fetch
        self._pages: dict[int, bytearray] = {}
        self._changed: set[int] = set()
        self._take(found)

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        numbers = numbers_of(self._page, offset, end)
        self._fetch(list(numbers))
        start = numbers.start * self._page
        return b"".join(self._pages[number] for number in numbers)[offset - start : end - start]

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        end, size = offset + len(data), self._page
        numbers = numbers_of(size, offset, end)
        self._fetch([number for number in numbers if number * size < offset or (number + 1) * size > end])
        for number in numbers:
            start = number * size
            page = self._pages.setdefault(number, bytearray(size))
            low, high = max(offset, start), min(end, start + size)
            page[low - start : high - start] = data[low - offset : high - offset]
        self.used.update(dict.fromkeys(numbers))
        self._changed.update(numbers)
        self.size = max(self.size, end)

    @property
    def is_changed(self) -> bool:
        """Whether something was written."""
        return bool(self._changed)

    def page(self, number: int) -> bytes:
        """Return a page that is known, without the zeros at its end."""
        return bytes(self._pages.get(number, b"")).rstrip(b"\0")

    def changes(self) -> dict[int, bytes]:
        """Return the pages to store, without the zeros at their ends; empty: one that may be stored has only zeros."""
        pages = {number: self.page(number) for number in sorted(self._changed)}
        return {number: data for number, data in pages.items() if data or number * self._page < self._before}

    def wanted(self, before: list[int]) -> list[int]:
        """Return the pages that the next step will probably want, if this one was as usual, the first page first.

        Args:
            before: Those that this step was expected to want.
        """
        return before if len(self.used) > _AT_ONCE else likely([*self.used, *before])

    def _fetch(self, numbers: list[int]) -> None:
        self.used.update(dict.fromkeys(numbers))
        missing = [number for number in numbers if number not in self._pages]
        stored = [number for number in missing if number * self._page < self._before]
        found = self._fetch_more(stored) if stored else {}
        self._take({number: found.get(number, b"") for number in missing})

    def _take(self, found: Mapping[int, bytes]) -> None:
        self._pages.update((number, bytearray(data.ljust(self._page, b"\0"))) for number, data in found.items())


def likely(numbers: list[int]) -> list[int]:
    """Return the first page, and so many of these, the likeliest first, as are read before a step."""
    return [0, *[number for number in dict.fromkeys(numbers) if number][: _AT_ONCE - 1]]


def numbers_of(page: int, offset: int, end: int) -> range:
    """Return the pages from one byte to the one before another."""
    return range(offset // page, (end - 1) // page + 1) if end > offset else range(0)
