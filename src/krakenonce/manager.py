"""NonceManager: the number and the turn together. What most users import."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self, cast

from krakenonce.backends import SERVED, find_backend
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.key.lane import Lane, find_lane
from krakenonce.key.naming import GLOBAL, fingerprint

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    from krakenonce.backends import Backend, Shared
    from krakenonce.clock import Clock

__all__ = ["ManagerStats", "NonceManager"]

logger = logging.getLogger("krakenonce.manager")

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
    """Hands out nonces that only rise, and turns to send them in order.

    Safe for threads, asyncio tasks, forked and spawned processes, and any number of managers on one directory.
    Nothing is opened before the first number or the first turn.

    Args:
        store: A backend, a URL (``file:PATH``, ``memory:``) or the path of a directory. None: the directory in
            ``$KRAKENONCE_STATE_DIR``, else the platform's state directory of this user.
        shared: Who has to share the state at least: ``"process"``, ``"host"`` or ``"hosts"``. None: those whom the
            backend serves.
        clock: For tests; the machine's own otherwise. A store that is given has a clock of its own.

    Raises:
        ConfigError: *store* is none of these, a method of it is missing, or it serves fewer than it has to.
    """

    def __init__(
        self,
        store: Backend | str | os.PathLike[str] | None = None,
        *,
        shared: Shared | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.store = find_backend(store, shared=shared, clock=clock)
        self.clock: Clock = clock or SystemClock()
        self._backend = cast("Backend", _Unused(self._begin))
        self._counters: dict[str, tuple[str, float]] = {}  # which one a key uses, and until when that is believed

    def __repr__(self) -> str:
        return f"NonceManager({self.store!r}, shared={self.store.shared!r})"

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
        return self._backend.advance(scope)

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
        return self._backend.advance(scope)

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
        return find_lane(self._backend, name, timeout, urgent=urgent)

    def own_scope(self, key: str) -> str:
        """Return the name of the counter that an API key has once it needs one of its own."""
        return f"key-{fingerprint(key)}"

    def scope_of(self, key: str) -> str:
        """Return the counter that an API key takes its numbers from: its own if it has one, else ``"global"``.

        A key needs its own when Kraken remembers a number for it that is far ahead of the clock: ``krakenonce adopt``.
        """
        own = self.own_scope(key)
        return "global" if self._backend.peek(own) is None else own

    def peek(self, scope: str = "global") -> int | None:
        """Return the last number issued by anybody, or the floor set since; None if there is none. Writes nothing.

        After a reboot it is the mark, which is above the last number, until the next one is issued.
        """
        return self._backend.peek(scope)

    def raise_floor(self, floor: int, scope: str = "global") -> None:
        """Make the next number larger than *floor*, for good; a lower floor changes nothing.

        Raises:
            InvalidFloor: *floor* is not a whole number from 0 to 2^63 - 2.
            NonceStoreError: It could not be made durable.
        """
        self._counters.clear()
        self._backend.raise_floor(scope, floor)

    def stats(self, scope: str = "global") -> ManagerStats:
        """Return what is known of *scope*. Writes nothing."""
        seen = self._backend.stats(scope)
        lead = None if seen.last is None else seen.last - self.clock.now_ns()
        return ManagerStats(*seen, lead_ns=lead)

    def close(self) -> None:
        """Close the store; whatever is asked afterwards is an error. May be called again."""
        self._backend = cast("Backend", _Closed())
        self.store.close()

    def _begin(self) -> Backend:
        if self._backend is not self.store:
            self._backend = self.store
            logger.info("nonces, turns and rate limits are kept in %r, for %s", self.store, SERVED[self.store.shared])
        return self.store

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


class _Unused:
    """The backend of a manager before its first use."""

    def __init__(self, begin: Callable[[], Backend]) -> None:
        self._begin = begin

    def __getattr__(self, name: str) -> object:
        return getattr(self._begin(), name)


class _Closed:
    """The backend of a manager that is closed."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise NonceStoreError("this nonce manager is closed: make another one")
