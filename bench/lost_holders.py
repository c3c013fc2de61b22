"""How long nobody has the turn when its holder is killed, or its network is cut."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from bench.alternation import spread
from bench.delay import Delay
from bench.limits import Worker
from krakenonce import NonceManager

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tests.hosts.engines import Engine

_LIMIT = 30.0  # seconds
_QUEUED = 10.0


def measure(engine: Engine, port: int, killed: int, cut: int) -> dict[str, Any]:
    """Return the seconds until the next holder's nonce, for some holders of one key each, all of them lost at once.

    Args:
        engine: The server.
        port: Of a proxy in front of it, for all but those who are cut off.
        killed: How many holders are killed, one after the other where that takes less than a lease.
        cut: How many are cut off.
    """
    with contextlib.ExitStack() as stack:
        after_kill = [
            _Pair(stack, engine.url_at(port), engine.url_at(port), f"killed {each}") for each in range(killed)
        ]
        proxy = Delay(engine.port)
        stack.callback(proxy.close)
        after_cut = [_Pair(stack, engine.url_at(proxy.port), engine.url_at(port), f"cut {each}") for each in range(cut)]
        _until_waiting(engine, killed + cut)
        began = [_lose(pair) for pair in after_kill]
        cut_at = time.monotonic()
        proxy.cut()
        return {
            "kill_s": spread(pair.next_at() - at for pair, at in zip(after_kill, began, strict=True))._asdict(),
            "cut_s": spread(pair.next_at() - cut_at for pair in after_cut)._asdict(),
        }


class _Pair:
    """The holder of a key, and one who waits for it.

    Args:
        stack: What ends both.
        holders_url: Where the state is for the holder.
        others_url: The same for the other one.
        key: The key.
    """

    def __init__(self, stack: contextlib.ExitStack, holders_url: str, others_url: str, key: str) -> None:
        self.holder = stack.enter_context(Worker(_hold, holders_url, key))
        self.holder.hear(_LIMIT)
        self._other = stack.enter_context(Worker(_wait, others_url, key))

    def next_at(self) -> float:
        """When the other one had the turn and its nonce."""
        at: float = self._other.hear(_LIMIT)
        return at


def _lose(pair: _Pair) -> float:
    at = time.monotonic()
    pair.holder.kill()
    return at


def _until_waiting(engine: Engine, count: int) -> None:
    deadline = time.monotonic() + _QUEUED
    while engine.waiting() < count:
        assert time.monotonic() < deadline, "not all of them wait"
        time.sleep(0.02)


def _hold(pipe: Connection, url: str, key: str) -> None:
    """For a process of its own: take the turn and its nonce, and keep the turn."""
    manager = NonceManager(url)
    with manager.turn(key):
        manager.next_for(key)
        pipe.send("holds")
        pipe.recv()


def _wait(pipe: Connection, url: str, key: str) -> None:
    """For a process of its own: wait for the turn, take its nonce, and send the time."""
    manager = NonceManager(url)
    with manager.turn(key):
        manager.next_for(key)
        pipe.send(time.monotonic())
        pipe.recv()
