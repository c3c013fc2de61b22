"""One order with a client that repeats its calls: CLIENT URL KEY SECRET TIMEOUT, prints its ids."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}
MARKET_ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.01"}


def by_krakenapi(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order with krakenapi, which sends the same bytes each half second until they are answered, a thousand times."""
    from krakenapi import KrakenApi

    of_kraken = KrakenApi.create_api_path
    KrakenApi.create_api_path = staticmethod(  # its address is a constant
        lambda *call: of_kraken(*call).replace("https://api.kraken.com", url)
    )
    api = KrakenApi(key, secret)
    return api.send_api_request(api.create_api_request(False, "AddOrder", dict(ORDER)))["txid"]


def by_apophis(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order with apophis: the same bytes three times after a timeout or a 504, new nonces after an error of Kraken's.

    Only its module that calls: the rest of the package needs a pandas that the bots' environment has not.
    """
    package = importlib.util.find_spec("apophis")
    assert package is not None
    assert package.submodule_search_locations is not None
    where = Path(package.submodule_search_locations[0]) / "apophis.py"
    spec = importlib.util.spec_from_file_location("apophis_alone", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    api = module.Apophis(key, secret)
    api.uri, api.timeout = url, timeout
    return api.query("AddOrder", dict(ORDER))["result"]["txid"]


def by_requests(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order with requests, and urllib3 told to repeat calls of all verbs: the same bytes, up to six times in all."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign

    nonce, path = time.time_ns(), "/0/private/AddOrder"
    body = encode_form({"nonce": nonce, **ORDER})
    headers = {"API-Key": key, "API-Sign": sign(path, nonce, body, decode_secret(secret)), "Content-Type": FORM}
    retry = Retry(total=5, allowed_methods=None, status_forcelist=(500, 502, 503, 504), backoff_factor=0.1)
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        return session.post(url + path, body, headers=headers, timeout=timeout).json()["result"]["txid"]


def as_nautilus(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order as nautilus_trader 1.231.0 does: up to four times, each with a new nonce, all with one cl_ord_id.

    The parameters come in another order each time. It waits for longer in between: one, two and four seconds.
    """
    import urllib3

    from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign

    path, params = "/0/private/AddOrder", [*MARKET_ORDER.items(), ("cl_ord_id", "O-1")]
    for pause in (0.5, 1, 1, 0):
        nonce = time.time_ns()
        body = encode_form({"nonce": nonce, **dict(random.sample(params, len(params)))})
        headers = {"API-Key": key, "API-Sign": sign(path, nonce, body, decode_secret(secret)), "Content-Type": FORM}
        with contextlib.suppress(urllib3.exceptions.TimeoutError):
            answer = urllib3.request("POST", url + path, body=body, headers=headers, retries=False, timeout=timeout)
            if answer.status < 500:
                return answer.json()["result"]["txid"]
        time.sleep(pause)
    raise TimeoutError


def by_nautilus(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order with nautilus_trader's own client of Kraken, which its adapter uses."""
    from nautilus_trader.core import nautilus_pyo3 as nautilus

    async def main() -> list[str]:
        client = nautilus.KrakenSpotHttpClient(key, secret, url, timeout_secs=int(timeout))
        instrument, *_ = await client.request_instruments([MARKET_ORDER["pair"]])
        client.cache_instrument(instrument)
        txid = await client.submit_order(
            nautilus.AccountId("KRAKEN-001"),
            instrument.id,
            nautilus.ClientOrderId("O-1"),
            nautilus.OrderSide.BUY,
            nautilus.OrderType.MARKET,
            nautilus.Quantity.from_str(MARKET_ORDER["volume"]),
            nautilus.TimeInForce.GTC,
        )
        return [str(txid)]

    return asyncio.run(main())


def by_ccxt(url: str, key: str, secret: str, timeout: float) -> Any:
    """Order with ccxt and maxRetriesOnFailure: up to four times, each with a new nonce, with the caller's cl_ord_id."""
    import ccxt

    options = {"maxRetriesOnFailure": 3, "maxRetriesOnFailureDelay": 1000}
    exchange = ccxt.kraken({"apiKey": key, "secret": secret, "timeout": int(timeout * 1000), "options": options})
    exchange.urls["api"].update(public=url, private=url)
    made = exchange.create_order("BTC/USD", "market", "buy", 0.01, None, {"clientOrderId": "O-1"})
    return [made["id"]]


CLIENTS: dict[str, Callable[[str, str, str, float], Any]] = {
    "krakenapi": by_krakenapi,
    "apophis": by_apophis,
    "ccxt": by_ccxt,
    "requests": by_requests,
    "as nautilus": as_nautilus,
    "nautilus": by_nautilus,
}

if __name__ == "__main__":
    _, client, url, key, secret, timeout = sys.argv
    print(json.dumps(CLIENTS[client](url, key, secret, float(timeout))))
