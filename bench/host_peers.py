"""What others share nonces over hosts with, each as its documentation has it: how long it takes, and what Kraken says.

A peer is a function of the server's URL and port that returns a context manager: what it gives is the nonce, and the
caller sends within it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.alternation import alternate, ratios, spread
from bench.bare import bare
from bench.delay import Delay
from bench.limits import Worker, within
from bench.one_caller import KEY
from krakenonce import NonceManager
from krakenonce.kraken.wire import FORM, decode_secret, sign
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.hosts.servers import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    Sends = Callable[[], AbstractContextManager[int]]

HOSTS = 3
CALLS = 30
JITTER = 4.0  # milliseconds by which the way to Kraken varies
_POLL = 0.01  # seconds between two tries for a lock that polls
_LIMIT = 60.0  # seconds
_PATH = "/0/private/Balance"


def _ours(url: str, _port: int) -> Sends:
    manager = NonceManager(url)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        with manager.turn(KEY):
            yield manager.next_for(KEY)

    return send


def _sequence(url: str, _port: int) -> Sends:
    connection = _postgres(url)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        yield _next(connection)

    return send


def _polled_lock(url: str, _port: int) -> Sends:
    connection = _postgres(url)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        while not connection.execute("select pg_try_advisory_lock(1)").fetchone()[0]:
            time.sleep(_POLL)
        yield _next(connection)
        connection.execute("select pg_advisory_unlock(1)")

    return send


def _postgres(url: str) -> Any:
    import psycopg

    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
    connection.execute("select pg_advisory_lock(2)")  # several of them may make it at once
    connection.execute("create sequence if not exists peer")
    connection.execute("select pg_advisory_unlock(2)")
    return connection


def _next(connection: Any) -> int:
    return int(connection.execute("select nextval('peer')").fetchone()[0])


def _incr(_url: str, port: int) -> Sends:
    client = _redis(port)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        yield client.incr("peer")

    return send


def _redis_py(_url: str, port: int) -> Sends:
    client = _redis(port)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        with client.lock("lock of redis-py", timeout=10):
            yield time.time_ns()

    return send


def _redis_lock(_url: str, port: int) -> Sends:
    from redis_lock import Lock

    client = _redis(port)

    @contextlib.contextmanager
    def send() -> Iterator[int]:
        with Lock(client, "python-redis-lock", expire=10, auto_renewal=True):
            yield time.time_ns()

    return send


def _redis(port: int) -> Any:
    import redis

    return redis.Redis(port=port, password=PASSWORD)


class Peer(NamedTuple):
    """One of them.

    Args:
        name: Its name.
        kind: The server.
        make: The function.
    """

    name: str
    kind: str
    make: Callable[[str, int], Sends]


PEERS = (
    Peer("krakenonce", "postgres", _ours),
    Peer("`SELECT nextval`", "postgres", _sequence),
    Peer("`pg_try_advisory_lock` every 10 ms, `nextval`", "postgres", _polled_lock),
    Peer("krakenonce", "valkey", _ours),
    Peer("`INCR`", "valkey", _incr),
    Peer("`Lock` of redis-py, the clock", "valkey", _redis_py),
    Peer("python-redis-lock, the clock", "valkey", _redis_lock),
    Peer("krakenonce", "etcd", _ours),
)


def measure(which: int, url: str, port: int, rounds: int, count: int) -> dict[str, Any]:
    """Return what one of ``PEERS`` costs a caller, and how many of the calls of several hosts Kraken refuses.

    Args:
        which: Its number.
        url: Where the server is, through the delay.
        port: The port in it.
        rounds: How often it and the bare round trip are measured by turns.
        count: How many operations at a time.
    """
    peer = PEERS[which]
    timings = within(_LIMIT, _alone, which, url, port, rounds, count)
    with contextlib.ExitStack() as stack:
        kraken = stack.enter_context(Worker(_kraken))
        kraken_port, key, secret = kraken.hear(_LIMIT)
        proxy = Delay(kraken_port, jitter=JITTER)
        stack.callback(proxy.close)
        hosts = [stack.enter_context(Worker(_call, which, url, port, proxy.port, key, secret)) for _ in range(HOSTS)]
        for each in hosts:
            each.hear(_LIMIT)
        began = time.monotonic()
        for each in hosts:
            each.tell("go")
        said = [error for each in hosts for error in each.hear(_LIMIT)]
        took = time.monotonic() - began
    others = [error for error in said if error not in ("", "EAPI:Invalid nonce")]
    assert not others, others[0]
    return {
        "name": peer.name,
        "kind": peer.kind,
        "until it may send": spread(ratios(timings))._asdict(),
        "giving back": spread(ratios(timings, 2))._asdict(),
        "ms": spread(each[1] for each in timings).p50 * 1000,
        "calls": len(said),
        "invalid_nonces": sum(bool(error) for error in said),
        "calls_s": took,
    }


def _alone(pipe: Connection, which: int, url: str, port: int, rounds: int, count: int) -> None:
    """For a process of its own: time it without others."""
    peer = PEERS[which]
    send = peer.make(url, port)

    def operation() -> tuple[float, float]:
        began = time.perf_counter()
        with send():
            may_send = time.perf_counter()
        return may_send - began, time.perf_counter() - may_send

    pipe.send(alternate(bare(peer.kind, url, port, "trip"), operation, rounds, count))


def _call(pipe: Connection, which: int, url: str, port: int, kraken: int, key: str, secret: str) -> None:
    """For a process of its own: call Kraken, and send the error of each call, empty if it has none."""
    send, signing = PEERS[which].make(url, port), decode_secret(secret)
    with send():
        pass
    connection = http.client.HTTPConnection("127.0.0.1", kraken, timeout=_LIMIT)
    connection.connect()
    pipe.send("ready")
    pipe.recv()
    errors = []
    for _ in range(CALLS):
        with send() as nonce:
            body = f"nonce={nonce}".encode()
            headers = {"API-Key": key, "API-Sign": sign(_PATH, nonce, body, signing), "Content-Type": FORM}
            connection.request("POST", _PATH, body, headers)
            errors.append("".join(json.loads(connection.getresponse().read())["error"]))
    pipe.send(errors)


def _kraken(pipe: Connection) -> None:
    """For a process of its own: be the fake Kraken."""
    fake = FakeKraken()
    account = fake.add_account("bot")
    with FakeKrakenServer(fake) as server:
        pipe.send((int(server.url.rpartition(":")[2]), account.key, account.secret))
        pipe.recv()
