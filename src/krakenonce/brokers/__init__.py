"""MASTER and users: their accounts, a broker for each, and one call or one order for many of them.

A name is loaded when it is first used: a program that only reads credentials should not wait for an HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.brokers.async_manager import AsyncBrokerManager
    from krakenonce.brokers.broker import KrakenBroker, KrakenNonce
    from krakenonce.brokers.credentials import Account, load_account, load_accounts
    from krakenonce.brokers.fan_out import Outcome, Verdict
    from krakenonce.brokers.manager import BrokerManager
    from krakenonce.key.pair import KeyPair

__all__ = [
    "Account",
    "AsyncBrokerManager",
    "BrokerManager",
    "KeyPair",
    "KrakenBroker",
    "KrakenNonce",
    "Outcome",
    "Verdict",
    "load_account",
    "load_accounts",
]

_HOMES = {
    "AsyncBrokerManager": ".async_manager",
    "BrokerManager": ".manager",
    "KrakenBroker": ".broker",
    "KrakenNonce": ".broker",
    "Outcome": ".fan_out",
    "Verdict": ".fan_out",
    "Account": ".credentials",
    "KeyPair": "krakenonce.key.pair",
    "load_account": ".credentials",
    "load_accounts": ".credentials",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name], __name__), name)
