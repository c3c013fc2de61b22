"""Makes private calls with a client that few know; the second argument says whether it is guarded in the code."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tests.runtimes.programs.given import KEYS, URL

CALLS = 10
KEY, SECRET = KEYS[0]


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


if __name__ == "__main__":
    globals()[sys.argv[1]]()
