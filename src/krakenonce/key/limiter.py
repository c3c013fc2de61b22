"""Kraken's rate limits, shared by all programs that use the same backend.

There is one state for each API key, see :mod:`krakenonce.key.limits_state`. This module finds it and locks it;
:mod:`krakenonce.key.counting` and :mod:`krakenonce.key.lockout` use it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from typing import TYPE_CHECKING, TypeVar

from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.key.counting import (
    A_FEW_SECONDS,
    Booking,
    Levels,
    Place,
    ask,
    leave,
    levels,
    not_sent,
    note,
    parts,
    parts_of_orders,
    refused,
    send,
)
from krakenonce.key.limits import stable_hash
from krakenonce.key.limits_state import State
from krakenonce.key.lockout import lock_out, locked_out
from krakenonce.key.naming import fingerprint
from krakenonce.key.state_time import Reading
from krakenonce.rule import in_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.backends.protocol import RateCounters, RateLimits
    from krakenonce.clock import Clock
    from krakenonce.key.limits import Tier


_T = TypeVar("_T")


class Limiter:
    """Counts calls as Kraken does, and keeps the order of the calls that wait. Never sleeps.

    Safe for threads, tasks, forks and any number of processes and limiters over one state. Nothing is opened before the
    first call. Containers and a reboot change nothing: see :mod:`krakenonce.key.state_time`.

    Args:
        rate_limits: The rate limits of a backend.
        clock: For tests; default: the machine's clock.
    """

    def __init__(self, rate_limits: RateLimits, *, clock: Clock | None = None) -> None:
        self._rate_limits = rate_limits
        self._tell: Callable[[str, list[tuple[int, int]]], None] | None = getattr(rate_limits, "expect", None)
        self._clock: Clock = clock or SystemClock()
        self._names: dict[str, str] = {}  # the fingerprint of each key

    def expect(self, place: Place) -> None:
        """Say that a call will soon be booked: a state on a server then sends what it needs with the turn. No I/O."""
        if place.tier is not None:
            self._expect(place.key, parts(place))

    def book(self, place: Place, longest: float, *, send: bool = False) -> Booking:
        """Return when a call may be sent, and keep its place until then.

        A call that has to wait must ask again after a second at most: it may have moved up, or an urgent call may
        have gone before it. If the wait would be longer than *longest*, or the key is locked out, no place is kept
        and the call must not be sent.

        Args:
            place: The call's place.
            longest: Seconds that the call may wait.
            send: Whether a call that need not wait is sent now, in the key's turn: it is counted, and no place is kept.

        Raises:
            NonceStoreError: The state cannot be read or written; no place is kept.
        """
        if place.tier is None and not self._has_state(place.key):
            return Booking(0.0, 0.0)  # a key without limits needs no file
        place.is_left = False
        booking = self._step(place, lambda state: ask(state, place, longest, state.now, send=send))
        if place.is_left:  # a task that was cancelled has left the place, and its thread has come to its end only now
            self.leave(place)
        return booking

    def send(self, place: Place) -> float:
        """Count a call just before it is sent. To be called in the key's turn.

        Returns:
            Seconds until the key's lockout ends. Unless it is 0.0, nothing was counted and nothing must be sent.

        Raises:
            NonceStoreError: The state cannot be read or written; nothing must be sent.
        """
        if place.tier is None and not self._has_state(place.key):
            return 0.0
        return self._step(place, lambda state: send(state, place, state.now))

    def leave(self, place: Place) -> None:
        """Release the place of a call that will not be sent. Does nothing if the call has none.

        Call it however the call ends. If a place cannot be released, or its process has ended, it is free after 15
        seconds.
        """
        place.is_left = True
        if place.waiting_id:
            with contextlib.suppress(NonceStoreError):
                self._step(place, lambda state: leave(state, place, state.now))

    def not_sent(self, place: Place) -> None:
        """Take back what :meth:`send` has counted: there was no connection. Raises NonceStoreError."""
        if place.counted:
            self._step(place, lambda state: not_sent(state, place, state.now))

    def refused(self, place: Place) -> float:
        """Note that Kraken answered "Rate limit exceeded": the counters that the call concerns count as full.

        If the call concerns both the REST counter and a pair's, both do.

        Returns:
            Seconds to wait before trying again. To try again, call :meth:`book` again: this keeps no place.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        if place.tier is None:
            return A_FEW_SECONDS
        return self._step(place, lambda state: refused(state, place, state.now))

    def locked_out(self, key: str) -> float:
        """Return the seconds until the key's lockout ends; 0.0: there is none. Raises NonceStoreError."""
        return self._inside_of(key, lambda state: locked_out(state, state.now)) if self._has_state(key) else 0.0

    def lock_out(self, key: str, seconds: float) -> None:
        """Note a lockout for all processes. A longer one that was noted before is not shortened.

        Args:
            key: The API key.
            seconds: How long it lasts from now on, at most a day.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        self._inside_of(key, lambda state: lock_out(state, seconds, state.now))

    def placed(self, key: str, pair: str, ids: Iterable[str]) -> None:
        """Note that orders were placed or amended just now: their age decides what it costs to change them.

        An order with both ids has two entries here: amend and cancel it by the same id.

        Args:
            key: The API key.
            pair: The pair, under the name that the calls use. Empty: the one noted before, if any.
            ids: The ids of the orders: ``txid``, ``cl_ord_id``.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        listed = [str(order) for order in ids if order]
        if listed:
            self._expect(key, parts_of_orders(listed))
            self._inside_of(key, lambda state: note(state, pair, listed, state.now))

    def levels(self, key: str, tier: Tier) -> Levels:
        """Return how high the rate counters of a key are now. Changes nothing.

        Args:
            key: The API key.
            tier: The key's limits.

        Raises:
            NonceStoreError: The state cannot be read.
        """
        if not self._has_state(key):
            return Levels(0.0, 0.0)  # nothing has been counted, and a look makes no file
        return self._inside_of(key, lambda state: levels(state, tier, state.now))

    def copy_to(self, other: Limiter, name: str) -> None:
        """Copy what is counted for the key with this fingerprint to another backend. Raises NonceStoreError."""
        other._inside(name, self._inside(name, State.copy))  # one step after the other: both may have the same lock

    def _expect(self, key: str, wanted: list[tuple[int, int]]) -> None:
        if self._tell is not None:
            self._tell(self._names.get(key) or self._name(key), wanted)

    def _step(self, place: Place, step: Callable[[State], _T]) -> _T:
        """Take *step* for a call, which finds its place as it was if the backend has to take the step again."""
        before = place.waiting_id, place.counted, place.sent_at

        def take(state: State) -> _T:
            place.waiting_id, place.counted, place.sent_at = before
            return step(state)

        return self._inside_of(place.key, take)

    def _inside_of(self, key: str, step: Callable[[State], _T]) -> _T:
        """Take *step* with the key's state locked."""
        return self._inside(self._names.get(key) or self._name(key), step)

    def _inside(self, name: str, step: Callable[[State], _T]) -> _T:
        clock = _number(self._clock.boot_id())  # now and not with the lock: macOS asks another process for it

        def take(counters: RateCounters) -> _T:
            server_time = getattr(counters, "server_time", None)
            if server_time is not None:  # the hosts' own clocks may differ
                return step(State(counters, Reading(_SERVER, server_time, server_time)))
            return step(State(counters, self._read(clock)))

        return self._rate_limits.step(name, take)

    def _read(self, clock: int) -> Reading:
        wall_ns = self._clock.now_ns()
        return Reading(clock, self._clock.boot_ns() / 1e9, wall_ns / 1e9 if in_range(wall_ns) else math.nan)

    def _has_state(self, key: str) -> bool:
        return self._rate_limits.exist(self._names.get(key) or self._name(key))

    def _name(self, key: str) -> str:
        return self._names.setdefault(key, fingerprint(key))


_SERVER = stable_hash("the clock of the server that keeps the state")


@functools.cache
def _number(boot_id: str) -> int:
    """A number for a clock. If the boot is not known, it is one of this process and its forks alone."""
    return stable_hash(boot_id or os.urandom(16).hex())
