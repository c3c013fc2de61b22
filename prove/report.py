"""The results of a whole run, written into docs/explanation/how-we-test.md."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prove.campaign import Campaign, Figures
    from prove.planted.bug import Planted

__all__ = ["PAGE", "Outcome", "what_came_out", "which_test_would_break", "write"]

DOCS = Path(__file__).parents[1] / "docs" / "explanation"
PAGE = DOCS / "how-we-test.md"
_PROMISE = re.compile(r"^(\d+)\. \*\*(.+?)\.?\*\*", re.MULTILINE)


class Outcome(NamedTuple):
    """How a campaign ended.

    Args:
        campaign: Which one.
        seconds: How long it took.
        figures: What it counted.
        skipped: Why this machine could not run it; empty if it could.
        broken: Which promise was broken, and how; empty if none was.
    """

    campaign: Campaign
    seconds: float
    figures: Figures
    skipped: str = ""
    broken: str = ""

    def __str__(self) -> str:
        if self.broken or self.skipped:
            return f"BROKEN: {self.broken}" if self.broken else f"not run: {self.skipped}"
        return ", ".join(f"{what} {count:,}" for what, count in self.figures.items())


def what_came_out(outcomes: Iterable[Outcome], seed: int) -> str:
    """Return the results of the campaigns of a whole run, in Markdown.

    Args:
        outcomes: How each campaign ended.
        seed: The seed of all random choices of the run.
    """
    machine = f"{platform.system()} {platform.machine()}, CPython {platform.python_version()}, {os.cpu_count()} cores"
    lines = [
        f"The last whole run: {time.strftime('%Y-%m-%d')}, {machine}, seed {seed}.",
        "",
        "| campaign | what it tries | it took | what came out |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{each.campaign.name}` | {each.campaign.what} | {each.seconds:.0f} s | {each} |" for each in outcomes]
    return "\n".join(lines)


def which_test_would_break(bugs: Sequence[Planted]) -> str:
    """Return the planted bugs, all of which have been caught, under the promises that they break, in Markdown."""
    lines = ["Each of these bugs was planted in a copy of our code, alone, and the test beside it failed."]
    promises: dict[object, str] = {
        int(number): f"{number}. {title}" for number, title in _PROMISE.findall((DOCS / "guarantees.md").read_text())
    }
    promises |= {"security": "What the security page says", "judge": "What judges the tests"}
    for promise, title in promises.items():
        planted = [bug for bug in bugs if bug.promise == promise]
        lines += ["", f"### {title}", "", "| planted bug | caught by |", "| --- | --- |"]
        lines += [f"| {bug.name} | {_link(bug.test)} |" for bug in planted]
    return "\n".join(lines)


def write(title: str, text: str, page: Path = PAGE) -> None:
    """Put *text* under a title of the page, in the place of what was there."""
    before, heading, rest = page.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    _, following, after = rest.partition("\n## ")
    page.write_text(f"{before}{heading}\n{text}\n{following}{after}", encoding="utf-8")


def _link(test: str) -> str:
    """A link to the test's file, under the test's name in words."""
    file, _, name = test.partition("::")
    words = name.partition("[")[0].removeprefix("test_").replace("_", " ").replace("::", ": ")
    return f"[{words}](../../{file})"
