"""Finds the states of keys and of accounts at a backend, and takes steps in them: locked, and with the state's time."""

from __future__ import annotations

import functools
import math
import os
import time
from typing import TYPE_CHECKING, TypeVar

from krakenonce.clock import SystemClock
from krakenonce.key.limits import stable_hash
from krakenonce.key.limits_state import REST_AT, State, is_open_for_sure
from krakenonce.key.naming import fingerprint
from krakenonce.key.state_time import Reading
from krakenonce.rule import in_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.protocol import RateCounters, RateLimits
    from krakenonce.clock import Clock


_T = TypeVar("_T")


class KeptStates:
    """The states that a backend keeps.

    Args:
        rate_limits: The rate limits of the backend.
        clock: For tests; default: the machine's clock.
    """

    def __init__(self, rate_limits: RateLimits, clock: Clock | None) -> None:
        self.exist = rate_limits.exist
        self._expect = getattr(rate_limits, "expect", None)
        self._beginning: Callable[[str, int], bytes | None] | None = getattr(rate_limits, "beginning", None)
        self._rate_limits = rate_limits
        self._clock: Clock = clock or SystemClock()
        self._names: dict[str, str] = {}  # the fingerprint of each key

    def name_of(self, key: str) -> str:
        """Return the name of a key's state."""
        return self._names.get(key) or self._names.setdefault(key, fingerprint(key))

    def expect(self, name: str, parts: list[tuple[int, int]]) -> None:
        """Say which parts of a state the next step will need besides the beginning. No I/O."""
        if self._expect is not None:
            self._expect(name, parts)

    def seconds(self) -> float:
        """Return the seconds since boot."""
        return self._clock.boot_ns() / 1e9

    def is_open_for_sure(self, name: str) -> bool:
        """Whether a state has no lockout, as far as can be seen without locking it. False: only a step can tell."""
        start = None if self._beginning is None else self._beginning(name, REST_AT)
        return start is not None and is_open_for_sure(start, self._read(_number(self._clock.boot_id())))

    def inside(self, name: str, step: Callable[[State], _T]) -> _T:
        """Take *step* with a state locked, and return what it returns. Raises NonceStoreError."""
        clock = _number(self._clock.boot_id())  # now and not with the lock: macOS asks another process for it
        begun = time.monotonic()

        def take(counters: RateCounters) -> _T:
            server_time = getattr(counters, "server_time", None)
            if server_time is not None:  # the hosts' own clocks may differ
                late = time.monotonic() - begun  # the server has told its time at any moment since then
                return step(State(counters, Reading(_SERVER, server_time, server_time), self._read(clock), late))
            return step(State(counters, self._read(clock)))

        return self._rate_limits.step(name, take)

    def _read(self, clock: int) -> Reading:
        wall_ns = self._clock.now_ns()
        return Reading(clock, self._clock.boot_ns() / 1e9, wall_ns / 1e9 if in_range(wall_ns) else math.nan)


_SERVER = stable_hash("the clock of the server that keeps the state")


@functools.cache
def _number(boot_id: str) -> int:
    """A number for a clock. If the boot is not known, it is one of this process and its forks alone."""
    return stable_hash(boot_id or os.urandom(16).hex())
