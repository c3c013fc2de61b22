"""The demo's worker processes: starts them, reads their reports, kills one and starts it again, and ends them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


JOB = "KRAKENONCE_DEMO_JOB"  # the environment variable in which a worker gets its job: other users cannot read it
AGAIN = "again"  # the report of a call that will be tried again: nothing was sent
_TIMEOUT = 20.0  # seconds without a report from any worker after which the demo stops


class _Worker(threading.Thread):
    """A process, and the thread that reads its reports: it passes each one on, and an empty one at the end."""

    def __init__(self, job: Mapping[str, Any], reports: SimpleQueue[tuple[_Worker, str]]) -> None:
        super().__init__()
        self.job = job
        self.done = 0
        self.killed = False
        self._reports = reports
        self.process = subprocess.Popen(
            [sys.executable, "-m", "krakenonce.cli.demo_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # The calls stay on this machine, even if a proxy is configured.
            env=os.environ | {JOB: json.dumps(job), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            start_new_session=True,  # Ctrl-C is for the demo, which then ends its workers
        )

    def run(self) -> None:
        for line in self.process.stdout or ():
            self._reports.put((self, line.strip()))
        self._reports.put((self, ""))

    def let_call(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def kill(self) -> None:
        self.killed = True
        self.process.kill()

    def end(self) -> int:
        """Wait until process and thread have ended and return the exit code."""
        self.join()
        with self.process:
            return self.process.wait()


class Crew:
    """Worker processes, each with a job; the last of them is killed when half of its calls are done.

    Args:
        jobs: What each worker gets as its job; ``calls`` is how many calls it makes.
        advance: Called after each call.
    """

    def __init__(self, jobs: Sequence[Mapping[str, Any]], advance: Callable[[object], None]) -> None:
        self.reported: Counter[str] = Counter()
        self.killed = 0
        self.seconds = 0.0
        self._jobs, self._advance = jobs, advance
        self._reports: SimpleQueue[tuple[_Worker, str]] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._ready: list[_Worker] = []
        self._started = 0.0  # when the workers began to call

    def run(self) -> None:
        """Make all calls, and kill one worker in the middle.

        Raises:
            KrakenonceError: A worker ended before its work was done, or none has reported anything for long.
        """
        try:
            for job in self._jobs:
                self._start(job)
            victim = self._workers[-1]
            while self._workers:
                self._handle(*self._reports.get(timeout=_TIMEOUT))
                if not victim.killed and victim.done >= victim.job["calls"] // 2:
                    victim.kill()
        except Empty:
            problem = f"the demo's workers have not reported anything for {_TIMEOUT:g} s; run the demo again"
            raise KrakenonceError(problem) from None
        finally:
            for worker in self._workers:
                worker.kill()
            for worker in self._workers:
                worker.end()

    def _start(self, job: Mapping[str, Any]) -> None:
        worker = _Worker(job, self._reports)
        self._workers.append(worker)
        worker.start()

    def _handle(self, worker: _Worker, report: str) -> None:
        if not report:
            self._ended(worker)
        elif report == "ready":
            self._let_call(worker)
        elif report == AGAIN:
            self.reported[report] += 1
        else:
            worker.done += 1
            self.reported[report] += 1
            self._advance(report)
            self.seconds = time.monotonic() - self._started

    def _let_call(self, worker: _Worker) -> None:
        """Let all workers begin together when the last one is ready; a later worker begins at once."""
        self._ready.append(worker)
        if len(self._ready) < len(self._jobs):
            return
        self._started = self._started or time.monotonic()
        for each in self._ready:
            each.let_call()

    def _ended(self, worker: _Worker) -> None:
        """Check that it has made all its calls; if it was killed, let a new worker make those that are missing."""
        self._workers.remove(worker)
        code = worker.end()
        if worker.killed:
            self.killed += 1
            self._start({**worker.job, "calls": worker.job["calls"] - worker.done})
        elif code:
            raise KrakenonceError(f"a worker process ended with exit code {code}; run the demo again")
