"""Bytes in small pages, which are keys. No I/O.

They are small because every write stays in etcd's history for a while; a page of zeros is not kept. The first page
begins with how many bytes there are, and when it was written.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.etcd.txn import delete, fetch, put
from krakenonce.rule import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.backends.etcd.txn import Found
    from krakenonce.backends.etcd.wire import Json
    from krakenonce.backends.pages import Pages


PAGE = 256  # bytes
_HEAD = struct.Struct(">IQ")  # how many bytes there are; nanoseconds since 1970 by the servers' clock


class Read(NamedTuple):
    """What was read.

    Args:
        revision: That of the first page; 0: there is none, and nothing else.
        size: How many bytes there are.
        pages: The pages that were asked for, by number; those that are not kept are empty.
        now_ns: Nanoseconds since 1970 by the servers' clock.
    """

    revision: int
    size: int
    pages: dict[int, bytes]
    now_ns: int


def read(keys: list[Found], asked: Iterable[int], now_ns: int) -> Read:
    """Return what was read.

    Args:
        keys: What was found; the first page was asked for, too.
        asked: The numbers of the pages that were asked for.
        now_ns: Nanoseconds since 1970 by the servers' clock, as far as it is known.
    """
    pages = {int(each.key.rpartition("/")[2], 16): each.value for each in keys}
    revision = next((each.changed for each in keys if not int(each.key.rpartition("/")[2], 16)), 0)
    size = 0
    if 0 in pages:
        size, then = _HEAD.unpack_from(pages[0])
        pages[0] = pages[0][_HEAD.size :]
        if 0 < then - now_ns < SECOND:  # our idea of the servers' clock is as much behind
            now_ns = then
    return Read(revision, size, {number: pages.get(number, b"") for number in asked}, now_ns)


def requests(page: Callable[[int], str], numbers: list[int]) -> list[Json]:
    """Return what asks for pages, those that follow each other together."""
    return [fetch(page(span.start), page(span.stop)) for span in _spans(numbers)]


def changes(page: Callable[[int], str], pages: Pages) -> list[Json]:
    """Return what stores the changes, and the first page in any case.

    Args:
        page: Returns the name of a page's key.
        pages: The pages, the first of which is known.
    """
    found = pages.changes()
    head = _HEAD.pack(pages.size, round(pages.server_time * SECOND)) + pages.page(0)
    stored = [put(page(0), head), *(put(page(number), data) for number, data in found.items() if number and data)]
    empty = [number for number, data in found.items() if number and not data]
    return [*stored, *(delete(page(span.start), page(span.stop)) for span in _spans(empty))]


def _spans(numbers: list[int]) -> list[range]:
    spans: list[range] = []
    for number in sorted(numbers):
        if spans and spans[-1].stop == number:
            spans[-1] = range(spans[-1].start, number + 1)
        else:
            spans.append(range(number, number + 1))
    return spans
