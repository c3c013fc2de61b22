"""The clients that guard() knows, each with the same few calls."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import ccxt
import ccxt.async_support
import ccxt.pro
import krakenex
from kraken.spot import SpotAsyncClient, SpotClient, SpotWSClient, Trade, User

from krakenonce.errors import LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.manager import NonceManager

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100"}


class MyAPI(krakenex.API):  # type: ignore[misc] # krakenex has no types
    """A subclass, as many have written."""


class MyKraken(ccxt.kraken):  # type: ignore[misc] # ccxt has no types
    """A subclass, as many have written."""


class Family(NamedTuple):
    """How to make and use one kind of client; what is asynchronous returns an awaitable."""

    name: str
    make: Callable[[str, str, str], Any]
    private: Callable[..., Any]
    public: Callable[[Any], Any]

    @property
    def is_async(self) -> bool:
        """Whether its calls are awaited."""
        return self.name in ASYNCHRONOUS


def make_krakenex(kind: Any) -> Callable[[str, str, str], Any]:
    """Return what makes a krakenex API."""

    def make(key: str, secret: str, url: str) -> Any:
        api = kind(key, secret)
        api.uri = url
        return api

    return make


def make_ccxt(kind: Any) -> Callable[[str, str, str], Any]:
    """Return what makes a ccxt exchange without the rate limit, which is a second per call."""

    def make(key: str, secret: str, url: str) -> Any:
        exchange = kind({"apiKey": key, "secret": secret, "enableRateLimit": False})
        exchange.urls["api"].update(public=url, private=url)
        return exchange

    return make


def make_sdk(kind: Any) -> Callable[[str, str, str], Any]:
    """Return what makes a client of python-kraken-sdk."""
    return lambda key, secret, url: kind(key, secret, url=url)


def make_ws(key: str, secret: str, url: str) -> Any:
    """Make a WebSocket client, of which only the HTTP calls are used."""
    client = SpotWSClient(key, secret)
    client.URL = url
    return client


def krakenex_private(api: Any, method: str, params: dict[str, Any] | None = None) -> Any:
    """One private call."""
    return api.query_private(method, params)


def ccxt_private(exchange: Any, method: str, params: dict[str, Any] | None = None) -> Any:
    """One private call."""
    return getattr(exchange, f"private_post_{method.lower()}")(params or {})


def sdk_private(client: Any, method: str, params: dict[str, Any] | None = None) -> Any:
    """One private call."""
    return client.request("POST", f"/0/private/{method}", params=params)


def krakenex_public(api: Any) -> Any:
    """One public call."""
    return api.query_public("Time")


def ccxt_public(exchange: Any) -> Any:
    """One public call."""
    return exchange.public_get_time()


def sdk_public(client: Any) -> Any:
    """One public call."""
    return client.request("GET", "/0/public/Time", auth=False)


FAMILIES = [
    Family("krakenex", make_krakenex(krakenex.API), krakenex_private, krakenex_public),
    Family("krakenex subclass", make_krakenex(MyAPI), krakenex_private, krakenex_public),
    Family("ccxt", make_ccxt(ccxt.kraken), ccxt_private, ccxt_public),
    Family("ccxt subclass", make_ccxt(MyKraken), ccxt_private, ccxt_public),
    Family("ccxt async", make_ccxt(ccxt.async_support.kraken), ccxt_private, ccxt_public),
    Family("ccxt pro", make_ccxt(ccxt.pro.kraken), ccxt_private, ccxt_public),
    Family("sdk SpotClient", make_sdk(SpotClient), sdk_private, sdk_public),
    Family("sdk User", make_sdk(User), sdk_private, sdk_public),
    Family("sdk Trade", make_sdk(Trade), sdk_private, sdk_public),
    Family("sdk SpotWSClient", make_ws, sdk_private, sdk_public),
    Family("sdk SpotAsyncClient", make_sdk(SpotAsyncClient), sdk_private, sdk_public),
]
ASYNCHRONOUS = ("ccxt async", "ccxt pro", "sdk SpotWSClient", "sdk SpotAsyncClient")
NAMED = {family.name: family for family in FAMILIES}
SYNCHRONOUS = [NAMED[name] for name in ("krakenex", "ccxt", "sdk User")]

__all__ = ["FAMILIES", "NAMED", "ORDER", "SYNCHRONOUS", "Family", "close", "is_free", "settled"]


async def settled(value: Any) -> Any:
    """Return what a call returned, awaited if need be."""
    return await value if inspect.isawaitable(value) else value


async def close(client: Any) -> None:
    """Close the client's connections."""
    session = getattr(client, "_SpotClient__session", None)
    if session is not None:
        session.close()
    if hasattr(client, "close"):
        await settled(client.close())


def is_free(manager: NonceManager, key: str) -> bool:
    """Return whether another thread would get the key's lane at once."""
    found: list[bool] = []

    def look() -> None:
        try:
            with manager.lane(key, timeout=0):
                found.append(True)
        except LaneTimeout:
            found.append(False)

    looking = threading.Thread(target=look)
    looking.start()
    looking.join()
    return found[0]
