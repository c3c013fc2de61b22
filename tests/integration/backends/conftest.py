"""A state directory and a clock; and a backend of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from krakenonce.backends import Backend
from krakenonce.testing.clock import ManualClock
from tests.integration.conftest import Opener


@pytest.fixture
def store(opener: Opener, state: Path, clock: ManualClock) -> Iterator[Backend]:
    """Each kind of backend, new and empty."""
    store = opener(state, clock)
    yield store
    store.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that does not change."""
    return ManualClock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that does not exist yet."""
    return tmp_path / "state"
