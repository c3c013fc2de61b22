"""One file as a disk may have it: what readers see, and what of its sectors and its size may be stored. No I/O."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SECTOR", "DiskFile", "with_torn"]

T = TypeVar("T")

SECTOR = 512  # what a disk writes whole
_EMPTY = b"\0" * SECTOR


class DiskFile:
    """The page cache's content, and for each sector and the size what may be on the disk.

    A list of versions begins with what surely is on the disk; each write that was not yet synced adds one. The disk
    may have stored any of them, each sector by itself: a cache writes back when it likes, and in any order.

    Args:
        content: What is there to begin with, safely stored.
        inode: Its inode.
    """

    def __init__(self, content: bytes = b"", inode: int = 0) -> None:
        self.inode = inode
        self.content = bytearray(content)
        self.sectors: list[list[bytes]] = []
        self.sizes = [len(content)]
        self.synced = b""
        self._note(0, len(content))
        self.sync()

    @property
    def state(self) -> object:
        """What distinguishes it from another one."""
        return bytes(self.content), tuple(map(tuple, self.sectors)), tuple(self.sizes)

    def write(self, data: bytes, offset: int) -> None:
        """Write, into the cache."""
        self.content.extend(bytes(max(offset + len(data) - len(self.content), 0)))
        self.content[offset : offset + len(data)] = data
        self._note(offset, offset + len(data))

    def truncate(self, size: int) -> None:
        """Make it shorter, or longer with zeros."""
        before = len(self.content)
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))
        self._note(size, before)

    def sync(self) -> None:
        """Store what was written, and remember that it was."""
        self.synced = bytes(self.content)
        self.forget(lambda versions: versions[-1], lambda sizes: sizes[-1])

    def forget(self, sector: Callable[[list[bytes]], bytes], size: Callable[[list[int]], int]) -> None:
        """Settle what is on the disk; the cache calls itself clean, whether or not it is the same."""
        self.sectors = [[sector(versions)] for versions in self.sectors]
        self.sizes = [size(self.sizes)]

    def image(self, sector: Callable[[list[bytes]], bytes], size: Callable[[list[int]], int]) -> bytes:
        """The content after a power cut at which the disk had these versions."""
        return _cut_to(size(self.sizes), [sector(with_torn(versions)) for versions in self.sectors])

    def images(self) -> set[bytes]:
        """Every content that a power cut may leave, torn sectors among them."""
        choices = [_distinct(with_torn(versions)) for versions in self.sectors]
        return {_cut_to(size, list(sectors)) for size in set(self.sizes) for sectors in itertools.product(*choices)}

    def _note(self, start: int, end: int) -> None:
        """Add a version of each sector between *start* and *end*, and of the size, where it is another than before."""
        if len(self.content) != self.sizes[-1]:
            self.sizes.append(len(self.content))
        while len(self.sectors) * SECTOR < max(end, len(self.content)):
            self.sectors.append([_EMPTY])
        for number in range(start // SECTOR, -(-end // SECTOR)):
            now = bytes(self.content[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")
            if now != self.sectors[number][-1]:
                self.sectors[number].append(now)


def _cut_to(size: int, sectors: list[bytes]) -> bytes:
    return b"".join(sectors)[:size].ljust(size, b"\0")


def with_torn(versions: list[bytes]) -> list[bytes]:
    """The same, and after each version how its write looks if the power fails in the midst of the sector."""
    if len(versions) == 1:
        return versions
    return [*itertools.chain(*((old, _torn(old, new)) for old, new in itertools.pairwise(versions))), versions[-1]]


@functools.cache
def _torn(old: bytes, new: bytes) -> bytes:
    """The first half of what differs is new, the rest is old."""
    differing = [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    cut = differing[len(differing) // 2] if differing else 0
    return new[:cut] + old[cut:]


def _distinct(versions: list[T]) -> list[T]:
    return list(dict.fromkeys(versions))
