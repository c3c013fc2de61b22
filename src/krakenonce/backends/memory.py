"""A store that forgets: for tests, and for nothing that trades."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NoReturn, TypeVar

from krakenonce.backends.protocol import ScopeStats
from krakenonce.backends.records import check_record_name, check_unchanged, new_record
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section
from krakenonce.rule import check_floor, check_scope, next_nonce

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.protocol import Record, Shared
    from krakenonce.clock import Clock

__all__ = ["MemoryStore"]

_T = TypeVar("_T")
logger = logging.getLogger("krakenonce")


class MemoryStore:
    """Numbers kept in this process only; gone when it ends, and unknown to every other process.

    Args:
        clock: For tests; the machine's own otherwise.
    """

    shared: Shared = "process"

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._now_ns = (clock or SystemClock()).now_ns
        self._last: dict[str, int] = {}
        self._issued: dict[str, int] = {}
        self._gates: dict[str, OwnGate] = {}
        self.rate_limits = OwnRateLimits()
        self.records = OwnRecords()

    def __repr__(self) -> str:
        return "MemoryStore()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a memory store cannot be pickled or copied: the copy would give the same numbers")

    def advance(self, scope: str) -> int:
        """Issue the next number of *scope*; errors as for every store."""
        check_scope(scope)
        _section.refuse_interrupter()
        if not self._issued:
            logger.warning("the nonce is kept in memory only: it is lost when this process ends")
        with _section.lock:
            nonce = self._last[scope] = next_nonce(self._last.get(scope), self._now_ns())
            self._issued[scope] = self._issued.get(scope, 0) + 1
            return nonce

    def peek(self, scope: str) -> int | None:
        """The last number issued, or the floor set since."""
        check_scope(scope)
        return self._last.get(scope)

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make the next number of *scope* larger than *floor*."""
        check_scope(scope)
        _section.refuse_interrupter()
        with _section.lock:
            self._last[scope] = max(self._last.get(scope, 0), check_floor(floor))

    def gate(self, name: str) -> OwnGate:
        """What lets one process at a time have the turn called *name*: there is but this one."""
        return self._gates.setdefault(name, OwnGate())

    def scopes(self) -> list[str]:
        """The scopes that have a number, sorted."""
        return sorted(self._last)

    def stats(self, scope: str) -> ScopeStats:
        """Last number and count."""
        return ScopeStats(scope, self.peek(scope), issued=self._issued.get(scope, 0))

    def close(self) -> None:
        """Nothing to give back."""


class OwnGate:
    """The gate of a turn that no other process knows: always free."""

    _since = 0

    def try_acquire(self) -> bool:
        """Always."""
        self._since = SystemClock.boot_ns()
        return True

    def acquire(self) -> None:
        """At once."""
        self.try_acquire()

    def release(self) -> None:
        """Nothing to do."""

    def holder(self) -> str:
        """This process, since."""
        return f"process {os.getpid()} has held it for {(SystemClock.boot_ns() - self._since) / 1e9:.1f} s"

    def abandon(self) -> None:
        """Nothing to do."""


class OwnRateLimits:
    """The rate counters of all API keys, in this process."""

    def __init__(self) -> None:
        self._bytes: dict[str, OwnRateCounters] = {}

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken at those called *name*."""
        return name in self._bytes

    def step(self, name: str, step: Callable[[OwnRateCounters], _T]) -> _T:
        """Take *step* at those called *name* while nobody else does, and return what it returns."""
        _section.refuse_interrupter()
        with _section.lock:
            return step(self._bytes.setdefault(name, OwnRateCounters()))


class OwnRateCounters:
    """The rate counters of one API key."""

    def __init__(self) -> None:
        self._data = bytearray()

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        return bytes(self._data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        self._data[offset : offset + len(data)] = data


class OwnRecords:
    """The records of this process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def read(self, name: str) -> Record | None:
        """Return the record called *name*, None if there is none."""
        check_record_name(name)
        return self._records.get(name)

    def write(self, name: str, data: bytes, version: str | None) -> str:
        """Write the record called *name* unless it is of another *version*; return its new one."""
        record = new_record(data)
        _section.refuse_interrupter()
        with _section.lock:
            check_unchanged(name, self.read(name), version)
            self._records[name] = record
            return record.version


_section = Section(NonceStoreError, "a nonce store was asked")  # one for all stores of this kind
