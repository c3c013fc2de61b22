"""What campaigns on disks have in common: the system's tools, and what must be told and what must not."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from .campaign import Broken

if TYPE_CHECKING:
    from .telling import Told

__all__ = ["check_frozen", "run_tool"]


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
