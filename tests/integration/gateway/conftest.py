"""A fake Kraken, and a gateway to it with an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

import pytest

from krakenonce.brokers import Account
from krakenonce.gateway.activity import Activity
from krakenonce.gateway.gateway import Gateway
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.kraken_account import KrakenAccount
from krakenonce.gateway.local_keys import LocalKey, LocalKeys
from krakenonce.gateway.loop_thread import LoopThread
from krakenonce.gateway.public import PublicCalls
from krakenonce.gateway.server import GatewayServer
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.wire import FORM, decode_secret, sign
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.gateway.processes import Processes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from krakenonce.clock import Clock
    from krakenonce.testing.request import Request

_nonces = itertools.count(1)
PATIENCE = 30.0  # seconds until a condition that must come true counts as broken
ORDER = "pair=XBTUSD&type=buy&ordertype=limit&volume=1&price=100"


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


class Seen(NamedTuple):
    """One private request as it came to the fake Kraken."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class WatchedKraken(FakeKraken):
    """A fake Kraken that keeps the private requests as they came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.public_calls: list[str] = []

    def answer_to(self, request: Request) -> dict[str, Any]:
        """Keep the request and answer it."""
        if request.kind == "private":
            self.seen.append(Seen(request.path_qs, dict(request.headers), request.body))
        else:
            self.public_calls.append(request.path_qs)
        return super().answer_to(request)


class Got(NamedTuple):
    """An answer of the gateway."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def errors(self) -> Any:
        """Kraken's list of errors."""
        return json.loads(self.body)["error"]


def connect(url: str) -> http.client.HTTPConnection:
    """Return a connection to the gateway, opened with the first request."""
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)


