"""Managers of a state that several hosts share, each broken in its own way, for workers to import quickly."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from krakenonce.backends.postgres import gate, statements, store
from krakenonce.errors import TurnLost
from prove.hosts.worker import make

if TYPE_CHECKING:
    from krakenonce.manager import NonceManager
    from tests.hosts.host import HostClock

Take = Callable[[str, object], int]


def unfenced(state: str, clock: HostClock, pause: float) -> NonceManager:
    """Takes nonces whether or not the turn is still there."""
    return _changed(make(state, clock, pause), lambda take, scope, _gates: take(scope, []))


def same_server(state: str, clock: HostClock, pause: float) -> NonceManager:
    """Does not notice that another server was promoted, and skips nothing."""
    for module, name in ((store, "NEXT"), (gate, "NEXT"), (gate, "TRY_AND_NEXT")):
        setattr(module, name, getattr(statements, name).replace("60000000000", "1"))
    return make(state, clock, pause)


def two_states(state: str, clock: HostClock, pause: float) -> NonceManager:
    """One host uses another state than the other two."""
    return make(state.replace("/0", "/1") if clock.boot_id() == "host 0" else state, clock, pause)


def hanging(state: str, clock: HostClock, pause: float) -> NonceManager:
    """Hangs once it has lost a turn."""

    def take_or_hang(take: Take, scope: str, gates: object) -> int:
        try:
            return take(scope, gates)
        except TurnLost:
            while True:
                signal.pause()

    return _changed(make(state, clock, pause), take_or_hang)


def failing(state: str, clock: HostClock, pause: float) -> NonceManager:
    """Raises an error of Python's when a turn was lost."""

    def take_or_fail(take: Take, scope: str, gates: object) -> int:
        try:
            return take(scope, gates)
        except TurnLost as error:
            raise ValueError("no turn") from error

    return _changed(make(state, clock, pause), take_or_fail)


def _changed(manager: NonceManager, change: Callable[[Take, str, object], int]) -> NonceManager:
    """Let *change* take the nonces in turns, with what takes them as it should be."""
    backend: Any = manager.store
    take: Take = backend.advance_in_turn

    def changed(scope: str, gates: object) -> int:
        return change(take, scope, gates)

    backend.advance_in_turn = changed
    return manager
