from __future__ import annotations

import os
import socket
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import ConfigError, OutcomeUnknown, RequestNotSent
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.key.helpers import until
from tests.integration.kraken.helpers import CUT, HTML_502, OK, SILENCE, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "4/SDrDBcOOPnm3nPlNfEMMJDeRcIVqPz+QhRxIodyZbI9po/aVRiHsgX"
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="


def client(url: str, key: str = KEY, secret: str = SECRET) -> Kraken:
    """Return a client with numbers of its own."""
    return Kraken(key, secret, manager=NonceManager("memory:"), tier="none", base_url=url, timeout=10)


def assert_discreet(error: BaseException) -> None:
    """Neither the message nor anything in the traceback holds the key, the secret or the body."""
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)
    for hidden in (KEY, SECRET, "API-Sign", "nonce="):
        assert hidden not in told


def test_a_private_call_has_krakenexs_answer(kraken: Kraken) -> None:
    """The answer is Kraken's envelope."""
    assert kraken.query_private("Balance") == {"error": [], "result": {"ZUSD": "100.0000"}}


def test_errors_are_part_of_the_answer(kraken: Kraken) -> None:
    """Kraken's error strings are returned, not raised."""
    assert kraken.query_private("Guess") == {"error": ["EGeneral:Unknown method"]}


def test_a_public_call_needs_no_key(server: FakeKrakenServer) -> None:
    """Public methods work without credentials, also with parameters."""
    with Kraken(base_url=server.url) as kraken:
        assert list(kraken.query_public("Assets", {"asset": "XBT, ETH"})["result"]) == ["XXBT", "XETH"]


def test_fractions_are_exact(kraken: Kraken) -> None:
    """Fractions in Kraken's JSON become Decimals."""
    order = {
        "pair": "XBTUSD",
        "type": "buy",
        "ordertype": "limit",
        "volume": Decimal("5E-5"),
        "price": 37500.5,
    }
    placed = kraken.query_private("AddOrder", order)["result"]
    assert placed["descr"]["order"] == "buy 0.00005000 XBTUSD @ limit 37500.5"
    (order,) = kraken.query_private("OpenOrders")["result"]["open"].values()
    assert isinstance(order["opentm"], Decimal)


def test_the_callers_dict_stays_as_it_was(kraken: Kraken, fake: FakeKraken) -> None:
    """No number is written into the caller's parameters."""
    data = {"pair": "XBTUSD"}
    kraken.query_private("Balance", data)
    assert data == {"pair": "XBTUSD"}
    assert len(fake.accepted()) == 1


def test_a_given_number_is_used(kraken: Kraken, fake: FakeKraken) -> None:
    """Whoever brings a number has it sent, as number or as text."""
    kraken.query_private("Balance", {"nonce": 5})
    kraken.query_private("Balance", {"nonce": "6"})
    assert [arrival.nonce for arrival in fake.accepted()] == [5, 6]


@pytest.mark.parametrize("nonce", [-1, 1.5, "now", True, [1]])
def test_a_given_number_must_be_one(kraken: Kraken, fake: FakeKraken, nonce: object) -> None:
    """What is no number is refused before anything is sent."""
    with pytest.raises(ConfigError, match="nonce"):
        kraken.query_private("Balance", {"nonce": nonce})
    assert fake.arrivals == []


def test_the_nonce_taken_is_the_nonce_sent(account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken) -> None:
    """With every digit, also of those that a float does not hold."""
    manager = NonceManager("memory:")
    manager.raise_floor(2**62 + 12)
    with Kraken(account.key, account.secret, manager=manager, tier="none", base_url=server.url) as kraken:
        kraken.query_private("Balance")
    assert [arrival.nonce for arrival in fake.arrivals] == [2**62 + 13]


def test_nested_parameters_are_sent_as_json(kraken: Kraken, fake: FakeKraken) -> None:
    """A nested parameter turns the body into JSON, which Kraken's batch methods need."""
    line = {"ordertype": "limit", "type": "buy", "price": 30000, "volume": Decimal("0.1")}
    batch = {"pair": "XBTUSD", "orders": [line, line]}
    assert kraken.query_private("AddOrderBatch", batch)["error"] == []
    assert len(fake.accepted()) == 1


def test_threads_of_one_key_never_cross(account: FakeAccount, fake: FakeKraken) -> None:
    """Eight threads on a jittery network get no invalid nonce, because each waits for its turn."""
    with (
        FakeKrakenServer(fake, latency=0.002, jitter=0.002) as server,
        client(server.url, account.key, account.secret) as kraken,
        ThreadPoolExecutor(8) as threads,
    ):
        replies = list(threads.map(lambda _: kraken.query_private("Balance"), range(80)))
    assert [reply["error"] for reply in replies] == [[]] * 80
    assert fake.invalid_nonces() == []


