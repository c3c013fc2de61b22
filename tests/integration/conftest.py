"""The backends that the tests of every backend run on."""

import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

from krakenonce.backends import Backend, FileStore, MemoryStore
from krakenonce.clock import Clock

Opener = Callable[[Path, Clock], Backend]
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
