"""The counters of Kraken's rate limits, shared by all threads, tasks and processes of a host.

One state per API key, see :mod:`krakenonce.kraken.limits_state`. Places in its tables are found by hash: two pairs
that meet in one place share a counter, which is only cautious; of orders that meet, the last four are kept.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.kraken.limits import (
    RESERVE,
    Charge,
    Order,
    concerns_engine,
    engine_cost,
    level_now,
    order_ids,
    pair_hash,
    rest_cost,
    stable_hash,
    waits_for_engine,
    young_ids,
)
from krakenonce.kraken.limits_state import (
    COUNTER,
    HEAD,
    MAGIC,
    ORDER,
    ORDERS,
    ORDERS_AT,
    PAIRS,
    PAIRS_AT,
    PER_PLACE,
    PLACE_SIZE,
    REST_AT,
    UNTIL,
    UNTIL_AT,
    FileState,
    MemoryState,
)
from krakenonce.lanes.naming import fingerprint
from krakenonce.stores.filesystem import make_directory, opening, store_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.clock import Clock
    from krakenonce.kraken.limits import Tier

__all__ = ["Booking", "Levels", "Limiter"]

_KEPT_OPEN = 64  # keys whose files stay open
_REOPENINGS = 100  # files deleted this often within one call are somebody's doing, not an accident
_LONGEST_LOCKOUT = 86_400.0  # seconds; more than this in a file is damage
_A_FEW_SECONDS = 5.0  # Kraken's words for how long it refuses, for a call whose counter is not known

_T = TypeVar("_T")


class Booking(NamedTuple):
    """When a call may be sent.

    Args:
        wait: Seconds until the call may be sent; 0.0: at once.
        locked_out: Seconds until the key's lockout ends; 0.0: there is none. During a lockout nothing is booked,
            and *wait* is the same number.
    """

    wait: float
    locked_out: float


class Levels(NamedTuple):
    """How high a key's counters are.

    Args:
        rest: The REST counter.
        engine: The trading engine's counter of the pair whose counter is the highest.
    """

    rest: float
    engine: float


class Limiter:
    """Books calls in Kraken's counters. Never sleeps, and holds nothing while its callers wait.

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

    def book(self, key: str, tier: Tier | None, method: str, params: Mapping[str, Any], longest: float) -> Booking:
        """Book a call in the counters it concerns, and tell when to send it.

        First come, first served: who is given a time need not ask again. If the wait would be longer than
        *longest*, or the key is locked out, nothing is booked and the call must not be sent.

        Args:
            key: The API key.
            tier: The key's limits. None: no counters are kept, only the lockout is looked at.
            method: Kraken's name for the call.
            params: Its parameters.
            longest: Seconds that the caller is ready to wait.

        Raises:
            NonceStoreError: The state cannot be read or written; nothing was booked.
        """
        if tier is None and not self._has_state(key):
            return Booking(0.0, 0.0)  # a key without limits needs no file
        return self._inside_of(key, lambda place: self._book(place, tier, method, params, longest))

    def refused(self, key: str, tier: Tier | None, method: str, params: Mapping[str, Any]) -> float:
        """Note that Kraken answered "Rate limit exceeded": the counters that the call concerns count as full.

        If the call concerns both the REST counter and a pair's, both do. Calls that were given a time keep it.

        Args:
            key: The API key.
            tier: The key's limits. None: nothing is noted.
            method: Kraken's name for the call.
            params: Its parameters.

        Returns:
            Seconds to wait before trying again; what :meth:`book` now tells for the same call. To try again, book
            again: this books nothing.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        if tier is None:
            return _A_FEW_SECONDS
        return self._inside_of(key, lambda place: self._refused(place, tier, method, params))

    def lock_out(self, key: str, seconds: float) -> None:
        """Close the key for every process. A lockout that lasts longer already is not shortened.

        Args:
            key: The API key.
            seconds: For how long from now, at most a day.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        self._inside_of(key, lambda place: self._lock_out(place, min(seconds, _LONGEST_LOCKOUT)))

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
            self._inside_of(key, lambda place: self._note(place, pair, listed, self._now()))

    def levels(self, key: str, tier: Tier) -> Levels:
        """Return how high the counters of a key are now; books nothing.

        Args:
            key: The API key.
            tier: The key's limits.

        Raises:
            NonceStoreError: The state cannot be read.
        """
        if not self._has_state(key):
            return Levels(0.0, 0.0)  # nothing has been booked, and nothing is made by looking
        return self._inside_of(key, lambda place: self._levels(place, tier))

    def close(self) -> None:
        """Close the files. A later call opens them again. What is kept in memory stays."""
        with self._mutex:
            self._close_files()

    def _book(
        self, place: MemoryState, tier: Tier | None, method: str, params: Mapping[str, Any], longest: float
    ) -> Booking:
        now = self._now()
        locked_out = _locked_out(place, now)
        if locked_out or tier is None:
            return Booking(locked_out, locked_out)
        charges = _charges(place, tier, method, params, now)
        wait = max((charge.wait for charge in charges.values()), default=0.0)
        if wait > longest:
            return Booking(wait, 0.0)
        for offset, charge in charges.items():
            place.write(offset, COUNTER.pack(charge.booked(wait), now))
        # Who cancels the order before the answer is in pays for one that has just come.
        self._note(place, str(params.get("pair") or ""), young_ids(method, params), now + wait + RESERVE)
        return Booking(wait, 0.0)

    def _levels(self, place: MemoryState, tier: Tier) -> Levels:
        now = self._now()
        engine = [level_now(level, at, tier.engine_decay, now) for level, at in place.pairs()]
        return Levels(level_now(*place.counter(REST_AT), tier.rest_decay, now), max(engine, default=0.0))

    def _refused(self, place: MemoryState, tier: Tier, method: str, params: Mapping[str, Any]) -> float:
        now = self._now()
        full = {at: charge.full() for at, charge in _charges(place, tier, method, params, now).items() if charge.waits}
        for offset, charge in full.items():
            place.write(offset, COUNTER.pack(charge.level, now))
        return max((charge.wait for charge in full.values()), default=_A_FEW_SECONDS)

    def _lock_out(self, place: MemoryState, seconds: float) -> None:
        now = self._now()
        if seconds > _locked_out(place, now):
            place.write(UNTIL_AT, UNTIL.pack(now + seconds))

    def _note(self, place: MemoryState, pair: str, ids: Iterable[str], time: float) -> None:
        for order in ids:
            number = stable_hash(order)
            offset = _order_at(number)
            slots = list(ORDER.iter_unpack(place.read(offset, PLACE_SIZE)))
            known = pair_hash(pair) if pair else next((its for noted, its, _ in slots if noted == number), None)
            if known is not None:
                kept = [slot for slot in slots if slot[0] != number][1 - PER_PLACE :]
                place.write(offset, b"".join(ORDER.pack(*slot) for slot in [*kept, (number, known, time)]))

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


