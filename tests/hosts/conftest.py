"""A PostgreSQL server for all tests of a worker, and an empty state on it for each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.testing.clock import ManualClock
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import URL, Host, Server, backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from krakenonce.clock import Clock


@pytest.fixture(scope="session", autouse=True)
def _on_linux() -> None:
    """Elsewhere the package with PostgreSQL's programs is not installed."""
    if sys.platform != "linux":
        pytest.skip("PostgreSQL's programs are installed on Linux only")


@pytest.fixture(scope="session")
def running(_on_linux: None) -> Iterator[Server]:
    """The server, on loopback."""
    with folder_of_servers() as folder:
        server = Server(folder / "data")
        server.make()
        server.start()
        yield server
        server.stop()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with no state on it and nobody connected."""
    running.empty()
    monkeypatch.setenv(URL, running.url)
    return running


@pytest.fixture
def new_server() -> Iterator[Callable[[], Server]]:
    """What makes servers of a test's own, to be started as it likes."""
    made: list[Server] = []
    with folder_of_servers() as folder:

        def make() -> Server:
            made.append(Server(folder / str(len(made))))
            return made[-1]

        yield make
        for each in made:
            each.kill()


@pytest.fixture
def host(server: Server) -> Iterator[Callable[..., Host]]:
    """What starts processes that stand for hosts; those that are left at the end are killed."""
    started: list[Host] = []

    def start(*, ahead: float = 0.0, pause: float = 30.0, url: str = "") -> Host:
        started.append(Host(url or server.url, ahead, pause))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def opener(server: Server) -> Callable[[Path, Clock], Backend]:
    """What makes a backend for the tests that every backend passes."""
    return backend


@pytest.fixture
def clock() -> ManualClock:
    """A clock that does not change."""
    return ManualClock()


@pytest.fixture
def state(server: Server, tmp_path: Path) -> Path:
    """What names the state: here the server does."""
    return tmp_path


@pytest.fixture
def store(opener: Callable[[Path, Clock], Backend], state: Path, clock: ManualClock) -> Iterator[Backend]:
    """A backend, new and empty."""
    store = opener(state, clock)
    yield store
    store.close()
