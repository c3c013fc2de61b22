"""The commands gateway status and gateway check, what SIGHUP says, and HEAD."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from krakenonce.cli.gateway_status import accounts_in, summary_of
from tests.integration.cli.conftest import Shell
from tests.integration.gateway.conftest import call, connect, fetch, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.gateway.conftest import WatchedKraken
    from tests.integration.gateway.processes import Processes


@pytest.fixture
def shell(processes: Processes, tmp_path: Path) -> Shell:
    """A shell with the environment of the gateways."""
    shell = Shell(tmp_path / "state")
    shell.env |= {name: value for name, value in processes.env.items() if name.startswith("KRAKEN")}
    return shell


def table(name: str, key: str, secret: str) -> str:
    """An account in a credentials file."""
    return f'[USER.{name}]\napi_key = "{key}"\napi_secret = "{secret}"\ntier = "none"\n'


def test_status_says_in_words_what_is_wrong(
    processes: Processes, shell: Shell, fake: WatchedKraken, tmp_path: Path
) -> None:
    """One line for all, then the accounts, the broken ones first, and the last calls. The exit code is 1."""
    users = {name: fake.add_account(f"USER:{name}") for name in ("u1", "u2")}
    file = tmp_path / "krakenonce.toml"
    file.touch(0o600)
    file.write_text(
        "".join(table(name, each.key, each.secret) for name, each in users.items()) + table("u3", "key", "?")
    )
    _, url = processes.serve(KRAKENONCE_CREDENTIALS=str(file))
    first, second = (processes.add(f"bot-{name}", f"USER:{name}") for name in users)
    fake.faults.add("Balance", "error", error="EAPI:Invalid signature")
    call(url, first, "Balance")
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    call(url, second, "Balance")
    done = shell.run("gateway", "status", "--listen", url)
    assert done.code == 1
    lines = done.out.splitlines()
    assert re.fullmatch(r"1 fine, 1 locked out until \d\d:\d\d UTC, 1 refused: wrong secret, 1 not served", lines[0])
    assert [line.split()[0] for line in lines[3:7]] == ["USER:u3", "USER:u1", "USER:u2", "MASTER"]
    assert re.split(r" {2,}", lines[4])[:3] == ["USER:u1", "refused", "wrong secret"]
    assert "refused: lockout" in lines[9]
    assert "refused: invalid_signature" in lines[10]
    seen = json.loads(shell.run("gateway", "status", "--listen", url, "--json").out)
    assert (seen["fine"], seen["summary"]) == (False, lines[0])
    assert [each["outcome"] for each in seen["calls"]] == ["refused", "refused"]
    for hidden in (*processes.secrets, *(each.secret for each in users.values())):
        assert hidden not in done.out


def test_status_of_a_gateway_that_is_fine(processes: Processes, shell: Shell, tmp_path: Path) -> None:
    """Over a Unix socket, too."""
    path = tmp_path / "socket"
    processes.serve(f"unix:{path}")
    _, url = processes.serve()
    for listen in (f"unix:{path}", url, url.removeprefix("http://")):
        done = shell.run("gateway", "status", "--listen", listen)
        assert (done.code, done.out.splitlines()[0]) == (0, "1 fine")


@pytest.mark.parametrize(
    ("listen", "code", "words"),
    [
        ("127.0.0.1:1", 1, "no gateway answers at 127.0.0.1:1"),
        ("unix:/nowhere/socket", 1, "no gateway answers at unix:/nowhere/socket"),
        ("ftp://127.0.0.1", 2, "--listen must be"),
        ("127.0.0.1:x", 2, "--listen must be"),
    ],
)
def test_status_without_a_gateway(shell: Shell, listen: str, code: int, words: str) -> None:
    """It says what to do."""
    done = shell.run("gateway", "status", "--listen", listen)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


def test_the_summary_counts_accounts_by_state_and_reason() -> None:
    """A reason that several have is said once; what concerns all calls comes first."""
    health = [
        {"state": "fine", "words": "", "until": None},
        {"state": "fine", "words": "", "until": None},
        {"state": "refused", "words": "wrong secret", "until": None},
        {"state": "refused", "words": "wrong secret", "until": None},
        {"state": "limited", "words": "no permission: AddOrder", "until": None},
        {"state": "locked_out", "words": "lockout", "until": 65520.0},
    ]
    accounts = [
        {"account": f"USER:u{at}", "health": each, "waiting": 0, "answered": 0, "refused": {}}
        for at, each in enumerate(health)
    ]
    found = {"accounts": accounts, "unusable": [], "stopping": False, "state_silent_seconds": 2.0}
    assert summary_of(found, accounts_in(found)) == (
        "the state has not answered for 2.0 s, and all calls wait for it; "
        "2 fine, 1 limited: no permission: AddOrder, 1 locked out until 18:12 UTC, 2 refused: wrong secret"
    )


def test_check_has_a_line_for_each_problem(shell: Shell, processes: Processes, tmp_path: Path) -> None:
    """And what to do; with none, exit code 0. It makes nothing."""
    before = sorted(tmp_path.rglob("*"))
    assert shell.run("gateway", "check", "--listen", "127.0.0.1:0").out == "ok: 1 accounts, 0 local keys\n"
    assert sorted(tmp_path.rglob("*")) == before
    file = tmp_path / "krakenonce.toml"
    file.touch(0o600)
    file.write_text(table("u1", "key", "?"))
    processes.add("bot-a")
    processes.add("bot-b", "USER:gone")
    words = ("--credentials", str(file), "--listen", "0.0.0.0:1", "--audit", str(file / "none" / "audit.jsonl"))
    done = shell.run("gateway", "check", *words)
    assert done.code == 1
    credentials, local_key, audit, address = done.out.splitlines()
    assert credentials.startswith("account USER:u1 is not served until that is corrected: api_secret of [USER.u1]")
    assert local_key.startswith("local key bot-b uses account USER:gone, for which there are no credentials: ")
    assert f"the directory of the audit log {file / 'none'} cannot be written" in audit
    assert "needs TLS" in address
    assert shell.run("gateway", "check", "--what").code == 2


def test_check_sees_what_a_gateway_would_stumble_over(shell: Shell, processes: Processes, tmp_path: Path) -> None:
    """A key file that others can read, a certificate that is none, a port that another program has."""
    processes.add("bot-a")
    keys = tmp_path / "state" / "gateway_keys.json"
    keys.chmod(0o644)
    (tmp_path / "cert.pem").write_text("no certificate")
    certificate = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "cert.pem"))
    found = shell.run("gateway", "check", *certificate).out
    assert f"chmod 600 {keys}" in found
    assert "cannot use" in found
    keys.chmod(0o600)
    _, url = processes.serve()
    listen = url.removeprefix("http://")
    assert shell.run("gateway", "check", "--listen", listen).code == 0
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with ThreadPoolExecutor(1) as pool:
            checking = pool.submit(shell.run, "gateway", "check", "--listen", listen)
            until(lambda: refuses(other))
            assert f"cannot listen on {listen} (Address already in use)" in checking.result().out
    nowhere = tmp_path / "cert.pem" / "state"
    found = shell.run("gateway", "check", "--listen", "127.0.0.1:0", "--state", str(nowhere)).out
    assert f"the state directory {nowhere} cannot be written" in found


def refuses(listener: socket.socket) -> bool:
    """Whether a connection has come, which is closed at once."""
    with contextlib.suppress(BlockingIOError):
        listener.accept()[0].close()
        return True
    return False


def test_sighup_says_what_it_has_read(processes: Processes, fake: WatchedKraken, tmp_path: Path) -> None:
    """How many accounts, and which are new, gone or changed; of one that is gone, whose local keys use it."""
    users = {name: fake.add_account(f"USER:{name}") for name in ("u1", "u2", "u3")}
    file = tmp_path / "krakenonce.toml"
    file.touch(0o600)
    file.write_text("".join(table(name, each.key, each.secret) for name, each in users.items()))
    processes.secrets += [each.secret for each in users.values()]
    processes.add("bot-b", "USER:u2")
    process, _ = processes.serve(KRAKENONCE_CREDENTIALS=str(file))
    assert process.stderr is not None

    def read_again() -> str:
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        line = next(line for line in process.stderr if "were read again" in line)
        return line.partition("read again: ")[2].strip()

    assert read_again() == "4 accounts (nothing changed)"
    one = users["u1"]
    file.write_text(
        table("u1", one.key, one.secret).replace('"none"', '"pro"') + table("u4", one.key + "x", one.secret)
    )
    assert read_again() == (
        "3 accounts (1 new: USER:u4; 2 gone: USER:u2, used by local key bot-b; USER:u3; 1 changed: USER:u1)"
    )
    process.terminate()
    assert processes.end(process)[0] == 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/status", "/v1/calls", "/"])
def test_head_is_answered_as_get_without_a_body(processes: Processes, path: str) -> None:
    """As load balancers ask; also over a connection that goes on."""
    _, url = processes.serve()
    connection = connect(url)
    connection.request("HEAD", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0
    assert answer.headers["Content-Type"] == fetch(url, "GET", path).headers["Content-Type"]
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as raw:
        raw.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")
