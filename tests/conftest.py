"""For all tests: hypothesis judges what is right, not how long it takes on a busy machine; a small disk to fill."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from krakenonce.kraken import http_status, kraken_time
from prove import mounting
from prove.campaign import NotHere

hypothesis.settings.register_profile("krakenonce", deadline=None)
hypothesis.settings.load_profile("krakenonce")


# A shell that runs the tests in the background lets them, and the commands under test, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_of_another_server() -> None:
    """Each server of a test tells anew what time it is and whether it wants calls: its port may have been another's."""
    kraken_time._times.clear()
    http_status._closed_until.clear()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four MiB, mounted for this test, where that is allowed."""
    try:
        with mounting.small_disk(tmp_path / "small") as disk:
            yield disk
    except NotHere as reason:
        pytest.skip(str(reason))
