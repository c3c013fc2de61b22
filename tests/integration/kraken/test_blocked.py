"""Answers of a CDN, a firewall or a proxy in front of Kraken, over real HTTP and through both clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from krakenonce import errors
from krakenonce.errors import AccessBlocked, RateLimited
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import OK, ScriptedServer, Twin
from tests.integration.kraken.test_client import ECHO, KEY, SECRET, assert_discreet

PAGE = "<html><h1>Attention</h1></html>"
SOON = "0.2"


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


def answer(status: int, body: str = PAGE, **headers: str) -> bytes:
    """Return an HTTP answer."""
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


def tell_time(client: Any) -> None:
    """Tell a client what time it is at Kraken, else it asks before its first order."""
    time = client.calls.time
    time.note_seconds(int(time.local()), time.steady())


def made(kind: str, url: str, **more: Any) -> Twin:
    """Return a client that knows the time."""
    twin = Twin(kind, KEY, SECRET, base_url=url, **{"manager": NonceManager("memory:"), "tier": "starter", **more})
    tell_time(twin.client)
    return twin


CALLS = {"private": ("balances",), "public": ("server_time",), "order": ("add_order", "XBTUSD", "buy", "1", "1")}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "page", [answer(403), answer(401), answer(503, cf_mitigated="challenge")], ids=["403", "401", "503"]
)
def test_a_page_that_blocks_is_an_error_of_its_own(kind: str, page: bytes, call: tuple[str, ...]) -> None:
    """The call is not repeated, whatever it is; it was not executed, and the message says where to look."""
    with ScriptedServer(page) as server, made(kind, server.url) as twin:
        with pytest.raises(AccessBlocked, match=r"CDN, firewall or proxy .* was not executed.*proxy and VPN") as caught:
            twin(*call)
        assert len(server.requests) == 1
    assert caught.value.may_have_executed == "no"


def test_a_page_that_quotes_the_key_is_shown_without_it(kind: str) -> None:
    """The message has its beginning, and no secret."""
    with (
        ScriptedServer(ECHO) as server,
        made(kind, server.url) as twin,
        pytest.raises(AccessBlocked, match=r"403 .*Bad key: \(key\)") as caught,
    ):
        twin("query_private", "Balance")
    assert_discreet(caught.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_too_many_requests_say_when_to_come_back(kind: str, call: tuple[str, ...]) -> None:
    """A wait that is longer than max_wait is an error, which has the seconds; nothing else is sent before."""
    with ScriptedServer(answer(429, Retry_After="30")) as server:
        with made(kind, server.url, max_wait=20) as twin:
            with pytest.raises(RateLimited, match=r"Too many requests\. Wait 30 s") as caught:
                twin(*call)
            assert (caught.value.retry_after, caught.value.may_have_executed) == (30, "unknown")
        manager = NonceManager("memory:")
        with made(kind, server.url, max_wait=20, manager=manager, tier="none") as other:
            for again in CALLS.values():
                with pytest.raises(RateLimited, match=r"Not sent: .*429.*another (29|30)\.\d s"):
                    other(*again)
            with pytest.raises(RateLimited, match="Not sent"):
                other("query_private", "Balance")
        assert len(server.requests) == 1
        assert manager.peek() is None  # and no nonce is taken


def test_a_short_wait_is_waited_and_the_call_made_again(kind: str) -> None:
    """With a new nonce, if it only reads."""
    with ScriptedServer(answer(429, Retry_After=SOON), OK) as server:
        with made(kind, server.url) as twin:
            twin("balances")
        nonces = [request.partition(b"nonce=")[2].partition(b"&")[0] for request in server.requests]
    assert len(set(nonces)) == 2


def test_a_public_call_waits_and_is_made_again_too(kind: str) -> None:
    """It changes nothing; one that may not wait so long has the error at once."""
    with ScriptedServer(answer(429, Retry_After=SOON), OK) as server:
        with made(kind, server.url) as twin:
            assert twin("public", "Ticker", pair="XBTUSD") == {}
        assert len(server.requests) == 2
    with ScriptedServer(answer(429, Retry_After="30")) as server:
        with made(kind, server.url, max_wait=20) as twin, pytest.raises(RateLimited, match="Wait 30 s"):
            twin("public", "Ticker", pair="XBTUSD")
        assert len(server.requests) == 1


def test_an_order_is_not_made_again(kind: str) -> None:
    """Nobody says whether the page comes before or after Kraken; the error leads to the order."""
    with ScriptedServer(answer(429, Retry_After=SOON), OK) as server:
        with made(kind, server.url) as twin, pytest.raises(RateLimited) as caught:
            twin("add_order", "XBTUSD", "buy", "1", "1")
        assert len(server.requests) == 1
    assert (caught.value.may_have_executed, caught.value.order.method) == ("unknown", "AddOrder")


def test_calls_of_others_wait_as_well(kind: str) -> None:
    """Another client of this process, with another key, goes on when the host wants calls again."""
    with ScriptedServer(answer(429, Retry_After=SOON), OK) as server:
        with made(kind, server.url, max_wait=0) as twin, pytest.raises(RateLimited):
            twin("balances")
        with Twin(kind, f"{KEY}2", SECRET, manager=NonceManager("memory:"), base_url=server.url) as other:
            assert other("balances") == {}
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 429])
@pytest.mark.parametrize(
    ("string", "error"),
    [
        ("EAPI:Invalid key", errors.InvalidKey),
        ("EGeneral:Permission denied", errors.PermissionDenied),
        ("EGeneral:Temporary lockout", errors.LockedOut),
        ("EGeneral:Something new", errors.UnknownKrakenError),
    ],
)
def test_kraken_s_own_refusal_counts_with_any_status(
    kind: str, status: int, string: str, error: type[errors.KrakenAPIError]
) -> None:
    """What Kraken says is more than its status says."""
    body = json.dumps({"error": [string]})
    with ScriptedServer(answer(status, body, Retry_After="0")) as server, made(kind, server.url) as twin:
        with pytest.raises(error, match=string):
            twin("balances")
        assert len(server.requests) == 1


def test_kraken_s_own_refusal_says_when_to_come_back_too(kind: str) -> None:
    """Its error has the seconds of Retry-After: before that, nothing is sent."""
    body = json.dumps({"error": ["EAPI:Rate limit exceeded"]})
    with ScriptedServer(answer(429, body, Retry_After="30")) as server, made(kind, server.url, max_wait=20) as twin:
        with pytest.raises(RateLimited, match="EAPI:Rate limit exceeded") as caught:
            twin("balances")
        assert len(server.requests) == 1
    assert caught.value.retry_after == pytest.approx(30, abs=1)


@pytest.mark.parametrize("body", ['{"error": "forbidden"}', '{"error": []}', '{"error": [], "result": {}}', "[]", "{}"])
def test_json_of_another_server_is_not_kraken_s(kind: str, body: str) -> None:
    """With status 403 it is neither a refusal of Kraken's nor a result."""
    with ScriptedServer(answer(403, body)) as server, made(kind, server.url) as twin, pytest.raises(AccessBlocked):
        twin("balances")


def test_a_call_that_was_refused_on_the_way_costs_no_room(kind: str) -> None:
    """It did not reach Kraken, so it is not counted: starter has room for 15 reads."""
    manager = NonceManager("memory:")
    with ScriptedServer(answer(429, Retry_After="0"), OK) as server, made(kind, server.url, manager=manager) as twin:
        twin("balances")
        assert twin.client.calls.api_key.levels().rest == pytest.approx(1, abs=0.1)
