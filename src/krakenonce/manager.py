"""NonceManager: the number and the turn together. What most users import."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from .clock import Clock, SystemClock
from .errors import ConfigError, NonceStoreError
from .lanes import GLOBAL, Lane, Lanes, fingerprint
from .stores import NonceStore, default_directory, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["ManagerStats", "NonceManager"]

_BELIEVED = 1.0  # seconds; a look costs as much as a nonce


class ManagerStats(NamedTuple):
    """What is known of one scope: the store's :class:`ScopeStats`, and the lead.

    Args:
        lead_ns: How far the last number is ahead of the clock, in nanoseconds; negative when it is behind.
    """

    scope: str
    last: int | None
    mark: int | None
    issued: int
    extended: int
    recovered: int
    clock_back: int
    clock_forward: int
    extending_ns: int
    lead_ns: int | None


class NonceManager:
    """Hands out numbers that only rise, and turns to send them in order.

    Safe for threads, asyncio tasks, forked and spawned processes, and any number of managers on one directory.
    Nothing is opened before the first number or the first turn.

    Args:
        store: A store, a URL (``file:PATH``, ``memory:``) or the path of a directory. None: the directory in
            ``$KRAKENONCE_STATE_DIR``, else the platform's state directory of this user.
        clock: For tests; the machine's own otherwise.

    Raises:
        ConfigError: The URL names no known store, or it is neither a URL nor a path nor a store.
    """

    def __init__(self, store: NonceStore | str | os.PathLike[str] | None = None, *, clock: Clock | None = None) -> None:
        if store is None:
            store = default_directory()
        if not isinstance(store, (str, os.PathLike)) and not callable(getattr(store, "advance", None)):
            raise ConfigError(f"a store is a path, file:PATH, memory: or a store of your own, not {store!r}")
        self.clock: Clock = clock or SystemClock()
        self.store: NonceStore = open_store(store, clock=clock) if isinstance(store, (str, os.PathLike)) else store
        self._lanes = Lanes(self.store.lanes_dir)
        self._now_ns = self.clock.now_ns
        self._advance: Callable[[str, int], int] = self.store.advance
        self._counters: dict[str, tuple[str, float]] = {}  # which one a key uses, and until when that is believed

    def __repr__(self) -> str:
        return f"NonceManager({self.store!r})"

    def next(self, scope: str = "global") -> int:
        """Return the next number: nanoseconds since 1970, 19 digits, larger than every number before it.

        Args:
            scope: Which counter. One serves all accounts; a key that must live far ahead of the clock gets its own.

        Raises:
            NonceStoreError: The number could not be made safe against a crash; none was handed out.
            ClockError: The clock is before 2020 or after 2200 and there is no earlier number.
            NonceExhausted: The scope has reached 2^63 - 1.
            InvalidScope: The name is not 1 to 64 letters, digits, ``-`` or ``_``.
        """
        return self._advance(scope, self._now_ns())

    def next_for(self, key: str) -> int:
        """Return the next nonce for an API key, from the counter that :meth:`scope_of` finds.

        Which one that is, is looked up again after a second, and after :meth:`look_up_counter`: any process may give
        the key a counter of its own.

        Args:
            key: The API key.

        Raises:
            NonceError: As for :meth:`next`.
        """
        now = time.monotonic()
        scope, until = self._counters.get(key, ("", 0.0))
        if now >= until:
            scope = self.scope_of(key)
            self._counters[key] = (scope, now + _BELIEVED)
        return self._advance(scope, self._now_ns())

    def look_up_counter(self, key: str) -> None:
        """Have the next nonce of *key* come from the counter it has by then: Kraken has refused a nonce of it."""
        self._counters.pop(key, None)

    def lane(self, name: str = GLOBAL, timeout: float | None = None, *, urgent: bool = False) -> Lane:
        """Return the lane of an API key: hold it from taking the number until the answer is in.

        Args:
            name: The API key, of which only a fingerprint is kept; or ``"global"``, one lane for all keys.
            timeout: How long to wait for the turn, in seconds; None: for ever.
            urgent: Whether to go before the calls of this process that wait and are not urgent: for a cancel.
        """
        return self._lanes.lane(name, timeout, urgent=urgent)

    def own_scope(self, key: str) -> str:
        """Return the name of the counter that an API key has once it needs one of its own."""
        return f"key-{fingerprint(key)}"

    def scope_of(self, key: str) -> str:
        """Return the counter that an API key takes its numbers from: its own if it has one, else ``"global"``.

        A key needs its own when Kraken remembers a number for it that is far ahead of the clock: ``krakenonce adopt``.
        """
        own = self.own_scope(key)
        return "global" if self.store.peek(own) is None else own

    def peek(self, scope: str = "global") -> int | None:
        """Return the last number issued by anybody, or the floor set since; None if there is none. Writes nothing.

        After a reboot it is the mark, which is above the last number, until the next one is issued.
        """
        return self.store.peek(scope)

    def raise_floor(self, floor: int, scope: str = "global") -> None:
        """Make the next number larger than *floor*, for good; a lower floor changes nothing.

        Raises:
            InvalidFloor: *floor* is not a whole number from 0 to 2^63 - 2.
            NonceStoreError: It could not be made durable.
        """
        if self._advance is _closed:
            _closed(scope, floor)
        self._counters.clear()
        self.store.raise_floor(scope, floor)

    def stats(self, scope: str = "global") -> ManagerStats:
        """Return what is known of *scope*. Writes nothing."""
        seen = self.store.stats(scope)
        lead = None if seen.last is None else seen.last - self._now_ns()
        return ManagerStats(*seen, lead_ns=lead)

    def close(self) -> None:
        """Close the store; a number or a floor afterwards is an error. May be called again."""
        self._advance = _closed
        self.store.close()

    def __copy__(self) -> Self:
        return self  # two objects over one set of open files would close them under each other

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _closed(_scope: str, _now_ns: int) -> int:
    raise NonceStoreError("this nonce manager is closed")
