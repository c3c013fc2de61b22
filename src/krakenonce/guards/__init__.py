"""``krakenonce.guard(client)``: one line makes a Kraken client of another library safe."""

from __future__ import annotations

from krakenonce.guards.clock import guard_method
from krakenonce.guards.entry import guard
from krakenonce.guards.turns import Adapter, Turns

__all__ = ["Adapter", "Turns", "guard", "guard_method"]
