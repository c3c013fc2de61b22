"""Workers, forked cheaply by a process that has imported krakenonce and never used a manager."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import random
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from prove.pipe import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from prove.pipe import Listener

    Work = Callable[[Reporter, random.Random], None]

__all__ = ["ForkServer", "Worker"]

_ROOT = Path(__file__).parent.parent


class Worker(NamedTuple):
    """A process at work, which is ours to kill until it is reaped.

    Args:
        pid: Its process id; no other process has it before it is reaped.
        reap: Waits for its end, and returns its status as ``os.waitpid`` gives it.
    """

    pid: int
    reap: Callable[[], int]


class ForkServer:
    """A new interpreter that forks workers; a start takes a millisecond or two.

    Args:
        listener: What they report to.
        env: What is different in their environment: preloaded libraries count for all of them.
    """

    def __init__(self, listener: Listener, env: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "prove.fork_server", str(listener.pipe), str(listener.alive)],
            pass_fds=[listener.pipe],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, **(env or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, work: Work, seed: int) -> Worker:
        """Fork a worker."""
        pid = self._ask("fork", work, seed)
        return Worker(pid, lambda: self._ask("reap", pid))

    def become(self, work: Work, seed: int) -> Worker:
        """Make the interpreter itself a worker, as if it had been started for that alone; it forks nothing then."""
        self._say("become", work, seed)
        return Worker(self._process.pid, self._end)

    def _end(self) -> int:
        self._process.communicate()
        code = self._process.returncode
        return -code if code < 0 else code << 8

    def _say(self, *words: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        pickle.dump(words, self._process.stdin)
        self._process.stdin.flush()

    def _ask(self, *words: object) -> int:
        self._say(*words)
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        return int(self._process.stdout.readline())


def _serve(pipe: int, alive: Path) -> None:
    while True:
        try:
            what, *words = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the campaign alone
        except EOFError:
            return
        if what == "reap":
            print(os.waitpid(words[0], 0)[1], flush=True)
            continue
        pid = os.fork() if what == "fork" else 0
        if not pid:
            _live(pipe, alive, *words)
        print(pid, flush=True)


def _live(pipe: int, alive: Path, work: Work, seed: int) -> NoReturn:
    """Do the work of a process; what goes wrong is reported."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):  # a fork that hangs must not keep the fork server's pipes open
        os.dup2(nothing, fd)
    os.nice(10)  # the campaign, which kills and starts, goes first
    fcntl.flock(os.open(alive, os.O_RDONLY), fcntl.LOCK_SH)  # until this process and all its forks are gone
    reporter = Reporter(pipe)
    try:
        work(reporter, random.Random(seed))
    except BaseException:
        reporter.note("failed", traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    import krakenonce.manager  # noqa: F401 - so that no worker has to
    import prove.kills
    import prove.stops  # noqa: F401 - the same

    logging.disable()
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
