"""How many accounts are called at the same time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers.at_once import at_once
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNTS = 80
FILES = 200  # fewer than three for each account
PROGRAM = """
import asyncio, inspect, json, resource, sys
from krakenonce import brokers
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.manager import NonceManager

kind, files, url, state, *accounts = json.load(sys.stdin)
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
nonces = GlobalKrakenNonceManager(NonceManager(state))
made = getattr(brokers, kind)([brokers.Account(*each) for each in accounts], nonces=nonces, base_url=url)

async def order(**params):
    outcomes = made.call_all("AddOrder", params)
    outcomes = await outcomes if inspect.isawaitable(outcomes) else outcomes
    print(sum(each.ok for each in outcomes.values()), *{str(each.error) for each in outcomes.values() if each.error})

asyncio.run(order(pair="XBTUSD", type="buy", ordertype="limit", volume="1", price="100"))
"""


@pytest.mark.parametrize("kind", ["BrokerManager", "AsyncBrokerManager"])
def test_more_accounts_than_files_are_all_called(kind: str, tmp_path: Path) -> None:
    """A process that may open few files makes fewer calls at the same time; none is refused."""
    fake = FakeKraken()
    made = [fake.add_account(f"USER:{number}", balances={"ZUSD": "1000.0000"}) for number in range(ACCOUNTS)]
    with FakeKrakenServer(fake, latency=0.05) as server:
        job = [kind, FILES, server.url, str(tmp_path), *([each.name, each.key, each.secret, "pro"] for each in made)]
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM], input=json.dumps(job), capture_output=True, text=True, check=True
        )
    assert told.stdout == f"{ACCOUNTS}\n"


@pytest.mark.parametrize(("files", "calls"), [(resource.RLIM_INFINITY, 64), (100_000, 64), (256, 32), (10, 1)])
def test_as_many_are_called_as_there_are_files(monkeypatch: pytest.MonkeyPatch, files: int, calls: int) -> None:
    """Three files for each call, beside what is open and what the state needs; at least one call."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr("os.listdir", lambda _: [])
    assert at_once(64) == calls
