"""Two programs that share a key as their users have them: a bot that trades, and a tool that reads the ledger."""

from __future__ import annotations

import re
import shlex
import sys
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tests.runtimes.bought import orders_of
from tests.runtimes.processes import BOTS, need, until
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.processes import Processes
    from tests.runtimes.processes import Program, Programs
    from tests.runtimes.watched import WatchedKraken

PULLS = 40  # of the ledger, while the bot runs
PAIRS = ("-m", "tests.runtimes.programs.pairs")
RUN = ("-m", "krakenonce", "run", "--")
PATIENCE = 60.0  # seconds: infinity-grid waits for one between two orders
GRID = shlex.split(
    "run --strategy GridHODL --name bot --exchange Kraken --userref 1 --base-currency BTC --quote-currency USD"
    " --amount-per-grid 100 --fee 0.0025 --in-memory --no-metrics-enabled"
)
BOB = """
api_key: {key}
private_key: {secret}
interval: 0.001
retry_interval: 1
retry_timeout: 10
trade_plans: [{{pair: XBTUSD, amount: 0.001, interval: {{days: 1}}}}]
withdrawals: []
"""


@pytest.fixture
def funded(account: FakeAccount) -> FakeAccount:
    """The account, with money to trade."""
    account.balances |= {"ZUSD": Decimal(10_000), "XXBT": Decimal(1)}
    return account


def start(programs: Programs, python: str, name: str, *words: str, run: bool, **env: str) -> Program:
    """Start a program of ``programs/pairs.py``, by itself or with `krakenonce run`."""
    before = (sys.executable, *RUN) if run else ()
    return programs.system(*before, python, *PAIRS, name, *words, **env)


def refused_of(tool: Program) -> int:
    """Wait until the tool has ended, and return how many of its calls were refused."""
    (refused,) = re.findall(r"^refused: (\d+)$", tool.wait(), re.MULTILINE)
    return int(refused)


def is_busy(server: WatchedKraken, method: str, since: int) -> bool:
    """Return whether such a call was accepted after the first *since* calls."""
    return any(each.method == method and each.accepted for each in server.fake.arrivals[since:])


@pytest.mark.parametrize("way", ["alone", "run", "gateway"])
def test_infinity_grid_trades_while_a_tool_reads_the_ledger(
    programs: Programs, gateways: Processes, server: WatchedKraken, funded: FakeAccount, way: str
) -> None:
    """Its nonces have 18 digits, those of the tool 13: alone, Kraken refuses each call of the tool."""
    python = str(BOTS / "python")
    need(python)
    url, key, secret = server.url, funded.key, funded.secret
    if way == "gateway":
        _, url = gateways.serve()
        pair = gateways.local_keys.add("bot", "MASTER", frozenset(("query", "trade", "token")))
        key, secret = pair.key, pair.secret
    feed = server.url.replace("http", "ws")
    env = {
        "INFINITY_GRID_API_PUBLIC_KEY": key,
        "INFINITY_GRID_API_SECRET_KEY": secret,
        "INFINITY_GRID_FF_KRAKEN_REST_URL": url,
        "INFINITY_GRID_FF_KRAKEN_WS_URL": feed,
        "INFINITY_GRID_FF_KRAKEN_AUTH_WS_URL": feed,
    }
    bot = start(programs, python, "infinity_grid", *GRID, run=way == "run", **env)
    until(lambda: len(funded.orders) == 3, lambda: bot.printed[-3000:], PATIENCE)
    here = len(server.fake.arrivals)
    server.fake.set_price("XBTUSD", "51000")  # it moves its orders now
    tool = start(programs, python, "ledgers_by_krakenex", url, key, secret, str(PULLS), run=way == "run")
    refused = refused_of(tool)
    until(lambda: is_busy(server, "AddOrder", here), lambda: bot.printed[-3000:], PATIENCE)
    bot.stop()
    if way == "alone":
        assert refused == PULLS
    else:
        assert refused == 0
        assert_in_turn(server, len(server.fake.accepted()))
        assert {len(str(each.nonce)) for each in server.fake.arrivals} == {19}


@pytest.mark.parametrize("way", ["alone", "run"])
def test_cryptobob_goes_on_while_a_tool_reads_the_ledger(
    programs: Programs, server: WatchedKraken, funded: FakeAccount, tmp_path: Path, way: str
) -> None:
    """Its nonces have 13 digits, those of the tool 18: alone, it ends after the tool's first call."""
    if find_spec("cryptobob") is None:
        pytest.fail("make test-integrations installs it")
    config = tmp_path / "cryptobob.yml"
    config.touch(mode=0o600)
    config.write_text(BOB.format(key=funded.key, secret=funded.secret), encoding="utf-8")
    bot = start(programs, sys.executable, "cryptobob", "--config", str(config), "run", run=way == "run")
    until(lambda: orders_of(funded), lambda: bot.printed[-3000:])
    words = (server.url, funded.key, funded.secret, str(PULLS))
    tool = start(programs, sys.executable, "ledgers_by_kraken_sdk", *words, run=way == "run")
    assert refused_of(tool) == 0
    if way == "alone":
        assert bot.ended() == 1
        assert "EAPI:Invalid nonce" in bot.printed
        return
    here = len(server.fake.arrivals)
    until(lambda: is_busy(server, "OpenOrders", here), lambda: bot.printed[-3000:])
    bot.close()
    assert len(orders_of(funded)) == 1
    server.fake.assert_no_invalid_nonce()
    assert {len(str(each.nonce)) for each in server.fake.arrivals} == {19}
