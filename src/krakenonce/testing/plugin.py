"""The pytest plugin: a fixture with a fake Kraken. pytest loads it if krakenonce is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing.fake_kraken import FakeKraken


@pytest.fixture
def fake_kraken() -> Iterator[FakeKraken]:
    """A fake Kraken that is served on this machine, at its ``url``, until the test ends."""
    # Imported here: every run of pytest imports this module, and few tests use the fixture.
    from krakenonce.errors import ConfigError
    from krakenonce.testing.fake_kraken import FakeKraken
    from krakenonce.testing.server import FakeKrakenServer

    fake = FakeKraken()
    server = FakeKrakenServer(fake)
    try:
        server.start()
    except ConfigError as error:  # aiohttp is missing
        pytest.fail(str(error), pytrace=False)
    with server:
        yield fake
