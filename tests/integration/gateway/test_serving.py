"""The gateway as a process: how it starts, what it refuses to start with, and how it ends."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import re
import resource
import signal
import socket
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import krakenex
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from krakenonce.cli.main import main
from krakenonce.errors import ConfigError
from krakenonce.gateway.server import _unix_socket
from krakenonce.kraken.wire import FORM, decode_secret, sign
from tests.integration.gateway.conftest import ORDER, PATIENCE, call, connect, fetch, signed, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes


def test_sigterm_lets_the_call_under_way_be_answered(processes: Processes, fake: WatchedKraken) -> None:
    """Its answer comes, the calls that wait behind it are refused, and the exit code is 0."""
    pair = processes.add("bot")
    process, url = processes.serve()
    fake.faults.add("AddOrder", "slow_answer", seconds=3.0)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(call, url, pair, "AddOrder", ORDER)
        until(lambda: fake.arrivals)
        waits = pool.submit(call, url, pair, "Balance")
        until(
            lambda: (
                b'\nkrakenonce_queue_length{account="MASTER",priority="other"} 1.0'
                in fetch(url, "GET", "/metrics").body
            )
        )
        process.terminate()
        assert (waits.result().errors, waits.result().headers["X-Krakenonce-Executed"]) == (
            ["EService:Unavailable"],
            "no",
        )
        assert "the gateway is stopping; the call was not sent" in waits.result().headers["X-Krakenonce-Explanation"]
        assert not slow.done()
        with pytest.raises(ConnectionError):
            call(url, pair, "Balance")
        assert slow.result().errors == []
    code, output = processes.end(process)
    assert code == 0
    assert re.search(r"warning: stopping; waiting for [12] calls in progress, at most 35 s$", output)
    assert [arrival.method for arrival in fake.arrivals] == ["AddOrder"]


def test_sigint_is_as_good_as_sigterm(processes: Processes) -> None:
    """Ctrl-C ends it with exit code 0 and without a word."""
    process, _ = processes.serve()
    process.send_signal(signal.SIGINT)
    assert processes.end(process) == (0, "")


def test_sighup_reads_the_accounts_again(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """A new account works, one that is gone does not; a file that cannot be read is logged and changes nothing."""
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
    file.write_text("this is not TOML")
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    line = next(line for line in process.stderr if "the accounts were not changed" in line)
    assert str(file) in line
    assert works()
    file.write_text("")
    process.send_signal(signal.SIGHUP)
    until(lambda: not works())
    process.terminate()
    assert processes.end(process)[0] == 0
    fake.assert_no_invalid_nonce()


def test_a_wrong_account_stops_no_other(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """At start it is not served; after SIGHUP it keeps the pair that it had. The log names it both times."""
    other = fake.add_account("USER:alice")
    processes.secrets += [other.key, other.secret]
    table = f'[USER.alice]\napi_key = "{other.key}"\napi_secret = "{other.secret}"\ntier = "none"\n'
    file = tmp_path / "krakenonce.toml"
    file.touch(0o600)
    file.write_text(table.replace(f'"{other.secret}"', '"?"'))
    master, alice = processes.add("master"), processes.add("alice", "USER:alice")
    process, url = processes.serve(KRAKENONCE_CREDENTIALS=str(file))
    assert process.stderr is not None
    said = next(line for line in process.stderr if "USER:alice" in line)
    assert "error: account USER:alice is not served until that is corrected: api_secret of [USER.alice]" in said
    assert call(url, master, "Balance").errors == []
    refused = call(url, alice, "Balance")
    assert (refused.errors, refused.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
    file.write_text(table)
    process.send_signal(signal.SIGHUP)
    until(lambda: call(url, alice, "Balance").errors == [])
    file.write_text(table.replace("api_key", "api_kee"))
    process.send_signal(signal.SIGHUP)
    said = next(line for line in process.stderr if "keeps the pair" in line)
    assert "error: account USER:alice keeps the pair that it had: [USER.alice]" in said
    assert call(url, alice, "Balance").errors == call(url, master, "Balance").errors == []
    process.terminate()
    assert processes.end(process)[0] == 0


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
    code, output = processes.run(f"unix:{path}")
    assert (code, output) == (1, f"krakenonce: another gateway listens on {path}")
    assert balance(path, pair) == []
    process.kill()
    processes.end(process)
    process, _ = processes.serve(f"unix:{path}")
    assert balance(path, pair) == []
    process.terminate()
    assert processes.end(process) == (0, "")
    assert not path.exists()
    path.write_text("mine")
    code, output = processes.run(f"unix:{path}")
    assert (code, len(output.splitlines()), path.read_text()) == (1, 1, "mine")


def refuses(processes: Processes, listen: str, *words: str, **more: str) -> str:
    """Return the one line with which a gateway refuses to start."""
    code, output = processes.run(listen, *words, **more)
    assert code == 1
    assert len(output.splitlines()) == 1
    return output


def does_not_understand(processes: Processes, listen: str, *words: str) -> str:
    """Return the one line with which a gateway refuses words that mean nothing."""
    code, output = processes.run(listen, *words)
    assert code == 2
    assert len(output.splitlines()) == 1
    return output


def test_what_it_cannot_start_with_is_reported_in_one_line(processes: Processes, tmp_path: Path) -> None:
    """An address open to others without TLS, one that is none or in use, or no credentials."""
    assert "--tls-cert and --tls-key" in refuses(processes, "0.0.0.0:0")
    assert "--tls-cert and --tls-key" in refuses(processes, "[::]:0")
    assert "must look like 127.0.0.1:8686" in does_not_understand(processes, "127.0.0.1")
    nothing = dict.fromkeys(("KRAKEN_MASTER_API_KEY", "KRAKEN_MASTER_API_SECRET", "KRAKEN_MASTER_API_TIER"), "")
    assert "no Kraken credentials" in refuses(processes, "127.0.0.1:0", **nothing)
    assert "KRAKEN_MASTER_API_SECRET is missing" in refuses(processes, "127.0.0.1:0", KRAKEN_MASTER_API_SECRET="")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in refuses(processes, f"127.0.0.1:{taken.getsockname()[1]}")
    assert "cannot listen" in refuses(processes, f"unix:{tmp_path / 'missing' / 'gw.sock'}")
    assert "cannot listen" in refuses(processes, f"unix:{tmp_path / ('long' * 40)}")
    wrong = ("--base-url", "http://127.0.0.1:99999")
    assert "must look like https" in does_not_understand(processes, "127.0.0.1:0", *wrong)


@pytest.mark.parametrize("max_wait", ["nan", "inf", "0"])
def test_a_max_wait_that_is_no_number_of_seconds_is_refused(max_wait: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wait must come to an end, and must begin."""
    assert main(["gateway", "run", "--listen", "0.0.0.0:0", "--max-wait", max_wait]) == 2
    assert "--max-wait" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A certificate for 127.0.0.1, its key, and the authority that has signed it."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "root.pem"))
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(root)
    return cert, key, root


