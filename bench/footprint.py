"""How long the import takes, and whether memory grows over a million nonces."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from krakenonce import NonceManager

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS = 25

# For programs of their own. Not ru_maxrss on Linux: in a new process it begins with what the parent had.
PEAK = """
def peak():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6
    except FileNotFoundError:  # macOS, in bytes
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
"""
_WATCH = """
import os, sys, threading
before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
import krakenonce
after = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
print(threading.active_count() - 1, len(after - before))
"""


def import_time() -> dict[str, Any]:
    """Milliseconds that imports add to a bare interpreter (medians of paired runs), and what the import leaves open."""
    added: dict[str, list[float]] = {"import krakenonce": [], "import and first nonce": []}
    first = "import tempfile; d = tempfile.mkdtemp(); from krakenonce import NonceManager; NonceManager(d).next()"
    bare_first = "import tempfile; d = tempfile.mkdtemp()"
    for _ in range(_ROUNDS):
        added["import krakenonce"].append(_run("import krakenonce") - _run("pass"))
        added["import and first nonce"].append(_run(first) - _run(bare_first))
    watched = subprocess.run([sys.executable, "-c", _WATCH], capture_output=True, text=True, check=True)
    threads, descriptors = map(int, watched.stdout.split())
    return {
        "ms": {name: statistics.median(each) for name, each in added.items()},
        "threads": threads,
        "descriptors": descriptors,
    }


def memory(directory: Path, count: int = 1_000_000) -> dict[str, int]:
    """Growth of the resident memory's peak, in KiB, over a million nonces after the first ten thousand."""
    manager = NonceManager(directory / "memory")
    for _ in range(10_000):
        manager.next()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        manager.next()
    return {"nonces": count, "growth_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}


def _run(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - began) * 1000
