from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import krakenex
import pytest
import urllib3

from krakenonce.errors import ConfigError
from krakenonce.kraken.wire import FORM, decode_secret, sign
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
from tests.integration.kraken.helpers import as_http, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.testing.request import Request

ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.001", "price": "37500"}
NOW = 1688669448.25

# Sends the requests at once, each on its own connection, and reads no answer.
SENDER = """
import socket, sys, threading
port, *requests = sys.stdin.read().split()
connections = [socket.create_connection(("127.0.0.1", int(port))) for _ in requests]
for connection, request in zip(connections, requests):
    connection.sendall(bytes.fromhex(request))
threading.Event().wait()
"""


@pytest.fixture
def krakenex_api(account: FakeAccount, server: FakeKrakenServer) -> Iterator[krakenex.API]:
    """An unmodified krakenex client of the account."""
    client = krakenex.API(account.key, account.secret)
    client.uri = server.url
    yield client
    client.close()


def call(fake: FakeKraken, account: FakeAccount, method: str, nonce: int, **params: object) -> dict[str, Any]:
    """Return the fake's answer to a signed call."""
    return fake.answer(*signed(account, method, nonce, params), NOW)


def test_nonces_must_rise(fake: FakeKraken, account: FakeAccount) -> None:
    """A nonce is accepted if it is above the last accepted one; equal and lower ones are refused."""
    replies = [call(fake, account, "Balance", nonce) for nonce in (10, 10, 9, 11, 2**64 - 1)]
    refused, fine = {"error": ["EAPI:Invalid nonce"]}, {"error": [], "result": {"ZUSD": "100.0000"}}
    assert replies == [fine, refused, refused, fine, fine]
    assert [arrival.nonce for arrival in fake.accepted()] == [10, 11, 2**64 - 1]
    assert [arrival.nonce for arrival in fake.invalid_nonces()] == [10, 9]


def test_each_key_has_its_own_nonce(fake: FakeKraken, account: FakeAccount) -> None:
    """A large nonce of one key does not refuse a small one of another."""
    other = fake.add_account("other")
    assert call(fake, account, "Balance", 1000)["error"] == []
    assert call(fake, other, "Balance", 1)["error"] == []


def test_a_nonce_beyond_64_bits_is_invalid(fake: FakeKraken, account: FakeAccount) -> None:
    """The largest nonce is 2^64 - 1."""
    assert call(fake, account, "Balance", 2**64) == {"error": ["EAPI:Invalid nonce"]}
    assert fake.arrivals[0].nonce is None


def test_a_bad_signature_uses_no_nonce(fake: FakeKraken, account: FakeAccount) -> None:
    """A sender that knows only the public key cannot use up its nonces."""
    path, headers, body = signed(account, "Balance", 10)
    forged = headers | {"API-Sign": base64.b64encode(bytes(64)).decode()}
    assert fake.answer(path, forged, body, NOW) == {"error": ["EAPI:Invalid signature"]}
    assert account.last_nonce == 0
    assert fake.answer(path, headers, body, NOW)["error"] == []


def test_the_signature_covers_path_query_and_body(fake: FakeKraken, account: FakeAccount) -> None:
    """A signature for other bytes or another path is refused."""
    path, headers, body = signed(account, "Balance", 10)
    assert fake.answer(path + "?a=1", headers, body, NOW) == {"error": ["EAPI:Invalid signature"]}
    assert fake.answer(path, headers, body + b"&a=1", NOW) == {"error": ["EAPI:Invalid signature"]}


def test_an_unknown_key_is_named_before_anything_else(fake: FakeKraken, account: FakeAccount) -> None:
    """A key that does not exist gets Invalid key, also without nonce and signature."""
    path, headers, body = signed(account, "Balance", 10)
    assert fake.answer(path, headers | {"API-Key": "other"}, body, NOW) == {"error": ["EAPI:Invalid key"]}
    assert fake.answer(path, {}, b"", NOW) == {"error": ["EAPI:Invalid key"]}
    assert [arrival.account for arrival in fake.arrivals] == [None, None]


def test_a_missing_nonce_is_an_invalid_nonce(fake: FakeKraken, account: FakeAccount) -> None:
    """A missing nonce is an invalid one, before the signature is looked at."""
    assert fake.answer("/0/private/Balance", {"API-Key": account.key}, b"", NOW) == {"error": ["EAPI:Invalid nonce"]}


def test_an_order_is_placed_and_found_open(fake: FakeKraken, account: FakeAccount) -> None:
    """A limit order gets an id of Kraken's form and is among the open orders, also by its client id."""
    placed = call(fake, account, "AddOrder", 1, **ORDER, cl_ord_id="mine")["result"]
    assert placed["descr"] == {"order": "buy 0.00100000 XBTUSD @ limit 37500.0"}
    (txid,) = placed["txid"]
    assert [len(part) for part in txid.split("-")] == [6, 5, 6]
    assert list(call(fake, account, "OpenOrders", 2)["result"]["open"]) == [txid]
    assert list(call(fake, account, "OpenOrders", 3, cl_ord_id="mine")["result"]["open"]) == [txid]
    assert call(fake, account, "OpenOrders", 4, cl_ord_id="other")["result"] == {"open": {}}


