"""Processes are killed at any moment, thousands of times: no nonce is issued twice or out of order."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from krakenonce.manager import NonceManager
from prove.campaign import Campaign
from prove.crew import Crew
from prove.rounds import Rounds

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from prove.campaign import Figures, Trial
    from prove.pipe import Reporter
    from prove.rounds import Maker

__all__ = ["KILLS", "take"]

_PROCESSES = 8
_ROUND = 2.0  # seconds; then all are killed at once and what they reported is checked
_AT_LEAST = 30  # kills in a round
_BETWEEN_KILLS = 0.003  # seconds, on average


def run(trial: Trial, maker: Maker = NonceManager) -> Figures:
    """Eight processes on one directory, each killed one started again at once."""
    state = trial.directory / "state"
    rounds = Rounds(state)
    with Crew(trial, [partial(take, state, maker)] * _PROCESSES) as crew:
        while not (trial.over and rounds.nonces):
            crew.start()
            _kill_some(trial, crew)
            rounds.check(crew.kill_all(), maker)
    return {"kills": crew.kills, "starts": crew.starts, "nonces": rounds.nonces}


def _kill_some(trial: Trial, crew: Crew) -> None:
    """Kill for one round."""
    end, kills = time.monotonic() + _ROUND, 0
    while kills < _AT_LEAST or not (trial.over or time.monotonic() > end):
        time.sleep(trial.rng.expovariate(1 / _BETWEEN_KILLS))  # the moment of death is the point
        crew.kill()
        kills += 1


def take(state: Path, maker: Maker, reporter: Reporter, _rng: random.Random) -> None:
    """Take nonces until killed."""
    manager = maker(state)
    while True:
        reporter.nonce(manager.next)


KILLS = Campaign("kills", "eight processes, killed at any moment and started again", run, seconds=60, short=10)
