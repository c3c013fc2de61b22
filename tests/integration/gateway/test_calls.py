"""Calls through the gateway: unmodified clients, every byte as sent, and who may call what."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ccxt
import ccxt.async_support
import krakenex
import pytest
from kraken.spot import SpotAsyncClient, SpotClient

from krakenonce.errors import PermissionDenied
from krakenonce.kraken import Kraken
from krakenonce.kraken.wire import FORM, JSON
from krakenonce.manager import NonceManager
from tests.integration.gateway.conftest import ORDER, PATIENCE, call, fetch, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from tests.integration.gateway.conftest import RunningGateway, WatchedKraken

CALLS = 15  # of each client


def by_krakenex(url: str, pair: LocalKey) -> None:
    """Call with krakenex."""
    api = krakenex.API(pair.key, pair.secret)
    api.uri = url
    for _ in range(CALLS):
        assert api.query_private("Balance")["error"] == []
    api.close()


def by_ccxt(url: str, pair: LocalKey) -> None:
    """Call with ccxt."""
    exchange = ccxt.kraken({"apiKey": pair.key, "secret": pair.secret, "enableRateLimit": False})
    exchange.urls["api"].update(public=url, private=url)
    for _ in range(CALLS):
        assert exchange.private_post_balance()["error"] == []
    exchange.session.close()


def by_async_ccxt(url: str, pair: LocalKey) -> None:
    """Call with ccxt's asynchronous client, all at once."""

    async def main() -> None:
        exchange = ccxt.async_support.kraken({"apiKey": pair.key, "secret": pair.secret, "enableRateLimit": False})
        exchange.urls["api"].update(public=url, private=url)
        answers = await asyncio.gather(*(exchange.private_post_balance() for _ in range(CALLS)))
        await exchange.close()
        assert [answer["error"] for answer in answers] == [[]] * CALLS

    asyncio.run(main())


def by_sdk(url: str, pair: LocalKey) -> None:
    """Call with python-kraken-sdk, which raises on an error."""
    with SpotClient(pair.key, pair.secret, url=url) as client:
        for _ in range(CALLS):
            client.request("POST", "/0/private/Balance")


def by_async_sdk(url: str, pair: LocalKey) -> None:
    """Call with python-kraken-sdk's asynchronous client, all at once."""

    async def main() -> None:
        async with SpotAsyncClient(pair.key, pair.secret, url=url) as client:
            await asyncio.gather(*(client.request("POST", "/0/private/Balance") for _ in range(CALLS)))

    asyncio.run(main())


def by_kraken(url: str, pair: LocalKey) -> None:
    """Call with our own client, which raises on an error."""
    with Kraken(pair.key, pair.secret, tier="none", base_url=url) as client:
        for _ in range(CALLS):
            client.private("Balance")


# As in Kraken's own example for a shell.
CURL = r"""
digest=$(printf '%s%s' "$NONCE" "nonce=$NONCE" | openssl dgst -sha256 -binary | od -An -tx1 | tr -d ' \n')
path=$(printf '/0/private/Balance' | od -An -tx1 | tr -d ' \n')
secret=$(printf '%s' "$SECRET" | openssl base64 -d -A | od -An -tx1 | tr -d ' \n')
to_bytes() { printf "$(sed 's/../\\x&/g')"; }
sign=$(printf '%s%s' "$path" "$digest" | to_bytes |
       openssl dgst -sha512 -mac HMAC -macopt "hexkey:$secret" -binary | openssl base64 -A)
curl -sS $OPTIONS --noproxy '*' -H "API-Key: $KEY" -H "API-Sign: $sign" -d "nonce=$NONCE" "$URL/0/private/Balance"
"""