def test_the_scope_is_the_counter_the_numbers_come_from(account: FakeAccount, server: FakeKrakenServer) -> None:
    """A client with a scope of its own leaves the other counters alone."""
    manager = NonceManager("memory:")
    with Kraken(account.key, account.secret, manager=manager, scope="mine", base_url=server.url) as kraken:
        kraken.query_private("Balance")
    assert (manager.peek("mine"), manager.peek()) == (account.last_nonce, None)


def test_without_a_manager_one_is_made(
    account: FakeAccount, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default manager is made for the first private call, and again for one after close()."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path))
    with Kraken(account.key, account.secret, base_url=server.url) as kraken:
        kraken.query_public("Time")
        assert list(tmp_path.iterdir()) == []
        assert kraken.query_private("Balance")["error"] == []
        kraken.close()
        assert kraken.query_private("Balance")["error"] == []
    assert list(tmp_path.iterdir()) != []


@pytest.mark.parametrize(("key", "secret"), [("", SECRET), (KEY, ""), ("", "")])
def test_a_private_call_needs_credentials(server: FakeKrakenServer, key: str, secret: str) -> None:
    """An empty key or secret is refused."""
    with client(server.url, key, secret) as kraken, pytest.raises(ConfigError, match="key and its secret"):
        kraken.query_private("Balance")


@pytest.mark.parametrize(
    ("key", "secret"),
    [(KEY + "\n", SECRET), (KEY + " ", SECRET), (KEY + "\u00e9", SECRET), (KEY, SECRET + "\n")],
)
def test_unusable_credentials_are_not_quoted(server: FakeKrakenServer, key: str, secret: str) -> None:
    """A line break from a file is refused without showing the credentials."""
    with client(server.url, key, secret) as kraken, pytest.raises(ConfigError) as caught:
        kraken.query_private("Balance")
    assert_discreet(caught.value)


def test_repr_shows_no_credentials() -> None:
    """The client's repr holds neither key nor secret."""
    with client("http://127.0.0.1:1") as kraken:
        assert KEY not in repr(kraken)
        assert SECRET not in repr(kraken)
        assert KEY[:12] not in repr(kraken)


NONE = ["", "api.kraken.com", "ftp://api.kraken.com", "https://", "http://a:99999", "http://a:b", "http://a:0"]


@pytest.mark.parametrize(
    "url", [*NONE, "http://a b", "http://a ", "http://a?", "http://a/#b", f"http://{80 * chr(252)}.de"]
)
def test_a_base_url_must_be_one(url: str) -> None:
    """Only http and https addresses with a host and a port that can be, and nothing behind that a path would follow."""
    with pytest.raises(ConfigError, match=r"https://api\.kraken\.com"):
        Kraken(base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        *("https://user:hunter2@api.kraken.com", "ftp://user:hunter2@host", "https://hunter2@", "user:hunter2@host"),
        *("https://user:hun@ter2@api.kraken.com", "http://user:hunter2@host:99999"),
    ],
)
@pytest.mark.parametrize("made", [Kraken, AsyncKraken])
def test_a_base_url_has_no_password(made: Callable[..., object], url: str) -> None:
    """It would end up in logs, and Kraken asks for none: it is refused, and not quoted."""
    with pytest.raises(ConfigError, match="password") as caught:
        made(base_url=url)
    assert "ter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["http://host:99999", "http://host:port", "http://host?x=1", "http://host/#x"])
def test_a_base_url_has_a_port_that_is_one_and_no_query(url: str) -> None:
    """The call's own path and query come behind it."""
    with pytest.raises(ConfigError, match=r"https://api\.kraken\.com"):
        Kraken(base_url=url)


def test_no_connection_means_not_sent() -> None:
    """A refused connection is reported as not sent, without credentials."""
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with (
            client(url) as kraken,
            pytest.raises(
                RequestNotSent, match=rf"/0/private/AddOrder at {url[7:]}: no connection \(Connection refused\)"
            ) as caught,
        ):
            kraken.query_private("AddOrder")
    assert caught.value.may_have_executed == "no"
    assert_discreet(caught.value)


def test_an_unknown_host_means_not_sent() -> None:
    """A name that does not resolve is reported as not sent."""
    with client("http://kraken.invalid") as kraken, pytest.raises(RequestNotSent):
        kraken.query_private("AddOrder")


