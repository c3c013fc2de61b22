"""How fairly and how fast a lane passes from process to process."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from typing import TYPE_CHECKING, Any

from krakenonce import NonceManager

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

_PROCESSES = 8
_HOLD = 0.001  # seconds
_SECONDS = 5.0


def hand_over(directory: Path) -> dict[str, Any]:
    """Eight processes that each hold one lane for 1 ms, again and again, for five seconds."""
    context = multiprocessing.get_context("spawn")
    answers: Queue[tuple[int, float]] = context.Queue()
    barrier = context.Barrier(_PROCESSES)
    workers = [context.Process(target=_hold, args=(directory, barrier, answers)) for _ in range(_PROCESSES)]
    for worker in workers:
        worker.start()
    results = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    turns = sorted(turns for turns, _ in results)
    mean = statistics.mean(turns)
    return {
        "turns": turns,
        "farthest_from_mean_percent": max(abs(each - mean) for each in turns) / mean * 100,
        "worst_wait_ms": max(wait for _, wait in results) * 1000,
        "turns_per_second": sum(turns) / _SECONDS,
    }


def uncontended(directory: Path, count: int = 20_000) -> float:
    """Microseconds to enter and leave a lane without other callers."""
    manager = NonceManager(directory / "turns")
    lane = manager.lane("key")
    began = time.perf_counter()
    for _ in range(count):
        with lane:
            pass
    return (time.perf_counter() - began) / count * 1e6


def _hold(directory: Path, barrier: Barrier, answers: Queue[tuple[int, float]]) -> None:
    lane = NonceManager(directory / "turns").lane("key")
    with lane:
        pass
    barrier.wait()
    turns, worst = 0, 0.0
    end = time.monotonic() + _SECONDS
    while (asked := time.monotonic()) < end:
        with lane:
            worst = max(worst, time.monotonic() - asked)
            time.sleep(_HOLD)
        turns += 1
    answers.put((turns, worst))
