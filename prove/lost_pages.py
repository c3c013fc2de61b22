"""Syncs that fail, and the power cut after it: what the failed sync lost was never relied on."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.errors import NonceStoreError
from krakenonce.rule import SECOND
from prove.campaign import Broken, NotHere
from prove.crew import Crew
from prove.rounds import Rounds

if TYPE_CHECKING:
    import random

    from prove.campaign import Figures, Trial
    from prove.pipe import Reported, Reporter
    from prove.rounds import Maker

__all__ = ["failed_syncs", "take_or_report"]

_HURRY = 400  # times as fast as the clock: the mark is synced each 25 ms
_ROUND = 0.2  # seconds until the power is cut
_ONE_IN = 2  # syncs, one fails, and never two in a row
_BETWEEN_KILLS = 0.05  # seconds, on average
_PAGE, _PAGES, _COUNTS = 4096, 3, struct.Struct("=QQ")  # as in failing_sync.c


class Hurry:
    """Clocks of one boot, which run fast, alike in every process.

    Args:
        boot: The boot's name.
        wall: The wall clock at its beginning, which is now.
    """

    def __init__(self, boot: int, wall: int) -> None:
        self._began, self._wall, self._boot = time.monotonic_ns(), wall, f"boot {boot}"

    def now_ns(self) -> int:
        """The wall clock."""
        return self._wall + self.boot_ns()

    def boot_ns(self) -> int:
        """The time since boot."""
        return (time.monotonic_ns() - self._began) * _HURRY

    def boot_id(self) -> str:
        """The name of the boot."""
        return self._boot


def failed_syncs(trial: Trial, maker: Maker, end: float) -> Figures:
    """Until *end*, run processes on a disk that loses what it fails to sync, kill them, and cut the power.

    After a cut the mark file is what the disk has got, the nonce file is older, missing or as it was, and the clock is
    a minute or two behind, so that it does not help. The next nonce is above all that were reported, and each failure
    of a sync was an error for the process that asked for it, unless it was killed before it could report it.
    """
    if sys.platform != "linux":
        raise NotHere("only Linux preloads a library so")
    library = _compile(trial.directory)
    state, disk = trial.directory / "state", trial.directory / "platter"
    mark = state / "kraken_global_nonce.mark"
    env = {
        "LD_PRELOAD": str(library),
        "PLATTER": str(disk),
        "ONE_IN": f"{_ONE_IN}",
        "SEED": f"{trial.rng.getrandbits(30)}",
    }
    figures = dict.fromkeys(("power cuts", "failed syncs", "nonces"), 0)
    rounds, clock, last = Rounds(state), Hurry(0, time.time_ns()), 0
    with Crew(trial, [], env) as crew:
        while time.monotonic() < end or not figures["power cuts"]:
            work = partial(take_or_report, state, partial(maker, clock=clock))
            crew.work = [work] * trial.rng.choice([1, 1, 3])
            kills = crew.kills
            reported = _round(trial, crew)
            figures["power cuts"] += 1
            figures["failed syncs"] += _check_reported(disk, reported.count("refused"), crew.kills - kills)
            _cut_power(trial.rng, disk, state)
            behind = round(trial.rng.uniform(60, 120) * SECOND)
            clock = Hurry(figures["power cuts"], max([last, *(issue.nonce for issue in reported.issues)]) - behind)
            last = rounds.check(reported, partial(maker, clock=clock)).nonce
            disk.write_bytes(mark.read_bytes())
    return {**figures, "nonces": rounds.nonces}


def take_or_report(state: Path, maker: Maker, reporter: Reporter, _rng: random.Random) -> None:
    """Take nonces until killed; report a refusal and try again."""
    manager = maker(state)
    while True:
        try:
            reporter.nonce(manager.next)
        except NonceStoreError as error:
            reporter.note("refused", str(error))


def _round(trial: Trial, crew: Crew) -> Reported:
    """Run for a while, in half of the rounds kill now and then, and all in the end."""
    crew.start()
    kills = trial.rng.random() < 0.5
    end = time.monotonic() + _ROUND
    while time.monotonic() < end:
        time.sleep(trial.rng.expovariate(1 / _BETWEEN_KILLS))  # the moment of death is the point
        if kills:
            crew.kill()
    return crew.kill_all()


def _check_reported(disk: Path, refusals: int, kills: int) -> int:
    """Return how many syncs have failed since the disk was last made; raise Broken if not all were reported."""
    failed = int(_COUNTS.unpack_from(disk.read_bytes(), _PAGE * _PAGES + _PAGES)[1])
    if not failed - kills <= refusals <= failed:
        raise Broken(f"{failed} syncs failed; {refusals} errors were reported, and {kills} processes killed")
    return failed


def _cut_power(rng: random.Random, disk: Path, state: Path) -> None:
    """Leave what the disk has got of the mark; of the nonce file, which is never synced, anything."""
    mark, text = state / "kraken_global_nonce.mark", state / "kraken_global_nonce.txt"
    mark.write_bytes(disk.read_bytes()[: _PAGE * _PAGES])
    fate = rng.choice(["gone", "empty", "older", "as it was"])
    older = state.with_name("older")
    now = text.read_bytes()
    if fate == "gone":
        text.unlink()
    elif fate == "empty":
        text.write_bytes(b"")
    elif fate == "older" and older.exists():
        text.write_bytes(older.read_bytes())
    older.write_bytes(now)


def _compile(directory: Path) -> Path:
    """Make the library that fails syncs; raise NotHere without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NotHere("there is no C compiler (Debian: apt install gcc)")
    library = directory / "failing_sync.so"
    source = Path(__file__).with_name("failing_sync.c")
    words = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(source), "-ldl"]
    empty = directory / "empty.c"
    empty.touch()
    if subprocess.run([compiler, "-c", "-o", os.devnull, str(empty)], capture_output=True, check=False).returncode:
        raise NotHere("the C compiler does not even take an empty file")
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        raise Broken(f"{source.name} cannot be compiled: {made.stderr.strip()}")
    return library
