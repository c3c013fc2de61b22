"""A state directory that does not answer for a while: the calls wait, the pages do not."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from fcntl import LOCK_EX, LOCK_UN, flock
from typing import TYPE_CHECKING

import pytest

from prove.campaign import NotHere
from prove.mounting import frozen, image_disk
from tests.integration.gateway.conftest import PATIENCE, call, connect, fetch, until
from tests.integration.gateway.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken

SILENT = b"the state has not answered for"


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the lock of the counter's files, as a process does that waits for its disk with them."""
    with (state / "kraken_global_nonce.mark").open("rb") as file:
        flock(file, LOCK_EX)
        yield
        flock(file, LOCK_UN)


class Calls:
    """Calls of bots, each in a thread and with a connection of its own."""

    def __init__(self, url: str, pair: LocalKey) -> None:
        self.answers: list[list[str]] = []
        self._url, self._pair = url, pair
        self._threads: list[threading.Thread] = []

    def make(self, count: int) -> None:
        """Begin *count* calls."""
        for _ in range(count):
            nonce = len(self._threads) + 1
            self._threads.append(threading.Thread(target=self._call, args=[nonce]))
            self._threads[-1].start()

    def _call(self, nonce: int) -> None:
        self.answers.append(call(self._url, self._pair, "Balance", nonce=nonce).errors)

    def all_answers(self) -> list[list[str]]:
        """Wait for the answers."""
        for thread in self._threads:
            thread.join()
        return self.answers


def is_silent(url: str) -> bool:
    """Whether the gateway says that the state does not answer."""
    return fetch(url, "GET", "/readyz").body.startswith(SILENT)


def test_pages_answer_while_the_state_does_not_and_calls_go_on_afterwards(
    processes: Processes, fake: WatchedKraken, tmp_path: Path
) -> None:
    """Also on a connection that was there before, and to calls that come meanwhile; the log says when and how long."""
    process, url = processes.serve()
    calls, browser = Calls(url, processes.add("bot")), connect(url)
    calls.make(1)
    calls.all_answers()
    browser.request("GET", "/v1/status")
    assert json.loads(browser.getresponse().read())["state_silent_seconds"] == 0
    with locked(tmp_path / "state"):
        calls.make(4)
        until(lambda: is_silent(url))
        calls.make(4)

        def page(path: str) -> bytes:
            browser.request("GET", path)
            answer = browser.getresponse()
            text = answer.read()
            assert answer.status == 200
            return text

        for path in ("/healthz", "/", "/metrics"):
            page(path)
        until(lambda: json.loads(page("/v1/status"))["state_silent_seconds"] > 0)  # it may be a second old
        status = json.loads(page("/v1/status"))
        assert (status["nonces_issued"], status["accounts"][0]["answered"]) == (2, 1)  # one for the start
        assert len(calls.answers) == 1
        assert process.stderr is not None
        said = next(line for line in process.stderr if "runs as root" not in line)
        assert "has not answered for 1." in said
    assert calls.all_answers() == [[]] * 9
    assert fetch(url, "GET", "/readyz").body == b"ok\n"
    fake.assert_no_invalid_nonce()
    process.terminate()
    code, said = processes.end(process)
    assert code == 0
    assert "the state answers again, after" in said


def test_a_page_that_was_never_answered_says_that_the_state_does_not_answer(
    processes: Processes, tmp_path: Path
) -> None:
    """There are no older figures to show."""
    _, url = processes.serve()
    with locked(tmp_path / "state"):
        got = fetch(url, "GET", "/v1/status")
    assert (got.status, got.body.startswith(SILENT)) == (503, True)


def test_systemd_is_notified_while_the_gateway_waits_for_the_state(processes: Processes, tmp_path: Path) -> None:
    """Otherwise it would kill a gateway during a backup of the disk, and the calls that wait with it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
        pipe.bind(str(tmp_path / "notify"))
        pipe.settimeout(PATIENCE)
        _, url = processes.serve(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        calls = Calls(url, processes.add("bot"))
        with locked(tmp_path / "state"):
            calls.make(1)
            until(lambda: is_silent(url))
            pipe.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while pipe.recv(100):
                    pass
            pipe.settimeout(PATIENCE)
            assert [pipe.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
        assert calls.all_answers() == [[]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can be frozen, where that is allowed."""
    try:
        with image_disk(tmp_path / "disk") as mounted:
            yield mounted
    except NotHere as reason:
        pytest.skip(str(reason))


def test_pages_answer_while_the_disk_is_frozen(
    disk: Path, master: FakeAccount, server: FakeKrakenServer, fake: WatchedKraken
) -> None:
    """As a backup by snapshot freezes it: no call is made until it ends, and then all."""
    gateways = Processes(disk / "state", master, server.url)
    try:
        _, url = gateways.serve()
        calls = Calls(url, gateways.add("bot"))
        calls.make(1)
        calls.all_answers()
        with frozen(disk):
            calls.make(5)
            until(lambda: is_silent(url))
            statuses = [fetch(url, "GET", path).status for path in ("/healthz", "/", "/metrics", "/v1/status")]
            answered = len(calls.answers)
        assert (statuses, answered) == ([200] * 4, 1)
        assert calls.all_answers() == [[]] * 6
        fake.assert_no_invalid_nonce()
    finally:
        gateways.close()


def test_a_signal_is_not_lost_while_the_state_is_silent(processes: Processes, tmp_path: Path) -> None:
    """Also if so many connections come meanwhile that asyncio cannot note the signal."""
    process, url = processes.serve()
    calls = Calls(url, processes.add("bot"))
    calls.make(1)
    calls.all_answers()
    with contextlib.ExitStack() as clients:
        with locked(tmp_path / "state"):
            calls.make(1)
            until(lambda: is_silent(url))
            for _ in range(400):
                client = clients.enter_context(contextlib.closing(connect(url)))
                client.putrequest("POST", "/0/private/Balance")
                client.endheaders()
            assert fetch(url, "GET", "/healthz").status == 200  # so those before have been accepted
            process.terminate()
            assert fetch(url, "GET", "/healthz").status == 200  # so the signal has come
        assert processes.end(process)[0] == 0
    assert calls.all_answers() == [[], []]
