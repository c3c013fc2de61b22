#!/usr/bin/env bash
# ccxt 4.5.90 (kraken), CPython 3.11.
# Kraken keeps what earns rewards automatically under NAME.F, sells it as NAME, and holds it for orders as NAME: its page
# on BalanceEx says so. One would expect that fetch_balance() puts both together, or never says less than nothing.
# Seen: with 2 XBT.F and an order that holds 0.5, BTC has free -0.5, and 2 are free as BTC.F, which cannot be traded.
# A bot that checks "free" before it sells sells nothing; one that sizes orders by it fails.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ccxt==4.5.90
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import http.server
import json
import threading

import ccxt

HELD = {"balance": "0.0000000000", "hold_trade": "0.5000000000"}
EARNS = {"balance": "2.0000000000", "hold_trade": "0.0000000000"}
ANSWERS = {"/0/private/BalanceEx": {"XXBT": HELD, "XBT.F": EARNS}}


class Kraken(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"error": [], "result": ANSWERS.get(self.path.partition("?")[0], {})}).encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Kraken)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = ccxt.kraken({"apiKey": "key", "secret": "c2VjcmV0"})
for name in ("public", "private"):
    client.urls["api"][name] = f"http://127.0.0.1:{server.server_port}"
balance = client.fetch_balance()
for name in ("BTC", "BTC.F"):
    print(name, balance[name])
PYTHON
)
echo "$said"
test "$said" = "BTC {'free': -0.5, 'used': 0.5, 'total': 0.0}
BTC.F {'free': 2.0, 'used': 0.0, 'total': 2.0}"
