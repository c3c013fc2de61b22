"""A trader's program: it makes the calls that it is told, one a line, says what became of each, and lives on.

Its arguments: how it uses krakenonce, the state, the key, the secret, Kraken's address.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import krakenex

import krakenonce
from krakenonce.errors import KrakenError
from krakenonce.kraken import Kraken
from krakenonce.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.guards.turns import Turns


def _krakenex(key: str, secret: str, url: str, manager: krakenonce.NonceManager, adapter: Any = None) -> Any:
    api = krakenex.API(key, secret)
    api.uri = url
    return krakenonce.guard(api, manager, adapter=adapter)


def nonces_only(client: Any, turns: Turns) -> None:
    """An adapter that takes nonces and no turns."""
    send = client.query_private

    def query_private(method: str, data: Any = None) -> Any:
        answer = send(method, data)
        turns.heard(client.key, answer)
        return answer

    client.query_private = query_private
    client._nonce = lambda: turns.next(client.key)


def turns_only(client: Any, turns: Turns) -> None:
    """An adapter that takes turns, and leaves the nonces to the client."""
    send = client.query_private

    def query_private(method: str, data: Any = None) -> Any:
        with turns.lane(client.key, method=method):
            answer = send(method, data)
            turns.heard(client.key, answer)
            return answer

    client.query_private = query_private


def _ours(key: str, secret: str, url: str, manager: krakenonce.NonceManager, **options: Any) -> Callable[..., Any]:
    kraken = Kraken(key, secret, manager=manager, base_url=url, timeout=5.0, **options)

    def call(method: str, params: dict[str, Any]) -> Any:
        try:
            return {"error": [], "result": str(kraken.private(method, **params))}
        except KrakenError as error:
            if error.order is not None and params.get("userref") == "7":
                error.reconcile()
            return {"error": [str(error)]}

    return call


def _rival(key: str, secret: str, url: str) -> Callable[..., Any]:
    """A program that does without krakenonce, and makes many calls with nanoseconds of its own in a thread."""
    api = krakenex.API(key, secret)
    api.uri = url
    api._nonce = time.time_ns

    def many() -> None:
        never = threading.Event()
        while not never.wait(0.005):
            api.query_private("Balance")

    def begin(_method: str, _params: dict[str, Any]) -> Any:
        threading.Thread(target=many, daemon=True).start()
        return {"error": []}

    return begin


def _caller(how: str, state: str, key: str, secret: str, url: str) -> Callable[..., Any]:
    clock = ManualClock(time.time_ns()) if how == "clock" else None
    manager = krakenonce.NonceManager(state, clock=clock)
    if how == "ours":
        return _ours(key, secret, url, manager, tier="none")
    if how == "impatient":
        return _ours(key, secret, url, manager, tier="starter", max_wait=0.0)
    if how == "clock":

        def step(_: str, params: dict[str, Any]) -> Any:
            assert clock is not None
            clock.step(float(params["seconds"]))
            return {"error": [], "result": manager.next()}

        return step
    if how == "rival":
        return _rival(key, secret, url)
    if how == "holds":
        manager.lane(key).acquire()
        return lambda _method, _params: {"error": []}
    adapter = {"nonces only": nonces_only, "turns only": turns_only}.get(how)
    client = _krakenex(key, secret, url, manager, adapter)
    query: Callable[..., Any] = client.query_private
    return query


def main(how: str, state: str, key: str, secret: str, url: str) -> None:
    """Make calls until there is no more line."""
    with contextlib.suppress(BrokenPipeError):
        call = _caller(how, state, key, secret, url)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            method, params = json.loads(line)
            sys.stdout.write(f"{json.dumps(call(method, params))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
