"""Nonces and turns on Valkey 8.1 and Redis 8.2: what the tests of all servers ask for, as on Valkey 9.1."""

import pytest

from tests.hosts.test_nonces import *  # noqa: F403
from tests.hosts.test_turns import *  # noqa: F403


@pytest.fixture(params=["valkey-8.1", "redis-8.2"])
def engine_kind(request: pytest.FixtureRequest) -> str:
    """Which kind of server."""
    name: str = request.param
    return name
