#!/usr/bin/env bash
# typed-kraken 0.5.0, CPython 3.11.
# An order may have a "close", an order that follows it; its type is given as a dictionary. In a form, Kraken documents it
# as close[ordertype]=limit&close[price]=60000. One would expect that the client writes it so, or as JSON.
# Seen: it writes the dictionary as Python shows it, which is neither: close={'ordertype': 'limit', 'price': '60000'}.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet typed-kraken==0.5.0
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import asyncio
import http.server
import threading
import urllib.parse

from typed_kraken import Kraken

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "50000"}
ANSWER = b'{"error": [], "result": {"descr": {"order": "buy 0.01 XBTUSD @ limit 50000"}, "txid": ["OAAAAA-BBBBB-CCCCCC"]}}'


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(next(value for name, value in urllib.parse.parse_qsl(body) if name.startswith("close")))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_):
        pass


async def place(url):
    kraken = Kraken.new(api_key="key", private_key="c2VjcmV0")
    kraken.spot_client.base_url = url
    await kraken.spot.trading.add_order({**ORDER, "close": {"ordertype": "limit", "price": "60000"}})


server = http.server.HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(place(f"http://127.0.0.1:{server.server_port}"))
PYTHON
)
echo "$said"
test "$said" = "{'ordertype': 'limit', 'price': '60000'}"
