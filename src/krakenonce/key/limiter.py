"""Kraken's rate limits, shared by all programs that use the same backend.

There is one state for each API key, and one for each account with several, see :mod:`krakenonce.key.limits_state`.
:mod:`krakenonce.key.kept_states` finds and locks them; :mod:`krakenonce.key.counting` and
:mod:`krakenonce.key.lockout` have the steps.

A call that concerns both takes a step in the key's state, and then one in the account's: never are both locked. If the
second does not allow the call, the first is taken back. So a process that dies in between leaves a call counted that
was not sent, and never sends one that is not counted.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, TypeVar

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
    part_of_account,
    parts,
    parts_of_orders,
    refused,
    send,
)
from krakenonce.key.joining import NOTHING, Counted, carry, counted_in
from krakenonce.key.kept_states import KeptStates
from krakenonce.key.limits_state import State
from krakenonce.key.lockout import lock_out, locked_out
from krakenonce.key.methods import cancelled_in
from krakenonce.key.naming import account_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.backends.protocol import RateLimits
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
        self._states = KeptStates(rate_limits, clock)
        self.seconds = self._states.seconds  # since boot
        self._accounts: dict[str, str] = {}  # the accounts of keys, as far as they are known

    def expect(self, place: Place) -> None:
        """Say that a call will soon be booked: a state on a server then sends what it needs with the turn. No I/O."""
        if place.tier is not None:
            self._states.expect(self._accounts.get(place.key) or self._states.name_of(place.key), parts(place))

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
        place.is_left = False
        booking = self._in_both(
            place, lambda state, part: ask(state, part, longest, state.now, send=send), 0.0 if send else longest
        )
        if place.is_left:  # a task that was cancelled has left the place, and its thread has come to its end only now
            self.leave(place)
        return booking

    def send(self, place: Place) -> float:
        """Count a call just before it is sent. To be called in the key's turn.

        Returns:
            Seconds until the key's lockout ends. Unless it is 0.0, nothing was counted and nothing must be sent. The
            same holds if the place says that the order was cancelled.

        Raises:
            NonceStoreError: The state cannot be read or written; nothing must be sent.
        """

        def step(state: State, part: Place) -> Booking:
            closed = send(state, part, state.now)
            return Booking(closed, closed)

        return self._in_both(place, step, 0.0).locked_out

    def leave(self, place: Place) -> None:
        """Release the place of a call that will not be sent. Does nothing if the call has none.

        Call it however the call ends. If a place cannot be released, or its process has ended, it is free after 15
        seconds.
        """
        place.is_left = True
        for part in filter(None, (place, place.in_account)):
            if part.waiting_id:
                with contextlib.suppress(NonceStoreError):
                    self._step(part, lambda state, part: leave(state, part, state.now))

    def not_sent(self, place: Place) -> None:
        """Take back what :meth:`send` has counted: there was no connection. Raises NonceStoreError."""
        for part in filter(None, (place, place.in_account)):
            if part.counted:
                self._step(part, lambda state, part: not_sent(state, part, state.now))

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
        wait = self._step(place, lambda state, part: refused(state, part, state.now))
        if (other := part_of_account(place)) is not None:
            wait = max(wait, self._step(other, lambda state, part: refused(state, part, state.now)))
        return wait or A_FEW_SECONDS

    def locked_out(self, key: str) -> float:
        """Return the seconds until the key's lockout ends; 0.0: there is none. Raises NonceStoreError."""
        if not self._has_state(key) or self._states.is_open_for_sure(self._states.name_of(key)):
            return 0.0
        return self._inside_of(key, lambda state: locked_out(state, state.now))

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
            self._states.expect(self._accounts.get(key) or self._states.name_of(key), parts_of_orders(listed))

            def step(state: State) -> str:
                if not (account := state.account()):
                    note(state, pair, listed, state.now)
                return account

            if account := self._inside_of(key, step):
                self._states.inside(account, lambda state: note(state, pair, listed, state.now))

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
        found, account = self._inside_of(key, lambda state: (levels(state, tier, state.now), state.account()))
        if not account:
            return found
        if not self._states.exist(account):
            return found._replace(engine=0.0)
        return found._replace(engine=self._states.inside(account, lambda state: levels(state, tier, state.now).engine))

    def belongs_to(self, key: str, account: str, decay: float) -> bool:
        """Note, for all processes, that a key is one of several of an account; see :meth:`ApiKey.belongs_to`.

        What the key's own state has counted for the engine is added to the account's state before, until nothing more
        was counted meanwhile. If several processes do this for the first time at the same moment, it is added several
        times: calls then wait longer, for as long as it takes to decay.

        Args:
            key: The API key.
            account: The account.
            decay: How much the engine's counters fall per second.
        """
        name, carried = account_state(account), NOTHING

        def join(state: State) -> tuple[str, Counted, float]:
            before = state.account()
            counted = NOTHING if before else counted_in(state)
            if before != name and counted == carried:
                state.belongs_to(name)
            return before, counted, state.now

        while True:
            before, counted, now = self._inside_of(key, join)
            if before or counted == carried:
                return before not in ("", name)
            for step in carry(counted, carried, decay, now):
                self._states.inside(name, step)
            carried = counted

    def copy_to(self, other: Limiter, name: str) -> None:
        """Copy what is counted under a name, a key's or an account's, to another backend. Raises NonceStoreError."""
        write = self._states.inside(name, State.copy)
        other._states.inside(name, write)  # one step after the other: both may have the same lock

    def _in_both(self, place: Place, step: Callable[[State, Place], Booking], longest: float) -> Booking:
        """Take *step* in the key's state and then in its account's, if it has one, and if the call concerns that.

        A step allows the call if that has to wait for no longer than *longest*. If only the first one does, it is taken
        back.
        """
        if self._needs_no_step(place, self._states.name_of(place.key)):
            return Booking(0.0, 0.0)
        first, other = self._step(place, step), part_of_account(place)
        if other is None or self._needs_no_step(other, other.account):
            return first
        if first.wait > longest:
            self.leave(other)
            return first
        try:
            second = self._step(other, step)
        except BaseException:
            self._take_back(place)
            raise
        if second.wait > longest or other.cancelled:
            self._take_back(place)
            place.cancelled = other.cancelled
        return max(first, second)

    def _needs_no_step(self, place: Place, name: str) -> bool:
        """Whether there is nothing to count, to note or to read: a key without limits needs no file."""
        return place.tier is None and not cancelled_in(place.method, place.params) and not self._states.exist(name)

    def _take_back(self, place: Place) -> None:
        """Undo a call's step in the key's state alone."""
        if place.waiting_id or place.counted:

            def undo(state: State, place: Place) -> None:
                not_sent(state, place, state.now)
                leave(state, place, state.now)

            self._step(place, undo)

    def _step(self, place: Place, step: Callable[[State, Place], _T]) -> _T:
        """Take *step* for a call, which finds its place as it was if the backend has to take the step again."""
        before = place.waiting_id, place.counted, place.sent_at

        def take(state: State) -> _T:
            place.waiting_id, place.counted, place.sent_at = before
            place.asked_at = state.here.boot if math.isnan(place.asked_at) else place.asked_at
            place.waited = state.here.boot - place.asked_at
            if not place.account:
                self._accounts[place.key] = account = state.account()
                place.belongs_to(account)
            return step(state, place)

        return self._states.inside(place.account or self._states.name_of(place.key), take)

    def _inside_of(self, key: str, step: Callable[[State], _T]) -> _T:
        """Take *step* with the key's state locked."""
        return self._states.inside(self._states.name_of(key), step)

    def _has_state(self, key: str) -> bool:
        return self._states.exist(self._states.name_of(key))
