"""Strategies of freqtrade that want one trade: the bot buys as long as it knows of none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from freqtrade.strategy import IStrategy

if TYPE_CHECKING:
    from pandas import DataFrame


class BuysOnce(IStrategy):  # type: ignore[misc] # freqtrade is not in this environment
    """Buys with each candle, and never sells."""

    INTERFACE_VERSION = 3
    timeframe = "1m"
    stoploss = -0.9
    minimal_roi: ClassVar = {"0": 10}

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:  # noqa: ARG002 - its signature
        """Need none."""
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:  # noqa: ARG002 - its signature
        """Buy now."""
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:  # noqa: ARG002 - its signature
        """Keep what was bought."""
        return dataframe


class Guarded(BuysOnce):
    """The same strategy, with what docs/how-to/bots.md warns of: a guard when freqtrade has begun."""

    def bot_start(self, **_: Any) -> None:
        """Guard both clients that freqtrade has made."""
        from krakenonce import guard

        guard(self.dp._exchange._api)
        guard(self.dp._exchange._api_async)
