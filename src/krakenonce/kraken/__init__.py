"""Two clients of Kraken's Spot REST API, and what they send and receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.key.parameters import allow_parameters
    from krakenonce.kraken.aio import AsyncKraken
    from krakenonce.kraken.client import Kraken

__all__ = ["AsyncKraken", "Kraken", "allow_parameters"]

_HOMES = {"AsyncKraken": "kraken.aio", "Kraken": "kraken.client", "allow_parameters": "key.parameters"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    # Programs that only sign (krakenonce.kraken.wire) should not have to import urllib3.
    return getattr(import_module(f"krakenonce.{_HOMES[name]}"), name)
