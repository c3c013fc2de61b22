#!/usr/bin/env bash
# python-kraken-sdk 3.5.1, CPython 3.11.
# Kraken's list of API errors has "EService:Busy" and "EGeneral:Too many requests". One would expect that an order which
# is answered so raises an error, as one that is answered "EService:Unavailable" does.
# Seen: for the first two, create_order() returns Kraken's answer as if it were a result: {'error': [...]}. A bot that
# catches exceptions takes the order for placed, and finds no txid.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet python-kraken-sdk==3.5.1
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import http.server
import json
import threading

from kraken.spot import Trade

ERRORS = ["EService:Unavailable", "EService:Busy", "EGeneral:Too many requests"]
waiting = list(ERRORS)


class Kraken(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"error": [waiting.pop(0)]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Kraken)
threading.Thread(target=server.serve_forever, daemon=True).start()
trade = Trade(key="key", secret="c2VjcmV0", url=f"http://127.0.0.1:{server.server_port}")
for error in ERRORS:
    try:
        got = trade.create_order(ordertype="market", side="buy", pair="XBTUSD", volume="0.01")
        print(error, "is returned:", got)
    except Exception as raised:
        print(error, "is raised:", type(raised).__name__)
PYTHON
)
echo "$said"
test "$said" = "EService:Unavailable is raised: KrakenServiceUnavailableError
EService:Busy is returned: {'error': ['EService:Busy']}
EGeneral:Too many requests is returned: {'error': ['EGeneral:Too many requests']}"
