"""One client as it is: python stock_client.py NAME; reads calls as lines of JSON, writes what it makes of each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Call(NamedTuple):
    """A private call; without *seconds* the client has the timeout that it has by default."""

    url: str
    key: str
    secret: str
    seconds: float | None
    method: str
    params: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it goes."""
        return f"/0/private/{self.method}"


def by_krakenex(call: Call) -> object:
    """Call with krakenex."""
    import krakenex

    url, key, secret, seconds, method, params = call
    api = krakenex.API(key, secret)
    api.uri = url
    return api.query_private(method, params, timeout=seconds)


def by_ccxt(call: Call) -> object:
    """Call with ccxt."""
    import ccxt

    url, key, secret, seconds, method, params = call
    config = {"timeout": seconds * 1000} if seconds else {}
    exchange = ccxt.kraken({"apiKey": key, "secret": secret, **config})
    exchange.urls["api"]["private"] = url
    return getattr(exchange, f"private_post_{method.lower()}")(params)


def by_async_ccxt(call: Call) -> object:
    """Call with ccxt's asynchronous client."""
    import ccxt.async_support

    async def main() -> object:
        url, key, secret, seconds, method, params = call
        config = {"timeout": seconds * 1000} if seconds else {}
        exchange = ccxt.async_support.kraken({"apiKey": key, "secret": secret, **config})
        exchange.urls["api"]["private"] = url
        try:
            return await getattr(exchange, f"private_post_{method.lower()}")(params)
        finally:
            await exchange.close()

    return asyncio.run(main())


def by_sdk(call: Call) -> object:
    """Call with python-kraken-sdk."""
    from kraken.spot import SpotClient

    url, key, secret, seconds, _, params = call
    with SpotClient(key, secret, url=url) as client:
        if seconds:
            client.TIMEOUT = seconds  # type: ignore[assignment] # a part of a second for tests
        return client.request("POST", call.path, params)


def by_async_sdk(call: Call) -> object:
    """Call with python-kraken-sdk's asynchronous client."""
    from kraken.spot import SpotAsyncClient

    async def main() -> object:
        url, key, secret, seconds, _, params = call
        async with SpotAsyncClient(key, secret, url=url) as client:
            if seconds:
                client.TIMEOUT = seconds  # type: ignore[assignment] # a part of a second for tests
            return await client.request("POST", call.path, params)

    return asyncio.run(main())


def by_krakenapi(call: Call) -> object:
    """Call with krakenapi, whose URL is built in; its pauses before it repeats a call are a tenth of what they are."""
    import socket

    from krakenapi import KrakenApi, kraken_api

    url, key, secret, seconds, method, params = call
    KrakenApi.create_api_path = staticmethod(lambda _, method: f"{url}/0/private/{method}")
    kraken_api.time = SimpleNamespace(time=time.time, sleep=lambda pause: time.sleep(pause / 10))
    socket.setdefaulttimeout(seconds)
    api = KrakenApi(key, secret)
    return api.send_api_request(api.create_api_request(False, method, params))


def by_kraken_py_sdk(call: Call) -> object:
    """Call with kraken-py-sdk."""
    from kraken_py import ApiCredentials, RestClient
    from pydantic import RootModel

    async def main() -> object:
        url, key, secret, seconds, _, params = call
        more = {"timeout": seconds} if seconds else {}
        async with RestClient(ApiCredentials(api_key=key, api_secret=secret), base_url=url, **more) as client:
            got = await client.request_model("POST", call.path, RootModel[Any], body=params, private=True)
            return got.result.root

    return asyncio.run(main())


def by_typed_kraken(call: Call) -> object:
    """Call with typed-kraken."""
    from typed_core.http import HttpClient
    from typed_kraken import Kraken

    async def main() -> object:
        url, key, secret, seconds, _, params = call
        http = HttpClient(timeout=seconds) if seconds else HttpClient()
        kraken = Kraken.new(api_key=key, private_key=secret, http=http)
        kraken.spot_client.base_url = url
        async with http:
            return await kraken.spot_client.authed_request(call.path, params)

    return asyncio.run(main())


def by_curl(call: Call) -> object:
    """Call with curl; its exit code is its exception."""
    from urllib.parse import urlencode

    from krakenonce.kraken.wire import decode_secret, sign

    nonce = time.time_ns()
    body = urlencode({"nonce": nonce, **call.params})
    signature = sign(call.path, nonce, body.encode(), decode_secret(call.secret))
    headers = ["-H", f"API-Key: {call.key}", "-H", f"API-Sign: {signature}"]
    words = ["curl", "-sS", "--fail-with-body", "-d", body, *headers]
    if call.seconds:
        words += ["--max-time", str(call.seconds)]
    done = subprocess.run([*words, call.url + call.path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise type(f"exit code {done.returncode}", (Exception,), {})(done.stdout + done.stderr)
    return json.loads(done.stdout)


# By the name that the page gives each.
CLIENTS: dict[str, Callable[[Call], object]] = {
    "krakenex": by_krakenex,
    "ccxt": by_ccxt,
    "ccxt, asynchronous": by_async_ccxt,
    "python-kraken-sdk": by_sdk,
    "python-kraken-sdk, asynchronous": by_async_sdk,
    "krakenapi": by_krakenapi,
    "kraken-py-sdk": by_kraken_py_sdk,
    "typed-kraken": by_typed_kraken,
    "curl": by_curl,
}


def outcome_of(client: Callable[[Call], object], call: Call) -> dict[str, Any]:
    """Make a call and return what the client has returned or raised, and after how long."""
    began = time.monotonic()
    try:
        outcome: dict[str, Any] = {"returned": client(call)}
    except Exception as error:  # whatever the client makes of it
        outcome = {"raised": type(error).__name__, "text": str(error)}
    return outcome | {"seconds": time.monotonic() - began}


if __name__ == "__main__":
    for line in sys.stdin:
        outcome = outcome_of(CLIENTS[sys.argv[1]], Call(**json.loads(line)))
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()
