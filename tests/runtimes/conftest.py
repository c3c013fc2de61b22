"""A fake Kraken with two keys, a state directory, and programs that are given both, for each test."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from krakenonce.testing import FakeKraken
from tests.integration.gateway.processes import Processes
from tests.runtimes.processes import ROOT, Programs
from tests.runtimes.watched import WatchedKraken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount


@pytest.fixture
def server() -> Iterator[WatchedKraken]:
    """The fake Kraken with the accounts A and B; calls that are under way together overtake each other."""
    fake = FakeKraken()
    for name in ("A", "B"):
        fake.add_account(name)
    with WatchedKraken(fake, latency=0.004, jitter=0.003) as running:
        yield running


@pytest.fixture
def programs(tmp_path: Path, server: WatchedKraken) -> Iterator[Programs]:
    """Programs that know the keys, the address of the fake Kraken, and a state directory of this test."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KRAKEN")}
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    env = ours | {
        "KRAKENONCE_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        "PYTHONUNBUFFERED": "1",
        "TEST_KEYS": json.dumps([(each.key, each.secret) for each in server.fake.accounts.values()]),
        "TEST_MEETING": str(meeting),
        "TEST_URL": server.url,
    }
    started = Programs(tmp_path, env)
    yield started
    started.close()


@pytest.fixture
def account(server: WatchedKraken) -> FakeAccount:
    """The account A, which has nothing yet."""
    return next(iter(server.fake.accounts.values()))


@pytest.fixture
def gateways(tmp_path: Path, server: WatchedKraken, account: FakeAccount) -> Iterator[Processes]:
    """What starts gateways with the key of this account, all on one state directory."""
    made = Processes(tmp_path / "state", account, server.url)
    yield made
    made.close()
