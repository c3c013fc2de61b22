"""Eight processes that share one turn through the delay: how it passes from one to the next, and how fairly."""

from __future__ import annotations

import contextlib
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.alternation import spread
from bench.bare import bare
from bench.limits import Worker
from bench.one_caller import KEY
from krakenonce import NonceManager

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection

PROCESSES = 8
HOLD = 0.001  # seconds
_LIMIT = 30.0  # seconds, for each of their answers


class Turn(NamedTuple):
    """One turn, by the clock that all processes of a machine share.

    Args:
        asked: When it was asked for.
        got: When the caller had its nonce.
        left: When it began to give the turn back.
        nonce: The nonce.
        who: Which process.
    """

    asked: float
    got: float
    left: float
    nonce: int
    who: int


def measure(kind: str, url: str, port: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Return how the turn passes: by turns with bare round trips, and then for some seconds without a break.

    Args:
        kind: Of the server.
        url: Where the state is.
        port: The port in it.
        rounds: How often both are done by turns.
        seconds: How long without a break.
    """
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Worker(_take_turns, url, number)) for number in range(PROCESSES)]
        lone = stack.enter_context(Worker(_bare, kind, url, port))
        for each in crowd:
            each.hear(_LIMIT)
        ratios, passing, alone = [], [], []
        for _ in range(rounds):
            without = lone.ask(24, _LIMIT)
            between = hand_overs(_together(crowd, turns=4), queued=1.5 * without)
            alone.append(without)
            if between:  # none of them had to wait if this machine was busy otherwise
                passing.append(statistics.median(between))
                ratios.append(passing[-1] / without)
        turns = _together(crowd, until=time.monotonic() + seconds)
    shares = [sum(turn.who == number for turn in turns) for number in range(PROCESSES)]
    worst = max(turn.got - turn.asked for turn in turns)
    passed = statistics.median(hand_overs(turns, queued=1.5 * statistics.median(alone)))
    held = statistics.median(turn.left - turn.got for turn in turns)
    return {
        "ratio": spread(ratios)._asdict(),
        "ms": spread(passing).p50 * 1000,
        "bare_ms": spread(alone).p50 * 1000,
        "shares": sorted(shares),
        "farthest_from_mean_percent": farthest_from_mean(shares),
        "worst_wait_ms": worst * 1000,
        "longest_fair_wait_ms": 2 * PROCESSES * (held + passed) * 1000,
        "out_of_order": out_of_order(turns),
    }


def hand_overs(turns: Iterable[Turn], queued: float) -> list[float]:
    """Return the seconds from the end of each turn to the next one's nonce, if that one waited already.

    Args:
        turns: All turns.
        queued: Seconds after which a caller who has asked is in the server's queue.
    """
    ranked = sorted(turns, key=lambda turn: turn.nonce)
    return [
        after.got - before.left
        for before, after in pairwise(ranked)
        if after.asked + queued < before.left and after.who != before.who
    ]


def farthest_from_mean(shares: list[int]) -> float:
    """Return by how many percent of the mean the share is off that is farthest from it."""
    mean = statistics.mean(shares)
    return max(abs(each - mean) for each in shares) / mean * 100


def out_of_order(turns: Iterable[Turn]) -> int:
    """Return how many turns began before the one with the nonce before theirs had ended."""
    ranked = sorted(turns, key=lambda turn: turn.nonce)
    return sum(after.got < before.left for before, after in pairwise(ranked))


def _together(crowd: list[Worker], *, turns: int = 10**9, until: float = 1e18) -> list[Turn]:
    for each in crowd:
        each.tell((turns, until))
    return [turn for each in crowd for turn in each.hear(_LIMIT)]


def _take_turns(pipe: Connection, url: str, who: int) -> None:
    """For a process of its own: take so many turns, or until some time, whenever it is told to."""
    manager = NonceManager(url)
    with manager.turn(KEY):
        manager.next_for(KEY)
    pipe.send("ready")
    while True:
        count, until = pipe.recv()
        taken: list[Turn] = []
        while len(taken) < count and (asked := time.monotonic()) < until:
            with manager.turn(KEY):
                nonce, got = manager.next_for(KEY), time.monotonic()
                time.sleep(HOLD)
                left = time.monotonic()
            taken.append(Turn(asked, got, left, nonce, who))
        pipe.send(taken)


def _bare(pipe: Connection, kind: str, url: str, port: int) -> None:
    """For a process of its own: send the seconds of a bare round trip, whenever it is told how many to make."""
    ask = bare(kind, url, port, "trip")
    while count := pipe.recv():
        began = time.monotonic()
        for _ in range(count):
            ask()
        pipe.send((time.monotonic() - began) / count)
