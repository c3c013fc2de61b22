"""Kraken's Spot REST API: the wire format, the errors and two clients with nonces that rise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.kraken.aio import AsyncKraken
    from krakenonce.kraken.client import Kraken

__all__ = ["AsyncKraken", "Kraken"]


def __getattr__(name: str) -> object:
    # Whoever signs without the clients (krakenonce.kraken.wire) should not wait for urllib3.
    if name == "Kraken":
        from krakenonce.kraken.client import Kraken

        return Kraken
    if name == "AsyncKraken":
        from krakenonce.kraken.aio import AsyncKraken

        return AsyncKraken
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