def by_curl(url: str, pair: LocalKey) -> None:
    """Call with nothing but curl and openssl, signed as Kraken documents it."""
    for nonce in range(CALLS):
        env = {"URL": url, "KEY": pair.key, "SECRET": pair.secret, "NONCE": str(nonce), "PATH": os.environ["PATH"]}
        done = subprocess.run(["/bin/bash", "-c", CURL], env=env, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["error"] == []


def by_node_ccxt(url: str, pair: LocalKey) -> None:
    """Call with ccxt's npm package under Node.js, all at once."""
    words = ("node", Path(__file__).parent / "node" / "bot.mjs", url, pair.key, pair.secret, str(CALLS))
    env = {"PATH": os.environ["PATH"], "NODE_MODULES": str(NODE_MODULES)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[]] * CALLS


NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
IN_PYTHON = (by_krakenex, by_ccxt, by_async_ccxt, by_sdk, by_async_sdk, by_kraken)
NOT_IN_PYTHON: dict[Callable[[str, LocalKey], None], bool] = {
    by_curl: bool(shutil.which("curl") and shutil.which("openssl")),
    by_node_ccxt: bool(shutil.which("node") and (NODE_MODULES / "ccxt").exists()),
}
CLIENTS = (*IN_PYTHON, *(client for client, is_here in NOT_IN_PYTHON.items() if is_here))


@pytest.mark.parametrize("client", NOT_IN_PYTHON)
def test_a_client_need_not_be_python(
    gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, client: Callable[[str, LocalKey], None]
) -> None:
    """A shell script with curl and openssl, and ccxt under Node.js, as they are."""
    if not NOT_IN_PYTHON[client]:
        pytest.skip("needs curl and openssl, or Node.js and npm when .venv is made")
    client(gateway.url, pair)
    assert len(fake.accepted()) == len(fake.arrivals) == CALLS


def test_all_unmodified_clients_at_once_share_one_key(
    gateway: RunningGateway, fake: WatchedKraken, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Every kind of client that is here, all on one Kraken key: not one call is refused."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "client"))
    pairs = [gateway.add(f"bot{number}") for number in range(len(CLIENTS))]
    with ThreadPoolExecutor(len(pairs)) as pool:
        calls = [pool.submit(client, gateway.url, own) for client, own in zip(CLIENTS, pairs, strict=True)]
        for each in calls:
            each.result(PATIENCE * 2)
    assert len(fake.accepted()) == len(fake.arrivals) == len(CLIENTS) * CALLS


@pytest.mark.parametrize(
    ("path", "content_type", "before", "after"),
    [
        ("AddOrder", FORM, ORDER.encode() + b"&nonce=", b"&userref=%31&cl_ord_id=a+b%2Fc&&x="),
        ("AddOrder", FORM + "; charset=UTF-8", b"nonce=", b"&" + ORDER.encode()),
        ("AddOrder", JSON, b'{ "pair":"XBTUSD", "nonce" : ', b',"price": "1.10e2",\n "note":"\\u00e4 \xc3\xa4"}'),
        ("GetCustodyTask?id=T%41-1&b=%2f", FORM, b"nonce=", b""),
    ],
)
def test_nothing_but_the_nonce_is_changed(
    gateway: RunningGateway, fake: WatchedKraken, path: str, content_type: str, before: bytes, after: bytes
) -> None:
    """Path, query string, content type and all other bytes come to Kraken as the client sent them."""
    pair = gateway.add("all", "query", "trade", "other")
    body = before + b"12" + after
    headers = signed(pair, f"/0/private/{path}", 12, body, content_type)
    got = fetch(gateway.url, "POST", f"/0/private/{path}", body, headers)
    (seen,), (arrival,) = fake.seen, fake.arrivals
    assert arrival.accepted
    assert str(arrival.nonce) == got.headers["X-Krakenonce-Nonce"] != "12"
    assert seen.body == before + str(arrival.nonce).encode() + after
    assert (seen.path, seen.headers["Content-Type"]) == (f"/0/private/{path}", content_type)


def test_a_body_without_a_content_type_comes_as_the_form_it_was_read_as(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey
) -> None:
    """An empty header would leave it to Kraken what to make of it."""
    path, body = "/0/private/Balance", b"nonce=1"
    headers = {name: text for name, text in signed(pair, path, 1, body).items() if name != "Content-Type"}
    assert fetch(gateway.url, "POST", path, body, headers).errors == []
    assert fake.seen[0].headers["Content-Type"] == FORM


def test_a_nonce_that_was_text_in_json_stays_text(gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey) -> None:
    """The quotes stay, for parsers that would round the nonce."""
    body = b'{"nonce":"12"}'
    fetch(gateway.url, "POST", "/0/private/Balance", body, signed(pair, "/0/private/Balance", 12, body, JSON))
    assert fake.seen[0].body == b'{"nonce":"%d"}' % (fake.arrivals[0].nonce or 0)


def test_kraken_sees_none_of_the_local_pair(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, master: FakeAccount
) -> None:
    """The request carries the real key, and the answer carries neither."""
    got = call(gateway.url, pair, "Balance")
    (seen,) = fake.seen
    assert seen.headers["API-Key"] == master.key
    assert pair.key not in str(seen)
    for secret in (master.key, master.secret, pair.secret):
        assert secret not in got.body.decode() + str(got.headers)


def test_the_answer_comes_back_as_it_came(gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey) -> None:
    """Status, content type and body are Kraken's; what the gateway adds is in headers."""
    fine = call(gateway.url, pair, "Balance")
    assert (fine.status, json.loads(fine.body)) == (200, {"error": [], "result": {}})
    assert fine.headers["Content-Type"] == "application/json; charset=utf-8"
    fake.faults.add("Balance", "html", status=520)
    odd = call(gateway.url, pair, "Balance")
    assert (odd.status, odd.headers["Content-Type"]) == (520, "text/html; charset=utf-8")
    assert odd.body.startswith(b"<html>")
    refused = call(gateway.url, pair, "CancelOrder", "txid=O")
    assert refused.errors == ["EOrder:Invalid order"]
    for got in (fine, odd, refused):
        assert int(got.headers["X-Krakenonce-Nonce"]) > 1
        assert float(got.headers["X-Krakenonce-Waited"]) >= 0
        assert float(got.headers["X-Krakenonce-Upstream"]) > 0
        assert "X-Krakenonce-Executed" not in got.headers


def assert_refused(fake: WatchedKraken, got: Any, error: str) -> None:
    """A refusal is Kraken's in shape, says that nothing was done, and nothing was sent."""
    assert (got.status, got.errors) == (200, [error])
    assert got.headers["Content-Type"].startswith("application/json")
    assert got.headers["X-Krakenonce-Executed"] == "no"
    assert got.headers["X-Krakenonce-Explanation"]
    assert fake.arrivals == []


def test_a_key_that_is_not_the_gateway_s_is_refused(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, master: FakeAccount
) -> None:
    """Not even Kraken's own key opens the gateway, nor no key at all."""
    for key in (master.key, pair.key[:-1], pair.key.lower(), ""):
        headers = signed(pair, "/0/private/Balance", 1, b"nonce=1") | {"API-Key": key}
        got = fetch(gateway.url, "POST", "/0/private/Balance", b"nonce=1", headers)
        assert_refused(fake, got, "EAPI:Invalid key")
    assert_refused(fake, fetch(gateway.url, "POST", "/0/private/Balance"), "EAPI:Invalid key")


def test_a_wrong_signature_is_refused(gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey) -> None:
    """Over another body, path, secret, or none at all."""
    path, body = "/0/private/Balance", b"nonce=1"
    other = gateway.add("other")
    signatures = (
        signed(pair, path, 1, b"nonce=1&x=1")["API-Sign"],
        signed(pair, "/0/private/TradeBalance", 1, body)["API-Sign"],
        signed(pair, path + "?x=1", 1, body)["API-Sign"],
        signed(other, path, 1, body)["API-Sign"],
        "",
        "x",
        signed(pair, path, 1, body)["API-Sign"][:-1],
    )
    for signature in signatures:
        headers = signed(pair, path, 1, body) | {"API-Sign": signature}
        assert_refused(fake, fetch(gateway.url, "POST", path, body, headers), "EAPI:Invalid signature")
    assert call(gateway.url, pair, "Balance").errors == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"", FORM),
        (b"x=1", FORM),
        (b"nonce=", FORM),
        (b"nonce=1x", FORM),
        (b"nonce=1&nonce=1", FORM),
        (b"nonce=1&%6eonce=2", FORM),
        (b"{}", JSON),
        (b'{"nonce":1.5}', JSON),
        (b'{"nonce":1', JSON),
        (b'["nonce",1]', JSON),
        (b"nonce=1", JSON),
        (b'{"nonce":1,"nonce":1}', JSON),
        (b'{"nonce":1,"n\\u006fnce":1}', JSON),
        (b'\xef\xbb\xbf{"nonce":1}', JSON),
    ],
)
def test_a_body_without_exactly_one_nonce_is_not_sent(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, body: bytes, content_type: str
) -> None:
    """However well it is signed; of two in JSON, parsers do not agree on which counts."""
    headers = signed(pair, "/0/private/Balance", 1, body, content_type)
    got = fetch(gateway.url, "POST", "/0/private/Balance", body, headers)
    assert_refused(fake, got, "EAPI:Invalid nonce")


