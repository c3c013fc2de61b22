"""Where the time comes from: the wall clock, the time since boot, and which boot it is.

Only the wall clock is the same in all containers of a machine. A container may have a time since boot of its own (a
time namespace) or a boot id of its own. So two times since boot are compared only if :meth:`Clock.boot_id` is the same.
"""

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
        """Name of what the time since boot counts from: the same name, the same clock. Empty: it is not known."""
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
        """Return the name of this boot, and by how much a time namespace shifts the time since boot, if there is one.

        Linux: ``/proc/sys/kernel/random/boot_id``, ``/proc/self/timens_offsets``. macOS: ``sysctl
        kern.bootsessionuuid``.
        """
        return _boot_id_linux() if sys.platform == "linux" else _boot_id_bsd()


def _boot_id_linux() -> str:
    try:
        return clock_name(_read("/proc/sys/kernel/random/boot_id"), _read("/proc/self/timens_offsets", b""))
    except (OSError, ValueError):
        return ""  # an unknown boot counts as another one, which is always safe


def clock_name(boot_id: bytes, offsets: bytes) -> str:
    """Return a name for the time since boot, of at most 64 bytes: the mark file has no more room.

    Args:
        boot_id: The kernel's name of the boot.
        offsets: By how much a time namespace shifts each clock, as in ``/proc/self/timens_offsets``.
    """
    shift = ""
    for clock, seconds, nanoseconds in map(bytes.split, offsets.splitlines()):
        if clock in (b"boottime", b"7") and (int(seconds) or int(nanoseconds)):  # Linux 5.6 has the clock's number
            shift = f"/{int(seconds)}.{int(nanoseconds):09}"
    boot = boot_id.decode().strip()
    return boot and boot + shift


def _read(path: str, if_missing: bytes | None = None) -> bytes:
    # Not as text: a text file would look up its codec under an import lock, which may be locked in a forked child.
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if if_missing is None:
            raise
        return if_missing
    try:
        return os.read(fd, 1000)
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