def fetch(url: str, verb: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Got:
    """Send one request on a connection of its own."""
    connection = connect(url)
    try:
        connection.request(verb, path, body or None, dict(headers or {}))
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def signed(pair: LocalKey, path: str, nonce: int | str, body: bytes, content_type: str = FORM) -> dict[str, str]:
    """Return the headers of a call, as clients make them."""
    return {
        "API-Key": pair.key,
        "API-Sign": sign(path, nonce, body, decode_secret(pair.secret)),
        "Content-Type": content_type,
    }


def call(url: str, pair: LocalKey, method: str, params: str = "", nonce: int | None = None) -> Got:
    """Make a private call with a form; without *nonce* with a new one."""
    nonce = next(_nonces) if nonce is None else nonce
    body = f"nonce={nonce}{'&' if params else ''}{params}".encode()
    path = f"/0/private/{method}"
    return fetch(url, "POST", path, body, signed(pair, path, nonce, body))


def order_request(pair: LocalKey, params: str = ORDER, nonce: int | None = None) -> tuple[str, bytes, dict[str, str]]:
    """Return a signed order: path, body and headers. To send it again is to send the same bytes."""
    nonce = next(_nonces) if nonce is None else nonce
    body, path = f"nonce={nonce}&{params}".encode(), "/0/private/AddOrder"
    return path, body, signed(pair, path, nonce, body)


def send(url: str, request: tuple[str, bytes, dict[str, str]]) -> Got:
    """Send a signed request."""
    path, body, headers = request
    return fetch(url, "POST", path, body, headers)


def send_and_leave(url: str, request: tuple[str, bytes, dict[str, str]], when: Callable[[], object]) -> None:
    """Send a signed request, and close the connection without reading the answer once *when* is true."""
    path, body, headers = request
    connection = connect(url)
    connection.request("POST", path, body, headers)
    until(when)
    connection.close()


def assert_unknown(got: Got, words: str) -> None:
    """An unknown outcome looks like no answer of Kraken's, and says what was sent."""
    assert (got.status, got.headers["X-Krakenonce-Executed"]) == (504, "unknown")
    assert got.headers["Content-Type"].startswith("text/plain")
    assert words in got.body.decode()


class RunningGateway:
    """A gateway in this process, between ``start()`` and ``stop()``.

    Args:
        base_url: Where Kraken is.
        accounts: Whose keys it has.
        state: Its state directory, or the URL of a database.
        length: How many calls may wait for a key.
        max_wait: Seconds that each may wait.
        timeout: Seconds to wait for each piece of Kraken's answer.
        order_timeout: Seconds to wait for the answer to an order.
        clock: The machine's, if it is not the real one.
        tls: Its certificate.
    """

    def __init__(
        self,
        base_url: str,
        accounts: list[Account],
        state: Path | str,
        *,
        length: int = 100,
        max_wait: float = 30.0,
        timeout: float = 30.0,
        order_timeout: float = 4.0,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.store = NonceManager(state).store
        self.local_keys = LocalKeys(key_storage(self.store))
        self.accounts: dict[str, KrakenAccount] = {}
        self.activity = Activity()
        self.public: PublicCalls
        self.url = ""
        self.complaints: list[str] = []  # of the event loop, about errors that were not caught
        self._settings = (base_url, accounts, state, length, max_wait, timeout, order_timeout)
        self._clock = clock
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._listening: Future[str] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._listening.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, name: str, *allow: str, account: str = "MASTER", trace_orders: bool = False) -> LocalKey:
        """Make a local key; without groups it may query, trade, and cancel whatever there is."""
        groups = frozenset(allow or ("query", "trade", "cancel-all"))
        return self.local_keys.add(name, account, groups, trace_orders=trace_orders)

    def waiting(self, account: str = "MASTER") -> int:
        """Return how many calls wait for their turn."""
        return len(self.accounts[account].queue)

    def busy_for(self, seconds: float) -> None:
        """Let the event loop do nothing else for some time, as a slow disk does."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def begin_stop(self) -> None:
        """Do what SIGTERM does; nothing if it has been stopped."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def stop(self) -> None:
        """Stop as the process does; nothing if it has been stopped."""
        self.begin_stop()
        self._thread.join()
        self.store.close()

    def _run(self) -> None:
        self._loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # whatever it is, the test is waiting for it
            if self._listening.done():
                raise
            self._listening.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        base_url, accounts, state, length, max_wait, timeout, order_timeout = self._settings
        with NonceManager(state, clock=self._clock) as manager, LoopThread() as second:
            transport = AsyncTransport(base_url)
            for each in accounts:
                self.accounts[each.name] = KrakenAccount(
                    each,
                    manager,
                    transport,
                    queue_length=length,
                    max_wait=max_wait,
                    timeout=timeout,
                    order_timeout=order_timeout,
                    on_turn=self.activity.turn,
                )
            gateway = Gateway(self.accounts, self.local_keys, manager.store, self.activity)
            self.public = PublicCalls(transport, self.activity.public, timeout, max_wait)
            server = GatewayServer(gateway, self.public, second)
            port = await server.start("127.0.0.1", 0, self._tls)
            self._listening.set_result(f"{'https' if self._tls else 'http'}://127.0.0.1:{port}")
            await self._stopping.wait()
            await server.stop()
            await transport.close()


@pytest.fixture
def fake() -> WatchedKraken:
    """A fake Kraken without accounts."""
    return WatchedKraken()


@pytest.fixture
def master(fake: WatchedKraken) -> FakeAccount:
    """The key behind the gateway."""
    return fake.add_account("MASTER")


@pytest.fixture
def server(fake: WatchedKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP."""
    with FakeKrakenServer(fake) as running:
        yield running


@pytest.fixture
def gateway(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway with one account, whose calls are not counted. Nothing may be left uncaught in it."""
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=1.0) as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def pair(gateway: RunningGateway) -> LocalKey:
    """A local key that may query, trade, and cancel whatever there is."""
    return gateway.add("bot")


@pytest.fixture
def processes(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path) -> Iterator[Processes]:
    """What starts gateways."""
    made = Processes(tmp_path / "state", master, server.url)
    yield made
    made.close()