def test_a_market_order_is_not_open(fake: FakeKraken, account: FakeAccount) -> None:
    """A market order has an id and needs no price, but is filled at once."""
    order = {name: value for name, value in ORDER.items() if name != "price"} | {"ordertype": "market"}
    assert call(fake, account, "AddOrder", 1, **order)["result"]["txid"]
    assert account.orders == {}


@pytest.mark.parametrize("as_json", [False, True])
def test_validate_places_nothing(fake: FakeKraken, account: FakeAccount, as_json: bool) -> None:
    """An order to be validated only has a description and no id, and is not open."""
    request = signed(account, "AddOrder", 1, {**ORDER, "validate": True}, as_json=as_json)
    assert list(fake.answer(*request, NOW)["result"]) == ["descr"]
    assert account.orders == {}


@pytest.mark.parametrize("name", list(ORDER))
def test_a_missing_argument_is_named_and_the_nonce_stays_used(
    fake: FakeKraken, account: FakeAccount, name: str
) -> None:
    """Kraken names the argument; the nonce was accepted before and is used up."""
    order = {key: value for key, value in ORDER.items() if key != name}
    assert call(fake, account, "AddOrder", 7, **order) == {"error": [f"EGeneral:Invalid arguments:{name}"]}
    assert account.last_nonce == 7
    assert fake.arrivals[0].accepted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "hold"),
        ("ordertype", "guess"),
        ("volume", "-1"),
        ("volume", "x"),
        ("price", "NaN"),
        ("userref", "x"),
    ],
)
def test_a_wrong_argument_is_named(fake: FakeKraken, account: FakeAccount, name: str, value: str) -> None:
    """Values outside what the fake knows are refused by name."""
    order = ORDER | {name: value}
    assert call(fake, account, "AddOrder", 1, **order) == {"error": [f"EGeneral:Invalid arguments:{name}"]}


def test_key_info_names_the_last_accepted_nonce(fake: FakeKraken, account: FakeAccount) -> None:
    """GetApiKeyInfo gives the nonce of this very call, as text."""
    info = call(fake, account, "GetApiKeyInfo", 1772627060997)["result"]
    assert (info["nonce"], info["nonceWindow"], info["apiKeyName"]) == ("1772627060997", 0, "bot")
    assert info["lastUsed"] == "1688669448"


def test_unknown_methods_are_named_so(fake: FakeKraken, account: FakeAccount) -> None:
    """Unknown names, public or private, get Unknown method."""
    unknown = {"error": ["EGeneral:Unknown method"]}
    assert call(fake, account, "Guess", 1) == unknown
    assert fake.answer("/0/public/Guess", {}, b"", NOW) == unknown
    assert fake.answer("/elsewhere", {}, b"", NOW) == unknown


def test_public_methods_give_the_time(fake: FakeKraken) -> None:
    """Time and SystemStatus have Kraken's form."""
    assert fake.answer("/0/public/Time", {}, b"", NOW)["result"] == {
        "unixtime": 1688669448,
        "rfc1123": "Thu, 06 Jul 23 18:50:48 +0000",
    }
    assert fake.answer("/0/public/SystemStatus", {}, b"", NOW)["result"] == {
        "status": "online",
        "timestamp": "2023-07-06T18:50:48Z",
    }


def test_random_accounts_have_krakens_form(fake: FakeKraken) -> None:
    """A key has 56 base64 signs and a secret 64 bytes; the account's repr shows neither."""
    account = fake.add_account("bot")
    assert len(account.key) == 56
    assert len(base64.b64decode(account.secret, validate=True)) == 64
    assert account.secret not in repr(account)
    assert account.key not in repr(account)


def test_a_key_is_added_once(fake: FakeKraken, account: FakeAccount) -> None:
    """A second account with the same key, or one without a usable secret, is refused."""
    with pytest.raises(ConfigError, match="already"):
        fake.add_account("twin", key=account.key)
    with pytest.raises(ConfigError, match="base64"):
        fake.add_account("bad", secret="*")


def test_unmodified_krakenex_works_over_http(fake: FakeKraken, krakenex_api: krakenex.API) -> None:
    """Krakenex signs, sends and reads as it does with Kraken."""
    assert krakenex_api.query_public("Time")["result"]["unixtime"] > 1_600_000_000
    assert krakenex_api.query_private("Balance")["result"] == {"ZUSD": "100.0000"}
    assert krakenex_api.query_private("AddOrder", dict(ORDER))["result"]["txid"]
    assert len(fake.accepted()) == 2


def test_unmodified_krakenex_with_a_wrong_secret(krakenex_api: krakenex.API) -> None:
    """A wrong secret is an invalid signature, with HTTP status 200."""
    krakenex_api.secret = base64.b64encode(b"wrong").decode()
    assert krakenex_api.query_private("Balance") == {"error": ["EAPI:Invalid signature"]}
    assert krakenex_api.response.status_code == 200


