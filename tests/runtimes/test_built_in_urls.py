"""Clients whose URL is built in, unchanged, on a machine set up as docs/how-to/clients-with-a-built-in-url.md says."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.test_calls import NODE_MODULES
from tests.integration.gateway.test_tls_clients import HEAD, row
from tests.integration.pages import blocks
from tests.runtimes.processes import ROOT

PAGE = ROOT / "docs" / "how-to" / "clients-with-a-built-in-url.md"
ROWS = {
    its.client: its
    for its in map(row, PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0].splitlines())
}
NODE = ROOT / "tests" / "integration" / "gateway" / "node"
KRAKENAPI = """
import os
from krakenapi import KrakenApi
print(KrakenApi(os.environ["API_KEY"], os.environ["API_SECRET"]).get_balance())
"""
KRAKENPULL = """
import os
from krakenpull.client import Kraken
print(Kraken(os.environ["API_KEY"], os.environ["API_SECRET"]).get_account_balance())
"""
CRYPTOBOB = """
import os
from cryptobob.kraken import KrakenClient
print(KrakenClient(os.environ["API_KEY"], os.environ["API_SECRET"]).request("Balance"))
"""
# Each makes one private call and prints what the client returns.
WORDS = {
    "krakenapi": [sys.executable, "-c", KRAKENAPI],
    "krakenpull": [sys.executable, "-c", KRAKENPULL],
    "clikraken": [str(Path(sys.executable).with_name("clikraken")), "balance"],
    "cryptobob": [sys.executable, "-c", CRYPTOBOB],
    "node-kraken-api": ["node", str(NODE / "built_in_url.mjs")],
}
SETUPS = ("machine", "container")


@pytest.fixture(scope="module")
def namespaces() -> list[str]:
    """The words that run a program on a machine of its own."""
    words = ["unshare", "--net", "--mount"]
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root on Linux, with unshare, may make a machine with a hosts file and a port 443 of its own")
    tried = [*words, "mount", "--bind", "/etc/hosts", "/etc/hosts"]
    if subprocess.run(tried, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make namespaces of the network and of mounts")
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the certificates, made by the page's commands."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    (commands,) = [block for block in blocks(PAGE, "console") if "openssl" in block]
    assert commands.count("$ ") == 3
    subprocess.run(["/bin/sh", "-ec", commands.replace("$ ", "")], cwd=tmp_path, capture_output=True, check=True)
    return tmp_path


def run(namespaces: list[str], folder: Path, setup: str, client: list[str]) -> dict[str, Any]:
    """Run a client on such a machine; return how it ended, what it said, and which calls came to Kraken."""
    authorities = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    ours = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("KRAKEN") and not name.lower().endswith("_proxy") and name not in authorities
    }
    ours |= {
        "CLIKRAKEN_API_KEYFILE": str(folder / "pair"),
        "KRAKENONCE_STATE_DIR": str(folder / "state"),
        "NODE_MODULES": str(NODE_MODULES),
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
    }
    words = [*namespaces, sys.executable, "-m", "tests.runtimes.programs.port_443", str(folder), setup, *client]
    done = subprocess.run(words, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def skip_without(client: str) -> None:
    """Skip the test if the client is not installed."""
    there = (
        shutil.which("node") and (NODE_MODULES / client).exists()
        if client == "node-kraken-api"
        else importlib.util.find_spec(client)
    )
    if not there:
        pytest.skip(f"{client} is not installed: krakenapi needs Python 3.12, node-kraken-api Node.js and npm")


def test_the_page_has_the_clients_and_versions_that_are_run() -> None:
    """What it says of a version was tried with it."""
    assert ROWS.keys() == WORDS.keys()
    node = json.loads((NODE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, its in ROWS.items():
        there = importlib.util.find_spec(name)
        version = node[name] if name in node else importlib.metadata.version(name) if there else its.version
        assert its.version == version


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("client", WORDS)
def test_a_client_calls_kraken_through_the_gateway_unchanged(
    namespaces: list[str], folder: Path, client: str, setup: str
) -> None:
    """With the hosts file of the machine and --connect-to, or with a hosts file of the client alone."""
    skip_without(client)
    root = str(folder / "root.pem")
    told = [f"{name}={text.replace('root.pem', root)}" for name, text in ROWS[client].environment.items()]
    said = run(namespaces, folder, setup, ["env", *told, *WORDS[client]])
    assert said["code"] == 0, said["said"]
    assert "12345" in said["said"]
    assert (said["accepted"], said["arrivals"]) == (1, 1)


@pytest.mark.parametrize("client", [name for name in WORDS if name != "krakenapi"])  # that tries again without end
def test_a_client_that_is_told_nothing_sends_nothing(namespaces: list[str], folder: Path, client: str) -> None:
    """It does not trust the gateway's certificate."""
    skip_without(client)
    said = run(namespaces, folder, "machine", WORDS[client])
    assert re.search("certificate", said["said"], re.IGNORECASE)
    assert "12345" not in said["said"]
    assert said["arrivals"] == 0


def test_without_connect_to_the_gateway_says_that_it_would_call_itself(namespaces: list[str], folder: Path) -> None:
    """With Kraken's own base URL, TLS and the hosts file of the machine."""
    said = run(namespaces, folder, "loop", ["true"])
    assert said["code"] == 1
    assert "https://api.kraken.com leads to this gateway itself" in said["said"].splitlines()[-1]
    assert "--connect-to" in said["said"].splitlines()[-1]
