"""What stands between this process and the others."""

from __future__ import annotations

import os
from typing import Protocol

from ..clock import SystemClock

__all__ = ["Gate", "OwnGate"]


class Gate(Protocol):
    """What a queue asks of its gate. One thread at a time uses it, but for :meth:`holder`."""

    def try_acquire(self) -> bool:
        """Take the gate if it is free."""
        ...

    def acquire(self) -> None:
        """Wait until the gate is ours."""
        ...

    def release(self) -> None:
        """Let the next process in. Harmless if it is not held."""
        ...

    def holder(self) -> str:
        """Who holds it and since when, in words."""
        ...

    def abandon(self) -> None:
        """Forget about it in a forked child, leaving the parent's hold alone."""
        ...


class OwnGate:
    """The gate of a lane that no other process knows: always free."""

    _since = 0

    def try_acquire(self) -> bool:
        """Always."""
        self._since = SystemClock.boot_ns()
        return True

    def acquire(self) -> None:
        """At once."""
        self.try_acquire()

    def release(self) -> None:
        """Nothing to do."""

    def holder(self) -> str:
        """This process, since."""
        return f"process {os.getpid()} has held it for {(SystemClock.boot_ns() - self._since) / 1e9:.1f} s"

    def abandon(self) -> None:
        """Nothing to do."""
