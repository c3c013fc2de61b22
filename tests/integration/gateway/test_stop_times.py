"""The recipes for running the gateway, compared with the gateway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from krakenonce.gateway.server import DRAIN

ROOT = Path(__file__).parents[3]
CLOSING = 5.0  # seconds to close connections and files, after the last answer
# How much time each program that stops the gateway gives it; seconds.
NAMES = {
    "docker": r"--stop-timeout[ =]",
    "compose": r"stop_grace_period: ",
    "kubernetes": r"terminationGracePeriodSeconds: ",
    "supervisord": r"stopwaitsecs ?= ?",
    "systemd": r"TimeoutStopSec=",
}
RECIPES = [
    ("deploy/Containerfile", "docker"),
    ("deploy/compose.yaml", "compose"),
    ("deploy/kubernetes.yaml", "kubernetes"),
    ("deploy/krakenonce-gateway.service", "systemd"),
    ("docs/how-to/run-the-gateway.md", "docker"),
    ("docs/how-to/run-the-gateway.md", "compose"),
    ("docs/how-to/run-the-gateway.md", "kubernetes"),
    ("docs/how-to/run-the-gateway.md", "supervisord"),
    ("docs/how-to/web-servers.md", "kubernetes"),
]


@pytest.mark.parametrize(("page", "stopped_by"), RECIPES)
def test_every_recipe_lets_the_gateway_wait_for_its_answers(page: str, stopped_by: str) -> None:
    """It names a time to stop, and that is longer than the gateway waits."""
    text = (ROOT / page).read_text(encoding="utf-8")
    times = [float(seconds) for seconds in re.findall(rf"{NAMES[stopped_by]}(\d+)", text)]
    assert times
    assert min(times) >= DRAIN + CLOSING


def test_every_page_says_how_long_the_gateway_waits() -> None:
    """Each recipe and page that says it says the same."""
    for page in {page for page, _ in RECIPES}:
        said = re.findall(r"up\s+(?:# )?to\s+(\d+) s", (ROOT / page).read_text(encoding="utf-8"))
        assert said
        assert {float(seconds) for seconds in said} == {DRAIN}


def test_no_other_recipe_names_less_time() -> None:
    """In no file that a user copies from."""
    anywhere = "|".join(NAMES.values())
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").iterdir()]:
        for seconds in re.findall(rf"(?:{anywhere})(\d+)", path.read_text(encoding="utf-8")):
            assert float(seconds) >= DRAIN + CLOSING, path
