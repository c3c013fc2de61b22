"""What a key's own state has counted for the trading engine, carried over to its account's. No lock, no clock."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.key.counting import note_order, noted_at
from krakenonce.key.limits import level_now
from krakenonce.key.limits_state import COUNTER, PAIRS_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.key.limits_state import State


_AT_ONCE = 32  # entries that one step changes: a server takes only so many pages


class Counted(NamedTuple):
    """What a state has counted for the engine.

    Args:
        pairs: The level and the time of each counter that is in use, by its number.
        orders: The hashes of each order and of its pair, and when it was placed or amended.
    """

    pairs: dict[int, tuple[float, float]]
    orders: frozenset[tuple[int, int, float]]


NOTHING = Counted({}, frozenset())


def counted_in(state: State) -> Counted:
    """Return what a state has counted; no damage, such as NaN, which is never equal to itself."""
    pairs = {number: (level, at) for number, (level, at) in enumerate(state.pairs()) if level > 0 and at > 0}
    return Counted(pairs, frozenset(order for order in state.orders() if order[2] > 0))


def carry(counted: Counted, before: Counted, decay: float, now: float) -> list[Callable[[State], None]]:
    """Return steps for another state, after which it has counted the same in addition.

    Args:
        counted: What was counted in the first state.
        before: What of that is counted in the other state already.
        decay: How much the counters fall per second.
        now: The first state's time.
    """
    levels = {number: level_now(*counter, decay, now) for number, counter in counted.pairs.items()}
    for number, counter in before.pairs.items():
        levels[number] = levels.get(number, 0.0) - level_now(*counter, decay, now)
    pairs = [(number, level) for number, level in levels.items() if level > 0]
    orders = list(counted.orders - before.orders)
    steps: list[Callable[[State], None]] = []
    steps += [partial(_add, pairs[at : at + _AT_ONCE], decay) for at in range(0, len(pairs), _AT_ONCE)]
    steps += [partial(_note, orders[at : at + _AT_ONCE], now) for at in range(0, len(orders), _AT_ONCE)]
    return steps


def _add(pairs: Iterable[tuple[int, float]], decay: float, state: State) -> None:
    for number, more in pairs:
        offset = PAIRS_AT + number * COUNTER.size
        state.write(offset, COUNTER.pack(level_now(*state.counter(offset), decay, state.now) + more, state.now))


def _note(orders: Iterable[tuple[int, int, float]], then: float, state: State) -> None:
    for order, pair, time in orders:
        time_here = time + state.now - then
        if noted_at(state, order) < time_here:
            note_order(state, order, pair, time_here)
