"""What a backend must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_T = TypeVar("_T")

Shared: TypeAlias = Literal["process", "host", "hosts"]
Kept: TypeAlias = Literal["rate limits", "records", "sent calls"]
SERVED = {"process": "one process", "host": "the processes of one host", "hosts": "many hosts"}  # from few to many


class ScopeStats(NamedTuple):
    """What is known about one counter. The counts are those of this process.

    Args:
        scope: The counter's name.
        last: What peek() returns.
        mark: The durable high-water mark; None if the backend has none.
        issued: Nonces issued.
        extended: How often the mark was raised, each time with its syncs.
        recovered: How often missing, stale or damaged state was skipped by continuing above the mark.
        clock_back: How often the wall clock was found to have stepped back by more than a second.
        clock_forward: How often a step forward was found and not trusted.
        extending_ns: Nanoseconds that raising the mark took, in total.
        lead_ns: How far the last nonce is ahead of the clock, in nanoseconds; negative if it is behind. The manager
            fills this in.
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
    lead_ns: int | None = None


class Gate(Protocol):
    """Lets one process at a time have the turn. One thread at a time uses it, except for :meth:`holder`."""

    def try_acquire(self) -> bool:
        """Take the gate if it is free; return whether this process has it now."""

    def acquire(self) -> None:
        """Wait until this process has the gate."""

    def release(self) -> None:
        """Let the next process in. Does nothing if the gate is not held."""

    def holder(self) -> str:
        """Return who holds the gate, and for how long if that is known, in words."""

    def abandon(self) -> None:
        """In a forked child: forget that the gate is held, and leave the parent's hold alone."""


class RemoteGate(Gate, Protocol):
    """A gate at a server: each call but ``release`` takes a round trip. A backend with ``advance_in_turn`` has such.

    Attributes:
        scope: The counter whose next nonce the caller will want when it has the gate; None: not known. Set before
            ``try_acquire`` and ``acquire``, which may take the nonce in the same round trip, for ``advance_in_turn``.
    """

    scope: str | None


class Bytes(Protocol):
    """Bytes of one name, while no other caller has them: none at first."""

    def read(self, offset: int, size: int) -> bytes:
        """Return what is there; less where nothing was written."""

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* there. What is before it and was never written is zeros."""


class RateCounters(Bytes, Protocol):
    """The bytes in which the rate counters of one API key are kept. They need not survive a reboot.

    Where hosts share them, they have the attribute ``server_time`` as well: seconds since 1970, by one clock for all.
    """


class RateLimits(Protocol):
    """The rate counters of all API keys.

    If they have a method ``expect(name, parts)``, it is told, before a turn, which parts of the counters a call will
    read or write besides the beginning, as offsets and sizes, so that they can be had with the turn.

    They may have the method ``beginning(name, size)`` as well, which returns the first bytes without keeping anybody
    out, perhaps half of what is being written; None: only a step can tell. A guarded client looks for a lockout there.
    """

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with the counters of this name. Never writes."""

    def step(self, name: str, step: Callable[[RateCounters], _T]) -> _T:
        """Call *step* with the counters of this name, without any other caller, and return what it returns.

        If it turns out that there was another caller, what it has written is dropped, and it is called again.

        Raises:
            NonceStoreError: They cannot be read or written.
        """


class SentCalls(Protocol):
    """Which calls the gateway has sent: under the name of each local key some bytes, at most 2 MiB.

    With the first step they become as large as that, and nearly all of them are zeros, which should cost nothing. A
    step then changes some ten or hundred bytes. If it raises an error, it may have been done or not.
    """

    def exist(self, name: str) -> bool:
        """Whether a step was ever taken with this name. Never writes. Raises NonceStoreError."""

    def step(self, name: str, step: Callable[[Bytes], _T]) -> _T:
        """Call *step* once with the bytes of this name, without any other caller, and return what it returns.

        After that the next caller finds what was written, also after a kill of this process, or a failover.

        Args:
            name: 1 to 64 letters, digits, ``-`` or ``_``.
            step: Reads and writes parts of them, and takes no other step.

        Raises:
            NonceStoreError: They cannot be read or written.
        """

    def peek(self, name: str, offset: int, size: int) -> bytes | None:
        """Return what is there, without keeping anybody out: perhaps half of what is being written.

        It may say None, which means that only a step can tell. But it says nothing that was overwritten before.
        """

    def sync(self, name: str) -> None:
        """Put on stable storage what the steps before have written, if they have not done so. Steps go on meanwhile."""


