"""One counter and one API lock for MASTER and all users: module-level functions over a NonceManager.

The state is in ``$KRAKENONCE_STATE_DIR``, else in ``data/`` of the working directory at the time of the first call.
Every process that uses the same directory shares the counter and the lock.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from krakenonce.backends.state_name import state_in_environment
from krakenonce.checks import check_manager
from krakenonce.errors import LaneError, LaneTimeout, NonceError
from krakenonce.key.callers import current_owner
from krakenonce.manager import NonceManager
from krakenonce.process import Section, call_in_children

if TYPE_CHECKING:
    from types import TracebackType

    from krakenonce.key.lane import Lane


logger = logging.getLogger("krakenonce")


class GlobalNonceStats(TypedDict):
    """What ``get_global_nonce_stats`` returns.

    ``last_nonce`` is the last nonce issued by any process; before the first one, the value at which nonces will begin.
    All other fields are about this process only: a new or forked process begins with no nonces and no uptime.
    """

    last_nonce: int
    total_nonces_issued: int
    uptime_seconds: float
    nonces_per_second: float
    initialized_at: float
    api_serialization_enabled: bool


class ApiCallLock:
    """The global API lock, with an RLock's methods: one call at a time over all threads, tasks and processes.

    If *enabled* is False, it excludes nobody. A caller that holds it or waits for it at that moment is not affected:
    each release gives back what its own acquire has taken.
    """

    def __init__(self, manager: NonceManager) -> None:
        self._manager = manager
        self.enabled = True
        # By thread or task, what each acquire has taken. In tuples, so that a signal handler leaves what it found.
        self._held: dict[object, tuple[Lane | None, ...]] = {}

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; return False if it was not free in time.

        Args:
            blocking: False: do not wait at all.
            timeout: How long to wait, in seconds; -1: wait for ever.

        Raises:
            ValueError: A timeout with ``blocking=False``, or a negative one other than -1.
            LaneError: Waiting here would block the event loop for a task that is before us.
            NonceStoreError: The lock's file cannot be used.
        """
        if timeout != -1 and (timeout < 0 or not blocking):
            raise ValueError("timeout must not be negative, and needs blocking=True")
        owner = current_owner()
        lane: Lane | None = None
        if self.enabled:
            lane = self._manager.lane(timeout=(None if timeout == -1 else timeout) if blocking else 0)
            try:
                lane.acquire()
            except LaneTimeout:
                return False
        self._held[owner] = (*self._held.get(owner, ()), lane)
        return True

    def release(self) -> None:
        """Release the lock, once for each time it was taken. Raises LaneError (a RuntimeError) if it is not held."""
        owner = current_owner()
        taken = self._held.get(owner)
        if not taken:
            raise LaneError("the API lock is not held by this thread or task")
        *others, lane = taken
        if others:
            self._held[owner] = tuple(others)
        else:
            del self._held[owner]
        if lane is not None:
            lane.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class GlobalKrakenNonceManager:
    """The nonce manager that MASTER and all users share.

    Usually you get it from :func:`get_global_nonce_manager`, which makes one per process.

    Args:
        manager: Where nonces and turns come from; None: the state directory named above.

    Raises:
        ConfigError: ``$KRAKENONCE_STATE_DIR`` names no directory.
        NonceStoreError: There is a state directory, but it cannot be read.
    """

    def __init__(self, manager: NonceManager | None = None) -> None:
        check_manager(manager)
        self.manager = manager or NonceManager(None if state_in_environment() else Path("data"))
        self._api_call_lock = ApiCallLock(self.manager)
        self._after_fork()
        now = time.time_ns()
        persisted = self.manager.peek()
        self._first = now if persisted is None else max(persisted + 1, now)
        if persisted is None:
            logger.info("No persisted nonce found, initializing with current time: %d", now)
        else:
            logger.info("Loaded persisted nonce: %d, using: %d", persisted, self._first)
        logger.info(
            "Global Kraken Nonce Manager initialized (persisted nonce: %d, API serialization: ENABLED)",
            self._first,
        )
        call_in_children(self)

    def get_nonce(self) -> int:
        """Return the next nonce: ``max(last + 1, now in ns)``, 19 digits. It is in the file before it is returned.

        Raises:
            NonceError: The nonce could not be stored safely; none was issued.
        """
        return self.manager.next()

    def get_api_call_lock(self) -> ApiCallLock:
        """Return the lock to hold around taking a nonce and making the call."""
        return self._api_call_lock

    def enable_api_serialization(self) -> None:
        """Make the API lock exclude all other callers (the default)."""
        self._api_call_lock.enabled = True
        logger.info("✅ Kraken API call serialization ENABLED")

    def disable_api_serialization(self) -> None:
        """Make the API lock exclude nobody, in this process. For tests: calls may overtake each other."""
        self._api_call_lock.enabled = False
        logger.warning("⚠️ Kraken API call serialization DISABLED (not recommended)")

    def get_stats(self) -> GlobalNonceStats:
        """Return the six figures of :class:`GlobalNonceStats`; times in seconds."""
        seen = self.manager.stats()
        uptime = time.monotonic() - self._started
        return {
            "last_nonce": self._first if seen.last is None else seen.last,
            "total_nonces_issued": seen.issued,
            "uptime_seconds": uptime,
            "nonces_per_second": seen.issued / uptime if uptime > 0 else 0.0,
            "initialized_at": self._initialized_at,
            "api_serialization_enabled": self._api_call_lock.enabled,
        }

    def _after_fork(self) -> None:
        """Begin the statistics of this process, as at construction."""
        self._initialized_at = time.time()
        self._started = time.monotonic()


def get_global_nonce_manager() -> GlobalKrakenNonceManager:
    """Return this process's one manager, which the first call makes."""
    global _manager
    if _manager is None:
        _making.refuse_interrupter()
        with _making.lock:
            if _manager is None:
                _manager = GlobalKrakenNonceManager()
    return _manager


def get_global_kraken_nonce() -> int:
    """Return the next nonce, whichever account uses it; see :meth:`GlobalKrakenNonceManager.get_nonce`."""
    return get_global_nonce_manager().get_nonce()


def get_kraken_api_lock() -> ApiCallLock:
    """Return the lock that lets one Kraken call through at a time, over MASTER and all users."""
    return get_global_nonce_manager().get_api_call_lock()


def get_global_nonce_stats() -> GlobalNonceStats:
    """Return the six figures of :class:`GlobalNonceStats`."""
    return get_global_nonce_manager().get_stats()


_manager: GlobalKrakenNonceManager | None = None
_making = Section(NonceError, "the global nonce manager was asked for")
