"""Answers of a CDN or a firewall in front of Kraken, through the gateway."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from krakenonce.brokers import Account
from krakenonce.errors import AccessBlocked
from krakenonce.kraken import Kraken
from krakenonce.kraken.wire import decode_secret, sign
from krakenonce.manager import NonceManager
from tests.integration.gateway.conftest import ORDER, RunningGateway, call, fetch, until
from tests.integration.kraken.helpers import OK, ScriptedServer
from tests.integration.kraken.test_blocked import PAGE, SOON, answer, tell_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount


@pytest.fixture
def account(master: FakeAccount) -> Account:
    """An account whose calls are counted."""
    return Account("MASTER", master.key, master.secret, "pro")


def test_too_many_requests_are_passed_on_and_heeded(account: Account, tmp_path: Path) -> None:
    """Status, page and Retry-After are the client's; until then nothing is sent for anybody, and no nonce is taken."""
    with (
        ScriptedServer(answer(429, Retry_After="30")) as kraken,
        RunningGateway(kraken.url, [account], tmp_path, max_wait=5) as gateway,
    ):
        pair = gateway.add("bot")
        got = call(gateway.url, pair, "AddOrder", ORDER)
        assert (got.status, got.body.decode(), got.headers["Retry-After"]) == (429, PAGE, "30")
        issued = gateway.accounts["MASTER"].keys[0].api_key._manager.stats().issued
        later = call(gateway.url, gateway.add("other"), "Balance")
        public = fetch(gateway.url, "GET", "/0/public/Time")
        assert gateway.accounts["MASTER"].keys[0].api_key._manager.stats().issued == issued
        assert len(kraken.requests) == 1
    assert (later.status, later.errors) == (200, ["EAPI:Rate limit exceeded"])
    assert (public.status, public.errors) == (200, ["EAPI:Rate limit exceeded"])
    for each in (later, public):
        assert each.headers["X-Krakenonce-Executed"] == "no"
        assert "wants no call for another" in each.headers["X-Krakenonce-Explanation"]


def test_calls_that_wait_for_their_turn_are_not_sent_either(account: Account, tmp_path: Path) -> None:
    """They came before Kraken wanted no more; they are refused without a nonce."""
    enough = threading.Event()

    def later() -> Iterator[bytes]:
        enough.wait()
        yield answer(429, Retry_After="30")

    with (
        ScriptedServer() as kraken,
        RunningGateway(kraken.url, [account], tmp_path) as gateway,
        ThreadPoolExecutor(4) as pool,
    ):
        kraken._script = later()
        pair = gateway.add("bot")
        calls = [pool.submit(call, gateway.url, pair, "Balance") for _ in range(4)]
        try:
            until(lambda: gateway.waiting() == 3)
        finally:
            enough.set()
        statuses = sorted(each.result().status for each in calls)
        assert gateway.accounts["MASTER"].keys[0].api_key._manager.stats().issued == len(kraken.requests) == 1
    assert statuses == [200, 200, 200, 429]


def test_a_short_wait_is_waited(account: Account, tmp_path: Path) -> None:
    """A call that comes meanwhile is sent when Kraken wants calls again."""
    with (
        ScriptedServer(answer(429, Retry_After=SOON), OK) as kraken,
        RunningGateway(kraken.url, [account], tmp_path) as gateway,
    ):
        pair = gateway.add("bot")
        assert call(gateway.url, pair, "Balance").status == 429
        assert call(gateway.url, pair, "Balance").errors == []


def test_a_public_call_has_retry_after_too(account: Account, tmp_path: Path) -> None:
    """Whoever asks without a key learns when to come back, and by which id Cloudflare knows the request."""
    with (
        ScriptedServer(answer(429, Retry_After="30", CF_RAY="8c1-FRA")) as kraken,
        RunningGateway(kraken.url, [account], tmp_path) as gateway,
    ):
        got = fetch(gateway.url, "GET", "/0/public/Ticker")
    assert (got.status, got.headers["Retry-After"], got.headers["CF-RAY"]) == (429, "30", "8c1-FRA")


@pytest.mark.parametrize("status", [403, 429])
def test_a_lockout_counts_with_any_status(account: Account, tmp_path: Path, status: int) -> None:
    """Kraken's word of it closes the key, whatever the status of its answer is."""
    locked = answer(status, '{"error":["EGeneral:Temporary lockout"]}')
    with ScriptedServer(locked) as kraken, RunningGateway(kraken.url, [account], tmp_path) as gateway:
        pair = gateway.add("bot")
        assert call(gateway.url, pair, "Balance").status == status
        assert gateway.accounts["MASTER"].keys[0].api_key.locked_out() > 800


@pytest.mark.parametrize("page", [answer(403), answer(503, cf_mitigated="challenge")], ids=["403", "503"])
def test_our_client_behind_the_gateway_learns_of_a_page_that_blocks(
    account: Account, tmp_path: Path, page: bytes
) -> None:
    """The same error as without a gateway; the order is sent once."""
    with (
        ScriptedServer(page) as kraken,
        RunningGateway(kraken.url, [account], tmp_path / "gateway") as gateway,
    ):
        pair = gateway.add("bot")
        manager = NonceManager("memory:")
        with Kraken(pair.key, pair.secret, manager=manager, base_url=gateway.url) as client:
            tell_time(client)
            with pytest.raises(AccessBlocked):
                client.add_order("XBTUSD", "buy", 1, 1)
        assert len(kraken.requests) == 1


def test_a_client_that_signs_other_bytes_than_it_sends_is_told_so(gateway: RunningGateway, pair: LocalKey) -> None:
    """The secret is right, and the message does not say that it alone is wrong."""
    path, signed, sent = "/0/private/AddOrder", b"nonce=1&validate=True", b"nonce=1&validate=true"
    headers = {"API-Key": pair.key, "API-Sign": sign(path, 1, signed, decode_secret(pair.secret))}
    got = fetch(gateway.url, "POST", path, sent, headers)
    assert got.errors == ["EAPI:Invalid signature"]
    assert "signed other bytes than it sent" in got.headers["X-Krakenonce-Explanation"]


@pytest.mark.parametrize("status", [403, 429, 502])
def test_a_page_that_is_not_kraken_s_is_counted_and_shown(account: Account, tmp_path: Path, status: int) -> None:
    """Whoever watches the gateway sees that its address is blocked, or Kraken's front end down."""
    with ScriptedServer(answer(status)) as kraken, RunningGateway(kraken.url, [account], tmp_path) as gateway:
        call(gateway.url, gateway.add("bot"), "Balance")
        assert gateway.accounts["MASTER"].keys[0].refused == {"page": 1}
        (refusal,) = gateway.activity.refusals
    assert refusal[1:5] == ("bot", "MASTER", "Balance", "refused")
    assert refusal.reason == f"a page with HTTP status {status}, not from Kraken's API"
