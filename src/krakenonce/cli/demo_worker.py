"""One worker process of the demo: ``python -m krakenonce.cli.demo_worker``.

Its job comes as JSON in an environment variable. It prints ``ready``, waits until its stdin is closed, and then reports
each call on a line of its own over stdout: ``accepted``, ``refused``, or ``failed`` and why.
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

from krakenonce.brokers.broker import KrakenBroker
from krakenonce.cli.demo_crew import JOB
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken.client import Kraken
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Call = Callable[[str, Mapping[str, str]], Mapping[str, Any]]


ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100", "validate": "true"}
CALLS: tuple[tuple[str, dict[str, str]], ...] = (("Balance", {}), ("OpenOrders", {}), ("AddOrder", ORDER))


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
            reply = calls[turn % len(calls)](method, dict(params))
            _report("refused" if reply.get("error") else "accepted")
        except Exception as error:  # any error: the demo has to report it
            _report(f"failed {type(error).__name__}")


def _calls(job: Mapping[str, Any], index: int) -> list[Call]:
    """Return a function for each account that makes a call: every second thread uses krakenex."""
    manager = NonceManager(job["state"]) if job["state"] else None
    call_with = _krakenex if index % 2 == 0 else _kraken
    return [call_with(name, key, secret, job["url"], manager) for name, key, secret in job["accounts"]]


def _krakenex(name: str, key: str, secret: str, url: str, manager: NonceManager | None) -> Call:
    """Unmodified krakenex with its own clock in milliseconds, or inside a broker."""
    api = krakenex.API(key, secret)
    api.uri = url
    if manager is None:
        return cast("Call", api.query_private)
    return KrakenBroker(name, api, nonces=GlobalKrakenNonceManager(manager))._kraken_private_call


def _kraken(_: str, key: str, secret: str, url: str, manager: NonceManager | None) -> Call:
    """Our client, either with the same clock as krakenex and without a lane, or as it should be used."""
    client = Kraken(key, secret, manager=manager, tier="none", base_url=url)
    if manager is None:
        return lambda method, params: client.query_private(method, {"nonce": int(time.time() * 1000), **params})
    return client.query_private


def _report(what: str) -> None:
    """Write one line; a small write to a pipe is never cut or mixed with another thread's."""
    os.write(1, f"{what}\n".encode())  # if the demo has ended, the error ends the thread


if __name__ == "__main__":
    main()
