"""In which unit a nonce counts, by its size. No I/O."""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """A way of counting.

    Args:
        name: What it counts.
        per_second: How many of them a second has.
        before: Seconds before 1970 at which it begins.
        used_by: Which tools count so.
    """

    name: str
    per_second: float
    before: float = 0.0
    used_by: str = ""

    def at(self, now: float) -> float:
        """Return its nonce at a time in seconds since 1970."""
        return (now + self.before) * self.per_second


UNITS = (
    Unit("seconds", 1.0, used_by="hand-written scripts"),
    Unit("milliseconds", 1e3, used_by="krakenex, ccxt and most others"),
    Unit("microseconds", 1e6, used_by="some Ruby and Go clients"),
    Unit("tens of nanoseconds", 1e8, used_by="python-kraken-sdk"),
    Unit("ticks of .NET", 1e7, 62_135_596_800.0, used_by=".NET clients"),
    Unit("nanoseconds", 1e9, used_by="krakenonce, and Kraken's own SDK and command line"),
    Unit("microseconds times 1024", 1.024e9, used_by="some bots"),
)
NANOSECONDS = UNITS[5]
_LITTLE = 1e-6  # of the nonce: half an hour
_NEAR = 0.01  # of the nonce: a clock may be wrong by months


def unit_of(nonce: int, now: float) -> Unit | None:
    """Return the unit in which a nonce counts; None: its size fits none that is known."""
    fits = [unit for unit in UNITS if abs(nonce / unit.at(now) - 1.0) < _NEAR]
    return min(fits, key=lambda unit: abs(nonce / unit.at(now) - 1.0), default=None)


def units_between(low: int, high: int, now: float) -> list[Unit]:
    """Return the units whose nonces at a time are between *low*, by half an hour at least, and *high*."""
    return [unit for unit in UNITS if low * (1 + _LITTLE) < unit.at(now) <= high * (1 + _LITTLE)]
