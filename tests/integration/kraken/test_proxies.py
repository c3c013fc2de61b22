"""Calls through an HTTP proxy: which calls go through it, and what is known of a call that it does not let through."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager
from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.async_transport import AsyncTransport
from krakenonce.kraken.proxy import proxy_for
from krakenonce.kraken.transport import Transport
from krakenonce.manager import NonceManager
from tests.integration.forked import run_forked
from tests.integration.gateway.conftest import call
from tests.integration.gateway.processes import Processes
from tests.integration.kraken.helpers import CUT, ScriptedServer, Twin
from tests.integration.kraken.proxies import SILENT, HttpProxy, Thread, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

KRAKEN = "https://api.kraken.test"  # a name that nobody but the proxy knows
PAIR = base64.b64encode("trader:pass@wörd".encode()).decode()
USER = "trader:pass%40w%C3%B6rd"
BOTH = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def thread() -> Iterator[Thread]:
    """Where the proxy and TLS run."""
    with Thread() as made:
        yield made


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that both HTTP libraries trust."""
    made, root = trustme.CA(), tmp_path / "root.pem"
    made.cert_pem.write_to_path(root)
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    # aiohttp makes its context when it is imported.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(root)))
    return made


@pytest.fixture
def front(thread: Thread, authority: trustme.CA) -> Callable[[str], int]:
    """Return what puts TLS, as api.kraken.test, in front of an address, and returns its port."""

    def made(url: str) -> int:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("api.kraken.test").configure_cert(tls)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await join(reader, writer, int(url.rpartition(":")[2]))

        return thread.listen(serve, tls)

    return made


@pytest.fixture
def proxy(thread: Thread, front: Callable[[str], int], server: FakeKrakenServer) -> HttpProxy:
    """A proxy that wants a password and leads to the fake Kraken, with TLS."""
    return HttpProxy(thread, front(server.url), PAIR)


def client(kind: str, account: FakeAccount, proxy: str | None, base_url: str = KRAKEN, **more: Any) -> Twin:
    """Return a client of the account."""
    options: dict[str, Any] = {"manager": NonceManager("memory:"), "tier": "none", "base_url": base_url}
    return Twin(kind, account.key, account.secret, proxy=proxy, **options, **more)


def shown(error: BaseException) -> str:
    """Return all that a log or an error tracker shows of an error, and of those behind it."""
    told, last = "".join(traceback.format_exception(error)), error
    while (below := last.__cause__ or last.__context__) is not None:
        told, last = f"{told}{below!r}{below.__dict__!r}", below
    return told


@BOTH
def test_calls_go_through_the_given_proxy(proxy: HttpProxy, fake: FakeKraken, account: FakeAccount, kind: str) -> None:
    """Through a tunnel: the proxy sees Kraken's name and its own password, and nothing of the calls."""
    with client(kind, account, f"http://{USER}@{proxy.host}") as twin:
        twin("balances")
        twin("balances")
        assert "unixtime" in twin("public", "Time")
    assert len(fake.arrivals) == 2
    assert proxy.asked == ["CONNECT api.kraken.test:443"]
    assert account.key.encode() not in proxy.heads[0]


