#!/usr/bin/env bash
# ccxt 4.5.90, CPython 3.11.
# Kraken's AmendOrder changes an order in place: its id stays, and the answer has the id of the change, "amend_id". One
# would expect that edit_order() returns an order with the id of the order, as create_order() does.
# Seen: it returns the id of the change as the id of the order. A bot that keeps it cannot find or cancel its order.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ccxt==4.5.90
said=$("$folder/venv/bin/python" - <<'PYTHON'
import ccxt

PAIR = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "lot_decimals": 8, "pair_decimals": 1}


class Kraken(ccxt.kraken):
    """Answers as Kraken documents, and sends nothing."""

    def fetch(self, url, method="GET", headers=None, body=None):
        name = url.split("?")[0].rsplit("/", 1)[1]
        if name == "AmendOrder":
            print("sent to AmendOrder:", body.split("&")[1])
        results = {
            "AssetPairs": {"XXBTZUSD": PAIR},
            "AddOrder": {"txid": ["OVM3PT-56ACO-53SM2T"], "descr": {"order": "buy 1.00000000 XBTUSD @ limit 50000.0"}},
            "AmendOrder": {"amend_id": "TTW6PD-RC36L-ZZSWNU"},
        }
        return {"error": [], "result": results.get(name, {})}


exchange = Kraken({"apiKey": "key", "secret": "c2VjcmV0", "enableRateLimit": False})
placed = exchange.create_order("BTC/USD", "limit", "buy", 1, 50000)
print("create_order:", placed["id"])
changed = exchange.edit_order(placed["id"], "BTC/USD", "limit", "buy", 1, 50001)
print("edit_order:", changed["id"])
PYTHON
)
echo "$said"
test "$said" = "create_order: OVM3PT-56ACO-53SM2T
sent to AmendOrder: txid=OVM3PT-56ACO-53SM2T
edit_order: TTW6PD-RC36L-ZZSWNU"
