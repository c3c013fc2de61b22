"""A node of nautilus_trader that buys once, through the gateway by the lines of docs/how-to/bots.md: URL KEY SECRET."""

from __future__ import annotations

import sys
from typing import Any

from msgspec.structs import replace
from nautilus_trader.adapters.kraken import (
    KRAKEN,
    KrakenDataClientConfig,
    KrakenLiveDataClientFactory,
    KrakenLiveExecClientFactory,
)
from nautilus_trader.config import InstrumentProviderConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from tests.integration.pages import ROOT, modules
from tests.runtimes.programs.given import URL

PAGE = ROOT / "docs" / "how-to" / "bots.md"


class BuysOnce(Strategy):  # type: ignore[misc] # nautilus_trader is not in this environment
    """Buys when the node is connected, and says when Kraken has filled the order."""

    def on_start(self) -> None:
        """Buy."""
        instrument = self.cache.instrument(InstrumentId.from_str("BTC/USD.KRAKEN"))
        self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, instrument.make_qty(0.01)))

    def on_order_filled(self, event: Any) -> None:
        """Say it."""
        print("filled:", event.venue_order_id, flush=True)


def main() -> None:
    """Run the node until it is ended."""
    url, key, secret = sys.argv[1:]
    names: dict[str, Any] = {}
    exec(modules(PAGE)["node.py"].replace("http://127.0.0.1:8686", url), names)  # noqa: S102 - our own page
    feed = {
        "base_url_ws_spot": URL.replace("http", "ws") + "/v2",
        "instrument_provider": InstrumentProviderConfig(load_all=True),
    }
    trading = replace(names["config"], api_key=key, api_secret=secret, **feed)
    market = KrakenDataClientConfig(base_url_http_spot=URL, **feed)
    node = TradingNode(TradingNodeConfig(data_clients={KRAKEN: market}, exec_clients={KRAKEN: trading}))
    node.trader.add_strategy(BuysOnce())
    node.add_data_client_factory(KRAKEN, KrakenLiveDataClientFactory)
    node.add_exec_client_factory(KRAKEN, KrakenLiveExecClientFactory)
    node.build()
    node.run()


if __name__ == "__main__":
    main()
