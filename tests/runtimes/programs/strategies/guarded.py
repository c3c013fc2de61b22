"""The same strategy with the lines of docs/how-to/bots.md, which guard freqtrade's two clients of ccxt."""

from __future__ import annotations

from typing import Any

from buys_once import BuysOnce

import krakenonce


class Guarded(BuysOnce):  # type: ignore[misc] # freqtrade is not in this environment
    """Buys with each candle, and never sells."""

    def bot_start(self, **_: Any) -> None:
        """Guard the clients that freqtrade has made."""
        for client in (self.dp._exchange._api, self.dp._exchange._api_async):
            krakenonce.guard(client)
