"""The gateway as a process: how it starts, what it refuses to start with, and how it ends."""

from __future__ import annotations

import functools
import gc
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.gateway.server import _unix_socket
from krakenonce.kraken.wire import FORM, decode_secret, sign

from .conftest import ORDER, PATIENCE, call, fetch, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKrakenServer

    from .conftest import WatchedKraken


class Processes:
    """Starts gateways on one state directory; no output of theirs may hold a secret or a traceback."""

    def __init__(self, state: Path, master: FakeAccount, base_url: str) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KRAKEN", "NOTIFY_"))}
        self.env = ours | {
            "KRAKEN_MASTER_API_KEY": master.key,
            "KRAKEN_MASTER_API_SECRET": master.secret,
            "KRAKEN_MASTER_API_TIER": "none",
            "KRAKENONCE_STATE_DIR": str(state),
        }
        self.local_keys = LocalKeys(state / "gateway_keys.json")
        self.secrets = [master.key, master.secret]
        self._base_url = base_url
        self._running: list[subprocess.Popen[str]] = []

    def add(self, name: str, account: str = "MASTER") -> LocalKey:
        """Make a local key that may query and trade."""
        made = self.local_keys.add(name, account, frozenset(("query", "trade")))
        self.secrets += [made.key, made.secret]
        return made

    def start(self, listen: str = "127.0.0.1:0", **more: str) -> subprocess.Popen[str]:
        """Start a gateway."""
        words = ("gateway", "run", "--listen", listen, "--base-url", self._base_url)
        process = subprocess.Popen(
            [sys.executable, "-m", "krakenonce", *words],
            env=self.env | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def serve(self, listen: str = "127.0.0.1:0", **more: str) -> tuple[subprocess.Popen[str], str]:
        """Start a gateway and return it with its address once it accepts connections."""
        process = self.start(listen, **more)
        assert process.stdout is not None
        found = re.match(r"gateway at (\S+),", process.stdout.readline())
        assert found, self.end(process)
        return process, found[1]

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the end of a gateway and return its exit code and what it said to stderr."""
        out, err = process.communicate(timeout=PATIENCE)
        for secret in self.secrets:
            assert secret not in out + err
        assert "Traceback" not in out + err
        return process.returncode, "\n".join(line for line in err.splitlines() if "runs as root" not in line)

    def close(self) -> None:
        """End what is still running."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def processes(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path) -> Iterator[Processes]:
    """What starts gateways."""
    made = Processes(tmp_path / "state", master, server.url)
    yield made
    made.close()


def test_sigterm_lets_the_call_under_way_be_answered(processes: Processes, fake: WatchedKraken) -> None:
    """Its answer comes, those in line behind it are told that nothing was sent, and the exit code is 0."""
    pair = processes.add("bot")
    process, url = processes.serve()
    fake.faults.add("AddOrder", "slow_answer", seconds=1.5)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(call, url, pair, "AddOrder", ORDER)
        until(lambda: fake.arrivals)
        waits = pool.submit(call, url, pair, "Balance")
        until(
            lambda: (
                b'\nkrakenonce_queue_length{account="MASTER",priority="rest"} 1.0' in fetch(url, "GET", "/metrics").body
            )
        )
        process.terminate()
        assert (waits.result().errors, waits.result().headers["X-Krakenonce-Executed"]) == (
            ["EService:Unavailable"],
            "no",
        )
        assert "stopping; try again when it is back" in waits.result().headers["X-Krakenonce-Explanation"]
        assert not slow.done()
        with pytest.raises(ConnectionError):
            call(url, pair, "Balance")
        assert slow.result().errors == []
    assert processes.end(process) == (0, "")
    assert [arrival.method for arrival in fake.arrivals] == ["AddOrder"]


def test_sigint_is_as_good_as_sigterm(processes: Processes) -> None:
    """Ctrl-C ends it with exit code 0 and without a word."""
    process, _ = processes.serve()
    process.send_signal(signal.SIGINT)
    assert processes.end(process) == (0, "")


def has_seen(fake: WatchedKraken, calls: int) -> bool:
    """Return whether so many calls have come to the fake Kraken."""
    return len(fake.arrivals) >= calls


def test_a_kill_under_load_costs_no_nonce_and_repeats_no_order(processes: Processes, fake: WatchedKraken) -> None:
    """Killed three times in the middle of orders and started again: no invalid nonce, and no order twice."""
    pairs = [processes.add(f"bot{number}") for number in range(4)]
    for life in range(3):
        process, url = processes.serve()
        before = len(fake.arrivals)

        def trade(number: int, life: int = life, url: str = url) -> None:
            for count in range(10_000):
                params = f"{ORDER}&cl_ord_id=o-{life}-{number}-{count}"
                try:
                    assert call(url, pairs[number], "AddOrder", params, nonce=count + 1).errors == []
                except (OSError, http.client.HTTPException):
                    return  # it has been killed

        threads = [threading.Thread(target=trade, args=(number,)) for number in range(len(pairs))]
        for thread in threads:
            thread.start()
        until(functools.partial(has_seen, fake, before + 40))
        process.kill()
        for thread in threads:
            thread.join()
        assert processes.end(process) == (-signal.SIGKILL, "")
    process, url = processes.serve()
    assert call(url, pairs[0], "Balance").errors == []
    fake.assert_no_invalid_nonce()
    orders = [seen.body.partition(b"cl_ord_id=")[2] for seen in fake.seen if seen.path.endswith("AddOrder")]
    assert len(orders) == len(set(orders)) >= 120


def test_sighup_reads_the_accounts_again(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """A new account works, one that is gone does not; a file that is wrong is told and changes nothing."""
    other = fake.add_account("USER:alice")
    processes.secrets += [other.key, other.secret]
    file = tmp_path / "krakenonce.toml"
    file.touch(0o600)
    pair = processes.add("alice", "USER:alice")
    process, url = processes.serve(KRAKENONCE_CREDENTIALS=str(file))

    def works() -> bool:
        return bool(call(url, pair, "Balance").errors == [])

    assert not works()
    file.write_text(f'[USER.alice]\napi_key = "{other.key}"\napi_secret = "{other.secret}"\ntier = "none"\n')
    process.send_signal(signal.SIGHUP)
    until(works)
    file.write_text("this is no TOML")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    line = next(line for line in process.stderr if "the accounts stay as they were" in line)
    assert str(file) in line
    assert works()
    file.write_text("")
    process.send_signal(signal.SIGHUP)
    until(lambda: not works())
    process.terminate()
    assert processes.end(process)[0] == 0
    fake.assert_no_invalid_nonce()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def balance(path: Path, pair: LocalKey) -> Any:
    """Ask for the balance over a Unix socket and return the errors."""
    connection = UnixConnection(path)
    signature = sign("/0/private/Balance", 1, b"nonce=1", decode_secret(pair.secret))
    headers = {"API-Key": pair.key, "API-Sign": signature, "Content-Type": FORM}
    connection.request("POST", "/0/private/Balance", b"nonce=1", headers)
    errors = json.loads(connection.getresponse().read())["error"]
    connection.close()
    return errors


def test_a_unix_socket_is_private_and_may_be_taken_over_from_the_dead(processes: Processes, tmp_path: Path) -> None:
    """0600; one left by a killed gateway is replaced, one in use is not, nor is a file."""
    pair, path = processes.add("bot"), tmp_path / "gw.sock"
    process, url = processes.serve(f"unix:{path}")
    assert url == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert balance(path, pair) == []
    code, told = processes.end(processes.start(f"unix:{path}"))
    assert (code, told) == (1, f"krakenonce: another gateway listens on {path}")
    assert balance(path, pair) == []
    process.kill()
    processes.end(process)
    process, _ = processes.serve(f"unix:{path}")
    assert balance(path, pair) == []
    process.terminate()
    assert processes.end(process) == (0, "")
    assert not path.exists()
    path.write_text("mine")
    code, told = processes.end(processes.start(f"unix:{path}"))
    assert (code, len(told.splitlines()), path.read_text()) == (1, 1, "mine")


def refuses(processes: Processes, listen: str, **more: str) -> str:
    """Return the one line with which a gateway refuses to start."""
    code, told = processes.end(processes.start(listen, **more))
    assert code == 1
    assert len(told.splitlines()) == 1
    return told


def test_what_it_cannot_start_with_is_told_in_one_line(processes: Processes, tmp_path: Path) -> None:
    """An address open to others without TLS, one that is none or in use, or no credentials."""
    assert "--tls-cert and --tls-key" in refuses(processes, "0.0.0.0:0")
    assert "--tls-cert and --tls-key" in refuses(processes, "[::]:0")
    assert "is not like 127.0.0.1:8686" in refuses(processes, "127.0.0.1")
    nothing = dict.fromkeys(("KRAKEN_MASTER_API_KEY", "KRAKEN_MASTER_API_SECRET", "KRAKEN_MASTER_API_TIER"), "")
    assert "no Kraken credentials" in refuses(processes, "127.0.0.1:0", **nothing)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in refuses(processes, f"127.0.0.1:{taken.getsockname()[1]}")
    assert "cannot listen" in refuses(processes, f"unix:{tmp_path / 'missing' / 'gw.sock'}")
    assert "cannot listen" in refuses(processes, f"unix:{tmp_path / ('long' * 40)}")


def test_an_address_that_cannot_be_bound_leaves_no_socket_open(tmp_path: Path) -> None:
    """The garbage collector finds nothing that nobody has closed; a warning of its would be an error here."""
    with pytest.raises(OSError, match="too long"):
        _unix_socket(tmp_path / ("long" * 40))
    gc.collect()


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(processes: Processes, tmp_path: Path) -> None:
    """READY=1 once connections are accepted, WATCHDOG=1 as often as asked, STOPPING=1 at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
        pipe.bind(str(tmp_path / "notify"))
        pipe.settimeout(PATIENCE)
        process, _ = processes.serve(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        told = [pipe.recv(100) for _ in range(4)]
        assert sorted(set(told)) == [b"READY=1", b"WATCHDOG=1"]
        process.terminate()
        assert processes.end(process) == (0, "")
        while told[-1] == b"WATCHDOG=1" or len(told) < 5:
            told.append(pipe.recv(100))
        assert told[-1] == b"STOPPING=1"
