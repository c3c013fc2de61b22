"""One line makes somebody else's Kraken client safe: ``krakenonce.guard(client)``."""

from __future__ import annotations

from .entry import guard
from .turns import Adapter, Turns

__all__ = ["Adapter", "Turns", "guard"]
