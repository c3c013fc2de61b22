"""A program that does not know krakenonce: makes private calls as its first argument says, and prints what it finds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

URL = os.environ.get("TEST_URL", "")
KEY, SECRET = os.environ.get("TEST_KEY", ""), os.environ.get("TEST_SECRET", "")
CALLS = 5


def with_krakenex(_: object = None) -> int:
    """Make some calls with krakenex, as a subclass of it that has a nonce of its own."""
    import krakenex

    class Mine(krakenex.API):  # type: ignore[misc] # krakenex has no types
        def __init__(self) -> None:
            super().__init__(KEY, SECRET)
            self.uri = URL
            self._nonce = super()._nonce  # set after the base's constructor, which must not undo the guard

    api = Mine()
    for _ in range(CALLS):
        answer = api.query_private("Balance")
        assert not answer["error"], answer
    api.close()
    return CALLS


def with_sdk(_: object = None) -> int:
    """Make some calls with python-kraken-sdk."""
    from kraken.spot import User

    user = User(KEY, SECRET, url=URL)
    for _ in range(CALLS):
        user.get_account_balance()
    return CALLS


def settings() -> dict[str, Any]:
    """Return what ccxt is made with."""
    return {
        "apiKey": KEY,
        "secret": SECRET,
        "enableRateLimit": False,
        "urls": {"api": {"public": URL, "private": URL}},
    }


def with_ccxt(_: object = None) -> int:
    """Make some calls with ccxt."""
    import ccxt

    exchange = ccxt.kraken(settings())
    for _ in range(CALLS):
        exchange.private_post_balance()
    return CALLS


def with_ccxt_async(_: object = None) -> int:
    """Make some calls at once with the asynchronous ccxt."""
    import ccxt.pro

    async def calls() -> None:
        exchange = ccxt.pro.kraken(settings())
        await asyncio.gather(*(exchange.private_post_balance() for _ in range(CALLS)))
        await exchange.close()

    asyncio.run(calls())
    return CALLS


def in_children(_: object = None) -> int:
    """Make calls in four subprocesses, and in workers of each way that multiprocessing has to start one."""
    words = [sys.executable, __file__, "with_krakenex"]
    children = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(4)]
    done = with_krakenex()  # before it forks: its own calls are not those of the children
    for method in ("spawn", "fork", "forkserver"):
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            done += sum(pool.map(with_krakenex, range(2)))
    assert [child.wait() for child in children] == [0] * 4
    return done + 4 * CALLS


def spawned(_: object = None) -> int:
    """Make calls in workers that multiprocessing spawns."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(with_krakenex, range(2)))


def killed(_: object = None) -> int:
    """Make calls, and end without a word."""
    with_krakenex()
    os.kill(os.getpid(), 9)
    return 0


def nothing(_: object = None) -> int:
    """Import no client."""
    assert not {"krakenex", "ccxt", "kraken", "krakenonce.guards"} & set(sys.modules)
    return 0


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
