"""One line makes somebody else's Kraken client safe: ``krakenonce.guard(client)``."""

from __future__ import annotations

from krakenonce.guards.entry import guard
from krakenonce.guards.turns import Adapter, Turns

__all__ = ["Adapter", "Turns", "guard"]
