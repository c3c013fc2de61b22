"""Run the campaigns, say what came out, and exit 1 if a promise was broken."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from . import planted
from .campaign import Broken, Campaign, NotHere, Trial
from .clocks import CLOCKS
from .crash_points import crash_points
from .disks import DISKS
from .fuzz import FUZZ
from .kills import KILLS
from .state_machine import state_machine
from .stops import STOPS

CAMPAIGNS: list[Campaign] = [
    crash_points,
    state_machine,
    KILLS,
    STOPS,
    CLOCKS,
    DISKS,
    FUZZ,
    planted.CAMPAIGN,
]


def main() -> int:
    """Run what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CAMPAIGN", help=", ".join(each.name for each in CAMPAIGNS))
    parser.add_argument("--short", action="store_true", help="a few minutes instead of twenty")
    parser.add_argument("--seed", type=int, help="repeat a run")
    words = parser.parse_args()
    unknown = set(words.names) - {each.name for each in CAMPAIGNS}
    if unknown:
        parser.error(f"there is no campaign {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(10**6) if words.seed is None else words.seed
    failed = []
    for each in CAMPAIGNS:
        if not words.names or each.name in words.names:
            failed += [] if attempt(each, seed, short=words.short) else [each.name]
    if failed:
        print(f"\nbroken: {', '.join(failed)}; again with: python -m prove {' '.join(failed)} --seed {seed}")
    return 1 if failed else 0


def attempt(campaign: Campaign, seed: int, *, short: bool) -> bool:
    """Run one campaign; return whether every promise held."""
    print(f"{campaign.name} (seed {seed}): {campaign.what} ...", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".run-") as name:
        try:
            figures = campaign.run(Trial(Path(name), seed, campaign.short if short else campaign.seconds))
        except NotHere as reason:
            print(f"    skipped: {reason}")
            return True
        except Broken as how:
            print(f"    BROKEN: {how}")
            return False
    told = ", ".join(f"{what} {count:,}" for what, count in figures.items())
    print(f"    held in {time.monotonic() - began:.0f} s: {told}")
    return True


if __name__ == "__main__":
    sys.exit(main())
