"""What may go wrong with the machine under the gateway: a disk that fails or is full, a clock that steps."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.file import mark_file
from krakenonce.backends.file.filesystem import sync
from krakenonce.brokers import Account
from krakenonce.rule import STEP_LIMIT
from krakenonce.testing.clock import ManualClock
from prove.mounting import fill
from tests.integration.gateway.conftest import ORDER, RunningGateway, call

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes


@pytest.fixture
def account(master: FakeAccount) -> Account:
    """The account of the gateway, whose calls are not counted."""
    return Account("MASTER", master.key, master.secret, "none")


def test_a_disk_that_fails_is_reported_and_no_order_is_sent(
    account: Account, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a safe nonce nothing is sent; once the disk works again, calls continue."""
    broken: list[bool] = [False]

    def failing(fd: int) -> None:
        if broken[0]:
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    monkeypatch.setattr(mark_file, "sync", failing)
    clock = ManualClock()
    with RunningGateway(server.url, [account], tmp_path / "state", clock=clock) as gateway:
        pair = gateway.add("bot")
        assert call(gateway.url, pair, "Balance").errors == []
        clock.pass_time(60)  # past the mark, which has to be raised now
        broken[0] = True
        got = call(gateway.url, pair, "AddOrder", ORDER)
        assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
        assert "Input/output error" in got.headers["X-Krakenonce-Explanation"]
        broken[0] = False
        assert call(gateway.url, pair, "AddOrder", ORDER).errors == []
    assert [arrival.method for arrival in fake.arrivals] == ["Balance", "AddOrder"]
    fake.assert_no_invalid_nonce()


def test_a_full_disk_stops_no_gateway_that_runs(
    account: Account, server: FakeKrakenServer, fake: WatchedKraken, small_disk: Path
) -> None:
    """Calls go on, also past the mark; only a new local key cannot be stored."""
    clock = ManualClock()
    with RunningGateway(server.url, [account], small_disk / "state", clock=clock) as gateway:
        pair = gateway.add("bot")
        assert call(gateway.url, pair, "Balance").errors == []
        fill(small_disk)
        for _ in range(3):
            clock.pass_time(60)
            assert call(gateway.url, pair, "AddOrder", ORDER).errors == []
        words = (sys.executable, "-m", "krakenonce", "gateway", "add-key", "--name", "b")
        environment = {
            "KRAKENONCE_STATE_DIR": str(small_disk / "state"),
            "KRAKEN_MASTER_API_KEY": account.key,
            "KRAKEN_MASTER_API_SECRET": account.secret,
        }
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "No space left on device" in done.stderr
        assert call(gateway.url, pair, "Balance").errors == []
    fake.assert_no_invalid_nonce()


def test_a_gateway_does_not_start_on_a_full_disk(processes: Processes, small_disk: Path) -> None:
    """One line, at the start and not with the first order."""
    fill(small_disk)
    code, output = processes.end(processes.start(KRAKENONCE_STATE_DIR=str(small_disk / "state")))
    warning, refusal = output.splitlines()
    assert "is on tmpfs" in warning
    assert (code, "No space left on device; free some space" in refusal) == (1, True)


def test_a_clock_that_steps_costs_no_nonce(
    account: Account, server: FakeKrakenServer, fake: WatchedKraken, tmp_path: Path
) -> None:
    """An hour back and an hour forward, in the middle of calls: every nonce is larger, and none runs away."""
    clock = ManualClock()
    with RunningGateway(server.url, [account], tmp_path / "state", clock=clock) as gateway:
        pair = gateway.add("bot")
        began = clock.now_ns()
        for step in (0, -3600, 0, 3600, 3600, -3600, 288, -288):
            clock.step(step)
            for _ in range(3):
                clock.pass_time(1)
                assert call(gateway.url, pair, "Balance").errors == []
    fake.assert_no_invalid_nonce()
    nonces = [arrival.nonce or 0 for arrival in fake.arrivals]
    assert nonces == sorted(set(nonces))
    assert nonces[-1] < began + 60 * 10**9 + STEP_LIMIT
