"""A thread that keeps the sessions of held turns alive. It stops with its process, so that a paused one loses them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from krakenonce.native import RLock, allocate_lock, start_new_thread
from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from krakenonce.backends.postgres.gate import PostgresGate


class Heart:
    """Beats for each gate that is held. Its thread ends when there is none.

    Args:
        every: Seconds between two beats.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._lock = RLock()  # a signal handler may come back to it
        self._gates: weakref.WeakSet[PostgresGate] = weakref.WeakSet()
        self._runs = False
        call_in_children(self)

    def watch(self, gate: PostgresGate) -> None:
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
