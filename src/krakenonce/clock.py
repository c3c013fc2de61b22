"""Where the time comes from: the wall clock, the time since boot, and which boot it is."""

from __future__ import annotations

import functools
import os
import sys
import time
from typing import Protocol

# Both continue while the machine sleeps, so a sleep does not look like a step of the wall clock.
_SINCE_BOOT = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC


class Clock(Protocol):
    """The three readings that nonces depend on. Tests pass their own."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC by the wall clock; may step in both directions."""
        ...

    def boot_ns(self) -> int:
        """Nanoseconds since the machine started, sleep included; never steps."""
        ...

    def boot_id(self) -> str:
        """Name of this run of the machine; empty if the system has none."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now_ns = staticmethod(time.time_ns)

    @staticmethod
    def boot_ns() -> int:
        """Nanoseconds since the machine started."""
        return time.clock_gettime_ns(_SINCE_BOOT)

    @staticmethod
    @functools.cache
    def boot_id() -> str:
        """Linux: ``/proc/sys/kernel/random/boot_id``. macOS: ``sysctl kern.bootsessionuuid``."""
        return _boot_id_linux() if sys.platform == "linux" else _boot_id_bsd()


def _boot_id_linux() -> str:
    # Read as bytes: a text file would look up its codec under an import lock, which may be locked in a forked child.
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY)
    except OSError:
        return ""  # an unknown boot counts as another one, which is always safe
    try:
        return os.read(fd, 100).decode().strip()
    finally:
        os.close(fd)


def _boot_id_bsd() -> str:
    import subprocess

    try:
        answer = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
