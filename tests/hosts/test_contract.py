"""What every backend promises, by the states that many hosts share."""

import pytest

from tests.integration.backends.test_contract import *  # noqa: F403
from tests.integration.backends.test_moving import *  # noqa: F403
from tests.integration.backends.test_sent_calls import *  # noqa: F403
from tests.integration.backends.test_shared import *  # noqa: F403
from tests.integration.key.test_account_limits import *  # noqa: F403
from tests.integration.key.test_backends import *  # noqa: F403
from tests.integration.key.test_cancelled_orders import *  # noqa: F403


@pytest.fixture  # type: ignore[no-redef]
def kind() -> str:
    """The name of the function that makes the backend."""
    return "tests.hosts.engines:backend"
