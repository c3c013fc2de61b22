"""Every client over TLS: each row of the table in docs/how-to/run-the-gateway.md is carried out."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme

from krakenonce.brokers import Account
from tests.integration.gateway import tls_client
from tests.integration.gateway.conftest import RunningGateway
from tests.integration.gateway.test_calls import CURL, NODE_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "how-to" / "run-the-gateway.md"
HEAD = "| client | version | how it trusts the certificate |\n| --- | --- | --- |\n"
NODE, SHELL = "ccxt under Node.js", "curl"


class Row(NamedTuple):
    """What the page says of a client: its version; what its environment, its arguments and its command line need."""

    client: str
    version: str
    environment: dict[str, str]
    config: dict[str, Any]
    options: str


def row(line: str) -> Row:
    """Read one line of the table: what it says is in code, and root.pem is the authority."""
    client, version, how = line.strip("| ").split(" | ")
    said = re.findall(r"`([^`]+)`", how)
    variables = dict(each.split("=") for each in said if re.match("[A-Z_]+=", each))
    config: dict[str, Any] = next((ast.literal_eval(each) for each in said if each.startswith("{")), {})
    return Row(client, version, variables, config, next((each for each in said if each.startswith("--")), ""))


ROWS = [row(line) for line in PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0].splitlines()]
IS_HERE = {
    **dict.fromkeys(tls_client.CLIENTS, True),
    NODE: bool(shutil.which("node") and (NODE_MODULES / "ccxt").exists()),
    SHELL: bool(shutil.which("curl") and shutil.which("openssl")),
}


PYTHON = [its for its in ROWS if its.client in tls_client.CLIENTS]
SETTINGS = {json.dumps(its.environment): its.environment for its in PYTHON}


def errors_of(url: str, pair: LocalKey, rows: list[Row]) -> list[str]:
    """Make a call with each of these clients in Python, in one process with their environment; return their errors."""
    calls = json.dumps([(its.client, its.config) for its in rows])
    words = [sys.executable, str(HERE / "tls_client.py"), url, pair.key, pair.secret, calls]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **rows[0].environment}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    errors: list[str] = json.loads(done.stdout)
    return errors


def by_node(url: str, pair: LocalKey, its: Row) -> subprocess.CompletedProcess[str]:
    """Make a call with ccxt under Node.js."""
    words = ["node", str(HERE / "node" / "bot.mjs"), url, pair.key, pair.secret, "1"]
    env = {"PATH": os.environ["PATH"], "NODE_MODULES": str(NODE_MODULES), **its.environment}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


def by_curl(url: str, pair: LocalKey, its: Row) -> subprocess.CompletedProcess[str]:
    """Make a call with curl."""
    env = {"URL": url, "KEY": pair.key, "SECRET": pair.secret, "NONCE": "1", "PATH": os.environ["PATH"]}
    words = ["/bin/bash", "-c", CURL]
    return subprocess.run(words, env=env | {"OPTIONS": its.options}, capture_output=True, text=True, check=False)


def told(its: Row, root: Path) -> Row:
    """Return the row with the path of the authority's certificate."""
    return Row(its.client, its.version, *json.loads(json.dumps(its[2:]).replace("root.pem", str(root))))


def untold(its: Row) -> Row:
    """Return the row without what the page says."""
    return Row(its.client, its.version, {}, {}, "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The certificate of the authority."""
    return tmp_path / "root.pem"


@pytest.fixture
def secured(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path, root: Path) -> Iterator[RunningGateway]:
    """A gateway with a certificate of this authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path / "state", tls=tls) as running:
        yield running


def test_the_page_has_every_client_and_the_version_that_is_run() -> None:
    """What the page says of a version was tried with it."""
    assert {each.client for each in ROWS} == set(IS_HERE)
    node = json.loads((HERE / "node" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for its in ROWS:
        package = its.client.partition(",")[0]
        if its.client == NODE:
            assert its.version == node["ccxt"]
        elif its.version != "-":
            assert its.version == importlib.metadata.version(package)


@pytest.mark.parametrize("setting", SETTINGS)
def test_clients_in_python_trust_the_gateway_if_they_are_told_as_the_page_says(
    secured: RunningGateway, fake: WatchedKraken, root: Path, setting: str
) -> None:
    """Their calls are answered; those with the same environment run in one process."""
    rows = [told(its, root) for its in PYTHON if its.environment == SETTINGS[setting]]
    assert errors_of(secured.url, secured.add("bot"), rows) == [""] * len(rows)
    assert len(fake.accepted()) == len(fake.arrivals) == len(rows)


def test_clients_in_python_that_are_told_nothing_send_nothing(secured: RunningGateway, fake: WatchedKraken) -> None:
    """So it is what the page says that makes them trust."""
    for error in errors_of(secured.url, secured.add("bot"), [untold(its) for its in PYTHON]):
        assert "CERTIFICATE_VERIFY_FAILED" in error
    assert fake.arrivals == []


@pytest.mark.parametrize(("client", "call"), [(NODE, by_node), (SHELL, by_curl)])
def test_other_clients_trust_the_gateway_if_they_are_told_as_the_page_says(
    secured: RunningGateway,
    fake: WatchedKraken,
    root: Path,
    client: str,
    call: Callable[[str, LocalKey, Row], subprocess.CompletedProcess[str]],
) -> None:
    """Otherwise they send nothing."""
    if not IS_HERE[client]:
        pytest.skip("needs curl and openssl, or Node.js and npm when .venv is made")
    [its] = [each for each in ROWS if each.client == client]
    pair = secured.add("bot")
    refused = call(secured.url, pair, untold(its))
    assert refused.returncode != 0
    assert "certificate" in refused.stderr
    assert fake.arrivals == []
    done = call(secured.url, pair, told(its, root))
    assert done.returncode == 0, done.stderr
    assert len(fake.accepted()) == len(fake.arrivals) == 1
