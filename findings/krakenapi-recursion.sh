#!/usr/bin/env bash
# krakenapi 1.0.2, CPython 3.11 and 3.13.
# It sends a call again after a lost connection and after any HTTP status but 200, half a second later, and does so by
# calling itself. One would expect that it goes on until there is an answer, or that it stops after some tries with an
# error that says so.
# Seen: after about 980 requests it ends with RecursionError, at the depth that Python allows. The call may have been executed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --ignore-requires-python krakenapi==1.0.2
said=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import http.server
import logging
import threading
import time
import types

from krakenapi import KrakenApi, kraken_api

came = []


class Unknown(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        came.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(504)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unknown)
threading.Thread(target=server.serve_forever, daemon=True).start()
logging.disable()
kraken_api.time = types.SimpleNamespace(time=time.time, sleep=lambda seconds: None)
KrakenApi.create_api_path = staticmethod(lambda _, method: f"http://127.0.0.1:{server.server_port}/0/private/{method}")
api = KrakenApi("key", "c2VjcmV0")
try:
    api.send_api_request(api.create_api_request(False, "AddOrder", {}))
except RecursionError as error:
    print(type(error).__name__, "after", round(len(came), -2), "requests,", len(set(came)), "body")
PYTHON
)
echo "$said"
test "$said" = "RecursionError after 1000 requests, 1 body"
