#!/usr/bin/env bash
# python-kraken-sdk 3.5.1, CPython 3.11.
# Trade(url=...) sends orders to that address: a gateway, or a server for tests. create_order(truncate=True) asks first for
# the decimals of the pair. One would expect that this call goes to the same address.
# Seen: it goes to Kraken itself, whatever the address is. A test without a network fails there, and one with a network
# asks the real exchange.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet python-kraken-sdk==3.5.1
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json

import requests
from kraken.spot import Trade

PAIR = {"pair_decimals": 1, "lot_decimals": 8, "ordermin": "0.00005", "costmin": "0.5", "cost_decimals": 5}


def send(self, method, url, **_):
    """Show where a call would go, and send nothing."""
    host, _, path = url.partition("/0/")
    print(path.split("?")[0], "to the given address" if host == "http://127.0.0.1:9" else "to another address")
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Type"] = "application/json"
    result = {"XXBTZUSD": PAIR} if "AssetPairs" in path else {"txid": ["OVM3PT-56ACO-53SM2T"]}
    answer._content = json.dumps({"error": [], "result": result}).encode()
    return answer


requests.Session.request = send
trade = Trade(key="key", secret="c2VjcmV0", url="http://127.0.0.1:9")
trade.create_order(ordertype="limit", side="buy", pair="XBTUSD", volume="0.01", price="50000", truncate=True)
PYTHON
)
echo "$said"
test "$said" = "public/AssetPairs to another address
private/AddOrder to the given address"