def test_calls_come_over_tls_where_the_gateway_is_open_to_other_machines(
    processes: Processes,
    fake: WatchedKraken,
    certificate: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that trusts the authority is answered; one that does not sends nothing, nor does one without TLS."""
    cert, key, root = certificate
    pair = processes.add("bot")
    process, url = processes.serve("0.0.0.0:0", "--tls-cert", str(cert), "--tls-key", str(key))
    port = int(url.removeprefix("https://0.0.0.0:"))
    api = krakenex.API(pair.key, pair.secret)
    api.uri = f"https://127.0.0.1:{port}"
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        api.query_private("Balance")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(root))
    assert api.query_private("Balance")["error"] == []
    api.close()
    with pytest.raises(ConnectionError):
        call(f"http://127.0.0.1:{port}", pair, "Balance")
    process.terminate()
    assert processes.end(process) == (0, "")
    assert len(fake.arrivals) == 1


def test_certificates_that_cannot_be_used_are_reported_in_one_line(
    processes: Processes, certificate: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """One without the other, a file that is not there, and a key that is another certificate's."""
    cert, key, root = map(str, certificate)
    assert "give both --tls-cert and --tls-key" in refuses(processes, "127.0.0.1:0", "--tls-cert", cert)
    assert "No such file" in refuses(processes, "127.0.0.1:0", "--tls-cert", cert, "--tls-key", f"{key}x")
    assert "mismatch" in refuses(processes, "127.0.0.1:0", "--tls-cert", root, "--tls-key", key)


def test_a_key_with_a_passphrase_is_reported_and_not_asked_for(
    processes: Processes, certificate: tuple[Path, Path, Path]
) -> None:
    """A gateway that a service manager starts has no terminal."""
    cert, key, _ = certificate
    private = load_pem_private_key(key.read_bytes(), None)
    encrypted = BestAvailableEncryption(b"secret")
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted))
    output = refuses(processes, "127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key))
    assert f"{key} has a passphrase" in output


def test_a_name_that_no_host_can_have_is_reported_in_one_line(
    processes: Processes, certificate: tuple[Path, Path, Path]
) -> None:
    """Like one that no host has."""
    cert, key, _ = map(str, certificate)
    assert "cannot listen on a..b:0" in refuses(processes, "a..b:0", "--tls-cert", cert, "--tls-key", key)


def test_an_address_that_cannot_be_bound_leaves_no_socket_open(tmp_path: Path) -> None:
    """The garbage collector finds nothing left open; its warning would be an error here."""
    with pytest.raises(OSError, match="too long"):
        _unix_socket(tmp_path / ("long" * 40))
    gc.collect()


def test_a_socket_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """Only one that refuses connections is dead; one of another kind cannot be connected to, and lives."""
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(OSError, match="rotocol"):
            _unix_socket(path)
        assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_gateway_that_does_not_come_to_accept_is_not_waited_for(tmp_path: Path) -> None:
    """A socket with as many connections before it as it takes is one in use."""
    path = tmp_path / "gw.sock"
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as clients:
        other.bind(str(path))
        other.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(path))
        if sys.platform != "linux":
            pytest.skip("elsewhere a full socket refuses connections, as a dead one does")
        with pytest.raises(ConfigError, match="another gateway listens"):
            _unix_socket(path)


