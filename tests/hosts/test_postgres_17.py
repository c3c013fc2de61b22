"""Nonces, turns and all else on PostgreSQL 17: what the tests of all servers ask for, as on PostgreSQL 18."""

import pytest

from tests.hosts.test_contract import *  # noqa: F403
from tests.hosts.test_nonces import *  # noqa: F403
from tests.hosts.test_turns import *  # noqa: F403


@pytest.fixture
def engine_kind() -> str:
    """Which kind of server."""
    return "postgres-17"
