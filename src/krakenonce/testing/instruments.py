"""The channel ``instrument`` of Kraken's WebSocket API v2: the assets and pairs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from krakenonce.testing.markets import ASSETS, PAIRS, Asset, Pair
from krakenonce.testing.message import LOT, Message, short_name, symbol_of

if TYPE_CHECKING:
    from krakenonce.testing.engine import MatchingEngine


class Instruments:
    """The channel ``instrument``: the assets and pairs, and in which mode they are."""

    def __init__(self, engine: MatchingEngine, *, snapshot: bool) -> None:
        self.described = {"channel": "instrument", "snapshot": snapshot}
        self._engine, self._snapshot, self._sent = engine, snapshot, engine.rules.status

    def first(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return all of them."""
        return [self._message("snapshot")] if self._snapshot else []

    def changes(self, now: float) -> list[Message]:  # noqa: ARG002 - all are called alike
        """Return all of them if the mode has changed."""
        before, self._sent = self._sent, self._engine.rules.status
        return [self._message("update")] if before != self._sent else []

    def _message(self, kind: str) -> Message:
        data = {
            "assets": [_asset(each) for each in ASSETS.values()],
            "pairs": [_pair(each, self._engine.rules.status) for each in PAIRS.values()],
        }
        return {"channel": "instrument", "type": kind, "data": data}


def _asset(asset: Asset) -> Message:
    return {
        "id": short_name(asset),
        "status": "enabled",
        "precision": asset.decimals,
        "precision_display": asset.display_decimals,
        "borrowable": False,
        "collateral_value": Decimal("0.00"),
    }


def _pair(pair: Pair, status: str) -> Message:
    return {
        "symbol": symbol_of(pair),
        "base": short_name(pair.base),
        "quote": short_name(pair.quote),
        "status": status,
        "qty_precision": 8,
        "qty_increment": LOT,
        "price_precision": pair.price_decimals,
        "cost_precision": 5,
        "marginable": False,
        "has_index": False,
        "cost_min": pair.cost_minimum,
        "tick_size": pair.tick,
        "price_increment": pair.tick,
        "qty_min": pair.minimum.quantize(LOT),
    }
