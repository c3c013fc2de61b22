"""How long one nonce takes, and how many are issued twice."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.peers import PEERS, Next
from bench.workers import run_processes

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS = 15
_SLICE = 0.08  # seconds that each subject runs per round


def cost_of_one_nonce(directory: Path) -> dict[str, Any]:
    """Time all peers in rounds; return medians in microseconds, and our ratios to three of them."""
    subjects = {name: make(directory) for name, make in PEERS.items()}
    costs: dict[str, list[float]] = {name: [] for name in subjects}
    for name, subject in subjects.items():
        _run_for(subject, 0.05 if name != "krakenonce" else 0.2)  # warm up
    for _ in range(_ROUNDS):
        for name, subject in subjects.items():
            costs[name].append(_run_for(subject, _SLICE))
    ratio = {
        other: statistics.median(b / a for a, b in zip(costs["krakenonce"], costs[other], strict=True))
        for other in costs
    }
    return {
        "us_per_nonce": {name: statistics.median(each) for name, each in costs.items()},
        "times_cheaper_than_open_write_close": ratio["open, write, close"],
        "times_the_bare_steps": 1 / ratio["bare steps"],
        "times_cheaper_than_sqlite": ratio["SQLite WAL, FULL"],
    }


def tail(directory: Path, count: int = 200_000) -> dict[str, float]:
    """Percentiles of single calls, in microseconds; p99.9 and the worst include the syncs of the mark."""
    subject = PEERS["krakenonce"](directory)
    spent = []
    for _ in range(count):
        began = time.perf_counter_ns()
        subject()
        spent.append(time.perf_counter_ns() - began)
    spent.sort()
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "worst": 1.0}
    return {name: spent[min(int(share * count), count - 1)] / 1000 for name, share in at.items()}


def duplicates(directory: Path, count: int = 200_000) -> dict[str, dict[str, int]]:
    """Return how many of 200,000 nonces were issued before: in one thread, and in 4 processes at once."""
    result = {}
    for name in ("krakenonce", "krakenex formula", "python-kraken-sdk formula", "ccxt formula"):
        subject = PEERS[name](directory)
        alone = [subject() for _ in range(count)]
        together = run_processes(directory, name, processes=4, threads=1, count=count // 4).nonces
        result[name] = {"one thread": count - len(set(alone)), "4 processes": len(together) - len(set(together))}
    return result


def _run_for(subject: Next, seconds: float) -> float:
    """Microseconds per call."""
    calls = 0
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(20):
            subject()
        calls += 20
    return spent / calls * 1e6
