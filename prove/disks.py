"""Disks that fill up, turn read-only and fail to sync, under running processes."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from krakenonce.errors import NonceStoreError
from krakenonce.manager import NonceManager
from prove.campaign import MAX_WAIT, Broken, Campaign, NotHere
from prove.crew import Crew
from prove.giving_up import giving_up
from prove.lost_pages import failed_syncs
from prove.mounting import check_frozen, fill, run_tool, small_disk
from prove.rounds import Rounds

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from prove.campaign import Figures, Trial
    from prove.pipe import Listener, Reported, Reporter
    from prove.rounds import Maker

__all__ = ["DISKS"]

_CYCLES = 10  # between two checks of what was reported
_OPEN = 20  # nonces until a process closes its files: a disk with files open for writing cannot be made read-only


def run(trial: Trial, maker: Maker = NonceManager) -> Figures:
    """One part after the other; parts that this machine cannot run are printed and counted."""
    began, figures = time.monotonic(), {"parts skipped": 0}
    parts = [full_and_read_only, giving_up, failed_syncs]
    for number, part in enumerate(parts, 1):
        end = began + trial.seconds * number / len(parts)
        try:
            done = part(trial, maker, end)
        except NotHere as reason:
            print(f"    a part is skipped: {reason}", flush=True)
            done = {"parts skipped": 1}
        for what, count in done.items():
            figures[what] = figures.get(what, 0) + count
    if figures["parts skipped"] == len(parts):
        raise NotHere("no part of it can be run")
    return figures


def full_and_read_only(trial: Trial, maker: Maker, end: float) -> Figures:
    """Until *end*, fill a small disk, free space, make it read-only, and writable again, under three processes."""
    figures = dict.fromkeys(("times full", "times read-only", "refusals", "nonces"), 0)
    with small_disk(trial.directory / "small") as disk:
        state = disk / "state"
        rounds = Rounds(state)
        with Crew(trial, [partial(work, state, maker)] * 3) as crew:
            while time.monotonic() < end or not figures["times full"]:
                crew.start()
                spans = [_one_cycle(crew, disk) for _ in range(_CYCLES)]
                reported = crew.kill_all()
                rounds.check(reported, maker)
                _check_refusals(reported, spans)
                figures["times full"] += _CYCLES
                figures["times read-only"] += _CYCLES
                figures["refusals"] += reported.count("refused") + reported.count("refused-new")
                figures["nonces"] = rounds.nonces
        return {**figures, "kills": crew.kills}


def _one_cycle(crew: Crew, disk: Path) -> tuple[int, int]:
    """Fill the disk and free space, make it read-only and writable; return from when until when it was read-only."""
    crew.kill()
    fill(disk)
    crew.listener.until_reported("the full disk refuses nothing, not even new counters", "refused-new")
    crew.kill()
    _free_space(disk)
    crew.listener.until_reported("there is space again, and no nonce is issued", "nonce")
    span = _read_only(disk, crew.listener)
    crew.listener.until_reported("the disk is writable again, and no nonce is issued", "nonce")
    return span


def work(state: Path, maker: Maker, reporter: Reporter, rng: random.Random) -> None:
    """Take nonces, close the files now and then, and try a new counter, which needs space."""
    manager = maker(state)
    while True:
        with _reporting(reporter, "refused"):
            for _ in range(_OPEN):
                reporter.nonce(manager.next)
        with _reporting(reporter, "refused-new"):
            manager.next(f"new-{rng.getrandbits(40)}")
        manager.store.close()
        time.sleep(rng.uniform(0, 0.003))  # for the disk to be found with no file open


@contextlib.contextmanager
def _reporting(reporter: Reporter, what: str) -> Iterator[None]:
    try:
        yield
    except NonceStoreError as error:
        reporter.note(what, str(error))


def _check_refusals(reported: Reported, read_only: list[tuple[int, int]]) -> None:
    """A full disk stops nothing but new counters; a read-only one stops all; the errors say what is wrong."""
    for note in reported.notes:
        full, frozen = "No space left" in note.words, "Read-only" in note.words
        if not (frozen or (full and note.what == "refused-new")):
            raise Broken(f"refused without reason: {note}")
    check_frozen(reported, read_only)


def _free_space(disk: Path) -> None:
    """Delete the filler and the new counters, so that they are new again."""
    for path in [disk / "filler", *(disk / "state").glob("kraken_new-*")]:
        path.unlink()


def _read_only(disk: Path, listener: Listener) -> tuple[int, int]:
    """Make the disk read-only for a while, and writable again; return from when until when."""
    deadline = time.monotonic() + MAX_WAIT
    while run_tool("mount", "-o", "remount,ro", str(disk)):
        if time.monotonic() > deadline:
            raise Broken("the disk cannot be made read-only: a process that has closed its files has one open")
    began = time.monotonic_ns()
    listener.until_reported("the read-only disk refuses nothing", "refused")
    ended = time.monotonic_ns()
    if run_tool("mount", "-o", "remount,rw", str(disk)):
        raise Broken("the disk cannot be made writable again")
    return began, ended


DISKS = Campaign("disks", "disks that fill up, turn read-only and fail to sync under running processes", run, 60, 10)
