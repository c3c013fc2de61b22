"""Managers that are broken, each in its own way; apart from the tests, for workers to import quickly."""

import contextlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from krakenonce.backends import MemoryStore
from krakenonce.backends.file import mark_file
from krakenonce.backends.file.filesystem import sync
from krakenonce.errors import NonceStoreError
from krakenonce.key.lane import Lane, find_lane
from krakenonce.key.naming import GLOBAL
from krakenonce.manager import NonceManager


class Unlocked(NonceManager):
    """Reads the last nonce, adds one and writes it, as if no other process did."""

    def __init__(self, state: Path) -> None:
        super().__init__(MemoryStore())
        state.mkdir(exist_ok=True)
        self._path = state / "last"

    def next(self, _scope: str = "global") -> int:
        """Return the next nonce."""
        nonce = int(self._path.read_text() or "0") + 1 if self._path.exists() else 1
        self._path.write_text(str(nonce))
        return nonce


class Forgetful(NonceManager):
    """Begins again with each process."""

    def __init__(self, _state: Path) -> None:
        super().__init__(MemoryStore())
        self._nonces = itertools.count(1)

    def next(self, _scope: str = "global") -> int:
        """Return the next nonce, not so fast that the order of millions has to be checked."""
        time.sleep(0.001)
        return next(self._nonces)


class Hanging(NonceManager):
    """Hangs after some nonces."""

    nonces = 0

    def next(self, scope: str = "global") -> int:
        """Return the next nonce, or never."""
        self.nonces += 1
        while self.nonces > 30:
            signal.pause()
        return super().next(scope)


class Crashing(NonceManager):
    """Crashes the process after some nonces."""

    nonces = 0

    def next(self, scope: str = "global") -> int:
        """Return the next nonce, or die."""
        self.nonces += 1
        if self.nonces > 30:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().next(scope)


class CrashingForks(NonceManager):
    """Crashes each process that has inherited it."""

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._pid = os.getpid()

    def next(self, scope: str = "global") -> int:
        """Return the next nonce, or die."""
        if os.getpid() != self._pid:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().next(scope)


class CrashingSoon(NonceManager):
    """Crashes each worker that asks for its first nonce."""

    def next(self, scope: str = "global") -> int:
        """Die, but not with the tests."""
        if "pytest" not in sys.modules:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().next(scope)


class Retrying(NonceManager):
    """After a sync that failed, closes all and tries again, three times in four, and reports nothing."""

    failures = 0

    def next(self, scope: str = "global") -> int:
        """Return the next nonce."""
        try:
            return super().next(scope)
        except NonceStoreError:
            self.failures += 1
            if not self.failures % 4:
                raise
            return self.next(scope)


class ClockAlone(NonceManager):
    """The clock is the nonce."""

    def next(self, _scope: str = "global") -> int:
        """Return the next nonce."""
        return time.time_ns()


class TrustingClock(NonceManager):
    """Trusts every step of the clock."""

    def next(self, scope: str = "global") -> int:
        """Return the next nonce."""
        self.raise_floor(time.time_ns(), scope)
        return super().next(scope)


class TrustingFailedSync(NonceManager):
    """After a sync that failed, syncs the same descriptor again, and trusts that."""

    def next(self, scope: str = "global") -> int:
        """Return the next nonce."""
        with patch.object(mark_file, "sync", _sync_again):
            return super().next(scope)


class Silent(NonceManager):
    """Issues its own nonces when the disk fails, and reports nothing."""

    last = 0

    def next(self, scope: str = "global") -> int:
        """Return the next nonce."""
        if scope != "global":
            return super().next(scope)
        with contextlib.suppress(NonceStoreError):
            self.last = super().next(scope)
            return self.last
        self.last += 1
        return self.last


class HalfSilent(Silent):
    """The same, but every second nonce is refused, as it should be."""

    refuses = False

    def next(self, scope: str = "global") -> int:
        """Return the next nonce, or refuse."""
        self.refuses = not self.refuses
        if self.refuses:
            return NonceManager.next(self, scope)
        return super().next(scope)


def _sync_again(fd: int) -> None:
    try:
        sync(fd)
    except OSError:
        sync(fd)


class OwnLanes(NonceManager):
    """The nonces are right, but each process has its own lanes."""

    def lane(self, name: str = GLOBAL, timeout: float | None = None, *, urgent: bool = False) -> Lane:
        """Return a lane that no other process knows."""
        return find_lane(_own, name, timeout, urgent=urgent)


_own = MemoryStore()
