"""The steps on one key's rate-limit state: when a call may be sent, what was sent, what was refused. No lock, no clock.

:mod:`krakenonce.key.limiter` locks the state and passes the state's time in, in seconds. Slots in the state's
tables are found by hash. Two pairs with the same slot share a counter, so calls may wait longer than they have to. Of
orders with the same slot, the last four are kept.

A call with a key of an account with several keys takes two steps: one in the key's state, for the REST counter and the
lockout, and one in the account's, for the trading engine. In each it has a place, of which each step knows its half.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.key.cancels import note_cancel, why_not
from krakenonce.key.limits import RESERVE, Charge, Order, engine_cost, level_now, pair_hash, stable_hash
from krakenonce.key.limits_state import (
    CANCELS,
    CANCELS_AT,
    COUNTER,
    DUE,
    ORDER,
    ORDERS,
    ORDERS_AT,
    PAIRS,
    PAIRS_AT,
    PER_PLACE,
    PLACE_SIZE,
    REST_AT,
    URGENT,
    WAITING,
    Waiting,
)
from krakenonce.key.lockout import locked_out
from krakenonce.key.methods import METHODS, cancelled_in, ids_in, is_urgent, places_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krakenonce.key.limits import Tier
    from krakenonce.key.limits_state import State


LAPSE = 15.0  # seconds after which the place of a call that has not asked again is free: its process has ended
_AT_ONCE = 0.001  # a shorter wait, in seconds, counts as none
_HIGHEST_COST = 1e3  # more than this in an entry is damage
A_FEW_SECONDS = 5.0  # how long Kraken refuses calls, in its own words, if the counter is not known


@dataclass(slots=True, eq=False)
class Place:
    """One call's place in Kraken's rate limits: kept from its first request until it is sent or stops waiting.

    Args:
        key: The API key.
        tier: The key's limits. None: the call is not counted; only a lockout is checked.
        method: Kraken's name of the method.
        params: Its parameters.
        asked_at: When the call began to wait, in seconds since boot; NaN: with its first step.
        account: The name of the account's state, if it is a place there; empty: it is one in the key's state.
    """

    key: str = field(repr=False)
    tier: Tier | None
    method: str
    params: Mapping[str, Any] = field(repr=False)
    asked_at: float = math.nan
    account: str = ""
    waiting_id: int = field(default=0, init=False)  # among the calls that wait; 0: it does not wait
    counted: dict[int, Charge] = field(default_factory=dict, init=False)  # when it was sent
    sent_at: float = field(default=0.0, init=False)
    is_left: bool = field(default=False, init=False)  # its caller has stopped waiting, perhaps while it is being asked
    waited: float = field(default=0.0, init=False)  # seconds until the present step
    cancelled: str = field(default="", init=False)  # why it is not sent any more
    in_account: Place | None = field(default=None, init=False)  # its place in the account's state, if there is one

    def belongs_to(self, account: str) -> None:
        """Have a place in the account's state, too, and leave the trading engine to that. Empty: there is none."""
        if account != (self.in_account.account if self.in_account else ""):
            args = self.key, self.tier, self.method, self.params, self.asked_at
            self.in_account = Place(*args, account) if account else None

    @property
    def is_waiting(self) -> bool:
        """Whether it has a place among the calls that wait."""
        return bool(self.waiting_id or (self.in_account and self.in_account.waiting_id))


class Booking(NamedTuple):
    """When a call may be sent.

    Args:
        wait: Seconds until the call may be sent; 0.0: at once.
        locked_out: Seconds until the key's lockout ends; 0.0: there is none. During a lockout no place is kept, and
            *wait* is the same.
    """

    wait: float
    locked_out: float


class Levels(NamedTuple):
    """How high a key's rate counters are.

    Args:
        rest: The REST counter.
        engine: The trading engine's counter of the pair whose counter is the highest.
    """

    rest: float
    engine: float


