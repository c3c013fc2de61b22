"""A thread that keeps held turns alive at a server, and what the server shows of their holders.

The thread stops with its process, so that a process that is paused loses its turns.
"""

from __future__ import annotations

import os
import platform
import weakref
from typing import Protocol

from krakenonce.native import RLock, allocate_lock, start_new_thread
from krakenonce.process import call_in_children


class Beating(Protocol):
    """A gate whose turn ends if nothing is heard of its holder."""

    held: bool

    def beat(self) -> None:
        """Say that this process lives. Raises nothing."""


class Heart:
    """Beats for each gate that is held. Its thread ends when there is none.

    Args:
        every: Seconds between two beats.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._lock = RLock()  # a signal handler may come back to it
        self._gates: weakref.WeakSet[Beating] = weakref.WeakSet()
        self._runs = False
        call_in_children(self)

    def watch(self, gate: Beating) -> None:
        """Beat for *gate* as long as it is held."""
        with self._lock:
            self._gates.add(gate)
            if self._runs:
                return
            try:
                start_new_thread(self._run, (self._lock,))
                self._runs = True
            except RuntimeError:  # no more threads: a call that takes longer than the pause loses its turn
                pass

    def _run(self, lock: object) -> None:
        sleep = allocate_lock()
        sleep.acquire()
        while True:
            sleep.acquire(timeout=self._every)
            for gate in list(self._gates):
                gate.beat()
            with self._lock:
                for gate in list(self._gates):
                    if not gate.held:
                        self._gates.discard(gate)
                if lock is not self._lock:
                    return
                if not self._gates:
                    self._runs = False
                    return

    def _after_fork(self) -> None:
        """The child has no such thread."""
        self._lock = RLock()
        self._gates = weakref.WeakSet()
        self._runs = False


def heart_of(pause: float) -> Heart:
    """Return the one that keeps turns alive that end after *pause* seconds of silence."""
    heart = _hearts.get(pause)
    return heart if heart is not None else _hearts.setdefault(pause, Heart(pause / 3))


def my_name() -> str:
    """Return what a server's lists show of this process, at most 40 letters."""
    return f"krakenonce {os.getpid()} {host()}"


def host() -> str:
    """Return this host's name, without what a list of names could not show."""
    return "".join(each if each.isalnum() and each.isascii() else "-" for each in platform.node())[:20] or "-"


_hearts: dict[float, Heart] = {}
