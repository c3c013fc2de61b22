"""Keys in their order, in short lists, so that no change moves all of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal


_MOST = 512  # keys in one list


class SortedKeys:
    """Different numbers, the smallest first. Adding and removing one costs about the same for few and for many."""

    __slots__ = ("_largest", "_lists")

    def __init__(self) -> None:
        self._lists: list[list[Decimal]] = []
        self._largest: list[Decimal] = []  # of each list: the largest that it has had

    def __iter__(self) -> Iterator[Decimal]:
        for keys in self._lists:
            yield from keys

    @property
    def first(self) -> Decimal | None:
        """The smallest key, ``None`` if there is none."""
        return self._lists[0][0] if self._lists else None

    def add(self, key: Decimal) -> None:
        """Add a key that is not there."""
        if not self._lists:
            self._lists, self._largest = [[key]], [key]
            return
        place = min(bisect_left(self._largest, key), len(self._lists) - 1)
        keys = self._lists[place]
        insort(keys, key)
        self._largest[place] = keys[-1]
        if len(keys) > _MOST:
            half = len(keys) // 2
            self._lists[place : place + 1] = [keys[:half], keys[half:]]
            self._largest[place : place + 1] = [keys[half - 1], keys[-1]]

    def remove(self, key: Decimal) -> None:
        """Remove a key that is there."""
        place = bisect_left(self._largest, key)
        keys = self._lists[place]
        del keys[bisect_left(keys, key)]
        if not keys:  # else the largest key that was there is still below those of the next list
            del self._lists[place], self._largest[place]
