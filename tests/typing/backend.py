"""A backend of one's own is what the manager takes, without a base class."""

import time
from pathlib import Path

from krakenonce import NonceManager
from krakenonce.backends import Backend, FileStore, MemoryStore, ScopeStats, Shared
from krakenonce.backends.protocol import Gate, RateLimits, Records, SentCalls


class Counter:
    """A user's backend: nonces of its own, and the turns and limits of this process."""

    shared: Shared = "process"

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._others = MemoryStore()
        self.rate_limits: RateLimits = self._others.rate_limits
        self.records: Records = self._others.records
        self.sent_calls: SentCalls = self._others.sent_calls

    def advance(self, scope: str) -> int:
        """Issue the next nonce."""
        self._last[scope] = nonce = max(self._last.get(scope, 0) + 1, time.time_ns())
        return nonce

    def peek(self, scope: str) -> int | None:
        """Return the last nonce."""
        return self._last.get(scope)

    def raise_floor(self, scope: str, floor: int) -> None:
        """Set a floor."""
        self._last[scope] = max(self._last.get(scope, 0), floor)

    def gate(self, name: str) -> Gate:
        """Return what lets one process at a time have a turn."""
        return self._others.gate(name)

    def scopes(self) -> list[str]:
        """Return the names of the counters."""
        return sorted(self._last)

    def stats(self, scope: str) -> ScopeStats:
        """Return what is known of a counter."""
        return ScopeStats(scope, last=self.peek(scope))

    def close(self) -> None:
        """Nothing is open."""


def taken(directory: Path) -> None:
    """Ours and the user's are backends."""
    backends: list[Backend] = [Counter(), MemoryStore(), FileStore(directory)]
    for backend in backends:
        NonceManager(backend)
    NonceManager(Counter(), shared="process")
