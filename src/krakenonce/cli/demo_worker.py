"""One worker process of the demo: ``python -m krakenonce.cli.demo_worker``.

Its job comes as JSON in an environment variable. It prints ``ready``, waits until its stdin is closed, and then reports
each call on a line of its own over stdout: ``accepted``, ``refused``, or ``failed`` and why; and ``again`` before it
tries a call again because the state on another host was not reached.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import krakenex

from krakenonce.backends.state_name import read_state
from krakenonce.brokers.broker import KrakenBroker
from krakenonce.cli.demo_crew import AGAIN, JOB
from krakenonce.clock import SystemClock
from krakenonce.errors import NonceStoreError, TurnLost
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken.client import Kraken
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.clock import Clock

    Call = Callable[[str, Mapping[str, str]], Mapping[str, Any]]


_PATIENCE = 20.0  # seconds until a state that is not reached counts as gone
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100", "validate": "true"}
CALLS: tuple[tuple[str, dict[str, str]], ...] = (("Balance", {}), ("OpenOrders", {}), ("AddOrder", ORDER))


class HostClock(SystemClock):
    """The clock of another host.

    Args:
        ahead: Seconds that it is ahead of this machine's.
    """

    def __init__(self, ahead: float) -> None:
        self._ahead_ns = round(ahead * 1e9)

    def now_ns(self) -> int:
        """The wall clock."""
        return time.time_ns() + self._ahead_ns


def main() -> None:
    """Do the job."""
    logging.disable()  # refusals are counted
    job = json.loads(os.environ.pop(JOB))
    calls = [_calls(job, index) for index in range(job["threads"])]
    _report("ready")
    sys.stdin.read()
    with ThreadPoolExecutor(len(calls)) as pool:
        for index, each in enumerate(calls):
            pool.submit(_work, each, index, len(range(index, job["calls"], len(calls))))


def _work(calls: list[Call], index: int, share: int) -> None:
    """Make *share* calls, for one account after the other."""
    for turn in range(index, index + share):
        method, params = CALLS[turn % len(CALLS)]
        try:
            reply = _insist(calls[turn % len(calls)], method, params)
            _report("refused" if reply.get("error") else "accepted")
        except Exception as error:  # any error: the demo has to report it
            _report(f"failed {type(error).__name__}")


def _insist(call: Call, method: str, params: Mapping[str, str]) -> Mapping[str, Any]:
    """Make a call; try it again if it was not sent because the state was not reached, or the turn was lost."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return call(method, dict(params))
        except (NonceStoreError, TurnLost):
            if time.monotonic() > deadline:
                raise
            _report(AGAIN)


def _calls(job: Mapping[str, Any], index: int) -> list[Call]:
    """Return a function for each account that makes a call: every second thread uses krakenex, which has one key."""
    clock = HostClock(job.get("ahead", 0.0))
    manager = _manager(job, clock) if job["state"] else None
    made = []
    for name, keys in job["accounts"]:
        call_with = _krakenex if index % 2 == 0 and len(keys) == 1 else _kraken
        made.append(call_with(name, keys, job["url"], manager, clock))
    return made


def _manager(job: Mapping[str, Any], clock: Clock) -> NonceManager:
    """Use the state: a directory, or a server that ends the turns of a process that is silent for so long."""
    server = read_state(job["state"], "state").server
    return NonceManager(job["state"] if server is None else server.open(clock, job["pause"]), clock=clock)


def _krakenex(name: str, keys: list[list[str]], url: str, manager: NonceManager | None, clock: Clock) -> Call:
    """Unmodified krakenex with its host's clock in milliseconds, or inside a broker."""
    api = krakenex.API(*keys[0])
    api.uri = url
    if manager is None:
        api._nonce = lambda: clock.now_ns() // 1_000_000  # as it does itself, by this machine's clock
        return cast("Call", api.query_private)
    return KrakenBroker(name, api, nonces=GlobalKrakenNonceManager(manager))._kraken_private_call


def _kraken(_: str, keys: list[list[str]], url: str, manager: NonceManager | None, clock: Clock) -> Call:
    """Our client, either with the same clock as krakenex and without a lane, or as it should be used."""
    nonces = manager or NonceManager("memory:")  # not what this user has
    client = Kraken(keys=[(key, secret) for key, secret in keys], manager=nonces, tier="none", base_url=url)
    if manager is None:
        return lambda method, params: client.query_private(method, {"nonce": clock.now_ns() // 1_000_000, **params})
    return client.query_private


def _report(what: str) -> None:
    """Write one line; a small write to a pipe is never cut or mixed with another thread's."""
    os.write(1, f"{what}\n".encode())  # if the demo has ended, the error ends the thread


if __name__ == "__main__":
    main()
