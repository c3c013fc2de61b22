"""Clients and proxies that send an order again when its answer is lost or late: one order at Kraken, and its id."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway.conftest import ORDER, signed
from tests.integration.gateway.test_calls import NODE_MODULES
from tests.runtimes.bought import A_PAGE, GIVES_UP, LATE, LOST, LOST_AND_HIDDEN, Trouble, assert_bought_once
from tests.runtimes.processes import BOTS, PROGRAMS, need, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.processes import Processes
    from tests.runtimes.processes import Program, Programs
    from tests.runtimes.watched import WatchedKraken

PATH = "/0/private/AddOrder"
BODY = f"nonce=1&{ORDER}"
TROUBLES = {"lost": LOST, "lost and hidden": LOST_AND_HIDDEN, "a page": A_PAGE, "late": LATE}

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server {gives_up}s
    retries 3
    retry-on all-retryable-errors
    option http-buffer-request
listen gateway
    bind unix@{listen}
    server gateway {first}
"""
# Each gateway is there twice, so that two tries of each are made.
NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    upstream gateways {{
        server {first};
        server {second};
        server {first};
        server {second};
    }}
    server {{
        listen unix:{listen};
        location / {{
            proxy_pass http://gateways;
            proxy_read_timeout {gives_up}s;
            proxy_next_upstream error timeout http_502 http_504 non_idempotent;
        }}
    }}
}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name, for sockets."""
    with tempfile.TemporaryDirectory(prefix="k") as made:
        yield Path(made)


def start_client(programs: Programs, gateways: Processes, python: str, client: str, timeout: int) -> Program:
    """Start a gateway, and one of the clients of ``programs/repeats.py`` that orders there."""
    _, url = gateways.serve()
    pair = gateways.add("bot")
    words = (url, pair.key, pair.secret, str(timeout))
    if python == "node":
        return programs.system(python, str(PROGRAMS / "repeats.mjs"), *words, NODE_MODULES=str(NODE_MODULES))
    return programs.system(python, "-m", "tests.runtimes.programs.repeats", client, *words)


def curl(programs: Programs, pair: LocalKey, url: str, *options: str) -> Program:
    """Order with curl, which is given the signed call as it is."""
    headers = (f"{name}: {text}" for name, text in signed(pair, PATH, 1, BODY.encode()).items())
    words = (word for header in headers for word in ("-H", header))
    return programs.system("curl", "-sS", "--noproxy", "*", *options, *words, "-d", BODY, url + PATH)


def assert_answered_once(account: FakeAccount, sent: Program) -> None:
    """What curl has got last is the answer of the one order."""
    sent.ended()
    last = sent.printed[sent.printed.rfind('{"error"') :] or "{}"
    answer = json.loads(last) if last.endswith("}") else {}
    assert_bought_once(account, sent, answer.get("result", {}).get("txid", []))


def serve_behind(programs: Programs, folder: Path, proxy: str, first: str, second: str, gives_up: int) -> Path:
    """Start a proxy in front of gateways and return its socket once it accepts connections."""
    config, listen = folder / "config", folder / "socket"
    text = HAPROXY if proxy == "haproxy" else NGINX
    hosts = {"first": first.removeprefix("http://"), "second": second.removeprefix("http://")}
    config.write_text(text.format(**hosts, folder=folder, listen=listen, gives_up=gives_up), encoding="utf-8")
    options = {"haproxy": ("-db", "-f", str(config)), "nginx": ("-p", str(folder), "-e", "stderr", "-c", str(config))}
    started = programs.system(proxy, *options[proxy])

    def accepts() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(listen)) == 0

    until(accepts, lambda: f"it has printed only:\n{started.printed[-3000:]}")
    return listen


@pytest.mark.parametrize("trouble", TROUBLES)
def test_curl_that_tries_again_after_all_errors_buys_once(
    programs: Programs, gateways: Processes, server: WatchedKraken, account: FakeAccount, trouble: str
) -> None:
    """With --retry 3 --retry-all-errors it sends the very same bytes again, also after its own timeout."""
    need("curl")
    TROUBLES[trouble].begin(server.fake)
    _, url = gateways.serve()
    limits = ("--max-time", str(GIVES_UP)) if trouble == "late" else ()
    sent = curl(programs, gateways.add("bot"), url, "--retry", "3", "--retry-all-errors", "--retry-delay", "1", *limits)
    assert_answered_once(account, sent)


@pytest.mark.parametrize(("trouble", "gives_up"), [(LOST, 30), (LATE, GIVES_UP)], ids=["lost", "late"])
@pytest.mark.parametrize("proxy", ["haproxy", "nginx", "nginx and two gateways"])
def test_a_proxy_that_tries_again_buys_once(
    programs: Programs,
    gateways: Processes,
    server: WatchedKraken,
    account: FakeAccount,
    folder: Path,
    proxy: str,
    trouble: Trouble,
    gives_up: int,
) -> None:
    """HAProxy with all-retryable-errors, nginx with non_idempotent; also if two gateways on one state get the tries."""
    binary, _, two = proxy.partition(" and ")
    need("curl", binary)
    trouble.begin(server.fake)
    urls = [gateways.serve()[1] for _ in range(2 if two else 1)]
    listen = serve_behind(programs, folder, binary, urls[0], urls[-1], gives_up)
    sent = curl(programs, gateways.add("bot"), "http://gateway", "--unix-socket", str(listen))
    assert_answered_once(account, sent)


@pytest.mark.parametrize(
    ("client", "trouble"),
    [
        *((client, trouble) for client in ("requests", "apophis") for trouble in TROUBLES),
        *(("krakenapi", trouble) for trouble in TROUBLES if trouble != "late"),  # it has no timeout
    ],
)
def test_a_client_that_sends_the_same_bytes_again_buys_once(
    programs: Programs, gateways: Processes, server: WatchedKraken, account: FakeAccount, client: str, trouble: str
) -> None:
    """It gets the outcome of what it has sent before."""
    python = sys.executable if client == "requests" else str(BOTS / "python")
    need(python)
    TROUBLES[trouble].begin(server.fake)
    started = start_client(programs, gateways, python, client, GIVES_UP if trouble == "late" else 10)
    assert_bought_once(account, started)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize(
    "client",
    [
        "as nautilus",
        "ccxt",
        pytest.param(
            "ccxt under Node.js",
            marks=pytest.mark.skipif(
                not (NODE_MODULES / "ccxt").exists(), reason="needs Node.js and npm when .venv is made"
            ),
        ),
        pytest.param(
            "nautilus",
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="nautilus_trader 1.231.0 needs Python 3.12"),
        ),
    ],
)
def test_a_client_that_repeats_an_order_with_new_nonces_buys_once(
    programs: Programs, gateways: Processes, server: WatchedKraken, account: FakeAccount, client: str, trouble: str
) -> None:
    """It is the same order if the cl_ord_id and all other parameters are equal, in whichever sequence they come."""
    program = {"nautilus": str(BOTS / "python"), "ccxt under Node.js": "node"}.get(client, sys.executable)
    need(program)
    TROUBLES[trouble].begin(server.fake)
    timeout = GIVES_UP if trouble == "late" else 10
    assert_bought_once(account, start_client(programs, gateways, program, client, timeout))
