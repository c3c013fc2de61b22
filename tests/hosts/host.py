"""A process that stands for a host: with a clock and a boot id of its own, it does what its test tells it.

Arguments: how many seconds its clock is ahead, and for how long it may be paused (0.0: the default).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from krakenonce import NonceManager
from krakenonce.clock import SystemClock
from krakenonce.errors import KrakenonceError
from krakenonce.key.limiter import Limiter
from tests.hosts.engines import open_state

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Bytes, RateCounters
    from krakenonce.key.lane import Lane


class HostClock(SystemClock):
    """The clock of another host."""

    def __init__(self, ahead: float) -> None:
        self._ahead_ns = round(ahead * 1e9)

    def now_ns(self) -> int:
        """The wall clock."""
        return time.time_ns() + self._ahead_ns

    def boot_id(self) -> str:  # type: ignore[override]
        """Which boot it is: another one for each host."""
        return f"host {self._ahead_ns}"


class Host:
    """What it can do."""

    def __init__(self, ahead: float, pause: float) -> None:
        clock = HostClock(ahead)
        self.manager = NonceManager(open_state(clock, pause or None), clock=clock)
        self.limiter = Limiter(self.manager.store.rate_limits, clock=clock)
        self.lane: Lane | None = None

    def enter(self, key: str) -> str:
        """Wait for the turn."""
        self.lane = self.manager.lane(key)
        self.lane.acquire()
        return "entered"

    def leave(self) -> str:
        """Release it."""
        assert self.lane
        self.lane.release()
        return "left"

    def nonce(self, key: str) -> str:
        """Take a nonce of a key."""
        return str(self.manager.next_for(key))

    def take(self, count: str) -> str:
        """Take some of the common counter."""
        return " ".join(str(self.manager.next()) for _ in range(int(count)))

    def turns(self, count: str, path: str) -> str:
        """Take turns, each with a nonce, and append a line to a file in each; a lost turn is tried again."""
        while int(count) > len(self._mine(path)):
            with contextlib.suppress(KrakenonceError), self.manager.lane("key"):
                nonce = self.manager.next_for("key")
                with open(path, "ab", buffering=0) as file:
                    file.write(b"%d %d\n" % (os.getpid(), nonce))
        return "done"

    def load(self, count: str, path: str) -> str:
        """Take turns, each with a nonce; append to a file when it was asked for, the nonce, and when it was there."""
        for _ in range(int(count)):
            while not self._logged(path):
                pass
        return "done"

    def _logged(self, path: str) -> bool:
        asked = time.monotonic_ns()
        try:
            with self.manager.lane("key"):
                nonce = self.manager.next_for("key")
        except KrakenonceError:
            return False
        with open(path, "ab", buffering=0) as file:
            file.write(b"%d %d %d\n" % (asked, nonce, time.monotonic_ns()))
        return True

    def _mine(self, path: str) -> list[bytes]:
        with open(path, "rb") as file:
            return [line for line in file if line.startswith(b"%d " % os.getpid())]

    def fork(self) -> str:
        """Make a child that does nothing, and holds what it has inherited; answer when it is running."""
        reading, writing = os.pipe()
        if child := os.fork():
            os.read(reading, 1)
            return str(child)
        os.write(writing, b"x")
        signal.pause()
        return ""

    def stop_in_step(self, key: str) -> str:
        """Stop in the middle of a step of the sent calls, and then write."""

        def step(kept: Bytes) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)
            kept.write(0, b"late")

        self.manager.store.sent_calls.step(key, step)
        return "written"

    def stop_in_limits(self, key: str) -> str:
        """Stop in the middle of a rate limit's step, the first time that it is taken, and then write after the rest."""
        taken: list[bytes] = []

        def step(counters: RateCounters) -> None:
            taken.append(counters.read(0, 99))
            if len(taken) == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            counters.write(0, taken[-1] + b"late")

        self.manager.store.rate_limits.step(key, step)
        return f"taken {len(taken)}"

    def lock_out(self, key: str) -> str:
        """Note a lockout of 900 seconds."""
        self.limiter.lock_out(key, 900.0)
        return "noted"

    def locked_out(self, key: str) -> str:
        """How long it lasts."""
        return str(round(self.limiter.locked_out(key)))


def main() -> None:
    """Answer each line of the standard input by one."""
    host = Host(float(sys.argv[1]), float(sys.argv[2]))
    for line in sys.stdin:
        what, *words = line.split()
        try:
            answer = getattr(host, what)(*words)
        except KrakenonceError as error:
            answer = f"{type(error).__name__}: {error}"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
