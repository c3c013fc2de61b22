"""Measure this tree beside another revision of it, by turns in one run: ``make bench ARGS="--against REVISION"``.

Each probe is a process of its own that prints one figure. The two revisions take turns, so that whatever else the
machine does hits both alike. What is reported is the median of the ratios, with its 95 % interval.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.calls import SECRET, plain_server
from bench.fake import BALANCE, ORDERS
from bench.footprint import PEAK

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 30
ROOT = Path(__file__).parents[1]
_RESAMPLES = 4000

_TIMED = """
import statistics, sys, tempfile, time
directory, url = tempfile.mkdtemp(dir=sys.argv[1]), sys.argv[2]
def report(call, times, count):
    took = []
    for _ in range(times):
        began = time.perf_counter_ns()
        for _ in range(count):
            call()
        took.append((time.perf_counter_ns() - began) / count)
    print(statistics.median(took) / 1000)
"""
_WIDE_TIER = """
try:
    from krakenonce.key.limits import TIERS, Tier
except ImportError:
    from krakenonce.kraken.limits import TIERS, Tier
TIERS["bench"] = Tier("bench", 1e5, 1e4, 1e5, 1e4)
"""
_GATEWAY = f"""{_TIMED}
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import urllib3
from bench.processor import cpu_seconds
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.kraken.wire import FORM, decode_secret, sign
KEYS = 100
credentials, local_keys = Path(directory, "accounts.toml"), LocalKeys(Path(directory) / "gateway_keys.json")
credentials.touch(0o600)
credentials.write_text("".join(
    f'[USER.u{{i}}]\\napi_key = "key{{i}}"\\napi_secret = "{SECRET}"\\ntier = "none"\\n' for i in range(KEYS)))
pairs = [local_keys.add(f"bot{{i}}", f"USER:u{{i}}", frozenset(["query"])) for i in range(KEYS)]
command = [sys.executable, "-m", "krakenonce", "gateway", "run", "--listen", "127.0.0.1:0", "--queue", "1000"]
command += ["--base-url", url, "--state", directory, "--credentials", str(credentials)]
pool, path = urllib3.PoolManager(maxsize=KEYS), "/0/private/Balance"
with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
    words = process.stdout.readline().split()
    gateway = next(word.rstrip(";,") for word in words if word.startswith("http"))
    def call(index=0):
        nonce, pair = time.time_ns(), pairs[index % KEYS]
        body = f"nonce={{nonce}}".encode()
        headers = {{"API-Key": pair.key, "API-Sign": sign(path, nonce, body, decode_secret(pair.secret)),
                   "Content-Type": FORM}}
        answer = pool.request("POST", gateway + path, body=body, headers=headers, retries=False)
        assert b'"error":[]' in answer.data, answer.data
    def report_processor_time(times):
        with ThreadPoolExecutor(KEYS) as threads:
            list(threads.map(call, range(500)))
            before = cpu_seconds(process.pid)
            list(threads.map(call, range(times)))
            print((cpu_seconds(process.pid) - before) / times * 1e6)
    try:
        MEASURE
    finally:
        process.terminate()
"""
PROBES = {
    "one nonce (us)": f"""{_TIMED}
from krakenonce import NonceManager
report(NonceManager(directory).next, 50, 2000)
""",
    "lane without other callers (us)": f"""{_TIMED}
from krakenonce import NonceManager
manager = NonceManager(directory)
def turn():
    with manager.lane("key"):
        pass
report(turn, 50, 500)
""",
    "call with our client (us)": f"""{_TIMED}{_WIDE_TIER}
from krakenonce import NonceManager
from krakenonce.kraken import Kraken
client = Kraken("key", "{SECRET}", manager=NonceManager(directory), tier="bench", base_url=url)
report(lambda: client.private("Balance"), 1500, 1)
""",
    "call with guard(krakenex.API) (us)": f"""{_TIMED}
import krakenex
from krakenonce import NonceManager, guard
client = guard(krakenex.API("key", "{SECRET}"), NonceManager(directory))
client.uri = url
report(lambda: client.query_private("Balance"), 1500, 1)
""",
    "call through the gateway (us)": _GATEWAY.replace("MEASURE", "report(call, 1000, 1)"),
    "gateway, 100 keys: its processor time of a call (us)": _GATEWAY.replace("MEASURE", "report_processor_time(3000)"),
    "fake Kraken: its processor time of a Balance (us)": BALANCE,
    "fake Kraken: its processor time of an order, on the way to 4,000 resting ones (us)": ORDERS,
    "import krakenonce, first nonce (ms)": """
import sys, tempfile, time
directory = tempfile.mkdtemp(dir=sys.argv[1])
began = time.perf_counter_ns()
from krakenonce import NonceManager
NonceManager(directory).next()
print((time.perf_counter_ns() - began) / 1e6)
""",
    "memory of a client after 1,000 nonces (MB)": f"""{PEAK}
import sys, tempfile
from krakenonce import NonceManager
from krakenonce.kraken import Kraken
manager = NonceManager(tempfile.mkdtemp(dir=sys.argv[1]))
client = Kraken("key", "{SECRET}", manager=manager)
for _ in range(1000):
    manager.next()
print(peak())
""",
}


class Compared(NamedTuple):
    """One figure of both revisions: medians, and the ratio new to old with its 95 % interval."""

    what: str
    old: float
    new: float
    ratio: float
    low: float
    high: float


def compare(revision: str, directory: Path) -> Iterator[Compared]:
    """Yield each figure of *revision* and of this tree, measured by turns."""
    old = _source_of(revision, directory)
    with plain_server() as url:
        for what, code in PROBES.items():
            pairs = [(_run(code, old, directory, url), _run(code, ROOT / "src", directory, url)) for _ in range(ROUNDS)]
            ratios = [new / before for before, new in pairs]
            low, high = _interval(ratios)
            before, new = (statistics.median(each) for each in zip(*pairs, strict=True))
            yield Compared(what, before, new, statistics.median(ratios), low, high)


def report(revision: str) -> int:
    """Print the table as it is measured."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "results", prefix=".run-") as name:
        print(
            f"| {ROUNDS} times by turns | {revision} | this tree | ratio (95 % interval) |\n| --- | --- | --- | --- |"
        )
        for row in compare(revision, Path(name)):
            print(
                f"| {row.what} | {row.old:.2f} | {row.new:.2f} | {row.ratio:.3f} ({row.low:.3f} to {row.high:.3f}) |",
                flush=True,
            )
    return 0


def _source_of(revision: str, directory: Path) -> Path:
    command = ["git", "-C", str(ROOT), "archive", revision, "src"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory / "old", filter="data")
    return directory / "old" / "src"


def _run(code: str, source: Path, directory: Path, url: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory), url],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(source), str(ROOT)))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by resampling; always the same for the same ratios."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    return medians[_RESAMPLES * 25 // 1000], medians[_RESAMPLES * 975 // 1000]
