"""Processes are stopped, killed and forked at any moment, and exit in their turn: order and turns hold."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from krakenonce.manager import NonceManager
from prove.campaign import MAX_WAIT, Broken, Campaign
from prove.crew import Crew
from prove.kills import take
from prove.pipe import Reporter
from prove.rounds import Rounds

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from prove.campaign import Figures, Trial
    from prove.pipe import Reported
    from prove.rounds import Maker

__all__ = ["STOPS"]

_ROUND = 2.0  # seconds
_AT_LEAST = 30  # events in a round
_BETWEEN = 0.006  # seconds between two events, on average
_STOPPED = 0.05  # seconds, at most
_KEY = "the key of all"


def run(trial: Trial, maker: Maker = NonceManager) -> Figures:
    """Eight processes: some take nonces, some take turns and exit during them, some fork while threads take nonces."""
    state = trial.directory / "state"
    work = [partial(each, state, maker) for each in (take, take_turns, fork)]
    figures = dict.fromkeys(("turns", "forks", "exits"), 0)
    rounds = Rounds(state)
    with Crew(trial, [work[0], work[0], work[1], work[1], work[1], work[1], work[2], work[2]]) as crew:
        while not (trial.over and rounds.nonces):
            crew.start()
            _disturb(trial, crew)
            reported = crew.kill_all()
            rounds.check(reported, maker)
            figures["turns"] += _check_turns(reported)
            figures["forks"] += reported.count("fork")
            figures["exits"] += reported.count("exit")
    return {
        "kills": crew.kills,
        "stops": crew.stops,
        "starts": crew.starts,
        "nonces": rounds.nonces,
        **figures,
    }


def _disturb(trial: Trial, crew: Crew) -> None:
    """Kill and stop for one round."""
    end, events = time.monotonic() + _ROUND, 0
    while events < _AT_LEAST or not (trial.over or time.monotonic() > end):
        time.sleep(trial.rng.expovariate(1 / _BETWEEN))  # the moment is the point
        if trial.rng.random() < 0.5:
            crew.kill()
        else:
            crew.stop(trial.rng.uniform(0, _STOPPED))
        crew.go_on()
        events += 1


def take_turns(state: Path, maker: Maker, reporter: Reporter, rng: random.Random) -> None:
    """Take turns and a nonce in each; sometimes exit in the middle of one."""
    manager = maker(state)
    while True:
        _turn(manager, reporter, leave=not rng.randrange(12))


def _turn(manager: NonceManager, reporter: Reporter, *, leave: bool) -> None:
    with manager.lane(_KEY, timeout=MAX_WAIT):
        reporter.note("in")
        reporter.nonce(manager.next)
        if leave:
            reporter.note("exit")
            os._exit(0)
        reporter.note("out")


def fork(state: Path, maker: Maker, reporter: Reporter, rng: random.Random) -> None:
    """Fork again and again while threads are inside the step; parent, threads and children all continue."""
    manager = maker(state)
    for _ in range(3):
        threading.Thread(target=_take_in_thread, args=(manager, reporter), daemon=True).start()
    while True:
        time.sleep(rng.uniform(0, 0.002))
        leave = not rng.randrange(4)
        pid = os.fork()
        if not pid:
            _child(manager, reporter, leave=leave)
        reporter.note("fork")
        if not rng.randrange(4):
            time.sleep(rng.uniform(0, 0.005))
            os.kill(pid, signal.SIGKILL)
        reporter.reap(pid)
        reporter.nonce(manager.next)


def _take_in_thread(manager: NonceManager, reporter: Reporter) -> None:
    try:
        while True:
            reporter.nonce(manager.next)
    except BaseException:
        reporter.note("failed", traceback.format_exc())
        os._exit(1)


def _child(manager: NonceManager, reporter: Reporter, *, leave: bool) -> NoReturn:
    signal.alarm(round(2 * MAX_WAIT))  # if it hangs, that is found before
    reporter = Reporter(reporter.pipe)
    try:
        for _ in range(5):
            reporter.nonce(manager.next)
        _turn(manager, reporter, leave=leave)
    except BaseException:
        reporter.note("failed", traceback.format_exc())
    os._exit(0)


def _check_turns(reported: Reported) -> int:
    """Raise Broken unless there was one turn at a time; return how many."""
    notes = sorted((note for note in reported.notes if note.what in ("in", "out", "exit")), key=lambda note: note.at)
    for before, note in pairwise(notes):
        if (note.what == "in") == (before.what == "in" and note.who == before.who):
            raise Broken(f"after {before} came {note}")
    return sum(note.what == "in" for note in notes)


STOPS = Campaign(
    "stops", "processes stopped, killed, forked, and ending in their turn, at any moment", run, seconds=60, short=10
)
