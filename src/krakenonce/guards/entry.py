"""The one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from krakenonce.checks import check_manager, check_seconds
from krakenonce.errors import ConfigError
from krakenonce.guards import ccxt, kraken_sdk, krakenex
from krakenonce.guards.turns import Turns

if TYPE_CHECKING:
    from krakenonce.guards.turns import Adapter
    from krakenonce.manager import NonceManager

__all__ = ["guard"]

Client = TypeVar("Client")

_FAMILIES = (krakenex, ccxt, kraken_sdk)
_MARK = "_krakenonce_turns"


def guard(
    client: Client,
    manager: NonceManager | None = None,
    *,
    timeout: float = 30.0,
    heed_lockout: bool = True,
    adapter: Adapter | None = None,
) -> Client:
    """Make a Kraken client take its turn and its number for each private call; return the same object.

    Known are ``krakenex.API``, ``ccxt.kraken`` (also of ``ccxt.async_support`` and ``ccxt.pro``) and the Spot clients
    of python-kraken-sdk. Types, methods and results stay as they are, and public calls are left alone. Only this
    object is changed, not its class; guard it after copying it. Guarding it again sets the manager and the timeout.

    Args:
        client: The client.
        manager: Where turns and numbers come from; None: one ``NonceManager()`` for all of this process, made at the
            first private call.
        timeout: Seconds after which a private call is given up, for a client that has no timeout of its own.
        heed_lockout: After Kraken's "Temporary lockout", in whichever process on this host, private calls raise
            LockedOut for 15 minutes and are not sent. False: they are sent, which may prolong the lockout.
        adapter: For another client: what changes it, see :mod:`krakenonce.guards.turns`.

    Raises:
        ConfigError: The client is not known or is a class, its HTTP session repeats POST requests, or a setting is of
            the wrong kind. A private call raises it if the client has no API key.
    """
    if isinstance(client, type):
        name = client.__qualname__
        raise ConfigError(f"guard() changes one client, and not the class {name} itself: write guard({name}(...))")
    check_seconds("timeout", timeout)  # a call that hangs keeps all others waiting
    check_manager(manager)
    if adapter is not None and not callable(adapter):
        raise ConfigError("adapter is a function of a client and its turns: see docs/how-to/write-an-adapter.md")
    turns = getattr(client, _MARK, None)
    if isinstance(turns, Turns):
        turns.become(manager, timeout, heed_lockout=heed_lockout)
        return client
    attach = adapter or next((family.attach for family in _FAMILIES if family.knows(client)), None)
    if attach is None:
        raise ConfigError(_unknown(type(client)))
    turns = Turns(manager, timeout, heed_lockout=heed_lockout)
    attach(client, turns)
    setattr(client, _MARK, turns)
    return client


def _unknown(kind: type) -> str:
    return (
        f"guard() does not know {kind.__module__}.{kind.__qualname__}: it knows krakenex.API, ccxt.kraken and the Spot "
        "clients of python-kraken-sdk. For another one write guard(client, adapter=f), where f(client, turns) makes "
        "its private calls under turns.lane(key) with the nonce turns.next(key): ten lines, see "
        "docs/how-to/write-an-adapter.md"
    )
