"""The seam between krakenonce and the place where nonces and turns are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SERVED", "Backend", "Gate", "RateCounters", "RateLimits", "Record", "Records", "ScopeStats", "Shared"]

_T = TypeVar("_T")

Shared: TypeAlias = Literal["process", "host", "hosts"]
SERVED = {"process": "one process", "host": "the processes of one host", "hosts": "many hosts"}  # from few to many


class ScopeStats(NamedTuple):
    """What a store has seen of one scope; the counts are those of this process.

    Args:
        scope: The counter's name.
        last: As peek() tells it.
        mark: The durable high-water mark; None if the store has none.
        issued: Numbers issued.
        extended: How often the mark was moved up, each with its syncs.
        recovered: How often a missing, stale or damaged state was passed by starting above the mark.
        clock_back: How often the wall clock was found to have stepped back by more than a second.
        clock_forward: How often a step forward was found and not believed.
        extending_ns: Nanoseconds that moving the mark up took, all together.
    """

    scope: str
    last: int | None = None
    mark: int | None = None
    issued: int = 0
    extended: int = 0
    recovered: int = 0
    clock_back: int = 0
    clock_forward: int = 0
    extending_ns: int = 0


class Gate(Protocol):
    """What lets one process at a time have the turn. One thread at a time uses it, but for :meth:`holder`."""

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""

    def acquire(self) -> None:
        """Wait until the gate is ours."""

    def release(self) -> None:
        """Let the next process in. Harmless if it is not held."""

    def holder(self) -> str:
        """Who holds it and since when, in words."""

    def abandon(self) -> None:
        """Forget about it in a forked child, leaving the parent's hold alone."""


class RateCounters(Protocol):
    """The bytes in which the rate counters of one API key are kept: none at first, and any after a reboot."""

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there."""


class RateLimits(Protocol):
    """The rate counters of all API keys."""

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken at those called *name*. Never writes."""

    def step(self, name: str, step: Callable[[RateCounters], _T]) -> _T:
        """Take *step* at those called *name* while nobody else does, and return what it returns.

        Raises:
            NonceStoreError: They cannot be read or written.
        """


class Record(NamedTuple):
    """A small named record.

    Args:
        data: What was written last.
        version: What tells it from other data. It is to be compared and handed back, and means nothing else.
    """

    data: bytes
    version: str


class Records(Protocol):
    """Small named records, at most 64 KiB each, that are read and written as a whole."""

    def read(self, name: str) -> Record | None:
        """Return the record called *name*, None if there is none. Raises NonceStoreError."""

    def write(self, name: str, data: bytes, version: str | None) -> str:
        """Write the record called *name*, all or nothing and as durably as nonces; return its new version.

        Args:
            name: 1 to 64 letters, digits, ``-`` or ``_``.
            data: What it is from now on.
            version: That of the record as it was read; None: there was none.

        Raises:
            RecordChanged: Somebody else has changed it since; nothing was written.
            NonceStoreError: It could not be written; it is what it was.
        """


class Backend(Protocol):
    """Where nonces, turns, rate limits and records are kept. A backend knows nothing of HTTP, accounts or asyncio.

    All methods may be called from any thread. ``scope`` is 1 to 64 letters, digits, ``-`` or ``_``.
    """

    @property
    def shared(self) -> Shared:
        """Who may use the same state at the same time: one process, the processes of one host, or many hosts."""

    @property
    def rate_limits(self) -> RateLimits:
        """Kraken's rate counters, as they are counted here."""

    @property
    def records(self) -> Records:
        """Small named records of whatever else has to be shared."""

    def advance(self, scope: str) -> int:
        """Issue ``max(last + 1, now)``, atomically. Every later number, after any crash, is larger.

        The time is the store's to read, where it keeps everybody else out: one that was read before may be old by then.
        """

    def peek(self, scope: str) -> int | None:
        """What the next number is larger than; None if there is none. Never writes.

        That is the last number issued, or the floor set since; after a reboot the mark, as the last one is not known.
        """

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make the next number larger than *floor*; a lower floor changes nothing."""

    def gate(self, name: str) -> Gate:
        """Return what lets one process at a time have the turn called *name*: the same object each time."""

    def scopes(self) -> list[str]:
        """The scopes that have been asked for a number, sorted."""

    def stats(self, scope: str) -> ScopeStats:
        """What has been seen of *scope*. Never writes."""

    def close(self) -> None:
        """Give back what is open. May be called again; a later call on the store opens it again or fails."""
