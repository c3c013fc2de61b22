"""Kraken's rate limits as arithmetic: what a call costs, and how long it has to wait. No I/O, no clock.

Kraken keeps two kinds of counters, which rise by the cost of each call and fall by so much per second: the REST
counter of each API key, and the trading engine's counter of each pair. Kraken refuses a call that would raise one above
its maximum.

Here a counter is a level of the calls that were sent, and the time of that level. A call that asks takes a place behind
the calls that wait. It may be sent when the level, plus the cost of the calls before it and its own, has come down to
the maximum. It counts when it is sent; a call that stops waiting leaves its place to the calls behind it, and costs
nothing. Calls that protect an account (cancels, the dead man's switch) go before all that may not be sent yet. Levels
are kept a second's decay below the maximum, so that calls may arrive up to one second late, each by another delay, and
Kraken's own counter stays at or below the maximum.

The engine's rules, where Kraken's documents leave a choice:

- Pairs are compared by their names without "/" and case. Aliases (XXBTZUSD and XBTUSD) count as different pairs,
  so use one name for each pair.
- What depends on an order's age is counted by the age at the time of sending.
- An order counts as new from the moment it is sent to be placed under a ``cl_ord_id`` or to be amended.
- An order whose age is not known (not placed with krakenonce, or its entry overwritten) counts as old: only the
  fixed part is counted, and nothing at all if the pair is not known either.
- CancelAll and CancelAllOrdersAfter name no pair: nothing is counted for the engine.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.key.methods import METHODS, orders_in
from krakenonce.key.state_time import FAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


RESERVE = 1.0  # seconds a call may arrive after its time

_HIGHEST = 1e6  # a higher level is damage: no calls lead to it


class Tier(NamedTuple):
    """The limits of one of Kraken's verification tiers.

    Args:
        name: Kraken's name of the tier, in lower case.
        rest_max: Maximum of the REST counter.
        rest_decay: How much the REST counter falls per second.
        engine_max: Maximum of the engine's counter of each pair.
        engine_decay: How much the engine's counter falls per second.
    """

    name: str
    rest_max: float
    rest_decay: float
    engine_max: float
    engine_decay: float


TIERS = {
    tier.name: tier
    for tier in (
        Tier("starter", 15, 0.33, 60, 1.0),
        Tier("intermediate", 20, 0.5, 125, 2.34),
        Tier("pro", 20, 1.0, 180, 3.75),
    )
}


class Order(NamedTuple):
    """What is known about an order.

    Args:
        pair: The hash of its pair.
        age: Seconds since it was placed or last amended.
    """

    pair: int
    age: float


_AGES = (5, 10, 15, 45, 90, 300)  # seconds; Method.by_age has the cost of an order younger than each of these
_LARGEST_BATCH = 15  # orders in one AddOrderBatch


def engine_cost(method: str, params: Mapping[str, Any], orders: Mapping[str, Order]) -> dict[int, float]:
    """Return what a call adds to the engine's counters.

    Args:
        method: Kraken's name of the method.
        params: Its parameters.
        orders: What is known about the orders named in *params*, by their ids.

    Returns:
        The cost for each pair, by the pair's hash; only pairs that are known, only costs above 0.
    """
    its = METHODS[method]
    costs: dict[int, float] = {}
    for order in orders.values():
        costs[order.pair] = costs.get(order.pair, 0) + _age_cost(its.by_age, order.age)
    pair = _pair_of(params, orders.values())
    if pair is not None:
        costs[pair] = costs.get(pair, 0) + its.engine * (len(orders_in(method, params)) or _LARGEST_BATCH)
    return {pair: cost for pair, cost in costs.items() if cost}


def _age_cost(costs: Iterable[int], age: float) -> int:
    return next((cost for limit, cost in zip(_AGES, costs, strict=False) if age < limit), 0)


def _pair_of(params: Mapping[str, Any], orders: Iterable[Order]) -> int | None:
    """The pair named in the call, else that of its order."""
    named = params.get("pair")
    return pair_hash(str(named)) if named else next((order.pair for order in orders), None)


def stable_hash(text: str) -> int:
    """Return a 64-bit hash of *text*, which is the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def pair_hash(name: str) -> int:
    """Return a hash of a pair. Case and "/" make no difference, but aliases count as different pairs."""
    return stable_hash(name.replace("/", "").upper())


def level_now(level: float, at: float, decay: float, now: float) -> float:
    """Return how high a counter is.

    Args:
        level: How high it was.
        at: When that was, in seconds.
        decay: How much it falls per second.
        now: The present time, in seconds on the same clock.

    Returns:
        The level; 0.0 if *level* and *at* are damaged (NaN, negative, huge). If *at* is in the future, the counter has
        not fallen yet.
    """
    if not (0.0 <= level <= _HIGHEST and 0.0 <= at < FAR):
        return 0.0
    return max(0.0, level - decay * max(0.0, now - at))


class Charge(NamedTuple):
    """What a call adds to one counter.

    Args:
        level: How high the counter is.
        cost: What the call adds.
        maximum: What Kraken allows.
        decay: How much the counter falls per second.
        waits: Whether Kraken refuses the call above the maximum.
    """

    level: float
    cost: float
    maximum: float
    decay: float
    waits: bool = True

    def wait(self, ahead: float = 0.0) -> float:
        """Return the seconds for which this counter makes the call wait.

        Args:
            ahead: What the calls before this one will add.
        """
        level = self.level + ahead + self.cost
        return max(0.0, (level - self.maximum) / self.decay + RESERVE) if self.waits else 0.0

    def full(self) -> Charge:
        """Return the same for a counter that Kraken says is full."""
        return self._replace(level=max(self.level, self.maximum))
