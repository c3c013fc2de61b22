"""Servers for all tests of a worker, and an empty state on one of them for each test."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.testing.clock import ManualClock
from tests.hosts.engines import ENGINES, KINDS, backend
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import STATE, Host, PostgresServer, Proxy
from tests.hosts.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.backends import Backend
    from krakenonce.clock import Clock
    from tests.hosts.engines import Engine, Kind


@pytest.fixture(autouse=True)
def _home_of_journals(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journals of states on servers are this user's: not among those of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session", autouse=True)
def _on_linux() -> None:
    """Elsewhere the packages with the servers' programs are not installed."""
    if sys.platform != "linux":
        pytest.skip("the servers' programs are installed on Linux only")


@pytest.fixture(scope="session")
def running(_on_linux: None) -> Iterator[Callable[[str], Engine]]:
    """What returns the server of a kind, which is started at the first call."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(folder_of_servers())
        started: dict[str, Engine] = {}

        def start(kind: str) -> Engine:
            if kind not in started:
                engine = started[kind] = KINDS[kind](folder / kind)
                engine.make()
                engine.start()
                stack.callback(engine.stop)
            return started[kind]

        yield start


@pytest.fixture(params=ENGINES)
def engine_kind(request: pytest.FixtureRequest) -> str:
    """Which kind of server."""
    name: str = request.param
    return name


@pytest.fixture
def engine(running: Callable[[str], Engine], engine_kind: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A server of each kind, with no state on it and nobody connected."""
    engine = running(engine_kind)
    engine.empty()
    monkeypatch.setenv(STATE, engine.url)
    return engine


@pytest.fixture
def server(running: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """The PostgreSQL server, with no state on it and nobody connected."""
    engine = running("postgres")
    assert isinstance(engine, PostgresServer)
    engine.empty()
    monkeypatch.setenv(STATE, engine.url)
    return engine


@pytest.fixture
def valkey(running: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch) -> ValkeyServer:
    """The Valkey server, with no state on it and nobody connected."""
    engine = running("valkey")
    assert isinstance(engine, ValkeyServer)
    engine.empty()
    monkeypatch.setenv(STATE, engine.url)
    return engine


@pytest.fixture
def new_valkey() -> Iterator[Callable[..., ValkeyServer]]:
    """What makes and starts a Valkey server of a test's own, with settings."""
    with _new("valkey") as make:

        def start(*settings: str, kind: type[ValkeyServer] = ValkeyServer, **env: str) -> ValkeyServer:
            engine = make(kind)
            assert isinstance(engine, ValkeyServer)
            engine.make()
            engine.start(*settings, **env)
            return engine

        yield start


@pytest.fixture
def new_server() -> Iterator[Callable[..., PostgresServer]]:
    """What makes PostgreSQL servers of a test's own, to be started as it likes."""
    with _new("postgres") as make:
        yield make  # type: ignore[misc]


@pytest.fixture
def new_engine(engine_kind: str) -> Iterator[Callable[[], Engine]]:
    """What makes servers of each kind, of a test's own."""
    with _new(engine_kind) as make:
        yield make


@contextlib.contextmanager
def _new(kind: str) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []
    with folder_of_servers() as folder:

        def make(other: Kind | None = None) -> Engine:
            made.append((other or KINDS[kind])(folder / str(len(made))))
            return made[-1]

        yield make
        for each in made:
            each.kill()


@pytest.fixture
def proxy() -> Iterator[Callable[[int, Callable[[bytes], bytes | None]], int]]:
    """What starts a proxy in front of a port, and returns the proxy's port."""
    made: list[Proxy] = []

    def start(port: int, change: Callable[[bytes], bytes | None]) -> int:
        made.append(Proxy(port, change))
        return made[-1].port

    yield start
    for each in made:
        each.close()


@pytest.fixture
def host(engine: Engine) -> Iterator[Callable[..., Host]]:
    """What starts processes that stand for hosts; those that are left at the end are killed."""
    started: list[Host] = []

    def start(*, ahead: float = 0.0, pause: float = 0.0) -> Host:
        started.append(Host(engine.url, ahead, pause))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
def opener(engine: Engine) -> Callable[[Path, Clock], Backend]:
    """What makes a backend for the tests that every backend passes."""
    return backend


@pytest.fixture
def clock() -> ManualClock:
    """A clock that does not change."""
    return ManualClock()


@pytest.fixture
def state(engine: Engine, tmp_path: Path) -> Path:
    """What names the state: here the server does."""
    return tmp_path


@pytest.fixture
def store(opener: Callable[[Path, Clock], Backend], state: Path, clock: ManualClock) -> Iterator[Backend]:
    """A backend, new and empty."""
    store = opener(state, clock)
    yield store
    store.close()
