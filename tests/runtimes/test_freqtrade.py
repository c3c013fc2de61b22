"""freqtrade, unchanged, trades live: through a gateway by its configuration, and guarded by `krakenonce run`."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.runtimes.bought import LOST, orders_of
from tests.runtimes.processes import BOTS, PROGRAMS, need, until
from tests.runtimes.watched import assert_in_turn

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.processes import Processes
    from tests.runtimes.processes import Programs
    from tests.runtimes.watched import WatchedKraken

PATIENCE = 60.0  # seconds: it loads for a few, and asks for candles and tickers


def config_of(url: str, pair: LocalKey | FakeAccount, folder: Path) -> dict[str, Any]:
    """Return its configuration: an address and a key, and one trade of 100 USD."""
    pricing = {"price_side": "other", "use_order_book": False}
    return {
        "dry_run": False,
        "initial_state": "running",
        "max_open_trades": 1,
        "stake_currency": "USD",
        "stake_amount": 100,
        "entry_pricing": pricing,
        "exit_pricing": pricing,
        "exchange": {
            "name": "kraken",
            "key": pair.key,
            "secret": pair.secret,
            "pair_whitelist": ["BTC/USD"],
            "enable_ws": False,  # it would go to Kraken
            "ccxt_config": {"urls": {"api": {"public": url, "private": url}}, "enableRateLimit": False},
        },
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 1},
        "user_data_dir": str(folder),
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
    }


def known_orders(folder: Path) -> list[str]:
    """Return the ids of the orders in its database; none before it has made one."""
    address = f"file:{folder / 'trades.sqlite'}?mode=ro"
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(address, uri=True)) as made:
        return [txid for (txid,) in made.execute("SELECT order_id FROM orders")]
    return []


def test_freqtrade_buys_once_though_the_answer_is_lost(
    programs: Programs, gateways: Processes, server: WatchedKraken, account: FakeAccount, tmp_path: Path
) -> None:
    """One order at Kraken, and the bot's database has its id. Told that the call failed, it would buy again."""
    need(str(BOTS / "freqtrade"))
    account.balances["ZUSD"], account.is_counted = Decimal(10_000), True
    LOST.begin(server.fake)
    _, url = gateways.serve()
    folder = tmp_path / "user_data"
    folder.mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(url, gateways.add("bot"), folder)), encoding="utf-8")
    strategy = ("--strategy", "BuysOnce", "--strategy-path", str(PROGRAMS / "strategies"))
    bot = programs.bot("freqtrade", "trade", "--config", str(config), *strategy)
    known = until(lambda: known_orders(folder), lambda: bot.printed[-3000:], PATIENCE)
    assert len(orders_of(account)) == 1, f"{len(orders_of(account))} orders, of which the bot knows {known}"
    assert known == orders_of(account)


def test_freqtrade_shares_its_key_without_a_line(
    programs: Programs, server: WatchedKraken, account: FakeAccount, tmp_path: Path
) -> None:
    """Started with `krakenonce run`, it trades with its own key, beside another program that calls all the time."""
    need(str(BOTS / "freqtrade"))
    account.balances["ZUSD"], account.is_counted = Decimal(10_000), True
    folder = tmp_path / "user_data"
    folder.mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(server.url, account, folder)), encoding="utf-8")
    strategy = ("--strategy", "BuysOnce", "--strategy-path", str(PROGRAMS / "strategies"))
    words = ("-m", "krakenonce", "run", "--", str(BOTS / "freqtrade"), "trade", "--config", str(config), *strategy)
    bot = programs.system(sys.executable, *words)
    rival = programs.run("rival")
    known = until(lambda: known_orders(folder), lambda: bot.printed[-3000:], PATIENCE)
    rivals = int(rival.stop().split()[-1])
    printed = bot.stop()
    found = re.search(r"krakenonce: (\d+) private calls went .* in 1 process; clients guarded: ccxt", printed)
    assert found, printed[-3000:]
    assert known == orders_of(account)
    assert rivals > 100
    assert_in_turn(server, rivals + int(found[1]))


def test_freqtrade_guarded_by_its_strategy_is_refused_when_it_starts(
    programs: Programs, server: WatchedKraken, account: FakeAccount, tmp_path: Path
) -> None:
    """docs/how-to/bots.md: it makes private calls before `bot_start`, with nonces that are below ours."""
    need(str(BOTS / "freqtrade"))
    account.last_nonce = time.time_ns()  # as after any call through krakenonce
    folder = tmp_path / "user_data"
    folder.mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_of(server.url, account, folder)), encoding="utf-8")
    strategy = ("--strategy", "Guarded", "--strategy-path", str(PROGRAMS / "strategies"))
    bot = programs.bot("freqtrade", "trade", "--config", str(config), *strategy)
    until(lambda: "freqtrade - ERROR" in bot.printed, lambda: bot.printed[-3000:], PATIENCE)
    assert bot.ended() == 2
    assert "InvalidNonce" in bot.printed
    assert {len(str(each.nonce)) for each in server.fake.arrivals} == {13}
