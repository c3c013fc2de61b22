"""A gateway whose way to Kraken leads back to itself, when it starts or later."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from krakenonce.brokers import Account
from krakenonce.kraken.wire import FORM
from tests.integration.gateway.conftest import ORDER, RunningGateway, call, fetch, signed
from tests.integration.gateway.processes import Processes
from tests.integration.kraken.proxies import Thread, join

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken


def port_of(url: str) -> int:
    """Return the port of an address."""
    return int(url.rpartition(":")[2])


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def started(master: FakeAccount, tmp_path: Path) -> Iterator[Callable[[str], Processes]]:
    """Return what starts gateways to an address."""
    all_made: list[Processes] = []

    def made(base_url: str) -> Processes:
        all_made.append(Processes(tmp_path / "state", master, base_url))
        return all_made[-1]

    yield made
    for each in all_made:
        each.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_gateway_that_would_call_itself_does_not_start(
    started: Callable[[str], Processes], tmp_path: Path, port: int, scheme: str
) -> None:
    """Whether or not it trusts its own certificate; it says in one line what to do."""
    words: list[str] = []
    if scheme == "https":
        paths = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
        made = trustme.CA().issue_cert("localhost")
        made.cert_chain_pems[0].write_to_path(paths[0])
        made.private_key_pem.write_to_path(paths[1])
        words = ["--tls-cert", paths[0], "--tls-key", paths[1]]
    url = f"{scheme}://localhost:{port}"
    processes = started(url)
    code, said = processes.end(processes.start(f"localhost:{port}", *words))
    assert code == 1
    assert said == (
        f"krakenonce: {url} leads to this gateway itself, so that no call would come to Kraken: give --connect-to the "
        "IP address of Kraken's host, or correct --base-url or the hosts file."
    )


def test_a_silent_kraken_delays_the_start_by_two_seconds(started: Callable[[str], Processes]) -> None:
    """And does not prevent it: the bots are told what becomes of their calls."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        processes = started(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        processes.serve()
        assert time.monotonic() - begun < 10


def test_a_kraken_that_cannot_be_reached_does_not_delay_the_start(
    started: Callable[[str], Processes], port: int
) -> None:
    """Calls are accepted, and their bots are told."""
    processes = started(f"http://127.0.0.1:{port}")
    _, url = processes.serve()
    assert call(url, processes.add("bot"), "Balance").errors == ["EService:Unavailable"]


class Way:
    """The way to Kraken: a port that leads to another port.

    Attributes:
        to: Where new connections lead.
    """

    def __init__(self, thread: Thread, to: int) -> None:
        self.to = to
        self.url = f"http://127.0.0.1:{thread.listen(self._serve)}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await join(reader, writer, self.to)


@pytest.fixture
def way(server: FakeKrakenServer) -> Iterator[Way]:
    """It leads to the fake Kraken."""
    with Thread() as thread:
        yield Way(thread, port_of(server.url))


@pytest.fixture
def looped(way: Way, master: FakeAccount, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway whose way to Kraken leads back to it, since it has started."""
    account = Account("MASTER", master.key, master.secret, "none")
    with RunningGateway(way.url, [account], tmp_path / "state") as running:
        way.to = port_of(running.url)
        yield running
    assert running.complaints == []


def test_a_private_call_that_comes_back_is_refused_with_the_reason(
    looped: RunningGateway, fake: WatchedKraken, caplog: pytest.LogCaptureFixture
) -> None:
    """The bot and the log learn both causes that it may have, and no key."""
    pair = looped.add("bot")
    for nonce, method, params in ((1, "Balance", ""), (2, "AddOrder", ORDER)):
        got = call(looped.url, pair, method, params, nonce)
        assert got.errors == ["EAPI:Invalid key"]
        assert got.headers["X-Krakenonce-Executed"] == "no"
        assert "--connect-to" in got.headers["X-Krakenonce-Explanation"]
        assert "gateway add-key" in got.headers["X-Krakenonce-Explanation"]
    (line,) = [each.getMessage() for each in caplog.records if "--connect-to" in each.getMessage()]
    assert "MASTER" in line
    assert looped.accounts["MASTER"].account.key not in caplog.text + str(got.headers)
    assert looped.activity.not_sent == {"own_key": 2}
    assert fake.arrivals == []


@pytest.mark.parametrize("method", ["SystemStatus", "Assets"])
def test_a_public_call_that_comes_back_is_refused_with_the_reason(looped: RunningGateway, method: str) -> None:
    """At once, and it is made once."""
    got = fetch(looped.url, "GET", f"/0/public/{method}")
    assert got.errors == ["EService:Unavailable"]
    assert got.headers["X-Krakenonce-Executed"] == "no"
    assert "--connect-to" in got.headers["X-Krakenonce-Explanation"]
    assert looped.activity.public.not_sent == {"own_call": 1}


def test_a_bot_with_kraken_s_key_is_told_so(
    gateway: RunningGateway, fake: WatchedKraken, master: FakeAccount, pair: LocalKey
) -> None:
    """Other keys that are not the gateway's are refused as before, whatever is in them."""
    path, body = "/0/private/Balance", b"nonce=1"
    said = {}
    for key in (master.key, master.key[:-1], "\udcff"):
        headers = signed(pair, path, 1, body) | {"API-Key": key.encode("utf-8", "surrogateescape").decode("latin-1")}
        got = fetch(gateway.url, "POST", path, body, headers)
        assert got.errors == ["EAPI:Invalid key"]
        said[key] = got.headers["X-Krakenonce-Explanation"]
    assert said.pop(master.key) == (
        "this is Kraken's key of account MASTER, not a local key: either the bot has it in place of a pair of "
        "`krakenonce gateway add-key`, or the gateway calls itself, because Kraken's host name leads here: give "
        "--connect-to Kraken's IP address"
    )
    assert set(said.values()) == {"this is not a local key of this gateway"}
    assert fake.arrivals == []


def test_any_key_of_an_account_is_kraken_s(
    server: FakeKrakenServer, fake: WatchedKraken, master: FakeAccount, tmp_path: Path
) -> None:
    """An account may have several; a bot that has one of them is told so."""
    second = fake.add_key(master)
    account = Account("MASTER", keys=[(each.key, each.secret) for each in master.keys])
    with RunningGateway(server.url, [account], tmp_path / "state") as gateway:
        headers = {"API-Key": second.key, "API-Sign": "", "Content-Type": FORM}
        got = fetch(gateway.url, "POST", "/0/private/Balance", b"nonce=1", headers)
    assert got.errors == ["EAPI:Invalid key"]
    assert got.headers["X-Krakenonce-Explanation"].startswith("this is Kraken's key of account MASTER,")
