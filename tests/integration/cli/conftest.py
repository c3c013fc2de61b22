"""The command line in processes of its own: new interpreters, as its users have, or forks of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import pytest

from tests.integration.forked import run_forked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands with an environment of its own; no output may ever hold a key, a secret or a traceback."""

    def __init__(self, state: Path) -> None:
        left_out = ("KRAKEN", "PYTHONUNBUFFERED")  # a user's Python buffers what it writes into a pipe
        ours = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self.env = ours | {"KRAKENONCE_STATE_DIR": str(state), "NO_PROXY": "127.0.0.1"}

    def start(
        self, *words: str, module: str = "krakenonce", stdout: int | IO[str] = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        return self.python("-m", module, *words, stdout=stdout)

    def python(
        self, *words: str, stdout: int | IO[str] = subprocess.PIPE, stdin: IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Start Python with warnings as errors."""
        command = [sys.executable, "-W", "error", *words]
        return subprocess.Popen(command, env=self.env, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True)

    def run(self, *words: str) -> Done:
        """Run a command to its end, in a fork."""
        return self._checked(*run_forked(words, self.env))

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for the end of a command. One that does not end is killed when the test's time is over."""
        with process:
            try:
                out, err = (text or "" for text in process.communicate())
            except BaseException:
                process.kill()
                raise
        return self._checked(process.returncode, out, err)

    def _checked(self, code: int, out: str, err: str) -> Done:
        for name, value in self.env.items():
            if name.endswith(("_API_KEY", "_API_SECRET")) and value:
                assert value not in out + err, f"{name} was shown"
        lines = err.splitlines(keepends=True)
        return Done(
            code, out, "".join(line for line in lines if "runs etcd 3.5.1" not in line)
        )  # tests have no newer one

    def works(self, *words: str) -> str:
        """Run a command that succeeds without a word on stderr, and return what it prints."""
        done = self.run(*words)
        assert (done.code, done.err) == (0, "")
        return done.out

    def fails(self, code: int, *words: str) -> str:
        """Run a command that fails with one line on stderr and nothing on stdout, and return that line."""
        done = self.run(*words)
        assert (done.code, done.out) == (code, "")
        return one_line(done.err)


def one_line(err: str) -> str:
    """Return the one line that *err* consists of, without the program's name."""
    line, end, more = err.partition("\n")
    assert (end, more) == ("\n", ""), err
    assert line.startswith("krakenonce: ")
    return line.removeprefix("krakenonce: ")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with a state directory that does not exist yet, and without credentials."""
    return Shell(tmp_path / "state")


@dataclass(frozen=True)
class Fake:
    """A fake Kraken in a process of its own."""

    url: str
    accounts: dict[str, dict[str, str]]

    def environment(self) -> dict[str, str]:
        """Return the variables with all keys and secrets."""
        return {
            f"KRAKEN_{name.replace(':', '_').upper()}_{what.upper()}": value
            for name, pair in self.accounts.items()
            for what, value in pair.items()
        }


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """The fake Kraken that ``krakenonce fake-kraken`` starts."""
    process = Shell(tmp_path_factory.mktemp("fake")).start("fake-kraken", "--json", "--latency", "1")
    with process:
        assert process.stdout is not None
        yield Fake(**json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGTERM)


@pytest.fixture
def trader(shell: Shell, fake: Fake) -> Shell:
    """A shell with the credentials of the fake Kraken's accounts."""
    shell.env |= fake.environment()
    return shell
