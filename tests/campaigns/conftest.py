from collections.abc import Generator

import pytest

from prove.campaign import NotHere


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """What this machine cannot run is skipped with the reason."""
    try:
        return (yield)
    except NotHere as reason:
        pytest.skip(str(reason))
