"""Processes that are stopped, killed, and started again at once."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from .nursery import Nursery, Worker
from .telling import Listener, Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from .campaign import Trial
    from .nursery import Work

__all__ = ["Crew"]

_NEW_INTERPRETER = 64  # one start in so many
_UNBURIED = 16  # dead processes that need not be waited for yet

logging.getLogger("krakenonce").addHandler(logging.NullHandler())  # it warns of what is done to it here


class Crew:
    """Some processes, each with its own work, which goes on until the process is killed or leaves.

    Thousands of starts need cheap ones: most processes are forks of a :class:`~prove.nursery.Nursery`. One in
    sixty-four is a new interpreter, as a restart of a bot is.

    Args:
        trial: Where, how long, and by which chance.
        work: What each process does; another list counts from the next start.
        env: What is different in their environment.
    """

    def __init__(self, trial: Trial, work: Sequence[Work], env: Mapping[str, str] | None = None) -> None:
        self.starts = self.kills = self.stops = 0
        self.work = work
        self._rng = trial.rng
        self.listener = Listener(trial.directory / "alive")
        self._env = env
        self._workers: list[Worker | None] = []
        self._dying: deque[Worker] = deque()
        self._stopped: dict[int, float] = {}

    def __enter__(self) -> Self:
        self.listener.__enter__()
        self._nursery = Nursery(self.listener, self._env)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all()
        self._nursery.__exit__(kind, error, trace)
        self.listener.__exit__(kind, error, trace)

    @property
    def pids(self) -> list[int]:
        """The processes at work."""
        return [worker.pid for worker in self._workers if worker is not None]

    def start(self) -> None:
        """Start all, and wait until each has told something."""
        self._workers = [None] * len(self.work)
        for i in range(len(self._workers)):
            self._start(i)
        self.listener.until_told("some processes tell nothing", by=len(self._workers))

    def kill(self) -> None:
        """Kill one of them, stopped or not, and start it again; the same if it has left by itself."""
        i = self._rng.randrange(len(self._workers))
        self._kill(i)
        self._start(i)
        if len(self._dying) > _UNBURIED:
            self._bury()

    def stop(self, seconds: float) -> None:
        """Stop one of them, until :meth:`go_on` is called after that time."""
        i = self._rng.randrange(len(self._workers))
        worker = self._workers[i]
        if worker is not None and i not in self._stopped:
            os.kill(worker.pid, signal.SIGSTOP)
            self._stopped[i] = time.monotonic() + seconds
            self.stops += 1

    def go_on(self) -> None:
        """Let those go on whose time is up."""
        for i, end in list(self._stopped.items()):
            worker = self._workers[i]
            if worker is not None and time.monotonic() >= end:
                os.kill(worker.pid, signal.SIGCONT)
                del self._stopped[i]

    def disband(self) -> Told:
        """Kill all at once, wait until their forks are gone too, and return what was told.

        Raises:
            Broken: One of them failed, or does not end.
        """
        self._end_all()
        return self.listener.hear()

    def _start(self, i: int) -> None:
        seed = self._rng.getrandbits(32)
        if self._rng.randrange(_NEW_INTERPRETER):
            self._workers[i] = self._nursery.start(self.work[i], seed)
        else:
            self._workers[i] = Nursery(self.listener, self._env).become(self.work[i], seed)
        self.starts += 1

    def _kill(self, i: int) -> None:
        """Kill a process; the next one need not wait until it is gone."""
        worker, self._workers[i] = self._workers[i], None
        self._stopped.pop(i, None)
        if worker is not None:
            os.kill(worker.pid, signal.SIGKILL)
            self._dying.append(worker)

    def _bury(self) -> None:
        self.kills += os.WIFSIGNALED(self._dying[0].bury())
        self._dying.popleft()

    def _end_all(self) -> None:
        for i in range(len(self._workers)):
            self._kill(i)
        while self._dying:
            self._bury()
