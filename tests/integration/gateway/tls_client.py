"""Private calls with unmodified clients, one each: python tls_client.py URL KEY SECRET CALLS; prints their errors."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

METHOD = "/0/private/Balance"


def by_krakenex(url: str, key: str, secret: str, _: dict[str, Any]) -> None:
    """Call with krakenex."""
    import krakenex

    api = krakenex.API(key, secret)
    api.uri = url
    assert api.query_private("Balance")["error"] == []


def by_ccxt(url: str, key: str, secret: str, config: dict[str, Any]) -> None:
    """Call with ccxt, which gets *config*."""
    import ccxt

    exchange = ccxt.kraken({"apiKey": key, "secret": secret, **config})
    exchange.urls["api"]["private"] = url
    assert exchange.private_post_balance()["error"] == []


def by_async_ccxt(url: str, key: str, secret: str, config: dict[str, Any]) -> None:
    """Call with ccxt's asynchronous client, which gets *config*."""
    import ccxt.async_support

    async def main() -> None:
        exchange = ccxt.async_support.kraken({"apiKey": key, "secret": secret, **config})
        exchange.urls["api"]["private"] = url
        try:
            assert (await exchange.private_post_balance())["error"] == []
        finally:
            await exchange.close()

    asyncio.run(main())


def by_sdk(url: str, key: str, secret: str, _: dict[str, Any]) -> None:
    """Call with python-kraken-sdk, which raises on an error."""
    from kraken.spot import SpotClient

    with SpotClient(key, secret, url=url) as client:
        assert client.request("POST", METHOD) is not None


def by_async_sdk(url: str, key: str, secret: str, _: dict[str, Any]) -> None:
    """Call with python-kraken-sdk's asynchronous client."""
    from kraken.spot import SpotAsyncClient

    async def main() -> None:
        async with SpotAsyncClient(key, secret, url=url) as client:
            assert await client.request("POST", METHOD) is not None

    asyncio.run(main())


def by_kraken(url: str, key: str, secret: str, _: dict[str, Any]) -> None:
    """Call with our own client, which raises on an error."""
    from krakenonce.kraken import Kraken
    from krakenonce.manager import NonceManager

    with Kraken(key, secret, manager=NonceManager("memory:"), tier="none", base_url=url) as client:
        client.private("Balance")


def by_async_kraken(url: str, key: str, secret: str, _: dict[str, Any]) -> None:
    """Call with our own asynchronous client."""
    from krakenonce.kraken import AsyncKraken
    from krakenonce.manager import NonceManager

    async def main() -> None:
        manager = NonceManager("memory:")
        async with AsyncKraken(key, secret, manager=manager, tier="none", base_url=url) as client:
            await client.private("Balance")

    asyncio.run(main())


# By the name that the page gives each.
CLIENTS: dict[str, Callable[[str, str, str, dict[str, Any]], None]] = {
    "krakenex": by_krakenex,
    "ccxt": by_ccxt,
    "ccxt, asynchronous": by_async_ccxt,
    "python-kraken-sdk": by_sdk,
    "python-kraken-sdk, asynchronous": by_async_sdk,
    "`Kraken`": by_kraken,
    "`AsyncKraken`": by_async_kraken,
}


def error_of(call: Callable[[], None]) -> str:
    """Make a call and return its error with what led to it; nothing if it was answered."""
    try:
        call()
    except Exception as error:  # whatever the client makes of it
        return "".join(traceback.format_exception(error))
    return ""


if __name__ == "__main__":
    _, url, key, secret, calls = sys.argv
    errors = [error_of(partial(CLIENTS[name], url, key, secret, config)) for name, config in json.loads(calls)]
    sys.stdout.write(json.dumps(errors))
