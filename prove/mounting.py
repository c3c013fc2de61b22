"""What campaigns on disks have in common: the system's tools, and what must be told and what must not."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from .campaign import Broken
from .crew import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from .telling import Told

__all__ = ["check_frozen", "run_tool", "until_told"]


def run_tool(name: str, *words: str) -> int:
    """Run a tool of the system, such as mount; return its exit code."""
    tool = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if tool is None:
        return -1
    return subprocess.run([tool, *words], capture_output=True, check=False).returncode


def check_frozen(told: Told, spans: list[tuple[int, int]]) -> None:
    """Raise Broken if a number was asked for and given within one of the spans in which the disk was read-only."""
    for issue in told.issues:
        if any(began < issue.asked and issue.answered < ended for began, ended in spans):
            raise Broken(f"given on a read-only disk: {issue}")


def until_told(told: Path, what: str, complaint: str, by: int = 1) -> None:
    """Wait until *by* processes tell *what* of something begun after now; raise Broken if they do not."""
    now, deadline = time.monotonic_ns(), time.monotonic() + PATIENCE
    seen = set[str]()
    while len(seen) < by:
        if time.monotonic() > deadline:
            raise Broken(complaint)
        time.sleep(0.001)
        for path in told.iterdir():
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 3000))
                last = file.read().split(b"\n")[-2:-1]
            if last and last[0].startswith(what.encode()) and int(last[0].split()[1]) > now:
                seen.add(path.name)
