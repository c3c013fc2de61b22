"""What a call costs the fake Kraken, which tests and benchmarks run on: its own processor time, and its memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from bench.footprint import PEAK

_ROUNDS = 5

# A process that is the fake Kraken; another one calls it over one connection. `served` returns microseconds per call.
SERVED = """
import resource, subprocess, sys
from krakenonce.testing import FakeKraken, FakeKrakenServer
client = '''
import http.client, sys, time
from krakenonce.kraken.wire import decode_secret, sign
url, key, secret, method, count, more = sys.argv[1:]
connection, secret = http.client.HTTPConnection(url.removeprefix("http://")), decode_secret(secret)
path = "/0/private/" + method
for each in range(int(count)):
    nonce = time.time_ns()
    body = f"nonce={nonce}" + more.format(price=20000 + each * 7 % 9000)
    headers = {"API-Key": key, "API-Sign": sign(path, nonce, body, secret)}
    connection.request("POST", path, body, headers | {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse().read()
    assert b'"error": []' in answer, answer
'''
fake = FakeKraken()
account = fake.add_account("bot", balances={"ZUSD": "1000000000", "XXBT": "1000"})
ORDER = "&pair=XBTUSD&type=buy&ordertype=limit&volume=0.01&price={price}"
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
def served(method, count, more=""):
    with FakeKrakenServer(fake) as server:
        command = [sys.executable, "-c", client, server.url, account.key, account.secret, method, str(count), more]
        began = used()
        subprocess.run(command, check=True)
        return (used() - began) / count * 1e6
"""

BALANCE = f"""{SERVED}
served("Balance", 500)
print(served("Balance", 4000))
"""

ORDERS = f"""{SERVED}
served("Balance", 500)
print(served("AddOrder", 4000, ORDER))
"""

# Orders are placed without HTTP until there are enough; the engine alone is what gets slower or does not.
_RESTING = f"""{SERVED}{PEAK}
import time
from krakenonce.kraken.wire import FORM, decode_secret, sign
secret = decode_secret(account.secret)
def place(count):
    for each in range(count):
        nonce = time.time_ns()
        body = f"nonce={{nonce}}" + ORDER.format(price=20000 + each * 7 % 9000)
        headers = {{"API-Key": account.key, "API-Sign": sign("/0/private/AddOrder", nonce, body, secret),
                   "Content-Type": FORM}}
        assert fake.answer("/0/private/AddOrder", headers, body.encode(), 1.8e9)["error"] == []
served("Balance", 500)
place(100)
few = served("AddOrder", 3000, ORDER)
place(100_000 - 3100)
many = served("AddOrder", 3000, ORDER)
print(few, many, peak())
"""


def measure() -> dict[str, Any]:
    """Processor time of calls, in microseconds, and megabytes with 100,000 resting orders: medians of some rounds."""
    resting = [_figures(_RESTING) for _ in range(_ROUNDS)]
    few, many, memory = (statistics.median(each) for each in zip(*resting, strict=True))
    return {
        "balance_us": statistics.median(_figures(BALANCE)[0] for _ in range(_ROUNDS)),
        "order_us": {"100 resting": few, "100,000 resting": many},
        "times_slower": statistics.median(after / before for before, after, _ in resting),
        "megabytes": memory,
    }


def _figures(code: str) -> tuple[float, ...]:
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return tuple(map(float, done.stdout.split()))
