"""What a whole run writes down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prove.campaign import Campaign
from prove.planted.bug import Planted
from prove.report import PAGE, Outcome, render, write

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = Campaign("kills", "SIGKILL at any moment", lambda _: {}, seconds=60, short=10)
BUG = Planted(
    "no sync", 1, "src/x.py", "sync()", "pass", "tests/stores/test_restart.py::test_the_mark_never_goes_down[x]"
)


def test_the_report_has_the_figures_and_what_was_not_run() -> None:
    """A line for each campaign, with its seed above all."""
    told = render(
        [Outcome(CAMPAIGN, 59.7, {"kills": 12345}), Outcome(CAMPAIGN, 0.1, {}, "only root may mount")],
        7,
        [],
        short=False,
    )
    assert "| `kills` | SIGKILL at any moment | 60 s | kills 12,345 |" in told
    assert "| 0 s | not run: only root may mount |" in told
    assert "seed 7." in told


def test_every_promise_is_there_with_the_tests_that_break() -> None:
    """Under its title, each planted bug with a link to the test's file."""
    told = render([], 7, [BUG], short=True)
    first = told.partition("### 1. Durable before visible")[2].partition("###")[0]
    assert "| no sync | [the mark never goes down](../../tests/stores/test_restart.py) |" in first
    assert "### 12. " in told


def test_a_new_report_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    """What people have written above it stays."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    write("first\n", page)
    write("second\n", page)
    before = PAGE.read_text().partition("<!--")[0]
    assert page.read_text() == f"{before}<!-- What follows was written by `make prove`. -->\n\nsecond\n"
