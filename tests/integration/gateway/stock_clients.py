"""Other people's clients, each in a process of its own, and what docs/reference/clients.md says of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.integration.gateway.test_calls import NODE_MODULES

if TYPE_CHECKING:
    from tests.integration.gateway.stock_client import Call

__all__ = ["HERE", "KRAKENAPI", "NODE", "PAGE", "Outcome", "StockClients", "is_here", "tables", "version_of"]

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "reference" / "clients.md"
NODE = {f"{package} under Node.js": package for package in ("ccxt", "kraken-api", "node-kraken-api")}
KRAKENAPI = "krakenapi"
LONGEST = 75.0  # seconds; a client that has not made its call by then is ended


def tables() -> list[dict[str, dict[str, str]]]:
    """Return the tables of the page: by client, then by the head of the column."""
    found = []
    for lines in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in lines.splitlines()]
        found.append({row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]})
    return found


def version_of(client: str) -> str:
    """Return the version of a client that is installed; nothing if it is not."""
    try:
        if client in NODE:
            return str(
                json.loads((NODE_MODULES / NODE[client] / "package.json").read_text(encoding="utf-8"))["version"]
            )
        return metadata.version(client.partition(",")[0])
    except (OSError, metadata.PackageNotFoundError):
        return ""


def is_here(client: str) -> bool:
    """Return whether a client can be run here."""
    program = "curl" if client == "curl" else "node" if client in NODE else sys.executable
    return shutil.which(program) is not None and bool(version_of(client) or client == "curl")


class Outcome(NamedTuple):
    """What a client has made of a call.

    Args:
        kind: The name of its exception; ``error``: it has returned Kraken's list of errors; ``no end``: it was ended
            while it made the call; ``result``: anything else.
        text: What the exception says, or what was returned.
        seconds: After how long.
    """

    kind: str
    text: str
    seconds: float

    def fits(self, said: str) -> bool:
        """Return whether a cell of the page has it: its kind in code, or its kind and a part of its text."""
        for kind, _, part in (each.partition(": ") for each in re.findall(r"`([^`]+)`", said)):
            if kind == self.kind and part in self.text:
                return True
        return False


class StockClients:
    """Clients in processes of their own, which are started with the first call."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}

    def make(self, calls: dict[str, Call]) -> dict[str, Outcome]:
        """Make a call with each client, all at once, and return what each has made of it."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return dict(zip(calls, pool.map(self._make, calls, calls.values()), strict=True))

    def end(self, client: str) -> None:
        """End one of them, also while it makes a call. The next call starts it anew."""
        self._running[client].kill()

    def close(self) -> None:
        """End them."""
        for process in self._running.values():
            process.kill()
            process.communicate()

    def _make(self, client: str, call: Call) -> Outcome:
        if client not in self._running:
            self._running[client] = _start(client)
        process = self._running[client]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(call._asdict()) + "\n")
        process.stdin.flush()
        began, timer = time.monotonic(), threading.Timer(LONGEST, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        if not line:
            del self._running[client]
            process.communicate()
            return Outcome("no end", "", time.monotonic() - began)
        got = json.loads(line)
        if "raised" in got:
            return Outcome(got["raised"], got["text"], got["seconds"])
        returned = got["returned"]
        is_error = isinstance(returned, dict) and bool(returned.get("error"))
        return Outcome("error" if is_error else "result", json.dumps(returned), got["seconds"])


def _start(client: str) -> subprocess.Popen[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "NODE_MODULES": str(NODE_MODULES)}
    program = ("node", HERE / "node" / "stock.mjs") if client in NODE else (sys.executable, HERE / "stock_client.py")
    return subprocess.Popen(
        [*program, client], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
