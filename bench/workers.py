"""Many threads in many processes that take nonces at once."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.peers import PEERS, Next
from krakenonce.testing.checker import Issue, violations

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

Taken = list[tuple[int, int, int]]  # asked at, returned at, nonce


class Run(NamedTuple):
    """The nonces that the workers took, and the seconds from the first to the last."""

    taken: Taken
    seconds: float

    @property
    def nonces(self) -> list[int]:
        """The nonces alone."""
        return [nonce for _, _, nonce in self.taken]

    @property
    def out_of_order(self) -> int:
        """How many were asked for after a larger one had been returned."""
        wrong = violations(Issue(asked, returned, nonce) for asked, returned, nonce in self.taken)
        return sum("order" in each.kind for each in wrong)


def run_processes(directory: Path, peer: str, *, processes: int, threads: int, count: int, timed: bool = False) -> Run:
    """Let each thread take *count* nonces; *timed* adds to each when it was asked for and when it was returned."""
    context = multiprocessing.get_context("spawn")
    answers: Queue[tuple[float, float, Taken]] = context.Queue()
    barrier = context.Barrier(processes)
    arguments = (directory, peer, threads, count, timed, barrier, answers)
    workers = [context.Process(target=_work, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    results = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    seconds = max(ended for _, ended, _ in results) - min(began for began, _, _ in results)
    return Run([one for _, _, taken in results for one in taken], seconds)


def _work(
    directory: Path,
    peer: str,
    threads: int,
    count: int,
    timed: bool,
    barrier: Barrier,
    answers: Queue[tuple[float, float, Taken]],
) -> None:
    subject = PEERS[peer](directory)
    subject()
    time.sleep(0.1)
    taken: list[Taken] = [[] for _ in range(threads)]
    run = _timed if timed else _plain
    members = [threading.Thread(target=run, args=(subject, count, mine)) for mine in taken]
    barrier.wait()
    began = time.monotonic()
    for member in members:
        member.start()
    for member in members:
        member.join()
    answers.put((began, time.monotonic(), [one for mine in taken for one in mine]))


def _plain(subject: Next, count: int, mine: Taken) -> None:
    nonces = [subject() for _ in range(count)]
    mine.extend((0, 0, nonce) for nonce in nonces)


def _timed(subject: Next, count: int, mine: Taken) -> None:
    now = time.monotonic_ns
    for _ in range(count):
        asked = now()
        nonce = subject()
        mine.append((asked, now(), nonce))
