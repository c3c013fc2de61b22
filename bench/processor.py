"""The processor time of another process. Imports nothing of krakenonce, of which probes load an older one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken."""
    threads = [each / "schedstat" for each in Path(f"/proc/{pid}/task").glob("*")]
    if threads and all(each.exists() for each in threads):  # in nanoseconds, where stat counts hundredths
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9
    figures = Path(f"/proc/{pid}/stat")
    if figures.exists():  # on Linux, where ps has whole seconds
        user, system = figures.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    listed = subprocess.run(["ps", "-o", "cputimes=", "-p", str(pid)], check=True, capture_output=True, text=True)  # noqa: S607
    return float(listed.stdout)
