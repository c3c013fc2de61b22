"""Processes that are stopped, killed, and started again at once."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from prove.campaign import Broken
from prove.fork_server import ForkServer, Worker
from prove.pipe import Listener, Reported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from prove.campaign import Trial
    from prove.fork_server import Work

__all__ = ["Crew"]

_NEW_INTERPRETER = 64  # one start in so many
_UNREAPED = 16  # dead processes that need not be waited for yet

logging.getLogger("krakenonce").addHandler(logging.NullHandler())  # it warns of what is done to it here


class Crew:
    """Some processes, each with its own work, which continues until the process is killed or exits.

    Thousands of starts need cheap ones: most processes are forks of a :class:`~prove.fork_server.ForkServer`. One in
    sixty-four is a new interpreter, as a restart of a bot is.

    Args:
        trial: Where, how long, and with which random choices.
        work: What each process does; another list counts from the next start.
        env: What is different in their environment.
    """

    def __init__(self, trial: Trial, work: Sequence[Work], env: Mapping[str, str] | None = None) -> None:
        self.starts = self.kills = self.stops = 0
        self.work = work
        self.listener = Listener(trial.directory / "alive")
        self._rng = trial.rng
        self._env = env
        self._running = contextlib.ExitStack()
        self._workers: list[Worker | None] = []
        self._dying: deque[Worker] = deque()
        self._stopped: dict[int, float] = {}
        self._crash = ""

    def __enter__(self) -> Self:
        self._running.enter_context(self.listener)
        self._fork_server = self._running.enter_context(ForkServer(self.listener, self._env))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all()
        self._running.close()

    @property
    def pids(self) -> list[int]:
        """The processes at work."""
        return [worker.pid for worker in self._workers if worker is not None]

    def start(self) -> None:
        """Start all, and wait until each has reported something."""
        self._workers = [None] * len(self.work)
        for i in range(len(self._workers)):
            self._start(i)
        self._see_all()

    def kill(self) -> None:
        """Kill one of them, stopped or not, and start it again; also if it has exited by itself."""
        i = self._rng.randrange(len(self._workers))
        self._kill(i)
        self._start(i)
        if len(self._dying) > _UNREAPED:
            self._reap()
        self._check_crashes()

    def stop(self, seconds: float) -> None:
        """Stop one of them, until :meth:`go_on` is called after that time."""
        i = self._rng.randrange(len(self._workers))
        worker = self._workers[i]
        if worker is not None and i not in self._stopped:
            os.kill(worker.pid, signal.SIGSTOP)
            self._stopped[i] = time.monotonic() + seconds
            self.stops += 1

    def go_on(self, *, all_at_once: bool = False) -> None:
        """Continue those whose time is up."""
        for i, end in list(self._stopped.items()):
            worker = self._workers[i]
            if worker is not None and (all_at_once or time.monotonic() >= end):
                os.kill(worker.pid, signal.SIGCONT)
                del self._stopped[i]

    def kill_all(self) -> Reported:
        """See that all are at work, kill them, wait until their forks are gone too, and return what was reported.

        Raises:
            Broken: One of them failed, crashed, hangs, or does not end.
        """
        self.go_on(all_at_once=True)
        self._see_all()
        self._end_all()
        self._check_crashes()
        return self.listener.hear()

    def _see_all(self) -> None:
        """Wait until each has reported something."""
        try:
            self.listener.until_all_report(self.pids)
        except Broken:
            self._end_all()  # one that has crashed does not hang
            self._check_crashes()
            raise

    def _check_crashes(self) -> None:
        if self._crash:
            raise Broken(self._crash)

    def _start(self, i: int) -> None:
        seed = self._rng.getrandbits(32)
        if self._rng.randrange(_NEW_INTERPRETER):
            self._workers[i] = self._fork_server.start(self.work[i], seed)
        else:
            self._workers[i] = ForkServer(self.listener, self._env).become(self.work[i], seed)
        self.starts += 1

    def _kill(self, i: int) -> None:
        """Kill a process; the next one need not wait until it is gone."""
        worker, self._workers[i] = self._workers[i], None
        self._stopped.pop(i, None)
        if worker is not None:
            os.kill(worker.pid, signal.SIGKILL)
            self._dying.append(worker)

    def _reap(self) -> None:
        """Wait for the end of one that was killed, or had exited before."""
        status = self._dying[0].reap()
        self._dying.popleft()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            self._crash = f"a process has crashed: {signal.Signals(os.WTERMSIG(status)).name}"
        self.kills += os.WIFSIGNALED(status)

    def _end_all(self) -> None:
        for i in range(len(self._workers)):
            self._kill(i)
        while self._dying:
            self._reap()
