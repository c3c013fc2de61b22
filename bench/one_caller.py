"""What one caller waits for before it may send: a nonce, a turn with its nonce, all that our clients ask for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.alternation import alternate
from bench.bare import bare
from krakenonce import NonceManager
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import Tier

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Operation = Callable[[], tuple[float, float]]

KEY = "key"
_WIDE = Tier("bench", 1e5, 1e4, 1e5, 1e4)  # its calls are counted and never wait


def measure(pipe: Connection, kind: str, url: str, port: int, what: str, base: str, rounds: int, count: int) -> None:
    """For a process of its own: send :func:`alternate`'s result, whose parts are the wait, and the giving back.

    Args:
        pipe: Where to send it.
        kind: Of the server.
        url: Where the state is.
        port: The port in it.
        what: One of ``OURS``.
        base: What it is compared with: see :func:`bare`.
        rounds: How often both are done by turns.
        count: How many operations at a time.
    """
    with NonceManager(url) as manager:
        pipe.send(alternate(bare(kind, url, port, base), OURS[what](manager), rounds, count))


def _nonce(manager: NonceManager) -> Operation:
    """A nonce of the common counter."""

    def operation() -> tuple[float, float]:
        began = time.perf_counter()
        manager.next()
        return time.perf_counter() - began, 0.0

    return operation


def _turn(manager: NonceManager) -> Operation:
    """A key's turn and the nonce in it, as guarded clients take them."""

    def operation() -> tuple[float, float]:
        began = time.perf_counter()
        with manager.turn(KEY):
            manager.next_for(KEY)
            may_send = time.perf_counter()
        return may_send - began, time.perf_counter() - may_send

    return operation


def _call(manager: NonceManager) -> Operation:
    """The same with the key's rate limits, as our clients take them."""
    api_key = ApiKey(manager, KEY, _WIDE)

    def operation() -> tuple[float, float]:
        began = time.perf_counter()
        place = api_key.place("Balance", {})
        with api_key.turn():
            api_key.nonce(place)
            may_send = time.perf_counter()
        api_key.leave(place)
        return may_send - began, time.perf_counter() - may_send

    return operation


OURS: dict[str, Callable[[NonceManager], Operation]] = {"nonce": _nonce, "turn": _turn, "call": _call}