def test_the_server_verifies_the_path_as_it_was_sent(account: FakeAccount, server: FakeKrakenServer) -> None:
    """Query string and percent signs are part of what was signed."""
    path = "/0/private/Balance?id=a%20b%2F"
    body = "nonce=1"
    signature = sign(path, 1, body, decode_secret(account.secret))
    headers = {"API-Key": account.key, "API-Sign": signature, "Content-Type": FORM}
    reply = urllib3.request("POST", server.url + path, body=body, headers=headers)
    assert reply.json() == {"error": [], "result": {"ZUSD": "100.0000"}}


def test_the_log_is_read_and_emptied_over_http(
    fake: FakeKraken, account: FakeAccount, krakenex_api: krakenex.API, server: FakeKrakenServer
) -> None:
    """Other processes can read the log; emptying it leaves the nonces used."""
    krakenex_api.query_private("Balance")
    used = account.last_nonce
    (arrival,) = urllib3.request("GET", server.url + "/fake/arrivals").json()
    assert (arrival["account"], arrival["method"], arrival["nonce"]) == ("bot", "Balance", used)
    assert urllib3.request("POST", server.url + "/fake/reset").status == 200
    assert (fake.arrivals, account.last_nonce) == ([], used)


def test_requests_in_flight_may_overtake_each_other(fake: FakeKraken, account: FakeAccount) -> None:
    """With jitter the later of two requests can arrive first, and the earlier nonce is then invalid."""
    # With this seed the first request takes 0.39 s and the second one 0.02 s.
    with FakeKrakenServer(fake, latency=0.2, jitter=0.2, seed=52) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            first.sendall(as_http(*signed(account, "Balance", 1)))
            second.sendall(as_http(*signed(account, "Balance", 2)))
            assert b"Invalid nonce" in first.recv(65536)
            assert b"ZUSD" in second.recv(65536)
    assert [arrival.nonce for arrival in fake.arrivals] == [2, 1]


def test_a_request_counts_although_its_sender_is_gone() -> None:
    """A sender that gives up cannot take back what is on its way; the log says that it had gone."""
    answered = threading.Event()

    class Watched(FakeKraken):
        def answer_to(self, request: Request) -> dict[str, Any]:
            reply = super().answer_to(request)
            answered.set()
            return reply

    watched = Watched()
    account = watched.add_account("bot")
    with FakeKrakenServer(watched, latency=0.1) as server:
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as sender:
            sender.sendall(as_http(*signed(account, "AddOrder", 1, ORDER)))
        assert answered.wait(10)
    (arrival,) = watched.arrivals
    assert (arrival.sender_gone, arrival.accepted, len(account.orders)) == (True, True, 1)


def test_a_killed_sender_is_gone_at_once() -> None:
    """The log says so also of a request that is looked at before the event loop knows that the sender is dead."""
    sender = subprocess.Popen([sys.executable, "-c", SENDER], stdin=subprocess.PIPE)

    class Killing(FakeKraken):
        def answer_to(self, request: Request) -> dict[str, Any]:
            sender.kill()
            sender.wait()
            return super().answer_to(request)

    fake = Killing()
    account = fake.add_account("bot")
    with sender, FakeKrakenServer(fake, latency=0.1) as server:
        requests = [as_http(*signed(account, "Balance", nonce)).hex() for nonce in (1, 2)]
        sender.communicate("\n".join([server.url.rpartition(":")[2], *requests]).encode(), timeout=30)
    assert [arrival.sender_gone for arrival in fake.arrivals] == [False, True]


def test_half_a_request_does_not_count(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """A body that ends too early is no call, and the server lives on."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as sender:
        sender.sendall(as_http(*signed(account, "Balance", 1))[:-3])
        sender.shutdown(socket.SHUT_WR)
        sender.recv(65536)
    assert fake.arrivals == []
    assert urllib3.request("GET", server.url + "/0/public/Time").status == 200


def test_private_methods_are_post_only(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """GET on a private path is refused by status and does not reach the log."""
    assert urllib3.request("GET", server.url + "/0/private/Balance").status == 405
    assert fake.arrivals == []


def test_the_server_starts_and_stops_twice(fake: FakeKraken) -> None:
    """Starting a running server and stopping a stopped one do nothing; its threads end."""
    before = threading.active_count()
    server = FakeKrakenServer(fake)
    server.start()
    server.start()
    server.stop()
    server.stop()
    assert threading.active_count() == before


def test_a_taken_port_is_reported_to_the_caller(fake: FakeKraken, server: FakeKrakenServer) -> None:
    """A port in use raises in start(), not in the thread."""
    with pytest.raises(OSError, match="address"):
        FakeKrakenServer(fake, port=int(server.url.rpartition(":")[2])).start()


def test_without_aiohttp_the_install_line_is_named(fake: FakeKraken, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"pip install 'krakenonce\[testing\]'"):
        FakeKrakenServer(fake).start()
