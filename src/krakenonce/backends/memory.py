"""The memory backend: for tests only, never for a bot that trades."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NoReturn, TypeVar

from krakenonce.backends.protocol import ScopeStats
from krakenonce.backends.records import check_change, check_record_name
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import Section
from krakenonce.rule import check_floor, check_scope, next_nonce
from krakenonce.shown import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.protocol import Shared
    from krakenonce.clock import Clock


_T = TypeVar("_T")
logger = logging.getLogger("krakenonce")


class MemoryStore:
    """Keeps nonces in this process only. They are lost when it ends, and unknown to every other process.

    Args:
        clock: For tests; default: the machine's clock.
    """

    shared: Shared = "process"

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._now_ns = (clock or SystemClock()).now_ns
        self._last: dict[str, int] = {}
        self._issued: dict[str, int] = {}
        self._gates: dict[str, OpenGate] = {}
        self.rate_limits = _AllBytes()
        self.records = _Records()
        self.sent_calls = _AllBytes()

    @whole
    def __repr__(self) -> str:
        return "MemoryStore()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a memory backend cannot be pickled or copied: the copy would issue the same nonces")

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter; errors as for every backend."""
        check_scope(scope)
        _section.refuse_interrupter()
        if not self._issued:
            logger.warning("nonces are kept in memory only and are lost when this process ends")
        with _section.lock:
            nonce = self._last[scope] = next_nonce(self._last.get(scope), self._now_ns())
            self._issued[scope] = self._issued.get(scope, 0) + 1
            return nonce

    def peek(self, scope: str) -> int | None:
        """Return the last nonce issued, or the floor if one was set since."""
        check_scope(scope)
        return self._last.get(scope)

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*."""
        check_scope(scope)
        _section.refuse_interrupter()
        with _section.lock:
            self._last[scope] = max(self._last.get(scope, 0), check_floor(floor))

    def gate(self, name: str) -> OpenGate:
        """Return what lets one process at a time have the turn called *name*: there is only this one."""
        return self._gates.setdefault(name, OpenGate())

    def scopes(self) -> list[str]:
        """Return the names of the counters that have issued a nonce or have a floor, sorted."""
        return sorted(self._last)

    def stats(self, scope: str) -> ScopeStats:
        """Return the last nonce and the count."""
        return ScopeStats(scope, self.peek(scope), issued=self._issued.get(scope, 0))

    def close(self) -> None:
        """Nothing to close."""


class OpenGate:
    """The gate of a turn that no other process knows: it is always free."""

    _since = 0

    def try_acquire(self) -> bool:
        """Return True."""
        self._since = SystemClock.boot_ns()
        return True

    def acquire(self) -> None:
        """Return at once."""
        self.try_acquire()

    def release(self) -> None:
        """Nothing to do."""

    def holder(self) -> str:
        """Return that this process holds it, and since when."""
        return f"process {os.getpid()} has held it for {(SystemClock.boot_ns() - self._since) / 1e9:.1f} s"

    def abandon(self) -> None:
        """Nothing to do."""


class BytesInMemory:
    """The rate counters of one API key, or the sent calls of a local one, as bytes in this process.

    Args:
        data: What is there at first.
    """

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""
        return bytes(self._data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""
        self._data.extend(bytes(max(offset - len(self._data), 0)))
        self._data[offset : offset + len(data)] = data


class _AllBytes:
    """The rate counters of all API keys, or the sent calls of all local keys, in this process."""

    def __init__(self) -> None:
        self._named: dict[str, BytesInMemory] = {}

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name."""
        return name in self._named

    def step(self, name: str, step: Callable[[BytesInMemory], _T]) -> _T:
        """Call *step* with the bytes of this name, without any other caller, and return what it returns."""
        _section.refuse_interrupter()
        with _section.lock:
            return step(self._named.setdefault(name, BytesInMemory()))

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there; None if no step was taken yet."""
        return self._named[name].read(offset, size) if name in self._named else None

    def sync(self, name: str) -> None:
        """Nothing to do."""


class _Records:
    """The records of this process."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record."""
        check_record_name(name)
        return self._records.get(name)

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data *before* by *data*; errors as for every backend."""
        _section.refuse_interrupter()
        with _section.lock:
            check_change(name, data, before, self.read(name))
            self._records[name] = data


_section = Section(NonceStoreError, "a nonce was asked for")  # one for all backends of this kind
