#!/usr/bin/env bash
# nautilus_trader 1.231.0, CPython 3.12.
# KrakenExecClientConfig(base_url_http_spot=...) sends the calls of the execution client to that address: a gateway, or a
# server for tests. To connect, the client also asks for a WebSocket token, which is one more private call. One would
# expect that it goes to the same address.
# Seen: it goes to api.kraken.com, whatever the address is. KrakenSpotWebSocketClient has an argument base_url_http for it,
# which the execution client does not pass. So a node whose key is one of that address does not connect.
# All calls go through a proxy on this machine, which notes where they would go and lets none through.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nautilus_trader==1.231.0
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import asyncio
import http.server
import threading

from nautilus_trader.adapters.kraken import KRAKEN, KrakenExecClientConfig, KrakenLiveExecClientFactory
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.core.nautilus_pyo3 import AccountId
from nautilus_trader.model.identifiers import TraderId

asked = []


class Proxy(http.server.BaseHTTPRequestHandler):
    def refuse(self):
        asked.append(self.path)
        self.send_error(502)

    do_CONNECT = do_POST = refuse

    def log_message(self, *_):
        pass


async def show(name, call):
    asked.clear()
    try:
        await call
    except RuntimeError:
        print(name, "asks", " ".join(sorted(set(asked))))


async def main(proxy):
    config = KrakenExecClientConfig(
        api_key="key",
        api_secret="c2VjcmV0",
        base_url_http_spot="http://127.0.0.1:9",
        base_url_ws_spot="ws://127.0.0.1:9/v2",
        proxy_url=proxy,
        max_retries=1,
    )
    clock = LiveClock()
    bus = MessageBus(TraderId("TRADER-001"), clock)
    client = KrakenLiveExecClientFactory.create(asyncio.get_running_loop(), KRAKEN, config, bus, Cache(), clock)
    await show("the balance", client._http_client_spot.request_account_state(AccountId("KRAKEN-001")))
    await show("the token", client._ws_client_spot.authenticate())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main(f"http://127.0.0.1:{server.server_port}"))
PYTHON
)
echo "$said"
test "$said" = "the balance asks http://127.0.0.1:9/0/private/Balance
the token asks api.kraken.com:443"
