"""Gateways on one state that are killed at any moment and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Self

from prove.campaign import MAX_WAIT, Broken
from prove.lost_replies.jobs import Event

if TYPE_CHECKING:
    import random
    from asyncio.subprocess import Process
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from krakenonce.testing import FakeAccount

__all__ = ["PROGRAM", "Gateways", "account_name"]

PROGRAM = ("-m", "krakenonce")
_MANY = 2
_BETWEEN_KILLS = 1.5  # seconds, on average
_WHILE_STARTING = 0.2  # of the kills may come before the last one killed is ready again
_ORDER_TIMEOUT = "0.5"


class Gateways:
    """Two processes, between ``async with`` and its end.

    Args:
        directory: Where the logs are.
        state: Their state.
        base_url: Kraken's address.
        accounts: Whose keys they have.
        chance: When which one is killed.
        program: What Python runs.
    """

    def __init__(
        self,
        directory: Path,
        state: str,
        base_url: str,
        accounts: Iterable[FakeAccount],
        chance: random.Random,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.ports = [_free_port() for _ in range(_MANY)]
        self.kills = 0
        self.story: list[Event] = []
        self._log = directory / "log"
        self._program = program
        self._chance = chance
        self._processes: list[Process | None] = [None] * _MANY
        self._words = ("--base-url", base_url, "--order-timeout", _ORDER_TIMEOUT)
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN", "NOTIFY_"))}
        self._env = ours | {
            "KRAKENONCE_CREDENTIALS": str(_credentials(directory / "accounts.toml", accounts)),
            "KRAKENONCE_STATE_DIR": state,  # not an option: a URL may have a password
        }

    async def __aenter__(self) -> Self:
        await self.start_missing()
        return self

    async def __aexit__(self, *_: object) -> None:
        for i, process in enumerate(self._processes):
            if process is not None and process.returncode is None:
                await self._kill(i)

    async def kill_for_ever(self) -> None:
        """Kill one after the other, and start each again at once."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / _BETWEEN_KILLS))
            i = self._chance.randrange(_MANY)
            await self._kill(i)
            self.kills += 1
            await self._start(i)
            if self._chance.random() > _WHILE_STARTING:
                await self._until_ready(i)

    async def start_missing(self) -> None:
        """Start those that are not there, and wait until all accept connections."""
        for i, process in enumerate(self._processes):
            if process is None:
                await self._start(i)
        for i in range(_MANY):
            await self._until_ready(i)

    def check(self) -> None:
        """Raise Broken if a gateway has reported an error of Python's."""
        said = self._log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in said:
            raise Broken(f"a gateway has said:\n{said[said.index('Traceback') - 500 :][:4000]}")

    async def _start(self, i: int) -> None:
        with self._log.open("ab") as log:
            self._processes[i] = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._program,
                *("gateway", "run", "--listen", f"127.0.0.1:{self.ports[i]}", *self._words),
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        self.story.append(Event.now(f"gateway {i} is started"))

    async def _until_ready(self, i: int) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", self.ports[i])
                    except OSError:
                        await asyncio.sleep(0.05)
                        continue
                    writer.close()
                    return
        except TimeoutError:
            raise Broken(f"a gateway does not start:\n{self._log.read_text(encoding='utf-8')[-2000:]}") from None

    async def _kill(self, i: int) -> None:
        process, self._processes[i] = self._processes[i], None
        if process is None:
            return
        if process.returncode is not None:
            raise Broken(f"a gateway has ended by itself:\n{self._log.read_text(encoding='utf-8')[-2000:]}")
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self.story.append(Event.now(f"gateway {i} is killed"))


def account_name(number: int) -> str:
    """Return the name of an account as local keys have it."""
    return f"USER:a{number}"


def _credentials(path: Path, accounts: Iterable[FakeAccount]) -> Path:
    tables = (
        f'[USER.{each.name}]\napi_key = "{each.key}"\napi_secret = "{each.secret}"\ntier = "none"\n'
        for each in accounts
    )
    path.touch(0o600)
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
