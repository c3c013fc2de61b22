"""NonceManager: nonces and turns. What most users import."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from krakenonce.backends import SERVED, find_backend
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.key.lane import IN_TURN, InTurns, Lane, find_lane
from krakenonce.key.naming import GLOBAL, fingerprint
from krakenonce.process import call_in_children
from krakenonce.shown import whole

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    from krakenonce.backends import Backend, ScopeStats, Shared
    from krakenonce.clock import Clock


logger = logging.getLogger("krakenonce.manager")

_TRUSTED = 1.0  # seconds; finding a key's counter costs as much as a nonce


class NonceManager:
    """Issues nonces that only rise, and gives turns so that they are sent in order.

    Safe for threads, asyncio tasks, forked and spawned processes, and any number of managers on one directory.
    Nothing is opened before the first nonce or the first turn.

    Args:
        store: A backend, a URL (``file:PATH``, ``postgresql://USER@HOST/DATABASE``, ``valkey://USER@HOST:PORT/0``,
            ``etcd://HOST``, ``memory:``) or the path of a directory. None: what ``$KRAKENONCE_STATE_DIR`` names, else
            the platform's state directory of this user.
        shared: Who has to share the state at least: ``"process"``, ``"host"`` or ``"hosts"``. None: any backend will
            do.
        clock: For tests; default: the machine's clock. A backend that is passed has a clock of its own.

    Raises:
        ConfigError: *store* is none of these, it lacks a method, or it serves fewer than it has to.
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
        self._begun = False
        self._backend = _deferred(self._begin)
        self._counters: dict[str, tuple[str, float]] = {}  # the counter of a key, and until when that is trusted
        self._named: set[str] = set()  # the keys that were logged
        call_in_children(self)

    @whole
    def __repr__(self) -> str:
        return f"NonceManager({self.store!r}, shared={self.store.shared!r})"

    def next(self, scope: str = "global") -> int:
        """Return the next nonce: nanoseconds since 1970, 19 digits, larger than all before it.

        Args:
            scope: The counter. One serves all accounts; a key that was adopted has its own.

        Raises:
            NonceStoreError: The nonce could not be stored safely; none was issued.
            ClockError: The clock is before 2020 or after 2200, and there is no earlier nonce.
            NonceExhausted: The counter has reached 2^63 - 1.
            InvalidScope: The name is not 1 to 64 letters, digits, ``-`` or ``_``.
            TurnLost: The caller's lane was lost before the nonce was there. Only with a backend for several hosts.
        """
        return self._backend.advance(scope)

    def next_for(self, key: str) -> int:
        """Return the next nonce for an API key, from the counter that :meth:`scope_of` finds.

        The counter is looked up again after a second, and after :meth:`look_up_counter`, because any process may give
        the key a counter of its own.

        Args:
            key: The API key.

        Raises:
            NonceError: As for :meth:`next`.
            TurnLost: As for :meth:`next`.
        """
        return self._backend.advance(self._counter(key))

    def look_up_counter(self, key: str) -> None:
        """Look up the counter of *key* again for its next nonce, because Kraken has refused one."""
        self._counters.pop(key, None)

    def lane(self, name: str = GLOBAL, timeout: float | None = None, *, urgent: bool = False) -> Lane:
        """Return the lane of an API key: hold it from taking the nonce until the answer is in.

        Args:
            name: The API key, of which only a fingerprint is kept; or ``"global"``, one lane for all keys.
            timeout: How long to wait for the turn, in seconds; None: wait for ever.
            urgent: Whether to go before the calls of this process that wait and are not urgent: for a cancel.
        """
        return find_lane(self._backend, name, timeout, urgent=urgent, note=self._note_turn)

    def turn(self, key: str, timeout: float | None = None, *, urgent: bool = False, scope: str | None = None) -> Lane:
        """Return the lane of an API key for a caller that will take its next nonce at once.

        A state on a server then gives both in one round trip, so the nonce counts as asked for with the lane.

        Args:
            key: The API key.
            timeout: As for :meth:`lane`.
            urgent: As for :meth:`lane`.
            scope: The counter; None: the one that :meth:`scope_of` finds.
        """
        backend = self._backend
        # Who fetches the turn finds the counter: that may take a round trip, for which an event loop does not wait.
        wanted = (lambda: scope or self._counter(key)) if hasattr(self.store, IN_TURN) else None
        return find_lane(backend, key, timeout, urgent=urgent, scope=wanted, note=self._note_turn)

    def own_scope(self, key: str) -> str:
        """Return the name of an API key's own counter, which it has once it was adopted."""
        return f"key-{fingerprint(key)}"

    def scope_of(self, key: str) -> str:
        """Return the counter that an API key uses: its own if it was adopted, else ``"global"``.

        A key has to be adopted if Kraken has accepted a nonce from it that is far ahead of the clock.
        """
        own = self.own_scope(key)
        return "global" if self._backend.peek(own) is None else own

    def peek(self, scope: str = "global") -> int | None:
        """Return the last nonce issued by any process, or the floor if one was set since; None if there is none.

        Writes nothing. After a reboot it is the high-water mark, which is above the last nonce, until the next nonce
        is issued.
        """
        return self._backend.peek(scope)

    def raise_floor(self, floor: int, scope: str = "global") -> None:
        """Make all later nonces larger than *floor*. A lower floor changes nothing; a floor cannot be lowered.

        Raises:
            InvalidFloor: *floor* is not an integer from 0 to 2^63 - 2.
            NonceStoreError: It could not be made durable.
        """
        self._counters.clear()
        self._backend.raise_floor(scope, floor)
        self.note("floor_raised", text=f"the nonces of counter {scope} are larger than {floor} from now on")

    def note(self, what: str, *, key: str = "", **more: Any) -> None:
        """Note an event in the journal of the state; raises nothing.

        Args:
            what: Its kind.
            key: The fingerprint of an API key.
            more: Other fields of :class:`krakenonce.journal.event.Event`.
        """
        from krakenonce.journal.recorder import journal_of  # most processes need it never

        journal_of(self.store).note(what, key=key, **more)

    def _note_turn(self, name: str, seconds: float, why: str) -> None:
        """Note that a turn took long to get, or with *why* that it did not come in time."""
        self.note("no_turn" if why else "slow_turn", key=name, seconds=seconds, text=why)

    def stats(self, scope: str = "global") -> ScopeStats:
        """Return what is known about a counter. Writes nothing."""
        seen = self._backend.stats(scope)
        return seen if seen.last is None else seen._replace(lead_ns=seen.last - self.clock.now_ns())

    def close(self) -> None:
        """Close the backend; every later call is an error. May be called again."""
        self._begun = False
        self._backend = _deferred(_refuse)
        self.store.close()

    def _counter(self, key: str) -> str:
        now = time.monotonic()
        scope, until = self._counters.get(key, ("", 0.0))
        if now >= until:
            scope = self.scope_of(key)
            self._counters[key] = (scope, now + _TRUSTED)
            if key not in self._named:
                self._named.add(key)
                logger.info("API key %s takes its nonces from counter %s", fingerprint(key), scope)
        return scope

    def _begin(self) -> Backend:
        if not self._begun:
            self._begun = True
            self._backend = cast("Backend", InTurns(self.store)) if hasattr(self.store, IN_TURN) else self.store
            logger.info("nonces, turns and rate limits are kept in %r, for %s", self.store, SERVED[self.store.shared])
        return self._backend

    def _after_fork(self) -> None:
        """Log the state once more at the first use in the child, whose log may be another one."""
        if self._begun:
            self._begun = False
            self._backend = _deferred(self._begin)

    def __copy__(self) -> Self:
        return self  # two objects with the same open files would close them under each other

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Deferred:
    """Stands for a backend that is found at its first use."""

    def __init__(self, find: Callable[[], Backend]) -> None:
        self._find = find

    def __getattr__(self, name: str) -> object:
        return getattr(self._find(), name)


def _deferred(find: Callable[[], Backend]) -> Backend:
    return cast("Backend", _Deferred(find))


def _refuse() -> NoReturn:
    raise NonceStoreError("this nonce manager is closed: make another one")
