"""A clock that a test sets."""

from __future__ import annotations

SECOND = 1_000_000_000


class ManualClock:
    """A wall clock, a boot clock and a boot id that change only when a test changes them.

    Args:
        now_ns: The wall clock to begin with, in nanoseconds since 1970.
    """

    def __init__(self, now_ns: int = 1_800_000_000 * SECOND) -> None:
        self._wall = now_ns
        self._since_boot = 1000 * SECOND
        self._boot = "boot 1"

    def now_ns(self) -> int:
        """The wall clock, in nanoseconds since 1970."""
        return self._wall

    def boot_ns(self) -> int:
        """The time since boot, in nanoseconds."""
        return self._since_boot

    def boot_id(self) -> str:
        """The name of the present boot."""
        return self._boot

    def pass_time(self, seconds: float) -> None:
        """Let time pass: both clocks go on."""
        self._wall += round(seconds * SECOND)
        self._since_boot += round(seconds * SECOND)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back if negative; no time passes."""
        self._wall += round(seconds * SECOND)

    def set_wall(self, now_ns: int) -> None:
        """Set the wall clock."""
        self._wall = now_ns

    def reboot(self, boot_id: str = "boot 2") -> None:
        """Begin another boot; the wall clock goes on. An empty name: the system has no boot id."""
        self._boot = boot_id
        self._since_boot = SECOND
