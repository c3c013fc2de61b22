"""How much time the gateway adds to a call, how many calls it forwards, and how fairly it serves clients of one key."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp

from bench.calls import SECRET, plain_server
from bench.processor import cpu_seconds
from krakenonce.gateway.audit import PAUSE
from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEYS = 100
CALLS = 100_000
AT_ONCE = 100
CLIENTS = 50
_PATH = "/0/private/Balance"
_SINGLE = 1500
_PACE = 0.01  # seconds between two single calls: a hundred a second
_FAIR_SECONDS = 5.0
_ROUNDS = 10
_IN_A_ROUND = 2000  # calls
_TRADERS = 10  # keys
_AUDIT_ROUNDS = 30
_IN_AN_AUDIT_ROUND = 1000  # calls

Request: TypeAlias = tuple[str, bytes, dict[str, str]]  # path, body, headers


def measure(directory: Path) -> dict[str, Any]:
    """Measure everything, with a server that answers at once in Kraken's place."""
    with plain_server() as kraken, _gateway(directory, kraken) as (url, pid, pairs):
        direct = asyncio.run(_single_calls(kraken, pairs[0]))
        through = asyncio.run(_single_calls(url, pairs[0]))
        before = cpu_seconds(pid)
        rate, memory = asyncio.run(_many_calls(url, pid, pairs))
        cpu = cpu_seconds(pid) - before
        shares = asyncio.run(_shares(url, pairs[0]))
        records = asyncio.run(_cost_of_a_record(url, pid, pairs))
        audit = _cost_of_the_audit(directory, kraken)
    mean = sum(shares) / len(shares)
    return {
        "added_ms": {name: (through[name] - direct[name]) * 1000 for name in direct},
        "calls_per_second": rate,
        "calls_per_cpu_second": CALLS / cpu,
        "memory_mib": memory,
        "record_cost_percent": records,
        "audit_cost_percent": audit,
        "farthest_from_mean_share_percent": max(abs(each - mean) for each in shares) / mean * 100,
    }


@contextlib.contextmanager
def _gateway(directory: Path, kraken: str, *words: str) -> Iterator[tuple[str, int, list[LocalKey]]]:
    """A gateway with a hundred accounts and a local key for each."""
    state = directory / "-".join(("gateway", *words))
    tables = [f'[USER.u{i}]\napi_key = "key{i}"\napi_secret = "{SECRET}"\ntier = "none"\n' for i in range(KEYS)]
    local_keys = LocalKeys(state / "gateway_keys.json")
    pairs = [local_keys.add(f"bot{i}", f"USER:u{i}", frozenset(["query", "trade"])) for i in range(KEYS)]
    with running(state, "".join(tables), kraken, *words) as (url, pid):
        yield url, pid, pairs


@contextlib.contextmanager
def running(state: Path, accounts: str, kraken: str, *words: str) -> Iterator[tuple[str, int]]:
    """Run a gateway in a process of its own. Yields its address and its process id.

    Args:
        state: The state directory.
        accounts: What is in its credentials file.
        kraken: Kraken's address.
        words: Further words of its command line.
    """
    file = state.with_name(f"{state.name}.toml")
    with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as opened:
        opened.write(accounts)
    command = [sys.executable, "-m", "krakenonce", "gateway", "run", "--listen", "127.0.0.1:0", "--queue", "1000"]
    command += ["--base-url", kraken, "--credentials", str(file), "--state", str(state), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3].rstrip(";"), process.pid
        finally:
            process.terminate()


def _signed(pair: LocalKey, path: str = _PATH, params: Mapping[str, object] = MappingProxyType({})) -> Request:
    nonce = time.time_ns()
    body = encode_form({"nonce": nonce, **params}).encode()
    signature = sign(path, nonce, body, decode_secret(pair.secret))
    return path, body, {"API-Key": pair.key, "API-Sign": signature, "Content-Type": FORM}


async def _call(session: aiohttp.ClientSession, url: str, request: Request) -> None:
    async with session.post(url + request[0], data=request[1], headers=request[2]) as answer:
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


async def _cost_of_a_record(url: str, pid: int, pairs: list[LocalKey]) -> tuple[float, float, float]:
    """The gateway's processor time for an order, in percent above that for an order which is only checked.

    The first is entered into the record of sent calls, and each is signed anew. The median of all rounds, and the
    second lowest and second highest.
    """
    nonces = itertools.count()
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "30000"}
    took: dict[str, list[float]] = {"true": [], "false": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work(pair: LocalKey, validate: str) -> None:
            for _ in range(_IN_A_ROUND // _TRADERS):
                params = {**order, "volume": next(nonces), "validate": validate}
                await _call(session, url, _signed(pair, "/0/private/AddOrder", params))

        for at in range(2 * _ROUNDS):
            validate = ("true", "false")[at % 2]
            before = cpu_seconds(pid)
            await asyncio.gather(*(work(pair, validate) for pair in pairs[:_TRADERS]))
            took[validate].append(cpu_seconds(pid) - before)
    ratios = sorted((sent / checked - 1) * 100 for checked, sent in zip(took["true"], took["false"], strict=True))
    return ratios[len(ratios) // 2], ratios[1], ratios[-2]


def _cost_of_the_audit(directory: Path, kraken: str) -> tuple[float, float, float]:
    """The processor time of a call, in percent above that at a gateway without an audit log; figures as above.

    Two gateways make as many calls by turns. The seconds in which the log is written after the last call count, too.
    """
    took: dict[bool, list[float]] = {True: [], False: []}
    with _gateway(directory, kraken, "--no-audit") as without, _gateway(directory, kraken, "--queue", "999") as audited:
        for at in range(2 * _AUDIT_ROUNDS):
            is_audited = at % 4 in (1, 2)  # neither is always the first
            url, pid, pairs = audited if is_audited else without
            before = cpu_seconds(pid)
            asyncio.run(_balances(url, pairs, _IN_AN_AUDIT_ROUND))
            time.sleep(2 * PAUSE)
            took[is_audited].append(cpu_seconds(pid) - before)
    ratios = sorted((ours / bare - 1) * 100 for bare, ours in zip(took[False], took[True], strict=True))
    return ratios[len(ratios) // 2], ratios[1], ratios[-2]


async def _balances(url: str, pairs: list[LocalKey], count: int) -> None:
    requests = [_signed(pair) for pair in pairs]
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for index in left:
                await _call(session, url, requests[index % KEYS])

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


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
