"""One worker process of the demo: ``python -m krakenonce.cli.demo_worker``.

Its job comes as a line of JSON over stdin, because it contains keys. It prints ``ready``, waits for a second line, and
then reports each call on a line of its own over stdout: ``accepted``, ``refused``, or ``failed`` and why.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import krakenex

from krakenonce.brokers.broker import KrakenBroker
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken.client import Kraken
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Call = Callable[[str, Mapping[str, str]], Mapping[str, Any]]
    Accounts = list[tuple[str, str, str]]

__all__ = ["main"]

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100", "validate": "true"}
CALLS: tuple[tuple[str, dict[str, str]], ...] = (("Balance", {}), ("OpenOrders", {}), ("AddOrder", ORDER))


def main() -> None:
    """Do the job."""
    logging.disable()  # refusals are counted
    job = json.loads(sys.stdin.readline())
    threads = [threading.Thread(target=_work, args=(_calls(job, index), index, share)) for index, share in _shares(job)]
    _report("ready")
    if not sys.stdin.readline():
        return
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _shares(job: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the index of each thread and how many calls it makes."""
    each, more = divmod(job["calls"], job["threads"])
    return [(index, each + (index < more)) for index in range(job["threads"])]


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
    is_krakenex, accounts, url, state = index % 2 == 0, job["accounts"], job["url"], job["state"]
    if state is None:
        return _unmodified_krakenex(accounts, url) if is_krakenex else _client_with_own_clock(accounts, url)
    manager = NonceManager(state)
    return _broker(accounts, url, manager) if is_krakenex else _client(accounts, url, manager)


def _unmodified_krakenex(accounts: Accounts, url: str) -> list[Call]:
    """Unmodified krakenex, with its own clock in milliseconds."""
    return [_krakenex(key, secret, url).query_private for _, key, secret in accounts]


def _client_with_own_clock(accounts: Accounts, url: str) -> list[Call]:
    """Our client, with the same clock and without a lane."""

    def clocked(kraken: Kraken) -> Call:
        return lambda method, params: kraken.query_private(method, {"nonce": int(time.time() * 1000), **params})

    return [clocked(Kraken(key, secret, tier="none", base_url=url)) for _, key, secret in accounts]


def _broker(accounts: Accounts, url: str, manager: NonceManager) -> list[Call]:
    """Unmodified krakenex inside a broker."""
    nonces = GlobalKrakenNonceManager(manager)
    brokers = [KrakenBroker(name, _krakenex(key, secret, url), nonces=nonces) for name, key, secret in accounts]
    return [broker._kraken_private_call for broker in brokers]


def _client(accounts: Accounts, url: str, manager: NonceManager) -> list[Call]:
    """Our client."""
    return [
        Kraken(key, secret, manager=manager, tier="none", base_url=url).query_private for _, key, secret in accounts
    ]


def _krakenex(key: str, secret: str, url: str) -> Any:
    api = krakenex.API(key, secret)
    api.uri = url
    return api


def _report(what: str) -> None:
    """Write one line; a small write to a pipe is never cut or mixed with another thread's."""
    try:
        os.write(1, f"{what}\n".encode())
    except OSError:  # the demo has ended
        os._exit(1)


if __name__ == "__main__":
    main()
