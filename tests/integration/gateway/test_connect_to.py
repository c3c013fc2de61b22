"""A gateway that is told Kraken's IP address, because on its machine Kraken's host name leads elsewhere."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.integration.gateway.conftest import call, fetch
from tests.integration.gateway.processes import Processes
from tests.integration.kraken.proxies import Thread, join

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKrakenServer
    from tests.integration.gateway.conftest import WatchedKraken

HOST = "api.kraken.test"  # a name that leads nowhere


class Front:
    """TLS in front of the fake Kraken, on 127.0.0.1.

    Attributes:
        names: The server names that were asked for.
        port: Where it is.
    """

    def __init__(self, thread: Thread, behind: int, authority: trustme.CA) -> None:
        self.names: list[str | None] = []
        self.connections = 0
        self._behind = behind
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority = authority
        self._tls.sni_callback = lambda _object, name, _context: self.names.append(name)
        authority.issue_cert(HOST).configure_cert(self._tls)
        self.port = thread.listen(self._serve, self._tls)

    def certify(self, name: str) -> None:
        """Show a certificate of another name from now on."""
        self._authority.issue_cert(name).configure_cert(self._tls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await join(reader, writer, self._behind)


@pytest.fixture
def front(server: FakeKrakenServer, authority: trustme.CA) -> Iterator[Front]:
    """Kraken's address."""
    with Thread() as thread:
        yield Front(thread, int(server.url.rpartition(":")[2]), authority)


@pytest.fixture
def authority() -> trustme.CA:
    """Who has signed Kraken's certificate."""
    return trustme.CA()


@pytest.fixture
def processes(master: FakeAccount, front: Front, authority: trustme.CA, tmp_path: Path) -> Iterator[Processes]:
    """What starts gateways to the name that leads nowhere."""
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    made = Processes(tmp_path / "state", master, f"https://{HOST}:{front.port}")
    made.env = {name: text for name, text in made.env.items() if not name.lower().endswith("_proxy")}
    made.env["SSL_CERT_FILE"] = str(tmp_path / "root.pem")
    yield made
    made.close()


def test_calls_go_to_the_address_and_ask_for_the_name(processes: Processes, front: Front, fake: WatchedKraken) -> None:
    """TLS and the Host header have Kraken's name, as without it."""
    _, url = processes.serve("127.0.0.1:0", "--connect-to", "127.0.0.1")
    assert call(url, processes.add("bot"), "Balance").errors == []
    assert fetch(url, "GET", "/0/public/Ticker?pair=XBTUSD").errors == []
    assert fake.seen[0].headers["Host"] == f"{HOST}:{front.port}"
    assert set(front.names) == {HOST}


def test_the_certificate_must_be_kraken_s(processes: Processes, front: Front, fake: WatchedKraken) -> None:
    """An address with another's certificate gets nothing, and the bot learns which address it was."""
    front.certify("127.0.0.1")
    _, url = processes.serve("127.0.0.1:0", "--connect-to", "127.0.0.1")
    got = call(url, processes.add("bot"), "Balance")
    assert got.errors == ["EService:Unavailable"]
    assert "certificate" in got.headers["X-Krakenonce-Explanation"]
    assert "127.0.0.1, as --connect-to says" in got.headers["X-Krakenonce-Explanation"]
    assert fake.arrivals == []


@pytest.mark.parametrize(
    ("address", "more", "message"),
    [
        (
            "127.0.0.1",
            {"HTTPS_PROXY": "http://user:hidden@proxy.test"},
            (
                "--connect-to has no effect through the proxy proxy.test:80, which finds api.kraken.test itself: put "
                "api.kraken.test into NO_PROXY, or leave out --connect-to."
            ),
        ),
    ],
    ids=["proxy"],
)
def test_what_would_have_no_effect_is_refused(
    processes: Processes, address: str, more: dict[str, str], message: str
) -> None:
    """In one line, when the gateway starts."""
    code, said = processes.run("127.0.0.1:0", "--connect-to", address, **more)
    assert (code, said) == (1, f"krakenonce: {message}")


def test_a_host_that_is_an_address_already_needs_none(
    master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """It would be ignored, so it is refused."""
    processes = Processes(tmp_path / "state", master, server.url)
    code, said = processes.run("127.0.0.1:0", "--connect-to", "127.0.0.2")
    assert code == 1
    assert said.endswith("--connect-to has no effect: the host of the base URL, 127.0.0.1, is an IP address itself.")
