"""A fake Kraken, a trader's programs in processes of their own, and the doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import pytest

from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.cli.conftest import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount


class Bot:
    """A program that makes the calls that it is told."""

    def __init__(self, shell: Shell, how: str, state: Path, key: str, secret: str, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.doctor.bot", how, str(state), key, secret, url],
            env=shell.env | {"KRAKEN_MASTER_API_SECRET": "never-look-at-this", "KRAKENONCE_STATE_DIR": str(state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def __call__(self, method: str = "Balance", **params: Any) -> list[str]:
        """Make a call and return Kraken's errors."""
        assert self.process.stdin is not None
        print(json.dumps([method, params]), file=self.process.stdin, flush=True)
        errors: list[str] = json.loads(self._line())["error"]
        return errors

    def end(self) -> None:
        """Let it come to its end."""
        self.process.communicate()
        assert self.process.returncode == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class World:
    """One machine with its programs, and a Kraken."""

    def __init__(self, tmp_path: Path, fake: FakeKraken, url: str) -> None:
        self.state = tmp_path / "state"
        self.other_state = tmp_path / "other"
        self.fake, self.url = fake, url
        self.shell = Shell(self.state)
        self.account = fake.add_account("MASTER", balances={"ZUSD": "100000.0000"})
        self._bots: list[Bot] = []

    def bot(
        self, how: str = "guarded", *, account: FakeAccount | None = None, state: Path | None = None, secret: str = ""
    ) -> Bot:
        """Start a program; it ends with the test."""
        who = account or self.account
        bot = Bot(self.shell, how, state or self.state, who.key, secret or who.secret, self.url)
        self._bots.append(bot)
        return bot

    def doctor(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return what the doctor says, and its exit code."""
        done = self.shell.run("doctor", "--json", *words)
        return done.code, json.loads(done.out)

    def causes(self, *words: str) -> list[str]:
        """Return what is wrong, in short, sorted. What the doctor says must fit its exit code."""
        code, said = self.doctor(*words)
        wrong = sorted(each["cause"] for each in said["findings"] if not each["is_over"])
        assert code == (1 if wrong else 0), said
        for each in said["findings"]:
            assert each["evidence"], each
            assert 1 <= len(each["do"]) <= 3, each
        return wrong

    def close(self) -> None:
        """End all programs."""
        for bot in self._bots:
            bot.__exit__()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A machine on which nothing has happened yet."""
    fake = FakeKraken()
    with FakeKrakenServer(fake) as server:
        made = World(tmp_path, fake, server.url)
        yield made
        made.close()
