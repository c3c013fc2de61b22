"""How much time the gateway adds to a call, how many calls it forwards, and how fairly it serves clients of one key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.calls import SECRET, plain_server
from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = 100
CALLS = 100_000
AT_ONCE = 100
CLIENTS = 50
_PATH = "/0/private/Balance"
_SINGLE = 1500
_PACE = 0.01  # seconds between two single calls: a hundred a second
_FAIR_SECONDS = 5.0


def measure(directory: Path) -> dict[str, Any]:
    """Measure everything, with a server that answers at once in Kraken's place."""
    with plain_server() as kraken, _gateway(directory, kraken) as (url, pid, pairs):
        direct = asyncio.run(_single_calls(kraken, pairs[0]))
        through = asyncio.run(_single_calls(url, pairs[0]))
        before = _cpu_seconds(pid)
        rate, memory = asyncio.run(_many_calls(url, pid, pairs))
        cpu = _cpu_seconds(pid) - before
        shares = asyncio.run(_shares(url, pairs[0]))
    mean = sum(shares) / len(shares)
    return {
        "added_ms": {name: (through[name] - direct[name]) * 1000 for name in direct},
        "calls_per_second": rate,
        "calls_per_cpu_second": CALLS / cpu,
        "memory_mib": memory,
        "farthest_from_mean_share_percent": max(abs(each - mean) for each in shares) / mean * 100,
    }


@contextlib.contextmanager
def _gateway(directory: Path, kraken: str) -> Iterator[tuple[str, int, list[LocalKey]]]:
    """A gateway in a process of its own, with a hundred accounts and a local key for each."""
    state, accounts = directory / "gateway", directory / "accounts.toml"
    tables = [f'[USER.u{i}]\napi_key = "key{i}"\napi_secret = "{SECRET}"\ntier = "none"\n' for i in range(KEYS)]
    with open(os.open(accounts, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(tables))
    local_keys = LocalKeys(state / "gateway_keys.json")
    pairs = [local_keys.add(f"bot{i}", f"USER:u{i}", frozenset(["query"])) for i in range(KEYS)]
    command = [sys.executable, "-m", "krakenonce", "gateway", "run", "--listen", "127.0.0.1:0", "--queue", "1000"]
    command += ["--base-url", kraken, "--credentials", str(accounts), "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3].rstrip(";"), process.pid, pairs
        finally:
            process.terminate()


def _signed(pair: LocalKey) -> tuple[bytes, dict[str, str]]:
    nonce = time.time_ns()
    body = encode_form({"nonce": nonce}).encode()
    signature = sign(_PATH, nonce, body, decode_secret(pair.secret))
    return body, {"API-Key": pair.key, "API-Sign": signature, "Content-Type": FORM}


async def _call(session: aiohttp.ClientSession, url: str, request: tuple[bytes, dict[str, str]]) -> None:
    async with session.post(url + _PATH, data=request[0], headers=request[1]) as answer:
        assert b'"error":[]' in await answer.read(), "a call failed"


async def _single_calls(url: str, pair: LocalKey) -> dict[str, float]:
    """Seconds that one call takes, a hundred a second: the median and the slowest in a hundred."""
    took = []
    async with aiohttp.ClientSession() as session:
        for _ in range(_SINGLE):
            request = _signed(pair)
            began = time.perf_counter()
            await _call(session, url, request)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(_PACE - min(_PACE, took[-1]))
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}


async def _many_calls(url: str, pid: int, pairs: list[LocalKey]) -> tuple[float, dict[str, float]]:
    """Calls per second over all keys, and the gateway's memory after a tenth of them and at the end."""
    requests = [_signed(pair) for pair in pairs]
    left = iter(range(CALLS))
    memory = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for index in left:
                await _call(session, url, requests[index % KEYS])
                if index == CALLS // 10:
                    memory["after a tenth"] = _memory_mib(pid)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        rate = CALLS / (time.perf_counter() - began)
    memory["at the end"] = _memory_mib(pid)
    return rate, memory


async def _shares(url: str, pair: LocalKey) -> list[int]:
    """How many calls each of fifty clients of one key could make."""
    end = time.monotonic() + _FAIR_SECONDS

    async def client() -> int:
        made = 0
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < end:
                await _call(session, url, _signed(pair))
                made += 1
        return made

    return await asyncio.gather(*(client() for _ in range(CLIENTS)))


def _memory_mib(pid: int) -> float:
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)  # noqa: S607
    return int(listed.stdout) / 1024


def _cpu_seconds(pid: int) -> float:
    listed = subprocess.run(["ps", "-o", "cputimes=", "-p", str(pid)], check=True, capture_output=True, text=True)  # noqa: S607
    return float(listed.stdout)
