"""The programs under test, as processes that are surely ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "runtimes" / "programs"
BOTS = Path(sys.prefix) / "bots" / "bin"  # an environment of their own: they need other versions than we do
PATIENCE = 20.0  # seconds until a program that must end, or a condition that must come true, counts as broken


def until(condition: Callable[[], Any], what: Callable[[], str], patience: float = PATIENCE) -> Any:
    """Wait until *condition* returns something true, and return that. *what* describes the failure."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)
    return found


class Program:
    """A running program, with all the processes that it starts; what they print goes to one file."""

    def __init__(self, words: list[str], env: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                words, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self) -> str:
        """What it has printed until now."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def ended(self) -> int:
        """Wait until it has ended, and return its exit code."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {PATIENCE:g} s; it printed:\n{self.printed[-3000:]}") from None

    def wait(self) -> str:
        """Wait until it has ended well, and return what it printed."""
        code = self.ended()
        assert code == 0, f"it ended with {code}; it printed:\n{self.printed[-3000:]}"
        return self.printed

    def result(self) -> Any:
        """Wait until it has ended well, and return its last line of JSON; what it logs at its end may follow."""
        return json.loads(next(line for line in reversed(self.wait().splitlines()) if line[:1] in '{["0123456789tfn'))

    def until_printed(self, find: Callable[[str], Any]) -> Any:
        """Wait until *find* finds something in what it has printed, and return that."""

        def look() -> Any:
            assert self._process.poll() is None, f"it has ended; it printed:\n{self.printed[-3000:]}"
            return find(self.printed)

        return until(look, lambda: f"it has printed only:\n{self.printed[-3000:]}")

    def stop(self) -> str:
        """Ask it to end, as a supervisor does, wait until it has, and return what it printed."""
        self._process.terminate()
        self.ended()
        return self.printed

    def close(self) -> None:
        """End it and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Programs:
    """Starts programs of ``tests/runtimes/programs`` and others in one environment."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._started: list[Program] = []

    def start(self, *words: str, **env: str) -> Program:
        """Start a program of the environment that the tests run in: ``start("uwsgi", "--master")``."""
        program = Path(sys.executable).with_name(words[0])
        return self._start([str(program), *words[1:]], env)

    def run(self, name: str, *words: str, **env: str) -> Program:
        """Start one of the programs in ``tests/runtimes/programs``."""
        return self._start([sys.executable, "-m", f"tests.runtimes.programs.{name}", *words], env)

    def bot(self, *words: str, **env: str) -> Program:
        """Start a program of the environment of the bots, or one of its modules with ``python -m``."""
        return self._start([str(BOTS / words[0]), *words[1:]], env)

    def system(self, *words: str, **env: str) -> Program:
        """Start a program that the machine has."""
        return self._start([shutil.which(words[0]) or words[0], *words[1:]], env)

    def _start(self, words: list[str], env: Mapping[str, str]) -> Program:
        output = self._folder / f"output-{len(self._started)}"
        self._started.append(Program(words, {**self._env, **env}, output))
        return self._started[-1]

    def close(self) -> None:
        """End all that are still running."""
        for program in self._started:
            program.close()


def need(*programs: str) -> None:
    """Skip the test if one of these is missing: its name, or the path of one of the bots. Where it can be had, fail."""
    missing = [each for each in programs if not shutil.which(each)]
    if missing:
        reason = f"needs {', '.join(Path(each).name for each in missing)}"
        if os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(f"{reason}: .ci/run and make test-integrations install them here")
        pytest.skip(reason)


def ask_together(url: str, count: int) -> list[Any]:
    """Make *count* requests that are all answered at the same time by a web application; return its answers."""
    with urllib3.PoolManager(maxsize=count, block=False) as pool, ThreadPoolExecutor(count) as threads:

        def ask(_: int) -> Any:
            answer = pool.request("GET", f"{url}/?{count}", timeout=PATIENCE, retries=False)
            assert answer.status == 200, answer.data
            return answer.json()

        return list(threads.map(ask, range(count)))
