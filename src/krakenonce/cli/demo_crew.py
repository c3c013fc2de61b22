"""The demo's worker processes: starts them, reads their reports, kills one and starts it again, and ends them all."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Crew"]

_TIMEOUT = 20.0  # seconds without a report from any worker after which the demo stops


class _Worker:
    """One process and what it has reported."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        # The calls stay on this machine, even if a proxy is configured.
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self.job = job
        self.done = 0
        self.ready = self.killed = False
        self._cut = b""  # the beginning of a line whose end has not come yet
        self.process = subprocess.Popen(
            [sys.executable, "-m", "krakenonce.cli.demo_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends its workers
        )
        self.say(json.dumps(job))

    def say(self, line: str) -> None:
        if self.process.stdin is None:
            return
        try:
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended, which its other pipe shows as well
            return

    def read(self) -> list[str] | None:
        """Return the lines that have come; None when there will be no more."""
        if self.process.stdout is None:
            return None
        data = os.read(self.process.stdout.fileno(), 65536)
        *lines, self._cut = (self._cut + data).split(b"\n")
        return [line.decode() for line in lines] if data else None

    def kill(self) -> None:
        self.killed = True
        self.process.kill()

    def end(self) -> int:
        """Wait until it has ended and return its exit code."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        return self.process.wait()


class Crew:
    """Worker processes that share the calls of one job; the last of them is killed when half of its calls are done.

    Args:
        job: What each worker gets as its job; ``calls`` is how many calls it makes.
        size: How many processes.
        advance: Called with the number of calls that were finished since the last time.
    """

    def __init__(self, job: Mapping[str, Any], size: int, advance: Callable[[int], None]) -> None:
        self.reported: Counter[str] = Counter()
        self.killed = 0
        self.seconds = 0.0
        self._job, self._size, self._advance = job, size, advance
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._started = 0.0  # when the workers began to call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()
        self._selector.close()

    def run(self) -> None:
        """Make all calls, and kill one worker in the middle.

        Raises:
            KrakenonceError: A worker ended before its work was done, or none has reported anything for long.
        """
        for _ in range(self._size):
            self._start(self._job)
        victim = self._workers[-1]
        while self._workers:
            events = self._selector.select(_TIMEOUT)
            if not events:
                raise KrakenonceError(
                    f"the demo's workers have not reported anything for {_TIMEOUT:g} s; run the demo again"
                )
            for key, _ in events:
                self._read(key.data)
            if not self.killed and victim.done >= self._job["calls"] // 2:
                self._replace(victim)

    def _start(self, job: Mapping[str, Any]) -> None:
        worker = _Worker(job)
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]

    def _read(self, worker: _Worker) -> None:
        lines = worker.read()
        if lines is None:
            self._ended(worker)
            return
        if "ready" in lines:
            lines.remove("ready")
            worker.ready = True
            self._let_call(worker)
        worker.done += len(lines)
        self.reported.update(lines)
        self._advance(len(lines))
        self.seconds = time.monotonic() - self._started

    def _let_call(self, worker: _Worker) -> None:
        """Let all workers begin together when the last one is ready; a later worker begins at once."""
        if self._started:
            worker.say("go")
        elif all(each.ready for each in self._workers):
            self._started = time.monotonic()
            for each in self._workers:
                each.say("go")

    def _replace(self, victim: _Worker) -> None:
        """Kill it in the middle of its calls, and let a new worker make the calls that it has not reported."""
        victim.kill()
        self.killed += 1
        while victim in self._workers:
            self._read(victim)
        self._start({**self._job, "calls": self._job["calls"] - victim.done})

    def _ended(self, worker: _Worker) -> None:
        """It has closed its pipe: check that it has made all its calls, unless it was killed."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        code = worker.end()
        self._workers.remove(worker)
        if code and not worker.killed:
            raise KrakenonceError(f"a worker process ended with exit code {code}; run the demo again")
