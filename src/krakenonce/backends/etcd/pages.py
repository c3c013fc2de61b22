"""Bytes in small pages, while a step reads and writes parts of them. No I/O.

The first page begins with how many bytes there are, and when it was written.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.backends.etcd.txn import Found


PAGE = 256  # bytes
_HEAD = struct.Struct(">IQ")  # how many bytes there are; nanoseconds since 1970 by the servers' clock


class Pages:
    """The bytes of one name.

    Args:
        keys: Pages that were fetched; those that have only zeros are not there.
        known: The numbers of all pages that were asked for; the first one is among them.
        fetch: Returns more pages.
        now_ns: Nanoseconds since 1970 by the servers' clock, with the lock.
    """

    def __init__(
        self, keys: list[Found], known: Iterable[int], fetch: Callable[[range], list[Found]], now_ns: int
    ) -> None:
        self.now_ns = now_ns
        self.used: dict[int, None] = {}  # in the order of their use
        self._fetch_more = fetch
        self._pages = {number: bytearray(PAGE) for number in known}
        self._size = 0
        self._is_new = True
        self._changed: set[int] = set()
        self._keep(keys)

    @property
    def server_time(self) -> float:
        """Seconds since 1970, by one clock for all hosts."""
        return self.now_ns / SECOND

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        end = min(offset + size, self._size)
        if end <= offset:
            return b""
        numbers = range(offset // PAGE, (end - 1) // PAGE + 1)
        self._fetch(numbers)
        whole = b"".join(self._pages[number] for number in numbers)
        start = numbers.start * PAGE
        return whole[offset - start : end - start]

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        end = offset + len(data)
        numbers = range(offset // PAGE, (end - 1) // PAGE + 1) if data else range(0)
        self._fetch([number for number in numbers if number * PAGE < offset or (number + 1) * PAGE > end])
        for number in numbers:
            start = number * PAGE
            page = self._pages.setdefault(number, bytearray(PAGE))
            low, high = max(offset, start), min(end, start + PAGE)
            page[low - start : high - start] = data[low - offset : high - offset]
            self._changed.add(number)
        if end > self._size:
            self._size = end
            self._changed.add(0)  # which has the size

    def changes(self) -> tuple[list[tuple[int, bytes]], list[range]]:
        """Return the pages to write, with what is to be stored, and those to delete because they have only zeros."""
        written, empty = [], [range(0)]
        for number in sorted({*self._changed, 0} if self._is_new else self._changed):
            data = bytes(self._pages[number]).rstrip(b"\0")
            if number == 0:
                written.append((0, _HEAD.pack(self._size, self.now_ns) + data))
            elif data:
                written.append((number, data))
            elif not self._is_new:
                if empty[-1].stop != number:
                    empty.append(range(number, number))
                empty[-1] = range(empty[-1].start, number + 1)
        return written, [span for span in empty if span]

    def _fetch(self, numbers: range | list[int]) -> None:
        self.used.update(dict.fromkeys(numbers))
        missing = [number for number in numbers if number not in self._pages]
        if not missing:
            return
        span = range(missing[0], missing[-1] + 1)
        keys = [] if self._is_new else self._fetch_more(span)
        self._pages.update((number, bytearray(PAGE)) for number in missing)
        self._keep([each for each in keys if _number(each) in missing])  # others may have been changed here

    def _keep(self, keys: list[Found]) -> None:
        """Take pages as they are stored."""
        for each in keys:
            number, data = _number(each), each.value
            if number == 0:
                self._size, then = _HEAD.unpack_from(data)
                self._is_new, data = False, data[_HEAD.size :]
                if 0 < then - self.now_ns < SECOND:  # our idea of the servers' clock is as much behind
                    self.now_ns = then
            self._pages[number] = bytearray(data.ljust(PAGE, b"\0"))


def _number(key: Found) -> int:
    return int(key.key.rpartition("/")[2], 16)
