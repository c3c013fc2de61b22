"""Kraken's Spot REST API: the wire format, the errors and a small client with nonces that rise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.kraken.client import Kraken

__all__ = ["Kraken"]


def __getattr__(name: str) -> object:
    # Whoever signs without the client (krakenonce.kraken.wire) should not wait for urllib3.
    if name == "Kraken":
        from krakenonce.kraken.client import Kraken

        return Kraken
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
