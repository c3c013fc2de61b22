"""Makes private calls with a client that few know; the second argument says whether it is guarded in the code."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from tests.runtimes.programs.given import KEYS, URL, meet

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 10
MANY = 40  # of those that make their nonce from a clock
KEY, SECRET = KEYS[0]
KRAKEN = "https://api.kraken.com"  # built into some of them


def keep(client: Any) -> Any:
    """Return the client as it is."""
    return client


if sys.argv[2] == "guard":
    from krakenonce import guard as keep  # the one line


def krakipy() -> None:
    """Make calls with krakipy."""
    from krakipy import KrakenAPI

    client = keep(KrakenAPI(KEY, SECRET))
    client.uri = URL
    client.limit = 100  # it would stop at 20, as Kraken does
    for _ in range(CALLS):
        client.get_account_balance()


def pykrakenapi() -> None:
    """Make calls with pykrakenapi, which wraps a krakenex API."""
    import krakenex
    from pykrakenapi import KrakenAPI

    client = keep(KrakenAPI(krakenex.API(KEY, SECRET), tier="Pro"))
    client.api.uri = URL
    for _ in range(CALLS):
        client.get_open_orders()
    client.api.close()


def typed_kraken() -> None:
    """Make calls at once with typed-kraken."""
    from typed_core.http import HttpClient
    from typed_kraken import Kraken

    async def calls() -> None:
        http = HttpClient(timeout=30)
        kraken = keep(Kraken.new(api_key=KEY, private_key=SECRET, http=http))
        kraken.spot_client.base_url = URL
        async with http:
            await asyncio.gather(*(kraken.spot_client.authed_request("/0/private/Balance") for _ in range(CALLS - 1)))
            try:
                await kraken.spot_client.authed_json_request("/0/private/CancelOrderBatch", {"orders": ["O1"]})
            except Exception as error:
                assert "nonce" not in str(error), error  # noqa: PT017 - there is no such order

    asyncio.run(calls())


def kraken_py() -> None:
    """Make calls at once with kraken-py-sdk."""
    from kraken_py import ApiCredentials, RestClient

    async def calls() -> None:
        async with RestClient(ApiCredentials(api_key=KEY, api_secret=SECRET), base_url=URL) as made:
            client = keep(made)
            for response in await asyncio.gather(
                *(client.request("POST", "/0/private/Balance", private=True) for _ in range(CALLS))
            ):
                assert response.json()["error"] == []

    asyncio.run(calls())


def cryptobob() -> None:
    """Ask for the balance with cryptobob's client."""
    from cryptobob import kraken

    request = kraken.Request
    kraken.Request = lambda url, **how: request(url.replace(KRAKEN, URL), **how)
    client = kraken.KrakenClient(KEY, SECRET)
    keep_on(lambda: client.request("Balance"))


def cryptotradebot() -> None:
    """Ask for the balance with cryptotradebot's client."""
    import httpx
    from tradebot.execution.kraken import KrakenClient

    client = KrakenClient(api_key=KEY, api_secret=SECRET, client=httpx.Client(base_url=URL))
    keep_on(client.get_balances)


def kraken_spot() -> None:
    """Ask for the balance with kraken-spot, whose nonces have 19 digits."""
    from kraken_spot import DefaultClient

    client = DefaultClient(endpoint=URL)
    client.api_key, client.private_key = KEY, SECRET
    keep_on(client.get_account_balance)


def krakentren() -> None:
    """Ask for the balance with krakentren, which is functions."""
    from krakentren import krakentren as module

    post = module.requests.post
    module.requests.post = lambda url, **how: post(url.replace(KRAKEN, URL), **how)
    keep_on(lambda: module.contact_kraken("Balance", {}, KEY, SECRET))


def kraky() -> None:
    """Ask for the balance with both clients of kraky."""
    from kraky import KrakyApiAsyncClient, KrakyApiClient

    clients = [made(KEY, SECRET) for made in (KrakyApiClient, KrakyApiAsyncClient)]
    for client in clients:
        client.base_url = URL
    keep_on(clients[0].get_account_balance, MANY // 2)
    keep_on(lambda: asyncio.run(clients[1].get_account_balance()), MANY // 2)


def mcp_kraken() -> None:
    """Ask for the balance with mcp-kraken, which asks what its key may do in the middle of its first call."""
    from mcp_kraken.kraken import KrakenClient

    client = KrakenClient(api_key=KEY, api_secret=SECRET, base_url=URL)
    with asyncio.Runner() as runner:
        keep_on(lambda: runner.run(client.private("Balance")))


def pulse_kraken() -> None:
    """Ask for the balance with pulse-kraken."""
    from pulse.message import PulseMessage
    from pulse_kraken import KrakenAdapter

    client = KrakenAdapter(KEY, SECRET)
    client.base_url = URL
    client.connect()
    keep_on(lambda: client.send(PulseMessage(action="ACT.QUERY.BALANCE", validate=False)))


def pulse_tax() -> None:
    """Ask for a year's trades with pulse-tax."""
    from pulse_tax.collectors import kraken

    kraken.KRAKEN_BASE = URL
    client = kraken.KrakenCollector(KEY, SECRET)
    keep_on(lambda: client.get_trades(2026))


def ziwia() -> None:
    """Ask for the balance with ziwia."""
    from ziwia.api import Api

    client = Api(KEY, SECRET)
    client.address = URL
    keep_on(client.balance)


def keep_on(call: Callable[[], object], calls: int = MANY) -> None:
    """Make a call again and again, together with another program, also if Kraken refuses it: the test counts that."""
    meet(2, f"to begin {calls}")
    for _ in range(calls):
        try:
            call()
        except Exception as error:
            if "Invalid nonce" not in str(error):
                raise


if __name__ == "__main__":
    globals()[sys.argv[1]]()