@pytest.mark.parametrize(
    "method", ["Withdraw", "WalletTransfer", "GetWebSocketsToken", "Nonsense", "With%64raw", "Balance/../Withdraw"]
)
def test_what_is_not_on_the_list_is_refused(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, method: str
) -> None:
    """A trading bot withdraws nothing, and spelling a method in another way does not help."""
    assert_refused(fake, call(gateway.url, pair, method), "EGeneral:Permission denied")


@pytest.mark.parametrize("where", ["body", "query string"])
def test_a_new_deposit_address_is_more_than_a_query(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, where: str
) -> None:
    """To look at the addresses is one thing, to have another one made is a right of its own."""
    params = "asset=XBT&method=Bitcoin"
    assert call(gateway.url, pair, "DepositAddresses", params).headers["X-Krakenonce-Nonce"]
    fake.arrivals.clear()
    got = (
        call(gateway.url, pair, "DepositAddresses", params + "&new=true")
        if where == "body"
        else call(gateway.url, pair, "DepositAddresses?new=true", params)
    )
    assert_refused(fake, got, "EGeneral:Permission denied")


def test_the_query_string_counts_beside_json_too(gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey) -> None:
    """A parameter counts wherever it is."""
    path, body = "/0/private/DepositAddresses?new=true", b'{"nonce":1,"asset":"XBT","method":"Bitcoin"}'
    got = fetch(gateway.url, "POST", path, body, signed(pair, path, 1, body, JSON))
    assert_refused(fake, got, "EGeneral:Permission denied")


