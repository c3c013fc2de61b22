"""Processes whose wall clock is wrong, by libfaketime; their other clocks stay real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from krakenonce.clock import SystemClock
from krakenonce.rule import SECOND
from prove.campaign import NotHere
from prove.fork_server import ForkServer

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from prove.pipe import Listener

__all__ = ["HOUR", "WrongClock", "require_libfaketime"]

HOUR = 3600


class WrongClock:
    """A wall clock that is wrong by a given time, and a fork server whose workers have it.

    libfaketime reads the file at each look at the clock; the monotonic clock and the time since boot stay real.
    """

    def __init__(self, path: Path, listener: Listener, offset: float) -> None:
        self._path = path
        self.steps = -1
        self._two = (offset, offset)
        self.set(offset)
        self.fork_server = ForkServer(listener, _faking(path))

    def set(self, offset: float) -> None:
        """Let the clock be wrong by *offset* seconds from now on."""
        self.steps += 1
        self._path.with_suffix(".new").write_text(f"{offset:+.6f}\n")
        self._path.with_suffix(".new").replace(self._path)  # never seen half-written

    def stir(self, rng: random.Random) -> None:
        """Step, begin to strobe between two values, strobe, or leave it as it is."""
        chance = rng.random()
        if chance < 0.02:
            self._two = (_offset(rng), _offset(rng))
        elif chance < 0.04:
            self._two = (_offset(rng),) * 2
            self.set(self._two[0])
        if self._two[0] != self._two[1]:
            self.set(self._two[self.steps % 2])


def _faking(path: Path) -> dict[str, str]:
    """What preloads libfaketime and lets it follow *path*, for the wall clock alone."""
    from libfaketime import get_reload_information

    words: dict[str, str] = get_reload_information()[1]
    return {**words, "FAKETIME_TIMESTAMP_FILE": str(path), "NO_FAKE_STAT": "1"}


_LOOK = "import time; print(time.time_ns(), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))"


def require_libfaketime(directory: Path) -> None:
    """Raise NotHere unless the wall clock of a process can be an hour behind, and the others real."""
    path = directory / "clock-look"
    path.write_text(f"-{HOUR}\n")
    try:
        env = {**os.environ, **_faking(path)}
    except (ImportError, KeyError, RuntimeError) as error:
        raise NotHere("libfaketime is needed, for Linux: pip install -c constraints.txt --group dev") from error
    look = subprocess.run([sys.executable, "-c", _LOOK], env=env, capture_output=True, text=True, check=False)
    real = (time.time_ns() - HOUR * SECOND, time.monotonic_ns(), SystemClock.boot_ns())
    if not look.stdout or any(abs(int(a) - b) > 30 * SECOND for a, b in zip(look.stdout.split(), real, strict=True)):
        raise NotHere(f"libfaketime does not work on this machine: {look.stderr.strip() or look.stdout.strip()}")


def _offset(rng: random.Random) -> float:
    """How wrong a clock is: up to an hour, but not between one minute and two ahead."""
    return rng.choice(
        [
            0.0,
            -288.0,
            288.0,
            -float(HOUR),
            float(HOUR),
            rng.uniform(-HOUR, 0),
            rng.uniform(0, 60),
            rng.uniform(121, HOUR),
        ]
    )