def ask(state: State, place: Place, longest: float, now: float, *, send: bool = False) -> Booking:
    """Return how long the call has to wait, and keep its place; if that is longer than *longest*, keep none.

    With *send*, a call that need not wait is sent now: it is counted at once, and no place is kept.
    """
    closed = locked_out(state, now)
    if closed or _is_cancelled(state, place, now):
        leave(state, place, now)
        return Booking(closed, closed)
    charges = _charges(state, place, now)
    if not charges:
        _count(state, place, charges, now) if send else leave(state, place, now)
        return Booking(0.0, 0.0)
    how = URGENT if is_urgent(place.method, place.params) else 0
    others, before = _queue(state, place, how, now)
    ahead: dict[int, float] = {}
    for index, entry in enumerate(others):
        if index < before or entry.how & DUE:
            ahead[entry.counter] = ahead.get(entry.counter, 0.0) + entry.cost
    wait = max(charge.wait(ahead.get(counter, 0.0)) for counter, charge in charges.items())
    if wait < _AT_ONCE:
        if send:
            _count(state, place, charges, now)
            return Booking(0.0, 0.0)
        wait, how = 0.0, how | DUE
    if wait > longest or len(others) + len(charges) > WAITING:
        leave(state, place, now)
        return Booking(max(wait, RESERVE), 0.0)
    place.waiting_id = place.waiting_id or int.from_bytes(os.urandom(8), "little")
    kept = [Waiting(place.waiting_id, now, counter, how, charge.cost) for counter, charge in charges.items()]
    state.keep_waiting([*others[:before], *kept, *others[before:]])
    return Booking(wait, 0.0)


def send(state: State, place: Place, now: float) -> float:
    """Count a call that is sent now; return 0.0. In a lockout count nothing and return the seconds until its end.

    Nor is an order counted that was cancelled: then its place says so.
    """
    closed = locked_out(state, now)
    if closed or _is_cancelled(state, place, now):
        leave(state, place, now)
    else:
        _count(state, place, _charges(state, place, now), now)
    return closed


def leave(state: State, place: Place, now: float) -> None:
    """Release a place; the calls behind it move up."""
    if place.waiting_id:
        state.keep_waiting([entry for entry in _alive(state, now) if entry.call_id != place.waiting_id])
        place.waiting_id = 0


def not_sent(state: State, place: Place, now: float) -> None:
    """Take back what :func:`send` has counted, less what has decayed since."""
    for counter, charge in place.counted.items():
        level = level_now(*state.counter(counter), charge.decay, now)
        back = max(0.0, charge.cost - charge.decay * (now - place.sent_at))
        state.write(counter, COUNTER.pack(max(0.0, level - back), now))
    place.counted = {}


def refused(state: State, place: Place, now: float) -> float:
    """Fill the counters that the call concerns; return the seconds until they allow the call, 0.0 if there are none."""
    full = {at: charge.full() for at, charge in _charges(state, place, now).items() if charge.waits}
    for counter, charge in full.items():
        state.write(counter, COUNTER.pack(charge.level, now))
    return max((charge.wait() for charge in full.values()), default=0.0)


def levels(state: State, tier: Tier, now: float) -> Levels:
    """Return how high the rate counters are. Only calls that were sent are counted."""
    engine = [level_now(level, at, tier.engine_decay, now) for level, at in state.pairs()]
    return Levels(level_now(*state.counter(REST_AT), tier.rest_decay, now), max(engine, default=0.0))


def parts(place: Place) -> list[tuple[int, int]]:
    """Return which parts of the state a call is known to need besides its beginning: where, and how many bytes."""
    its, pair = METHODS[place.method], place.params.get("pair")
    ids = ids_in(place.method, place.params) if its.by_age or its.renews else []
    pairs = [_pair_at(pair_hash(str(pair)))] if pair and (its.engine or its.by_age) else []
    cancels = places_orders(place.method, place.params) or cancelled_in(place.method, place.params)
    at_once = [(CANCELS_AT, CANCELS.size)] if cancels else []
    return [*((at, COUNTER.size) for at in pairs), *at_once, *parts_of_orders(ids)]


def parts_of_orders(ids: Iterable[str]) -> list[tuple[int, int]]:
    """Return where orders are noted, and how many bytes that are."""
    return [(_order_at(stable_hash(order)), PLACE_SIZE) for order in ids]


def part_of_account(place: Place) -> Place | None:
    """Return the call's place in its account's state, if there is such a state and the call concerns it."""
    if place.in_account is None:
        return None
    its = METHODS[place.method]
    counts = place.tier is not None and (its.engine or its.by_age)
    concerns = counts or cancelled_in(place.method, place.params) or places_orders(place.method, place.params)
    return place.in_account if concerns else None


def note(state: State, pair: str, ids: Iterable[str], time: float) -> None:
    """Note that orders were placed or amended at *time*. An empty *pair* is the one noted before, if any."""
    for order in ids:
        note_order(state, stable_hash(order), pair_hash(pair) if pair else None, time)