def test_a_header_that_cannot_be_passed_on_as_it_is_is_refused(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey
) -> None:
    """A content type that is not ASCII would come to Kraken as another one."""
    headers = signed(pair, "/0/private/Balance", 1, b"nonce=1", FORM + "; x=\xff")
    got = fetch(gateway.url, "POST", "/0/private/Balance", b"nonce=1", headers)
    assert_refused(fake, got, "EGeneral:Invalid arguments")


@pytest.mark.parametrize("path", ["Balance#", "Balance#x", "Balance?x=1#y", "Balance?"])
def test_a_path_that_would_not_come_to_kraken_as_it_is_is_refused(
    gateway: RunningGateway, fake: WatchedKraken, path: str
) -> None:
    """What is left away on the way makes the signature wrong, and Kraken closes a key after a few of these."""
    pair = gateway.add("all", "query", "other")
    assert_refused(fake, call(gateway.url, pair, path), "EGeneral:Invalid arguments")


def test_a_parameter_that_cannot_be_read_hides_no_other(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey
) -> None:
    """A number with thousands of digits, which our parser refuses, does not make a new address a query."""
    body = b'{"nonce":1,"asset":"XBT","method":"Bitcoin","new":true,"x":' + b"1" * 5000 + b"}"
    headers = signed(pair, "/0/private/DepositAddresses", 1, body, JSON)
    got = fetch(gateway.url, "POST", "/0/private/DepositAddresses", body, headers)
    assert_refused(fake, got, "EGeneral:Invalid arguments")


def test_revoking_and_rotating_take_effect_with_the_next_call(gateway: RunningGateway, fake: WatchedKraken) -> None:
    """No restart, no waiting."""
    first, second = gateway.add("first"), gateway.add("second")
    assert call(gateway.url, first, "Balance").errors == call(gateway.url, second, "Balance").errors == []
    fake.arrivals.clear()
    gateway.local_keys.revoke("first")
    renewed = gateway.local_keys.rotate("second")
    assert_refused(fake, call(gateway.url, first, "Balance"), "EAPI:Invalid key")
    assert_refused(fake, call(gateway.url, second, "Balance"), "EAPI:Invalid key")
    assert call(gateway.url, renewed, "Balance").errors == []


def test_other_paths_and_verbs_are_refused(gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey) -> None:
    """The gateway is not an open proxy."""
    for path in ("/", "/0/", "/fake/arrivals", "/0/privateX/Balance", "//0/private/Balance"):
        assert fetch(gateway.url, "POST", path).status == 404, path
    for verb in ("GET", "PUT", "DELETE", "PATCH"):
        assert fetch(gateway.url, verb, "/0/private/Balance").status == 405, verb
    assert fetch(gateway.url, "DELETE", "/0/public/Time").status == 405
    assert (fake.arrivals, fake.public_calls) == ([], [])


def test_clients_read_kraken_s_time_in_each_answer(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, master: FakeAccount
) -> None:
    """Kraken's answers have its Date header, also a kept one, and so have the gateway's own; orders go by it."""
    fake.rules.change(clock_ahead=500)
    master.balances["ZUSD"] = Decimal(1000)
    with Kraken(pair.key, pair.secret, manager=NonceManager("memory:"), tier="none", base_url=gateway.url) as client:
        client.add_order("XBTUSD", "buy", "0.01", "100")
    answers = [
        call(gateway.url, pair, "Balance"),
        call(gateway.url, pair, "Withdraw"),
        *(fetch(gateway.url, "GET", "/0/public/Assets") for _ in range(2)),
        fetch(gateway.url, "GET", "/nothing"),
    ]
    ahead = [parsedate_to_datetime(got.headers["Date"]).timestamp() - time.time() for got in answers]
    assert all(490 < seconds < 510 for seconds in ahead)


def test_a_gateway_that_does_not_know_kraken_s_time_tells_none(
    gateway: RunningGateway, fake: WatchedKraken, pair: LocalKey, master: FakeAccount
) -> None:
    """A client that was refused by the gateway itself does not take the gateway's clock for Kraken's."""
    fake.rules.change(clock_ahead=500)
    master.balances["ZUSD"] = Decimal(1000)
    with Kraken(pair.key, pair.secret, manager=NonceManager("memory:"), tier="none", base_url=gateway.url) as client:
        with pytest.raises(PermissionDenied):
            client.private("Withdraw", asset="XBT", key="k", amount="1")
        client.add_order("XBTUSD", "buy", "0.01", "100")
    assert len(master.orders) == 1
