"""A process of a host: it calls Kraken in its turns, and stops itself after a turn or a nonce when it is told to."""

from __future__ import annotations

import importlib
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.backends.state_name import read_state
from krakenonce.errors import InvalidNonce, KrakenonceError, OutcomeUnknown, TurnLost
from krakenonce.key.answers import refusal_in
from krakenonce.key.api_key import ApiKey
from krakenonce.kraken import Kraken
from krakenonce.manager import NonceManager
from tests.hosts.host import HostClock

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from prove.pipe import Reporter

    Maker = Callable[[str, HostClock, float], NonceManager]

__all__ = ["POINTS", "WAYS", "Spec", "make", "work"]

POINTS = ("turn", "nonce")  # after which it may be stopped
WAYS = ("client", "api key", "lane")
for _backend in ("etcd", "postgres", "redis"):  # so that no fork of this process has to
    importlib.import_module(f"krakenonce.backends.{_backend}")

_TIMEOUT = 3.0  # seconds for Kraken's answer
_BETWEEN, _AFTER_ERROR = 0.02, 0.2  # seconds between two calls, at most


class Spec(NamedTuple):
    """What a process is to do.

    Args:
        number: Which one it is.
        way: How it takes turns and nonces: as our clients do, by an ApiKey, or as other programs do, by the lane.
        state: The URL of the state, as it reaches it.
        kraken: The URL of Kraken, as it reaches it.
        key: The API key and its secret.
        ahead: Seconds that its host's clock is ahead.
        pause: Seconds for which it may be paused.
        told: A folder with a file for each point at which it is to stop.
    """

    number: int
    way: str
    state: str
    kraken: str
    key: tuple[str, str]
    ahead: float
    pause: float
    told: str

    def stop_file(self, point: str) -> Path:
        """Which file says that it is to stop."""
        return Path(self.told, f"{self.number}-{point}")


def make(state: str, clock: HostClock, pause: float) -> NonceManager:
    """Return a manager as it is."""
    server = read_state(state, "state").server
    assert server is not None  # noqa: S101 - the campaign has servers only
    return NonceManager(server.open(clock, pause), clock=clock)


def work(spec: Spec, maker: Maker, reporter: Reporter, rng: random.Random) -> None:
    """Make calls until killed."""
    reporter.note("life", str(spec.number))
    caller = _Caller(spec, maker(spec.state, HostClock(spec.ahead), spec.pause), reporter)
    while True:
        is_made = caller.call()
        time.sleep(rng.uniform(0, _BETWEEN if is_made else _AFTER_ERROR))


class _Caller:
    def __init__(self, spec: Spec, manager: NonceManager, reporter: Reporter) -> None:
        key, secret = spec.key
        self._spec = spec
        self._manager = manager
        self._reporter = reporter
        self._client = Kraken(key, secret, manager=manager, tier="none", base_url=spec.kraken, timeout=_TIMEOUT)
        self._api_key = ApiKey(manager, key)
        used: Any = self._client.calls.api_key
        used.next = partial(self._taken, used.next)
        self._asked = self._nonce = 0

    def call(self) -> bool:
        """Make one call, and report what came of it; return whether Kraken has answered."""
        self._asked, self._nonce = time.monotonic_ns(), 0
        try:
            reply = {"client": self._by_client, "api key": self._by_api_key, "lane": self._by_lane}[self._spec.way]()
        except TurnLost:
            self._reporter.note("lost")
        except OutcomeUnknown:
            self._reporter.note("unknown", str(self._nonce))
        except KrakenonceError as error:
            self._reporter.note("error", f"{type(error).__name__} {error}")
        else:
            refusal = refusal_in(reply, time.time())
            is_known = refusal is None or isinstance(refusal, InvalidNonce)
            self._reporter.note(
                "accepted" if refusal is None else "refused" if is_known else "failed",
                f"{self._nonce} {refusal or ''}",
            )
            return True
        return False

    def _by_client(self) -> dict[str, Any]:
        return self._client.query_private("Balance")

    def _by_api_key(self) -> dict[str, Any]:
        with self._api_key.turn():
            return self._send(self._taken(self._api_key.next))

    def _by_lane(self) -> dict[str, Any]:
        with self._manager.lane(self._spec.key[0]):
            self._asked = time.monotonic_ns()
            return self._send(self._taken(lambda: self._manager.next_for(self._spec.key[0])))

    def _send(self, nonce: int) -> dict[str, Any]:
        return self._client.query_private("Balance", {"nonce": nonce})

    def _taken(self, take: Callable[[], int]) -> int:
        self._stop_if_told("turn")
        self._nonce = self._reporter.nonce(take, self._asked)
        self._stop_if_told("nonce")
        return self._nonce

    def _stop_if_told(self, point: str) -> None:
        told = self._spec.stop_file(point)
        if told.exists():
            told.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
