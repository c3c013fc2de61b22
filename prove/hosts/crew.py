"""The processes of all hosts, and what is done to each of them."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prove.campaign import Broken
from prove.hosts.worker import POINTS, WAYS, work

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from prove.fork_server import ForkServer, Worker
    from prove.hosts.worker import Maker, Spec
    from prove.pipe import Listener

__all__ = ["ALL", "HOSTS", "Crew", "Fault"]

HOSTS = 3
ALL = range(HOSTS * len(WAYS))


class Fault(NamedTuple):
    """What was done to some processes, and from when to when, by the monotonic clock in nanoseconds."""

    what: str
    whom: tuple[int, ...]
    began: int
    ended: int


class Crew:
    """All of them.

    Args:
        fork_server: Where they are started.
        listener: What they report to.
        specs: What they are to do.
        maker: Makes their managers.
        rng: For their seeds.
    """

    def __init__(
        self, fork_server: ForkServer, listener: Listener, specs: Sequence[Spec], maker: Maker, rng: random.Random
    ) -> None:
        self.faults: list[Fault] = []
        self.starts = 0
        self._fork_server = fork_server
        self._listener = listener
        self._specs = specs
        self._maker = maker
        self._rng = rng
        self._workers: dict[int, Worker] = {}

    def start_all(self) -> None:
        """Start all."""
        for spec in self._specs:
            self.start(spec.number)

    def start(self, number: int) -> None:
        """Start a process."""
        doing = partial(work, self._specs[number], self._maker)
        self._workers[number] = self._fork_server.start(doing, self._rng.getrandbits(32))
        self.starts += 1

    def number_of(self, pid: int) -> int | None:
        """Which process has this id; None: it has ended."""
        return next((number for number, worker in self._workers.items() if worker.pid == pid), None)

    def kill(self, number: int) -> None:
        """Kill a process, and start it again."""
        began = time.monotonic_ns()
        self._end(number)
        self.note("killed", (number,), began)
        self.start(number)

    def kill_all(self) -> None:
        """Kill all, for good."""
        for number in list(self._workers):
            self._end(number)

    def stop(self, number: int) -> None:
        """Stop a process."""
        os.kill(self._workers[number].pid, signal.SIGSTOP)

    def go_on(self, number: int) -> None:
        """Continue it, and do not let it stop itself any more."""
        self.tell(number)
        os.kill(self._workers[number].pid, signal.SIGCONT)

    def tell(self, number: int, point: str = "") -> None:
        """Tell a process at which point to stop itself; at none if there is none."""
        for each in POINTS:
            self._specs[number].stop_file(each).unlink(missing_ok=True)
        if point:
            self._specs[number].stop_file(point).touch()

    def has_stopped(self, number: int) -> bool:
        """Whether it is stopped."""
        stat = Path(f"/proc/{self._workers[number].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def note(self, what: str, whom: Iterable[int], began: int) -> None:
        """Note a fault that has ended now."""
        self.faults.append(Fault(what, tuple(whom), began, time.monotonic_ns()))

    def all_go_on(self) -> bool:
        """Whether all get a call accepted that they make now."""
        try:
            self._listener.until_reported("", "accepted", len(self._specs))
        except Broken:
            return False
        return True

    def _end(self, number: int) -> None:
        worker = self._workers.pop(number)
        os.kill(worker.pid, signal.SIGKILL)
        worker.reap()
        self.tell(number)