def note_order(state: State, order: int, pair: int | None, time: float) -> None:
    """Note the same of one order, by the hashes of its id and of its pair."""
    offset = _order_at(order)
    slots = list(ORDER.iter_unpack(state.read(offset, PLACE_SIZE)))
    known = pair if pair is not None else next((its for noted, its, _ in slots if noted == order), None)
    if known is not None:
        kept = [slot for slot in slots if slot[0] != order][1 - PER_PLACE :]
        state.write(offset, b"".join(ORDER.pack(*slot) for slot in [*kept, (order, known, time)]))


def noted_at(state: State, order: int) -> float:
    """Return when an order was placed or amended, by the hash of its id; 0.0: not known."""
    slots = ORDER.iter_unpack(state.read(_order_at(order), PLACE_SIZE))
    return max((time for noted, _, time in slots if noted == order), default=0.0)


def _is_cancelled(state: State, place: Place, now: float) -> bool:
    if place.in_account is None:
        place.cancelled = why_not(state, place.method, place.params, place.waited, now)
    return bool(place.cancelled)


def _count(state: State, place: Place, charges: dict[int, Charge], now: float) -> None:
    place.counted, place.sent_at = charges, now
    for counter, charge in charges.items():
        state.write(counter, COUNTER.pack(charge.level + charge.cost, now))
    if place.in_account is None:
        _note(state, place, now)
    leave(state, place, now)


def _note(state: State, place: Place, now: float) -> None:
    """Note what a call that is sent means for the orders that it names."""
    if place.tier is not None and METHODS[place.method].renews:
        # a cancel before the answer costs as much as that of a new order
        note(state, str(place.params.get("pair") or ""), ids_in(place.method, place.params), now + RESERVE)
    if cancelled := cancelled_in(place.method, place.params):
        note_cancel(state, cancelled, place.waited, now)


def _queue(state: State, place: Place, how: int, now: float) -> tuple[list[Waiting], int]:
    """Return the other calls that wait, and how many of them are before this one: urgent ones first."""
    queue = _alive(state, now)
    if not queue:
        return queue, 0
    others = [entry for entry in queue if entry.call_id != place.waiting_id]
    if len(others) < len(queue):  # it has a place already
        return others, next(index for index, entry in enumerate(queue) if entry.call_id == place.waiting_id)
    return others, sum(entry.how & URGENT for entry in others) if how else len(others)


def _alive(state: State, now: float) -> list[Waiting]:
    waiting = state.waiting()
    return [each for each in waiting if -1.0 < now - each.seen < LAPSE and 0.0 < each.cost < _HIGHEST_COST]


def _charges(state: State, place: Place, now: float) -> dict[int, Charge]:
    """What a call adds to each counter that it concerns, by the counter's offset."""
    charges: dict[int, Charge] = {}
    its, tier = METHODS[place.method], place.tier
    if tier is None:
        return charges
    if its.rest and not place.account:
        level = level_now(*state.counter(REST_AT), tier.rest_decay, now)
        charges[REST_AT] = Charge(level, its.rest, tier.rest_max, tier.rest_decay)
    if place.in_account is None and (its.engine or its.by_age):
        for offset, points in _engine_costs(state, place.method, place.params, now).items():
            level = level_now(*state.counter(offset), tier.engine_decay, now)
            charges[offset] = Charge(level, points, tier.engine_max, tier.engine_decay, its.waits)
    return charges


def _engine_costs(state: State, method: str, params: Mapping[str, Any], now: float) -> dict[int, float]:
    """The cost for each slot in the table of pairs. Two pairs may have the same slot."""
    orders = {}
    for name in ids_in(method, params) if METHODS[method].by_age else ():
        hashed = stable_hash(name)
        for noted, pair, time in ORDER.iter_unpack(state.read(_order_at(hashed), PLACE_SIZE)):
            if noted == hashed:
                orders[name] = Order(pair, now - time)
    costs: dict[int, float] = {}
    for pair, cost in engine_cost(method, params, orders).items():
        offset = _pair_at(pair)
        costs[offset] = costs.get(offset, 0) + cost
    return costs


def _pair_at(hashed: int) -> int:
    return PAIRS_AT + hashed % PAIRS * COUNTER.size


def _order_at(hashed: int) -> int:
    return ORDERS_AT + hashed % ORDERS * PLACE_SIZE
