"""Processes that place orders at the same moment, each with many threads."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import krakenex

from krakenonce import NonceManager
from krakenonce.kraken import Kraken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from bench.limits import Worker

_HEAD_START = 0.2  # seconds, in which all threads are started
_LIMIT = 60.0  # seconds

Ended: TypeAlias = tuple[float, str]  # when an order was answered, on the monotonic clock, and its txid


class Burst(NamedTuple):
    """What became of orders that were placed at the same time.

    Args:
        seconds: From the beginning to the last answer.
        served: From the beginning until every process had an answer.
        txids: Kraken's ids of the orders.
    """

    seconds: float
    served: float
    txids: list[str]


def burst(bots: Sequence[Worker], numbers: Iterator[int], count: int) -> Burst:
    """Have some processes place orders at the same moment, each as many as the others and each in a thread.

    Args:
        bots: Processes that run :func:`ours` or :func:`stock`.
        numbers: No two orders have the same.
        count: How many orders; a multiple of the number of processes.
    """
    began = time.monotonic() + _HEAD_START
    for bot in bots:
        bot.tell((began, list(itertools.islice(numbers, count // len(bots)))))
    return burst_of([bot.hear(_LIMIT) for bot in bots], began)


def burst_of(answers: Sequence[Sequence[Ended]], began: float) -> Burst:
    """Return what became of orders, from the answers that each process has got."""
    seconds = max(ended for each in answers for ended, _ in each) - began
    served = max(min(ended for ended, _ in each) for each in answers) - began
    return Burst(seconds, served, [txid for each in answers for _, txid in each])


def at_once(calls: Sequence[Callable[[], str]], at: float) -> list[Ended]:
    """Make all calls, each in a thread of its own, at a time of the monotonic clock; return when each has ended."""

    def make(call: Callable[[], str]) -> Ended:
        time.sleep(max(0.0, at - time.monotonic()))
        result = call()
        return time.monotonic(), result

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


def ours(pipe: Connection, state: Path, url: str, pairs: list[tuple[str, str]]) -> None:
    """For a process of its own: place orders with our client and all keys of an account."""
    client = Kraken(keys=pairs, manager=NonceManager(state), tier="none", base_url=url)

    def place(number: int) -> str:
        return str(client.private("AddOrder", **_order(number))["txid"][0])

    pipe.send("ready")
    while True:
        at, numbers = pipe.recv()
        pipe.send(at_once([partial(place, number) for number in numbers], at))


def stock(pipe: Connection, url: str, key: str, secret: str, threads: int) -> None:
    """For a process of its own: place orders with unmodified krakenex, one object for each thread."""
    clients = [krakenex.API(key, secret) for _ in range(threads)]
    for client in clients:
        client.uri = url

    def place(client: krakenex.API, number: int) -> str:
        answer = client.query_private("AddOrder", _order(number))
        assert not answer["error"], answer
        return str(answer["result"]["txid"][0])

    pipe.send("ready")
    while True:
        at, numbers = pipe.recv()
        pipe.send(at_once([partial(place, *each) for each in zip(clients, numbers, strict=True)], at))


def _order(number: int) -> dict[str, str]:
    volume = f"{(1000 + number) / 1e5:.5f}"
    return {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "20000", "volume": volume}
