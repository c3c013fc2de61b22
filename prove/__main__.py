"""Run the campaigns, print what came out, and exit 1 if a promise was broken."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
import traceback
from pathlib import Path

from prove import planted, report
from prove.campaign import Broken, Campaign, NotHere, Trial
from prove.clocks import CLOCKS
from prove.crash_points import CRASH_POINTS
from prove.disks import DISKS
from prove.fuzz import FUZZ
from prove.hosts import HOSTS
from prove.kills import KILLS
from prove.lost_replies import LOST_REPLIES
from prove.report import Outcome
from prove.state_machine import STATE_MACHINE
from prove.stops import STOPS

CAMPAIGNS: list[Campaign] = [
    CRASH_POINTS,
    STATE_MACHINE,
    KILLS,
    STOPS,
    CLOCKS,
    DISKS,
    FUZZ,
    LOST_REPLIES,
    HOSTS,
    planted.CAMPAIGN,
]


def main() -> int:
    """Run what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CAMPAIGN", help=", ".join(each.name for each in CAMPAIGNS))
    parser.add_argument("--short", action="store_true", help="a few minutes instead of fifteen")
    parser.add_argument("--seed", type=int, help="repeat a run")
    words = parser.parse_args()
    unknown = set(words.names) - {each.name for each in CAMPAIGNS}
    if unknown:
        parser.error(f"there is no campaign {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(10**6) if words.seed is None else words.seed
    outcomes = [
        attempt(each, seed, short=words.short) for each in CAMPAIGNS if not words.names or each.name in words.names
    ]
    failed = [each.campaign.name for each in outcomes if each.broken]
    left_out = [each.campaign.name for each in outcomes if each.skipped]
    if left_out:
        print(f"\nnot run on this machine: {', '.join(left_out)}")
    if failed:
        again = " ".join(["-m prove", *failed, f"--seed {seed}", *(["--short"] if words.short else [])])
        print(f"\nbroken: {', '.join(failed)}; again with: .venv/bin/python {again}")
    elif words.seed is None:  # a run that is repeated has been written down
        sections = {}
        if not (words.names or words.short):
            sections["What came out"] = report.what_came_out(outcomes, seed)
        if not words.names or planted.CAMPAIGN.name in words.names:
            sections["Which test would break"] = report.which_test_would_break(planted.ALL)
        for title, text in sections.items():
            report.write(title, text)
            print(f"written to docs/explanation/how-we-test.md: {title}")
    return 1 if failed else 0


def attempt(campaign: Campaign, seed: int, *, short: bool) -> Outcome:
    """Run one campaign, print how it ended, and return that."""
    print(f"{campaign.name} (seed {seed}): {campaign.what} ...", flush=True)
    began = time.monotonic()
    figures: dict[str, int] = {}
    skipped = broken = ""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".run-") as name:
        try:
            figures = campaign.run(Trial(Path(name), seed, campaign.short if short else campaign.seconds))
        except NotHere as reason:
            skipped = str(reason)
        except Broken as how:
            broken = str(how)
        except Exception:  # the others are to be run, and this one can be repeated
            broken = traceback.format_exc()
    outcome = Outcome(campaign, time.monotonic() - began, figures, skipped, broken)
    print(f"    {outcome} ({outcome.seconds:.0f} s)", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
