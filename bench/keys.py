"""How many calls an account with several keys makes at once, and how soon a cancel is made while others wait."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from bench.alternation import quantile
from bench.bots import Burst, burst, ours, stock
from bench.calls import ROUND_TRIP
from bench.gateway import running
from bench.limits import Worker
from krakenonce import NonceManager
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.kraken import Kraken
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

KEYS = 8
ORDERS = 60
PROCESSES = 4
TRIPS = -(-ORDERS // KEYS)  # round trips one after the other, at least
READERS = 13  # threads in each process
_ROUNDS = 5
_NEW = 3
_CANCELS = 100
_CANCELS_FOR_A_READ = 5
_LIMIT = 60.0  # seconds

Pair: TypeAlias = tuple[str, str]  # key, secret
Arrived: TypeAlias = tuple[float, str, str | None]  # when the fake Kraken had a call, its method, the error


class Urgent(NamedTuple):
    """How long calls took while many others waited for the same key.

    Args:
        asked: When each cancel began, in seconds since 1970.
        cancels: Seconds until each was answered.
        reads: The same of some reads.
    """

    asked: list[float]
    cancels: list[float]
    reads: list[float]


def measure(directory: Path) -> dict[str, Any]:
    """Measure everything, with a fake Kraken 50 ms away, in a process of its own."""
    state, numbers = directory / "keys", itertools.count()
    with contextlib.ExitStack() as stack:
        kraken = stack.enter_context(Worker(_kraken))
        url, pairs = kraken.hear(_LIMIT)
        one_key = stack.enter_context(_bots(1, state, url, pairs[:1]))
        bots = stack.enter_context(_bots(PROCESSES, state, url, pairs))
        gateway = [stack.enter_context(_through_gateway(state, url, pairs))]
        who = {"one key": one_key, "keys": bots[:1], "processes": bots, "gateway": gateway}
        for each in who.values():
            burst(each, numbers, ORDERS)  # the first orders ask for rights and open connections
        rounds = [{what: burst(each, numbers, ORDERS) for what, each in who.items()} for _ in range(_ROUNDS)]
        new = [_new(state, url, pairs, numbers) for _ in range(_NEW)]
        urgent = _urgent(state, url, pairs[0], [txid for each in rounds for txid in each["keys"].txids])
        arrivals = kraken.ask("arrivals", _LIMIT)
    placed = sum((method, error) == ("AddOrder", None) for _, method, error in arrivals)
    return {
        "seconds": {what: [each[what].seconds for each in rounds] for what in who},
        "new_seconds": {what: [each[what].seconds for each in new] for what in new[0]},
        "served_seconds": [each["processes"].served for each in rounds],
        "refused": sum(error == "EAPI:Invalid nonce" for *_, error in arrivals),
        "placed_twice": placed - next(numbers),
        "reads_before_a_cancel": max(reads_before(urgent.asked, arrivals)),
        "urgent_seconds": {"cancel": urgent.cancels, "read": urgent.reads},
    }


def rows(measured: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The lines of the table."""
    seconds, new = measured["seconds"], measured["new_seconds"]
    faster = [one / several for one, several in zip(seconds["one key"], seconds["keys"], strict=True)]
    trips = [each / (TRIPS * ROUND_TRIP) for each in seconds["keys"]]
    cancels, reads = ([each / ROUND_TRIP for each in measured["urgent_seconds"][what]] for what in ("cancel", "read"))
    waiting = f"{PROCESSES * READERS} reads of {PROCESSES} processes wait for the key"
    return [
        (f"{ORDERS} orders at once, account with {KEYS} keys, 50 ms away", _range(seconds["keys"], "s"), "0.50 s"),
        ("the same: faster than with one key", _range(faster, "x"), "6.6 x"),
        (f"the same: times {TRIPS} round trips", _range(trips, "x"), "at most 1.25 x"),
        (f"the same from {PROCESSES} processes", _range(seconds["processes"], "s"), "0.50 s"),
        (
            "the same: until every process has had an answer",
            _range([each / ROUND_TRIP for each in measured["served_seconds"]], "round trips"),
            "at most 5",
        ),
        (
            f"the first {ORDERS} orders of a new process, which asks for the time and each key's rights first",
            _range(new["keys"], "s"),
            "",
        ),
        (f"the same of {PROCESSES} new processes", _range(new["processes"], "s"), ""),
        (
            f"{ORDERS} orders at once through the gateway, krakenex with one local key",
            _range(seconds["gateway"], "s"),
            "0.60 s",
        ),
        (
            "all of these: refused nonces / orders placed twice",
            f"{measured['refused']} / {measured['placed_twice']}",
            "0 / 0",
        ),
        (f"a cancel while {waiting}: p50 / p99 / worst", _percentiles(cancels), "p99 2.5 round trips"),
        (
            "reads that Kraken had after such a cancel was asked for and before it, the most",
            str(measured["reads_before_a_cancel"]),
            "1: that which has the turn",
        ),
        (f"a read while {waiting}: p50 / p99 / worst", _percentiles(reads), ""),
    ]


