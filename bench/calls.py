"""How much time krakenonce adds to a call, and how long one call for many accounts takes."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import krakenex
import urllib3

from krakenonce import NonceManager, guard
from krakenonce.brokers import Account, AsyncBrokerManager
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.key.limits import TIERS, Tier
from krakenonce.kraken import Kraken
from krakenonce.kraken.wire import FORM, decode_secret, encode_form, sign
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="  # noqa: S105 - Kraken's published example
ANSWER = b'{"error":[],"result":{"ZUSD":"171288.6158","XXBT":"1011.1908877900"}}'
ROUND_TRIP = 0.05  # seconds
ACCOUNTS = (1, 10, 100, 1000)
_ROUNDS = 2000
_WIDE = "bench"


def added_to_a_call(directory: Path) -> dict[str, Any]:
    """Microseconds per call, with the library alone and with ours by turns, at a server that answers at once."""
    TIERS[_WIDE] = Tier(_WIDE, 1e5, 1e4, 1e5, 1e4)  # the limiter does all its work and never waits
    with plain_server() as url, NonceManager(directory / "calls") as manager:
        pool = urllib3.PoolManager()
        body = encode_form({"nonce": time.time_ns()}).encode()
        headers = {"API-Key": "key", "API-Sign": "sign", "Content-Type": FORM, "User-Agent": "bench"}

        def bare() -> object:
            return pool.request("POST", f"{url}/0/private/Balance", body=body, headers=headers, retries=False).data

        ours = Kraken("key", SECRET, manager=manager, tier=_WIDE, base_url=url)
        unmodified, guarded = krakenex.API("key", SECRET), guard(krakenex.API("key", SECRET), manager)
        unmodified.uri = guarded.uri = url
        figures = {
            "client": _alternately(bare, lambda: ours.private("Balance")),
            "guard": _alternately(
                lambda: unmodified.query_private("Balance"), lambda: guarded.query_private("Balance")
            ),
        }
        for client in (ours, unmodified, guarded):
            client.close()
        pool.clear()
    return figures


def _alternately(bare: Callable[[], object], with_ours: Callable[[], object]) -> dict[str, float]:
    took: tuple[list[int], list[int]] = [], []
    for _ in range(_ROUNDS):
        for call, times in zip((bare, with_ours), took, strict=True):
            began = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - began)
    before, after = (statistics.median(times) / 1000 for times in took)
    return {"bare_us": before, "ours_us": after, "added_us": after - before}


def fan_out(directory: Path) -> dict[str, Any]:
    """Seconds for one Balance call to each of many accounts, 50 ms away: all at the same time, and one at a time."""
    with _fake_kraken() as (url, keys):
        accounts = [Account(f"USER:u{i}", key, secret, "none") for i, (key, secret) in enumerate(keys)]
        table = {}
        for count in ACCOUNTS:
            at_once = min(_timed(directory, accounts[:count], url, "key") for _ in range(3))
            one_by_one = _timed(directory, accounts[:count], url, "global") if count <= 100 else None
            table[count] = {"seconds": at_once, "global_lock_seconds": one_by_one}
    with _fake_kraken(latency=0.0) as (url, keys):
        bare = min(asyncio.run(_bare(url, keys[:100])) for _ in range(3))
    hundred = table[100]
    return {
        "accounts": table,
        "times_faster_than_global_lock": hundred["global_lock_seconds"] / hundred["seconds"],  # type: ignore[operator]
        "bare_100_seconds": bare,
        "times_round_trip_and_bare": hundred["seconds"] / (ROUND_TRIP + bare),  # type: ignore[operator]
    }


def _timed(directory: Path, accounts: list[Account], url: str, serialization: str) -> float:
    async def main() -> float:
        nonces = GlobalKrakenNonceManager(NonceManager(directory / "fan-out"))
        async with AsyncBrokerManager(accounts, nonces=nonces, base_url=url, serialization=serialization) as brokers:
            began = time.perf_counter()
            outcomes = await brokers.call_all("Balance")
            took = time.perf_counter() - began
        assert all(outcome.ok for outcome in outcomes.values()), "a call failed"
        return took

    return asyncio.run(main())


async def _bare(url: str, keys: list[tuple[str, str]]) -> float:
    """Signed requests with aiohttp alone, all at once, and no round trip."""

    async def call(session: aiohttp.ClientSession, key: str, secret: str) -> None:
        nonce = time.time_ns()
        body = encode_form({"nonce": nonce}).encode()
        signature = sign("/0/private/Balance", nonce, body, decode_secret(secret))
        headers = {"API-Key": key, "API-Sign": signature, "Content-Type": FORM}
        async with session.post(f"{url}/0/private/Balance", data=body, headers=headers) as answer:
            assert (await answer.json())["error"] == [], "a bare call failed"

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(call(session, key, secret) for key, secret in keys))
        return time.perf_counter() - began


@contextlib.contextmanager
def _fake_kraken(latency: float = ROUND_TRIP) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A fake Kraken in a process of its own, with the keys of a thousand accounts."""
    with _process(_serve_fake, latency) as pipe:
        yield pipe.recv()


def _serve_fake(pipe: Connection, latency: float) -> None:
    fake = FakeKraken()
    keys = [(each.key, each.secret) for each in (fake.add_account(f"USER:u{i}") for i in range(max(ACCOUNTS)))]
    with FakeKrakenServer(fake, latency=latency) as server:
        pipe.send((server.url, keys))
        pipe.recv()


@contextlib.contextmanager
def plain_server() -> Iterator[str]:
    """A server that gives every request the same answer without reading it: the client is measured."""
    with _process(_serve_plain, 0.0) as pipe:
        yield f"http://127.0.0.1:{pipe.recv()}"


def _serve_plain(pipe: Connection, _latency: float) -> None:
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(ANSWER),
        ANSWER,
    )

    def serve(connection: socket.socket) -> None:
        with connection:
            received = b""
            while piece := connection.recv(65536):
                received += piece
                head, end, body = received.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                if end and len(body) >= length:
                    received = body[length:]
                    connection.sendall(answer)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    pipe.send(listener.getsockname()[1])
    pipe.recv()


@contextlib.contextmanager
def _process(serve: Callable[[Connection, float], None], latency: float) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its, latency), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        ours.send("stop")
        process.join()
