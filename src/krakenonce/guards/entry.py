"""``guard()``: one line makes a client safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.checks import check_manager, check_seconds
from krakenonce.errors import ConfigError
from krakenonce.guards import ccxt, kraken_py, kraken_sdk, krakenex, krakipy, typed_kraken
from krakenonce.guards.turns import Turns

if TYPE_CHECKING:
    from krakenonce.guards.turns import Adapter
    from krakenonce.manager import NonceManager


Client = TypeVar("Client")

_FAMILIES = (krakenex, ccxt, kraken_sdk, krakipy, typed_kraken, kraken_py)
_WRAPPERS = {("pykrakenapi", "KrakenAPI"): "api", ("typed_kraken", "Kraken"): "spot_client"}
_MARK = "_krakenonce_turns"


def guard(
    client: Client,
    manager: NonceManager | None = None,
    *,
    timeout: float = 30.0,
    heed_lockout: bool = True,
    adapter: Adapter | None = None,
) -> Client:
    """Make a Kraken client take its turn and its nonce for each private call; return the same object.

    Supported are ``krakenex.API``, ``ccxt.kraken`` (also of ``ccxt.async_support`` and ``ccxt.pro``), the Spot clients
    of python-kraken-sdk, and the clients of pykrakenapi, krakipy, typed-kraken and kraken-py-sdk. Types, methods,
    results and public calls are not changed. Only this object is changed, not its class; guard it after copying it.
    Guarding it again sets the manager and the timeout.

    Args:
        client: The client.
        manager: Where nonces and turns come from; None: one ``NonceManager()`` for the whole process, made at the first
            private call.
        timeout: Seconds after which a private call times out, for a client that has no timeout of its own.
        heed_lockout: After Kraken's "Temporary lockout", in any process of this host, private calls raise LockedOut for
            15 minutes and are not sent. False: they are sent, which may prolong the lockout.
        adapter: For another client: the function that changes it, see :mod:`krakenonce.guards.turns`.

    Raises:
        ConfigError: The client is not supported or is a class, its HTTP session repeats POST requests, or an argument
            cannot be used. A private call raises it if the client has no API key.
    """
    if isinstance(client, type):
        name = client.__qualname__
        raise ConfigError(f"guard() needs a client, not its class: write guard({name}(...))")
    check_seconds("timeout", timeout)  # a call that hangs makes all others wait
    check_manager(manager)
    if adapter is not None and not callable(adapter):
        raise ConfigError("adapter must be a function of a client and its turns; see docs/how-to/write-an-adapter.md")
    if adapter is None and (inside := _inside(client)) is not None:
        guard(inside, manager, timeout=timeout, heed_lockout=heed_lockout)
        return client
    turns = turns_of(client)
    if turns is not None:
        turns.use(manager, timeout, heed_lockout=heed_lockout)
        return client
    attach = adapter or next((family.attach for family in _FAMILIES if family.knows(client)), None)
    if attach is None:
        raise ConfigError(_unknown(client))
    turns = Turns(manager, timeout, heed_lockout=heed_lockout)
    attach(client, turns)
    setattr(client, _MARK, turns)
    return client


def turns_of(client: object) -> Turns | None:
    """Return the turns of a guarded client; None: it is not guarded."""
    turns = getattr(client, _MARK, None)
    return turns if isinstance(turns, Turns) else None


def _inside(client: Any) -> Any:
    """Return the client that a wrapper we know has inside; None: it is no such wrapper."""
    for kind in type(client).__mro__:
        if (name := _WRAPPERS.get((kind.__module__.partition(".")[0], kind.__name__))) is not None:
            return getattr(client, name, None)
    return None


def _unknown(client: object) -> str:
    name = f"{type(client).__module__}.{type(client).__qualname__}"
    if "futures" in name.lower():
        return f"guard() does not support {name}: Kraken Futures has another API and other nonces"
    for attribute, inside in getattr(client, "__dict__", {}).items():
        if any(family.knows(inside) for family in _FAMILIES):
            return f"guard() does not support {name}: guard the client inside, with guard(client.{attribute})"
    return (
        f"guard() does not support {name}. It supports krakenex.API, ccxt.kraken, and the Spot clients of "
        "python-kraken-sdk, pykrakenapi, krakipy, typed-kraken and kraken-py-sdk. Of another wrapper, guard the client "
        "inside, such as guard(client.api). For another client write "
        "guard(client, adapter=f), where f(client, turns) makes its private calls under turns.lane(key) with the nonce "
        "turns.next(key): about ten lines, see docs/how-to/write-an-adapter.md"
    )
