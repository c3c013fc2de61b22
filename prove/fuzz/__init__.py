"""Arbitrary bytes and values for all code that writes, signs, reads or answers them, in batches."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prove.campaign import Campaign
from prove.fuzz import answers, bodies, connections, fake, requests
from prove.fuzz.targets import fuzz

if TYPE_CHECKING:
    from prove.campaign import Trial

__all__ = ["FUZZ", "TARGETS", "run"]

TARGETS = [*requests.TARGETS, *bodies.TARGETS, *answers.TARGETS, *connections.TARGETS, *fake.TARGETS]


def run(trial: Trial) -> dict[str, int]:
    """Fuzz one target after the other, a batch each; the figures are examples. Raises Broken."""
    logging.getLogger("krakenonce").addHandler(_SILENT)  # its warnings about odd answers are not for the terminal
    try:
        tried = dict.fromkeys((each.name for each in TARGETS), 0)
        batch = 0
        while not (trial.over and batch):  # every target has its first batch
            for target in TARGETS:
                tried[target.name] += fuzz(target, trial.seed, batch)
            batch += 1
        return tried
    finally:
        logging.getLogger("krakenonce").removeHandler(_SILENT)


_SILENT = logging.NullHandler()
FUZZ = Campaign("fuzz", "arbitrary bytes against signatures, bodies, answers and the fake Kraken", run, 120, 15)