@pytest.fixture
def files() -> Iterator[Callable[[int], None]]:
    """What sets how many files this process may open, and those it starts at first."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("needs Linux's prlimit, to set and see the limit of another process")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_gateway_may_open_more_files_than_it_is_given_at_first(
    processes: Processes, files: Callable[[int], None]
) -> None:
    """Shells and systemd begin with 1024, macOS with 256: too few for as many bots."""
    files(300)
    process, _ = processes.serve()
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 1024


def test_more_connections_than_files_are_hung_up_on_and_nothing_is_logged(
    processes: Processes, files: Callable[[int], None]
) -> None:
    """What is left is kept for Kraken and the state; a traceback for each would fill the disk."""
    files(4000)
    pair, path = processes.add("bot"), "/0/private/Balance"
    process, url = processes.serve()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    with contextlib.ExitStack() as clients:
        early = clients.enter_context(contextlib.closing(connect(url)))
        early.connect()
        for _ in range(1200):
            late = clients.enter_context(contextlib.closing(connect(url)))
            late.connect()
        with contextlib.suppress(ConnectionError):
            assert late.sock.recv(1) == b""
        early.request("POST", path, b"nonce=1", signed(pair, path, 1, b"nonce=1"))
        assert json.loads(early.getresponse().read())["error"] == []
    process.terminate()
    assert processes.end(process) == (0, "")


def test_systemd_is_notified_when_it_is_ready_and_when_it_stops(processes: Processes, tmp_path: Path) -> None:
    """READY=1 once connections are accepted, WATCHDOG=1 as often as asked, STOPPING=1 at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pipe:
        pipe.bind(str(tmp_path / "notify"))
        pipe.settimeout(PATIENCE)
        process, _ = processes.serve(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        output = [pipe.recv(100) for _ in range(4)]
        assert sorted(set(output)) == [b"READY=1", b"WATCHDOG=1"]
        process.terminate()
        assert processes.end(process) == (0, "")
        while output[-1] == b"WATCHDOG=1" or len(output) < 5:
            output.append(pipe.recv(100))
        assert output[-1] == b"STOPPING=1"