@BOTH
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_calls_go_through_the_proxy_of_the_environment(
    proxy: HttpProxy, fake: FakeKraken, account: FakeAccount, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As curl and Python's urllib do."""
    monkeypatch.setenv(name, f"http://{USER}@{proxy.host}")
    with client(kind, account, None) as twin:
        twin("balances")
    assert len(fake.arrivals) == 1
    assert proxy.asked == ["CONNECT api.kraken.test:443"]


@BOTH
def test_no_proxy_excludes_hosts(
    proxy: HttpProxy, account: FakeAccount, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY has Kraken's domain: the call goes there itself, and does not find this name."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}@{proxy.host}")
    monkeypatch.setenv("NO_PROXY", "localhost,.kraken.test")
    with client(kind, account, None) as twin, pytest.raises(RequestNotSent) as caught:
        twin("query_private", "Balance")
    assert "proxy" not in str(caught.value)
    assert proxy.asked == []


@BOTH
def test_addresses_of_this_machine_need_no_proxy(
    server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake Kraken or a gateway is reached directly, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with client(kind, account, None, server.url) as twin:
        twin("balances")
    assert len(fake.arrivals) == 1
    for host in ("localhost", "127.1.2.3", "[::1]", "gateway.localhost"):
        assert proxy_for(f"http://{host}:8686", None) is None
    assert proxy_for("http://10.0.0.1:8686", None) is not None


@BOTH
def test_an_address_without_tls_is_forwarded(
    thread: Thread, server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount, kind: str
) -> None:
    """Such as a gateway on another host: the proxy gets the whole request, and its password."""
    proxy = HttpProxy(thread, int(server.url.rpartition(":")[2]), PAIR)
    with client(kind, account, f"http://{USER}@{proxy.host}", "http://gateway.test:8686") as twin:
        twin("balances")
    assert len(fake.arrivals) == 1
    assert proxy.asked == ["POST http://gateway.test:8686/0/private/Balance"]


REFUSED = {
    403: "does not let it through (HTTP status 403). Nothing was sent. Have the proxy allow CONNECT to "
    "api.kraken.test.",
    407: "refuses the user name or the password (HTTP status 407). Nothing was sent. Write them into its address, like "
    "http://USER:PASSWORD@HOST.",
    502: "found no connection (HTTP status 502). Nothing was sent. You may repeat the call.",
}


@BOTH
@pytest.mark.parametrize("status", REFUSED)
def test_a_call_that_the_proxy_refuses_was_not_sent(
    proxy: HttpProxy, account: FakeAccount, kind: str, status: int
) -> None:
    """The message names the proxy and says what to do; a refusal that stays is not repeated. No password is shown."""
    proxy.refuses = status
    with client(kind, account, f"http://{USER}@{proxy.host}") as twin, pytest.raises(RequestNotSent) as caught:
        twin("balances")
    expected = f"/0/private/Balance at api.kraken.test: the proxy {proxy.host} {REFUSED[status]}"
    assert str(caught.value) == expected.replace("HOST", proxy.host)
    assert caught.value.may_have_executed == "no"
    assert len(proxy.asked) == (3 if status == 502 else 1)
    assert not any(secret in shown(caught.value) for secret in (PAIR, "pass@", "pass%40"))


@BOTH
@pytest.mark.parametrize("base_url", [KRAKEN, "http://gateway.test:8686"])
def test_a_proxy_that_wants_a_password_is_named(
    proxy: HttpProxy, account: FakeAccount, kind: str, base_url: str
) -> None:
    """Nothing was sent, to an address with TLS and to one without."""
    with client(kind, account, f"http://{proxy.host}", base_url) as twin, pytest.raises(RequestNotSent) as caught:
        twin("balances")
    assert f"the proxy {proxy.host} wants a user name and a password" in str(caught.value)
    assert len(proxy.asked) == 1


@BOTH
@pytest.mark.parametrize("base_url", [KRAKEN, "http://gateway.test:8686"])
def test_a_proxy_that_is_down_is_named(account: FakeAccount, kind: str, base_url: str) -> None:
    """Nothing was sent."""
    twin = client(kind, account, f"http://{USER}@127.0.0.1:1", base_url)
    with twin, pytest.raises(RequestNotSent, match=r"through the proxy 127\.0\.0\.1:1") as caught:
        twin("query_private", "Balance")
    assert not any(secret in shown(caught.value) for secret in (PAIR, "pass@", "pass%40"))


@BOTH
def test_an_error_about_a_proxy_that_speaks_no_http_shows_no_password(account: FakeAccount, kind: str) -> None:
    """Nor do the errors behind it: the library's own one has all headers."""
    with ScriptedServer(*[b"SSH-2.0-OpenSSH_9.6\r\n\r\n"] * 3) as wrong:
        twin = client(kind, account, wrong.url.replace("//", f"//{USER}@"))
        with twin, pytest.raises(RequestNotSent, match="no connection through the proxy") as caught:
            twin("query_private", "Balance")
    assert not any(secret in shown(caught.value) for secret in (PAIR, "pass@", "pass%40"))


@BOTH
@pytest.mark.parametrize("what", ["is cut", "is silent", "has no trusted certificate"])
def test_a_tunnel_that_does_not_come_about_sends_nothing(
    proxy: HttpProxy, account: FakeAccount, kind: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy that closes the connection nor one that breaks TLS open gets the call."""
    proxy.refuses = {"is cut": 0, "is silent": SILENT}.get(what)
    if what == "has no trusted certificate":
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    with (
        client(kind, account, f"http://{USER}@{proxy.host}", timeout=0.5) as twin,
        pytest.raises(RequestNotSent) as caught,
    ):
        twin("query_private", "AddOrder")
    assert f"through the proxy {proxy.host}" in str(caught.value)
    assert not any(secret in shown(caught.value) for secret in (PAIR, "pass@", "pass%40"))


@BOTH
def test_a_call_that_went_through_the_tunnel_may_have_been_executed(
    thread: Thread, front: Callable[[str], int], account: FakeAccount, kind: str
) -> None:
    """Kraken has it and does not answer: the outcome is unknown, and the order is sent once."""
    with ScriptedServer(CUT) as kraken:
        proxy = HttpProxy(thread, front(kraken.url))
        with client(kind, account, f"http://{proxy.host}") as twin, pytest.raises(OutcomeUnknown):
            twin("query_private", "AddOrder")
    assert len(kraken.requests) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("socks5://trader:secret@proxy.test:1080", "is a SOCKS proxy"),
        ("ftp://trader:secret@proxy.test", "must look like http://"),
        ("http://trader:se/cret@proxy.test:3128", "must look like http://"),
        ("http://trader:se#cret@proxy.test:3128", "must look like http://"),
        ("http://trader:secret@proxy.test:port", "must look like http://"),
        ("http://trader:secret@", "must look like http://"),
        ("http://trader:secret@proxy.test:3128/path", "must look like http://"),
        ("", "must look like http://"),
    ],
)
def test_what_is_no_proxy_is_refused(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the client is made; the message names the argument or the variable, and has no part of the address."""
    monkeypatch.setenv("HTTPS_PROXY", url or "http://")
    for given, name in ((url, "proxy"), (None, "HTTPS_PROXY")):
        for kind in (Transport, AsyncTransport):
            with pytest.raises(ConfigError, match=f"^{name} {message}") as caught:
                kind(KRAKEN, given)
            assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("http://proxy.test", "http://proxy.test:80"),
        ("https://trader:secret@proxy.test/", "https://proxy.test:443"),
        ("http://[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_a_proxy_s_address_may_be_short(url: str, expected: str) -> None:
    """Without a scheme and without a port, as curl takes it; its repr shows no password."""
    found = proxy_for(KRAKEN, url)
    assert found is not None
    assert found.url == expected
    assert "secret" not in repr(found)
    assert "Basic" not in repr(found)


def test_a_proxy_belongs_to_a_client_or_to_its_transport() -> None:
    """Given beside a transport it would be ignored, so it is refused."""
    with pytest.raises(ConfigError, match="Give the proxy to the transport"):
        Kraken(transport=Transport(KRAKEN), proxy="http://proxy.test")
    with pytest.raises(ConfigError, match="Give the proxy to the transport"):
        AsyncKraken(transport=AsyncTransport(KRAKEN), proxy="http://proxy.test")


def test_brokers_go_through_a_proxy(proxy: HttpProxy, fake: FakeKraken, account: FakeAccount) -> None:
    """One for all accounts, with threads and with tasks."""
    accounts = [Account("MASTER", account.key, account.secret, "none")]
    with BrokerManager(accounts, base_url=KRAKEN, proxy=f"http://{USER}@{proxy.host}") as brokers:
        assert brokers.balances()["MASTER"].ok

    async def balances() -> bool:
        async with AsyncBrokerManager(accounts, base_url=KRAKEN, proxy=f"http://{USER}@{proxy.host}") as brokers:
            return (await brokers.balances())["MASTER"].ok

    assert asyncio.run(balances())
    assert len(fake.arrivals) == 2
    assert len(proxy.asked) == 2


def test_the_command_line_goes_through_the_proxy_of_the_environment(
    proxy: HttpProxy, fake: FakeKraken, account: FakeAccount, tmp_path: Path
) -> None:
    """And names the proxy, without its password, when that refuses."""
    env = {
        "KRAKEN_MASTER_API_KEY": account.key,
        "KRAKEN_MASTER_API_SECRET": account.secret,
        "KRAKENONCE_STATE_DIR": str(tmp_path / "state"),
        "HTTPS_PROXY": f"http://{USER}@{proxy.host}",
        "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
    }
    code, out, err = run_forked(["balance", "--base-url", KRAKEN], env)
    assert (code, err) == (0, "")
    assert "ZUSD" in out
    proxy.refuses = 407
    code, out, err = run_forked(["balance", "--base-url", KRAKEN], env)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"the proxy {proxy.host} refuses the user name or the password" in err
    assert len(fake.arrivals) == 1


def test_the_gateway_goes_through_the_proxy_of_the_environment(
    proxy: HttpProxy, fake: FakeKraken, account: FakeAccount, tmp_path: Path
) -> None:
    """A bot's call goes on through it; if the proxy refuses, the bot is told that nothing was sent."""
    processes = Processes(tmp_path / "state", account, KRAKEN)
    pair = processes.add("bot")
    try:
        _, url = processes.serve(HTTPS_PROXY=f"http://{USER}@{proxy.host}")
        proxy.refuses = 403
        refused = call(url, pair, "Balance")
        proxy.refuses = None
        assert call(url, pair, "Balance", nonce=2).errors == []
    finally:
        processes.close()
    assert len(fake.arrivals) == 1
    assert refused.headers["X-Krakenonce-Executed"] == "no"
    assert f"the proxy {proxy.host} does not let it through" in refused.headers["X-Krakenonce-Explanation"]