def reads_before(asked: Sequence[float], arrivals: Sequence[Arrived]) -> list[int]:
    """Return how many reads Kraken had between the time at which each cancel was asked for and the cancel."""
    cancels = [at for at, method, _ in arrivals if method == "CancelOrder"]
    reads = [at for at, method, _ in arrivals if method == "Balance"]
    return [sum(began < at < ended for at in reads) for began, ended in zip(asked, cancels, strict=True)]


def _range(figures: Sequence[float], unit: str) -> str:
    return f"{quantile(figures, 0.5):.2f} {unit} ({min(figures):.2f} to {max(figures):.2f})"


def _percentiles(trips: Sequence[float]) -> str:
    return f"{quantile(trips, 0.5):.2f} / {quantile(trips, 0.99):.2f} / {max(trips):.2f} round trips"


def _new(state: Path, url: str, pairs: list[Pair], numbers: Iterator[int]) -> dict[str, Burst]:
    """The first orders of new processes."""
    made = {}
    for what, count in (("keys", 1), ("processes", PROCESSES)):
        with _bots(count, state, url, pairs) as bots:
            made[what] = burst(bots, numbers, ORDERS)
    return made


@contextlib.contextmanager
def _bots(count: int, state: Path, url: str, pairs: list[Pair]) -> Iterator[list[Worker]]:
    """Some processes with our client."""
    with contextlib.ExitStack() as stack:
        bots = [stack.enter_context(Worker(ours, state, url, pairs)) for _ in range(count)]
        for bot in bots:
            bot.hear(_LIMIT)
        yield bots


@contextlib.contextmanager
def _through_gateway(state: Path, kraken: str, pairs: list[Pair]) -> Iterator[Worker]:
    """A process with krakenex, and a gateway on the same state."""
    keys = ", ".join(f'{{api_key = "{key}", api_secret = "{secret}"}}' for key, secret in pairs)
    with running(state, f'[MASTER]\ntier = "none"\nkeys = [{keys}]\n', kraken) as (url, _):
        local = LocalKeys(state / "gateway_keys.json").add("bot", "MASTER", frozenset(["query", "trade"]))
        with Worker(stock, url, local.key, local.secret, ORDERS) as bot:
            bot.hear(_LIMIT)
            yield bot


def _urgent(state: Path, url: str, pair: Pair, txids: Sequence[str]) -> Urgent:
    """Cancel orders, and read sometimes, while many reads of other processes wait for the key."""
    took, chance = Urgent([], [], []), random.Random(1)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Kraken(*pair, manager=NonceManager(state), tier="none", base_url=url))
        readers = [stack.enter_context(Worker(_read, state, url, pair)) for _ in range(PROCESSES)]
        for each in readers:
            each.hear(_LIMIT)

        def timed(method: str, **params: str) -> float:
            began = time.monotonic()
            client.private(method, **params)
            return time.monotonic() - began

        for count, txid in enumerate(txids[:_CANCELS]):
            time.sleep(chance.uniform(0.0, ROUND_TRIP))  # so that it begins at any moment of another call
            took.asked.append(time.time())
            took.cancels.append(timed("CancelOrder", txid=txid))
            if not count % _CANCELS_FOR_A_READ:
                took.reads.append(timed("Balance"))
    return took


def _read(pipe: Connection, state: Path, url: str, pair: Pair) -> None:
    """For a process of its own: read in all threads, again and again, until it is killed."""
    client = Kraken(*pair, manager=NonceManager(state), tier="none", base_url=url)

    def read(number: int) -> None:
        for count in itertools.count():
            client.private("Balance")
            if (number, count) == (0, 0):
                pipe.send("reads")

    with ThreadPoolExecutor(READERS) as threads:
        list(threads.map(read, range(READERS)))


def _kraken(pipe: Connection) -> None:
    """For a process of its own: a fake Kraken, with one account; says what has arrived."""
    fake = FakeKraken()
    account = fake.add_account("MASTER")
    for _ in range(KEYS - 1):
        fake.add_key(account)
    with FakeKrakenServer(fake, latency=ROUND_TRIP) as server:
        pipe.send((server.url, [(each.key, each.secret) for each in account.keys]))
        while True:
            pipe.recv()
            pipe.send([(each.at, each.method, each.error) for each in fake.arrivals])
