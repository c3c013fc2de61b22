"""The sent calls: named bytes of which one caller at a time reads and writes parts, and a lock with a lease.

A step is two round trips: the first takes the lock and reads the beginning, the second writes and gives the lock back,
if this caller still has it.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from krakenonce.backends.redis.link import confirm
from krakenonce.backends.redis.scripts import LOCK, PREFIX, UNLOCK
from krakenonce.errors import NonceStoreError
from krakenonce.native import allocate_lock
from krakenonce.rule import check_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from krakenonce.backends.redis.link import Link
    from krakenonce.backends.redis.session import Session


_T = TypeVar("_T")
_USE = "keep the sent calls in"
_PAGE = 4096  # bytes that are read at once
_LEASE = 5.0  # seconds that a step may take
_MS = round(_LEASE * 1000)
_POLLS = (0.001, 0.002, 0.004, 0.008, 0.016)  # seconds between two tries


class RedisRanges:
    """The sent calls on a server: a string for each name. Replicas have to confirm each change.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: set[str] = set()

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with the bytes of this name. Never writes."""
        if name not in self._known and self._link.read("EXISTS", self._key(name)):
            self._known.add(name)
        return name in self._known

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without the lock; None: no step was ever taken. Never writes."""
        key = self._key(name)
        is_there, data = self._link.several([("EXISTS", key), ("GETRANGE", key, offset, offset + size - 1)])
        return data[:size] if is_there else None

    def sync(self, name: str) -> None:
        """Nothing to do: the server syncs by itself, as its ``appendfsync`` says."""

    def step(self, name: str, step: Callable[[Ranges], _T]) -> _T:
        """Call *step* once with the bytes of this name, without any other caller, and return what it returns.

        Raises:
            NonceStoreError: They cannot be read or written, the step took too long, or the connection was lost.
        """
        check_name("sent calls", name, NonceStoreError)
        keys = [f"{self._key(name)}:lock", self._key(name)]
        token = os.urandom(8).hex()
        self._link.refuse_interrupter()
        with self._link.lock:  # a step inside a step is refused, as by a signal handler
            _, size, first = self._lock(keys, token)
            ranges = Ranges(lambda at, count: self._within(keys[1], at, count), int(size), first)
            try:
                result = step(ranges)
            except BaseException:
                self._link.post(UNLOCK, keys, token, 0)  # or it ends by itself
                raise
            if ranges.is_seen_at_once:
                self._link.post(UNLOCK, keys, token, 1)
            else:
                self._save(keys, token, ranges.changes)
        self._known.add(name)
        return result

    def _key(self, name: str) -> str:
        return f"{PREFIX}sent:{name}"

    def _lock(self, keys: list[str], token: str) -> list[Any]:
        wait = allocate_lock()
        wait.acquire()
        tries, seen, since, too_old = 0, b"", 0.0, b""
        while True:
            found = self._link.inside(partial(_try, keys=keys, values=(token, _MS, _PAGE, too_old)), _USE)
            if found[0]:
                return found
            # The lease hangs on the server's clock, which may be set back: this process's own has the last word.
            if found[1] != seen:
                seen, since = found[1], time.monotonic()
            elif time.monotonic() - since > _LEASE:
                too_old = seen
            wait.acquire(timeout=_POLLS[min(tries, len(_POLLS) - 1)])
            tries += 1

    def _within(self, key: str, offset: int, size: int) -> bytes:
        data: bytes = self._link.inside(
            lambda session: session.run("GETRANGE", key, offset, offset + size - 1), _USE, writes=False
        )
        return data

    def _save(self, keys: list[str], token: str, changes: list[tuple[int, bytes]]) -> None:
        values = [each for change in changes for each in change]

        def save(session: Session) -> bool:
            done = session.script(UNLOCK, keys, token, 1, *values)
            if done and values:
                confirm(session, self._link.server, "the sent calls")
            return bool(done)

        if not self._link.inside(save, _USE):
            raise NonceStoreError(
                f"cannot {_USE} {self._link.server.url}: the step took longer than {_LEASE:g} s, or "
                "its answer was lost; whether it was written is not known; nothing was issued or sent"
            )


def _try(session: Session, *, keys: list[str], values: tuple[str | int | bytes, ...]) -> list[Any]:
    found: list[Any] = session.script(LOCK, keys, *values)
    return found


class Ranges:
    """The bytes of one name, while they are locked.

    Args:
        fetch: Reads some that are not known yet.
        size: How many there are.
        first: The first of them.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, first: bytes) -> None:
        self.changes: list[tuple[int, bytes]] = []  # what was written: where, and what
        self._fetch = fetch
        self._before = size
        self._size = size
        self._pages = {0: first}

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        end = min(offset + size, self._size)
        if end <= offset:
            return b""
        found = bytearray(self._read_before(offset, end))
        for at, data in self.changes:
            low, high = max(at, offset), min(at + len(data), end)
            if low < high:
                found[low - offset : high - offset] = data[low - at : high - at]
        return bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        end = offset + len(data)
        if not data:
            return
        known = max(self._size - offset, 0)  # after that, what was never written reads as zeros
        kept = bytes(data[:known]) + bytes(data[known:]).rstrip(b"\0")
        if kept:
            self.changes.append((offset, kept))
        if end > max(self._size, offset + len(kept)):
            self.changes.append((end - 1, b"\0"))
        self._size = max(self._size, end)

    @property
    def is_seen_at_once(self) -> bool:
        """Whether nothing was written, and all that was read came with the lock."""
        return not self.changes and len(self._pages) == 1

    def _read_before(self, offset: int, end: int) -> bytes:
        """Return what was there before this step, with zeros after its end."""
        last = min(end, self._before)
        if last <= offset:
            return bytes(end - offset)
        numbers = range(offset // _PAGE, (last - 1) // _PAGE + 1)
        missing = [number for number in numbers if number not in self._pages]
        if missing:
            data = self._fetch(missing[0] * _PAGE, (missing[-1] - missing[0] + 1) * _PAGE)
            for number in range(missing[0], missing[-1] + 1):
                at = (number - missing[0]) * _PAGE
                self._pages[number] = data[at : at + _PAGE]
        start = numbers.start * _PAGE
        whole = b"".join(self._pages[number].ljust(_PAGE, b"\0") for number in numbers)
        return whole[offset - start : last - start].ljust(end - offset, b"\0")