class Records(Protocol):
    """Small named records, at most 64 KiB each, that are read and written as a whole."""

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record. Raises NonceStoreError."""

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data, all or nothing and as durably as nonces.

        Args:
            name: 1 to 64 letters, digits, ``-`` or ``_``.
            data: The new data.
            before: The data as it was read; None: there was no such record.

        Raises:
            RecordChanged: Another writer has changed it since; nothing was written.
            NonceStoreError: It could not be written, and is unchanged.
        """


class InTurn(Protocol):
    """What a backend offers in addition if a holder may lose its turn while it still believes to have it.

    That is so if a turn ends with a connection or a lease: a process that is paused before its nonce, and wakes when
    another has the turn, would take a larger nonce than the other one, whose call Kraken would then refuse.
    """

    def advance_in_turn(self, scope: str, gates: Iterable[Gate]) -> int:
        """Issue a nonce as :meth:`Backend.advance` does, if the caller still has the gates that it has taken.

        Args:
            scope: The counter.
            gates: All gates that the caller has taken, perhaps some of other backends; none: no turn is asked for.

        Raises:
            TurnLost: One of them is lost; no nonce was issued.
        """


class Movable(Protocol):
    """What a backend offers in addition if its state can be moved to another one, and back."""

    @property
    def place(self) -> str:
        """Where the state is, for messages; without a password."""

    def retire(self, to: str) -> dict[str, int]:
        """Let nobody use the counters any more, and return the last nonce of each. May be called again.

        Every process that asks for a nonce from now on, also one that has used the state for long, gets an error.

        Args:
            to: Where the state is now, for that error; without a password.

        Raises:
            NonceStoreError: It could not be written; perhaps some counters are retired. Call it again.
        """

    def moved_to(self) -> str | None:
        """Return where the state was moved to; None: it is in use. Raises NonceStoreError."""

    def names(self, kept: Kept) -> list[str]:
        """Return the names of all rate limits, records or sent calls, sorted. Raises NonceStoreError."""

    def restore(self, floors: dict[str, int]) -> None:
        """Let the counters be used again, if they were retired, with all nonces larger than these floors, durably."""


class Backend(Protocol):
    """Keeps nonces, turns, rate limits, records and sent calls. It knows nothing of HTTP, accounts or asyncio.

    All methods may be called from any thread. ``scope`` is a counter's name: 1 to 64 letters, digits, ``-`` or ``_``.
    """

    @property
    def shared(self) -> Shared:
        """Who may use the same state at the same time: one process, the processes of one host, or many hosts."""

    @property
    def rate_limits(self) -> RateLimits:
        """Kraken's rate counters."""

    @property
    def records(self) -> Records:
        """Small named records of anything else that has to be shared."""

    @property
    def sent_calls(self) -> SentCalls:
        """Which calls the gateway has sent."""

    def advance(self, scope: str) -> int:
        """Issue ``max(last + 1, now)``, atomically. Every later nonce is larger, after any crash.

        The backend reads the time, while it keeps all other callers out: a time that was read before may be old.
        """

    def peek(self, scope: str) -> int | None:
        """Return a value that the next nonce is larger than; None if there is none. Never writes.

        It is the last nonce, or the floor if one was set since. If a crash has left doubt about the last nonce, it may
        be above that.
        """

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces larger than *floor*; a lower floor changes nothing."""

    def gate(self, name: str) -> Gate:
        """Return what lets one process at a time have the turn called *name*: the same object each time."""

    def scopes(self) -> list[str]:
        """Return the names of the counters that have issued a nonce or have a floor, sorted."""

    def stats(self, scope: str) -> ScopeStats:
        """Return what is known about a counter. Never writes."""

    def close(self) -> None:
        """Close all files. May be called again; a later call on the backend opens them again or fails."""
