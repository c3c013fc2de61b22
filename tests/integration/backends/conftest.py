"""A state directory and a clock; and the backends that the tests of every backend run on."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krakenonce.backends import Backend, FileStore, MemoryStore
from krakenonce.testing.clock import ManualClock

Opener = Callable[[Path, ManualClock], Backend]
BUILT_IN: dict[str, Opener] = {
    "file": lambda directory, clock: FileStore(directory, clock=clock),
    "memory": lambda _directory, clock: MemoryStore(clock=clock),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the contract tests run on another backend."""
    parser.addoption("--backend", metavar="MODULE:FUNCTION", help="run them on function(directory, clock)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a backend on all built-in ones, or on the one of the option."""
    if "opener" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--backend", None)
        openers = {"own": pkgutil.resolve_name(chosen)} if chosen else BUILT_IN
        metafunc.parametrize("opener", openers.values(), ids=openers)


@pytest.fixture
def store(opener: Opener, state: Path, clock: ManualClock) -> Iterator[Backend]:
    """Each kind of backend, new and empty."""
    store = opener(state, clock)
    yield store
    store.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that does not exist yet."""
    return tmp_path / "state"
