"""What a whole run writes down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from prove.campaign import Campaign
from prove.planted import ALL, Planted
from prove.report import PAGE, Outcome, what_came_out, which_test_would_break, write

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = Campaign("kills", "SIGKILL at any moment", lambda _: {}, seconds=60, short=10)
BUG = Planted(
    "no sync",
    1,
    "src/x.py",
    "sync()",
    "pass",
    "tests/integration/backends/test_restart.py::test_the_mark_never_goes_down[x]",
)


def test_the_report_has_the_figures_and_what_was_not_run() -> None:
    """A line for each campaign, with its seed above all."""
    outcomes = [Outcome(CAMPAIGN, 59.7, {"kills": 12345}), Outcome(CAMPAIGN, 0.1, {}, "only root may mount")]
    section = what_came_out(outcomes, 7)
    assert "| `kills` | SIGKILL at any moment | 60 s | kills 12,345 |" in section
    assert "| 0 s | not run: only root may mount |" in section
    assert "The last whole run: " in section
    assert "seed 7." in section


def test_every_promise_is_there_with_the_tests_that_break() -> None:
    """Under its title, each planted bug with a link to the test's file."""
    section = which_test_would_break([BUG])
    first = section.partition("### 1. Durable before visible")[2].partition("###")[0]
    assert "| no sync | [the mark never goes down](../../tests/integration/backends/test_restart.py) |" in first
    assert "### 12. " in section


def test_the_page_lists_the_bugs_that_are_planted() -> None:
    """No more and no fewer: after adding one, run `make prove ARGS=planted`, which writes it down."""
    assert f"\n## Which test would break\n\n{which_test_would_break(ALL)}\n" in PAGE.read_text()


@pytest.mark.parametrize("title", ["What came out", "Which test would break"])
def test_a_new_report_takes_the_place_of_the_last_one(tmp_path: Path, title: str) -> None:
    """What people have written around it stays."""
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    for text in ("first", "second\n\n### with titles of its own"):
        write(title, text, page)
    before, _, rest = PAGE.read_text().partition(f"\n## {title}\n")
    _, following, after = rest.partition("\n## ")
    assert page.read_text() == f"{before}\n## {title}\n\nsecond\n\n### with titles of its own\n{following}{after}"
