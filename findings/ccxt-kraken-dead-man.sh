#!/usr/bin/env bash
# ccxt 4.5.90, CPython 3.11.
# cancel_all_orders_after() sets Kraken's timer that cancels all orders of a client that is gone. ccxt takes milliseconds,
# Kraken seconds; to Kraken, 0 means: switch the timer off. One would expect that a time below one second is rounded up,
# or refused.
# Seen: it is rounded down. 1999 ms are sent as 1 second, and 999 ms as 0: the call that should protect the orders ends
# their protection.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ccxt==4.5.90
said=$("$folder/venv/bin/python" - <<'PYTHON'
import ccxt


class Kraken(ccxt.kraken):
    """Shows what it would send, and sends nothing."""

    def fetch(self, url, method="GET", headers=None, body=None):
        if url.endswith("CancelAllOrdersAfter"):
            print(body.split("&")[1])
        return {"error": [], "result": {}}


exchange = Kraken({"apiKey": "key", "secret": "c2VjcmV0", "enableRateLimit": False})
exchange.set_markets({})
for milliseconds in (60000, 1999, 999):
    print(milliseconds, end=" ms: ")
    exchange.cancel_all_orders_after(milliseconds)
PYTHON
)
echo "$said"
test "$said" = "60000 ms: timeout=60
1999 ms: timeout=1
999 ms: timeout=0"
