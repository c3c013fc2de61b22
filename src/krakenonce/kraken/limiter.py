"""The counters of Kraken's rate limits, shared by all threads, tasks and processes of a host.

One state per API key, see :mod:`krakenonce.kraken.limits_state`; here it is found and locked, and what is done with it
is in :mod:`krakenonce.kraken.counting`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, TypeVar

from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.kraken.counting import (
    Booking,
    Levels,
    Place,
    ask,
    leave,
    levels,
    lock_out,
    locked_out,
    not_sent,
    note,
    refused,
    send,
)
from krakenonce.kraken.limits import stable_hash
from krakenonce.kraken.limits_state import HEAD, MAGIC, FileState, MemoryState
from krakenonce.lanes.naming import fingerprint
from krakenonce.stores.filesystem import make_directory, opening, store_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.clock import Clock
    from krakenonce.kraken.limits import Tier

__all__ = ["Booking", "Levels", "Limiter", "Place"]

_KEPT_OPEN = 64  # keys whose files stay open
_REOPENINGS = 100  # files deleted this often within one call are somebody's doing, not an accident

_T = TypeVar("_T")


class Limiter:
    """Counts calls in Kraken's counters, and keeps the order of those that wait. Never sleeps.

    Safe for threads, tasks, forks and any number of processes and limiters on one directory. Nothing is opened
    before the first call. A lockout does not outlive a reboot.

    Args:
        directory: The state directory; made (0700) when first needed. None: the counters are kept in memory, for
            the users of this object in this process.
        clock: Where the time since boot and the boot id come from.
    """

    def __init__(self, directory: Path | None, *, clock: Clock | None = None) -> None:
        self._directory = directory
        self._clock: Clock = clock or SystemClock()
        self._paths: dict[str, Path] = {}
        self._places: dict[str, MemoryState] = {}  # the least recently used first
        self._mutex = threading.Lock()
        self._inside: set[int] = set()  # the threads that hold it or wait for it
        _limiters.add(self)

    def __repr__(self) -> str:
        return f"Limiter({str(self._directory) if self._directory else None!r})"

    def book(self, place: Place, longest: float) -> Booking:
        """Tell when a call may be sent, and keep its place until then.

        Whoever has to wait asks again after a second at most: a place may come nearer meanwhile, or an urgent call
        may have gone before it. If the wait would be longer than *longest*, or the key is locked out, no place is
        kept and the call must not be sent.

        Args:
            place: The call's.
            longest: Seconds that the caller is ready to wait.

        Raises:
            NonceStoreError: The state cannot be read or written; no place is kept.
        """
        if place.tier is None and not self._has_state(place.key):
            return Booking(0.0, 0.0)  # a key without limits needs no file
        return self._inside_of(place.key, lambda state: ask(state, place, longest, self._now()))

    def send(self, place: Place) -> float:
        """Count a call just before it is sent, in its key's turn.

        Returns:
            Seconds until the key's lockout ends. Unless it is 0.0, nothing was counted and nothing must be sent.

        Raises:
            NonceStoreError: The state cannot be read or written; nothing must be sent.
        """
        if place.tier is None and not self._has_state(place.key):
            return 0.0
        return self._inside_of(place.key, lambda state: send(state, place, self._now()))

    def leave(self, place: Place) -> None:
        """Give back the place of a call that will not be sent; nothing happens if it has none.

        Call it however the call ends. A place that cannot be given back, and that of a process that is gone, is free
        after some seconds.
        """
        if place.number:
            with contextlib.suppress(NonceStoreError):
                self._inside_of(place.key, lambda state: leave(state, place, self._now()))

    def not_sent(self, place: Place) -> None:
        """Take back what :meth:`send` has counted: there was no connection. Raises NonceStoreError."""
        if place.counted:
            self._inside_of(place.key, lambda state: not_sent(state, place, self._now()))

    def refused(self, place: Place) -> float:
        """Note that Kraken answered "Rate limit exceeded": the counters that the call concerns count as full.

        If the call concerns both the REST counter and a pair's, both do.

        Returns:
            Seconds to wait before trying again. To try again, book again: this keeps no place.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        if place.tier is None:
            return refused(MemoryState(), place, 0.0)
        return self._inside_of(place.key, lambda state: refused(state, place, self._now()))

    def locked_out(self, key: str) -> float:
        """Return the seconds until the key's lockout ends; 0.0: there is none. Raises NonceStoreError."""
        return self._inside_of(key, lambda state: locked_out(state, self._now())) if self._has_state(key) else 0.0

    def lock_out(self, key: str, seconds: float) -> None:
        """Close the key for every process. A lockout that lasts longer already is not shortened.

        Args:
            key: The API key.
            seconds: For how long from now, at most a day.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        self._inside_of(key, lambda state: lock_out(state, seconds, self._now()))

    def placed(self, key: str, pair: str, ids: Iterable[str]) -> None:
        """Note that an order was placed or amended just now, for its age decides what it costs to change it.

        An order that has both ids is two entries here: amend and cancel it by the same one.

        Args:
            key: The API key.
            pair: The order's pair, under the name that the calls use. Empty: the one noted before, if any.
            ids: The order's ids: ``txid``, ``cl_ord_id``.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        listed = [str(order) for order in ids if order]
        if listed:
            self._inside_of(key, lambda state: note(state, pair, listed, self._now()))

    def levels(self, key: str, tier: Tier) -> Levels:
        """Return how high the counters of a key are now; changes nothing.

        Args:
            key: The API key.
            tier: The key's limits.

        Raises:
            NonceStoreError: The state cannot be read.
        """
        if not self._has_state(key):
            return Levels(0.0, 0.0)  # nothing has been counted, and nothing is made by looking
        return self._inside_of(key, lambda state: levels(state, tier, self._now()))

    def close(self) -> None:
        """Close the files. A later call opens them again. What is kept in memory stays."""
        with self._mutex:
            self._close_files()

    def _now(self) -> float:
        return self._clock.boot_ns() / 1e9

    def _inside_of(self, key: str, step: Callable[[MemoryState], _T]) -> _T:
        """Take *step* with the key's state locked."""
        thread = get_ident()
        if thread in self._inside:
            raise NonceStoreError(
                "the rate limits were asked for by a signal handler that interrupted the same in its thread; "
                "let the handler set a flag instead"
            )
        try:
            self._inside.add(thread)  # in here, for an interrupt may come right after it
            with self._mutex:
                return self._step_at(key, step)
        finally:
            self._inside.discard(thread)

    def _step_at(self, key: str, step: Callable[[MemoryState], _T]) -> _T:
        try:
            return step(self._locked_place(key))
        except OSError as error:
            if place := self._places.pop(key, None):
                place.close()  # which unlocks it, too
            raise store_error("keep the rate limits in", self._path(key), error) from error
        finally:
            if place := self._places.get(key):
                place.unlock()

    def _locked_place(self, key: str) -> MemoryState:
        for _ in range(_REOPENINGS):
            with opening:
                place = self._places.pop(key, None) or self._new_place(key)
                self._places[key] = place
            if place.lock():
                return place
            self._places.pop(key).close()  # the file was deleted
        raise NonceStoreError(f"{self._path(key)} vanishes as fast as it is made; stop what deletes it")

    def _new_place(self, key: str) -> MemoryState:
        if self._directory is None:
            return MemoryState()
        if len(self._places) >= _KEPT_OPEN:
            self._places.pop(next(iter(self._places))).close()
        make_directory(self._directory)
        return FileState(self._path(key), HEAD.pack(MAGIC, stable_hash(self._clock.boot_id())))

    def _path(self, key: str) -> Path:
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path(self._directory or "memory") / f"kraken_limits_{fingerprint(key)}.bin"
        return path

    def _has_state(self, key: str) -> bool:
        return key in self._places or (self._directory is not None and os.path.exists(self._path(key)))

    def _close_files(self) -> None:
        if self._directory is not None:
            while self._places:
                self._places.popitem()[1].close()

    def _after_fork(self) -> None:
        """In the child: close the parent's descriptors without unlocking them."""
        self._mutex = threading.Lock()
        self._inside = set()
        self._close_files()


def _after_fork_in_child() -> None:
    for limiter in list(_limiters):
        limiter._after_fork()


_limiters: weakref.WeakSet[Limiter] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