def test_a_failed_tls_handshake_means_not_sent(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """When the other side does not speak TLS, nothing of the call has left this machine."""
    with client(server.url.replace("http:", "https:")) as kraken, pytest.raises(RequestNotSent) as caught:
        kraken.query_private("AddOrder")
    assert fake.arrivals == []
    assert_discreet(caught.value)


@pytest.mark.parametrize("script", [(CUT,), (OK, CUT)], ids=["new connection", "kept connection"])
def test_a_cut_connection_is_not_sent_again(script: tuple[bytes | None, ...]) -> None:
    """When the answer never comes the outcome is unknown, and the server has seen the call exactly once."""
    with ScriptedServer(*script) as server, client(server.url) as kraken:
        for _ in script[:-1]:
            kraken.query_private("Balance")
        with pytest.raises(OutcomeUnknown, match="AddOrder") as caught:
            kraken.query_private("AddOrder")
    assert sum(b"/AddOrder" in request for request in server.requests) == 1
    assert len(server.requests) == len(script)
    assert caught.value.may_have_executed == "unknown"
    assert_discreet(caught.value)


def test_a_cut_public_call_is_not_sent_again_either() -> None:
    """Nothing below the client repeats a call, not even a GET."""
    with ScriptedServer(None, None, None, None) as server, client(server.url) as kraken:
        with pytest.raises(OutcomeUnknown):
            kraken.query_public("Time")
        assert len(server.requests) == 1


def test_silence_is_an_unknown_outcome() -> None:
    """A timeout says nothing about what became of the call."""
    with ScriptedServer(SILENCE) as server, client(server.url) as kraken:
        with pytest.raises(OutcomeUnknown) as caught:
            kraken.query_private("AddOrder", timeout=0.1)
        until(lambda: server.requests)  # it may still be reading
        kraken.close()
    assert len(server.requests) == 1
    assert_discreet(caught.value)


HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{"error":[]'
ECHO = f"HTTP/1.1 403 No\r\nContent-Length: {len(KEY) + 9}\r\n\r\nBad key: {KEY}".encode()
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: /0/private/AddOrder\r\nContent-Length: 0\r\n\r\n"
JSON_503 = OK.replace(b"200 OK", b"503 Busy")
NOT_HTTP = b"220 mail.example.org ESMTP\r\n\r\n"
LIST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
NOT_A_NUMBER = b'HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{"error":[],"result":NaN}'
NO_EXPONENT = b'HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n{"error":[],"result":1e9999999999999999999 }'


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HTML_502, "502 .*<html> <b>Bad</b> </html>"),
        (MOVED, "307"),
        (JSON_503, "503"),
        (LIST, "200"),
        (NOT_A_NUMBER, "200"),
        (NO_EXPONENT, "200"),
        (NOT_HTTP, "no answer"),
    ],
)
def test_other_answers_are_unknown_outcomes(answer: bytes, told: str) -> None:
    """What is not Kraken's API answering says nothing about the order; the message shows what came."""
    with (
        ScriptedServer(answer) as server,
        client(server.url) as kraken,
        pytest.raises(OutcomeUnknown, match=told) as caught,
    ):
        kraken.query_private("AddOrder")
    assert len(server.requests) == 1
    assert_discreet(caught.value)


def test_a_base_url_may_have_a_path() -> None:
    """It comes before Kraken's own path, with and without parameters."""
    with ScriptedServer(OK, OK) as server, client(f"{server.url}/behind/a%20proxy/") as kraken:
        kraken.query_public("Assets", {"asset": "XBT, ETH"})
        kraken.query_private("Balance")
    begins = [request.partition(b" HTTP/1.1")[0] for request in server.requests]
    assert begins == [
        b"GET /behind/a%20proxy/0/public/Assets?asset=XBT%2C+ETH",
        b"POST /behind/a%20proxy/0/private/Balance",
    ]


def test_half_an_answer_is_an_unknown_outcome() -> None:
    """An answer that stops in the middle is no answer."""
    with ScriptedServer(HALF, CUT) as server, client(server.url) as kraken, pytest.raises(OutcomeUnknown):
        kraken.query_private("AddOrder", timeout=0.1)
    assert len(server.requests) == 1


def test_public_calls_tell_the_same_way() -> None:
    """A gateway's error page is not a public answer either."""
    with (
        ScriptedServer(HTML_502) as server,
        client(server.url) as kraken,
        pytest.raises(OutcomeUnknown, match="502"),
    ):
        kraken.query_public("Time")


def test_a_forked_child_opens_its_own_connection(kraken: Kraken, fake: FakeKraken) -> None:
    """After a fork, parent and child do not read each other's answers from one connection."""
    kraken.query_public("Time")
    pool = kraken._transport._pool
    if (child := os.fork()) == 0:
        kraken.query_public("Time")
        os._exit(kraken._transport._pool is pool)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    kraken.query_public("Time")
    assert kraken._transport._pool is pool


def test_the_package_and_the_wire_do_not_load_urllib3() -> None:
    """Only the client costs the time to load urllib3."""
    code = "import sys, krakenonce.kraken.wire, krakenonce.testing\n"
    code += "sys.exit(bool({'urllib3', 'aiohttp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