def _charges(place: MemoryState, tier: Tier, method: str, params: Mapping[str, Any], now: float) -> dict[int, Charge]:
    """What a call adds to each counter it concerns, by the counter's place."""
    charges = {}
    if cost := rest_cost(method):
        level = level_now(*place.counter(REST_AT), tier.rest_decay, now)
        charges[REST_AT] = Charge(level, cost, tier.rest_max, tier.rest_decay)
    if concerns_engine(method):
        waits = waits_for_engine(method)
        for offset, points in _engine_costs(place, method, params, now).items():
            level = level_now(*place.counter(offset), tier.engine_decay, now)
            charges[offset] = Charge(level, points, tier.engine_max, tier.engine_decay, waits)
    return charges


def _engine_costs(place: MemoryState, method: str, params: Mapping[str, Any], now: float) -> dict[int, float]:
    """The cost for each place in the table of pairs, where two pairs may meet."""
    orders = {}
    for name in order_ids(method, params):
        number = stable_hash(name)
        for noted, pair, time in ORDER.iter_unpack(place.read(_order_at(number), PLACE_SIZE)):
            if noted == number:
                orders[name] = Order(pair, now - time)
    costs: dict[int, float] = {}
    for pair, cost in engine_cost(method, params, orders).items():
        offset = PAIRS_AT + pair % PAIRS * COUNTER.size
        costs[offset] = costs.get(offset, 0) + cost
    return costs


def _locked_out(place: MemoryState, now: float) -> float:
    """Seconds until the lockout ends; 0.0: there is none."""
    left = place.until() - now
    return left if 0.0 < left < _LONGEST_LOCKOUT + 1.0 else 0.0


def _order_at(number: int) -> int:
    return ORDERS_AT + number % ORDERS * PLACE_SIZE


def _after_fork_in_child() -> None:
    for limiter in list(_limiters):
        limiter._after_fork()


_limiters: weakref.WeakSet[Limiter] = weakref.WeakSet()
os.register_at_fork(after_in_child=_after_fork_in_child)
