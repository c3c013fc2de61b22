"""The demo's worker processes: started, followed, one of them killed and started again, and none left behind."""

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

_PATIENCE = 20.0  # seconds without a word from any worker after which the demo gives up


class _Worker:
    """One process and what it has reported."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        # The call goes to this machine, whatever proxy there is for others.
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
        except BrokenPipeError:  # it has ended, which its other pipe tells as well
            return

    def heard(self) -> list[str] | None:
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
        job: What each worker is told; ``calls`` is its own number of calls.
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
        self._started = 0.0  # when the first calls were let go

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
        """Do all calls, with one kill on the way.

        Raises:
            KrakenonceError: A worker ended before its work was done, or none has said anything for long.
        """
        for _ in range(self._size):
            self._hire(self._job)
        victim = self._workers[-1]
        while self._workers:
            events = self._selector.select(_PATIENCE)
            if not events:
                raise KrakenonceError(f"the workers have not reported anything for {_PATIENCE:g} s: run it again")
            for key, _ in events:
                self._listen(key.data)
            if not self.killed and victim.done >= self._job["calls"] // 2:
                self._replace(victim)

    def _hire(self, job: Mapping[str, Any]) -> None:
        worker = _Worker(job)
        self._workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]

    def _listen(self, worker: _Worker) -> None:
        lines = worker.heard()
        if lines is None:
            self._dismiss(worker)
            return
        if "ready" in lines:
            lines.remove("ready")
            worker.ready = True
            self._let_go(worker)
        worker.done += len(lines)
        self.reported.update(lines)
        self._advance(len(lines))
        self.seconds = time.monotonic() - self._started

    def _let_go(self, worker: _Worker) -> None:
        """Let all begin at once when the last of them is ready; later ones at once."""
        if self._started:
            worker.say("go")
        elif all(each.ready for each in self._workers):
            self._started = time.monotonic()
            for each in self._workers:
                each.say("go")

    def _replace(self, victim: _Worker) -> None:
        """Kill it in the middle of its calls, and have another do those that it has not reported."""
        victim.kill()
        self.killed += 1
        while victim in self._workers:
            self._listen(victim)
        self._hire({**self._job, "calls": self._job["calls"] - victim.done})

    def _dismiss(self, worker: _Worker) -> None:
        """It has closed its pipe: see that it has done all it was told, unless it was killed."""
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        code = worker.end()
        self._workers.remove(worker)
        if code and not worker.killed:
            raise KrakenonceError(f"a worker process ended with exit code {code}: run the demo again")
