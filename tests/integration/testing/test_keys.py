"""Several API keys of one account: what is the account's, and what is each key's."""

from __future__ import annotations

import re
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from tests.integration.kraken.helpers import as_http, signed
from tests.integration.testing.helpers import NOW, ORDER, Caller, Wire

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

INVALID_KEY = "EAPI:Invalid key"


def with_key(first: Caller, **settings: Any) -> Caller:
    """Return a caller with another key of the same account."""
    return Caller(first.fake, first.account, key=first.fake.add_key(first.account, **settings))


def test_keys_share_funds_orders_and_trades(payer: Caller) -> None:
    """What one key does, another one sees and changes."""
    other = with_key(payer)
    txid = payer.place(volume="0.1", price="50000", cl_ord_id="mine")
    assert list(other.result("OpenOrders")["open"]) == [txid]
    assert other.error("AddOrder", **ORDER, cl_ord_id="mine") == "EOrder:Duplicate cl_ord_id"
    assert other.error("AddOrder", **ORDER | {"volume": "0.1", "price": "50000"}) == "EOrder:Insufficient funds"
    other.fake.fill(txid, now=NOW)
    assert other.result("Balance") == payer.result("Balance") == {"ZUSD": "4992.0000", "XXBT": "0.6000000000"}
    assert tuple(other.result("TradesHistory")["trades"]) == payer.account.done[txid].trades
    refid = other.result("Withdraw", asset="XBT", key="fake-key", amount="0.2")["refid"]
    assert payer.result("WithdrawCancel", asset="XBT", refid=refid) is True


def test_the_dead_mans_switch_is_the_accounts(caller: Caller) -> None:
    """Each key sets it anew for all orders."""
    other, txid = with_key(caller), caller.place()
    caller.result("CancelAllOrdersAfter", timeout=60)
    other.result("CancelAllOrdersAfter", timeout=100)
    caller.now += 61
    assert caller.look(txid)["status"] == "open"
    caller.now += 40
    assert caller.look(txid)["status"] == "canceled"


def test_each_key_has_its_own_nonces_window_and_permissions(fake: FakeKraken, caller: Caller) -> None:
    """They do not get in each other's way; the log and its message name the key."""
    other = with_key(caller, last_nonce=10**18, nonce_window=10, permissions=["query-funds"], otp="123456")
    caller.result("Balance")
    assert other.result("Balance", otp="123456") == {}
    assert other.error("Balance") == "EAPI:Invalid otp"
    assert other.error("AddOrder", **ORDER, otp="123456") == "EGeneral:Permission denied"
    assert (caller.key.last_nonce, other.key.last_nonce) == (1, 10**18 + 3)
    below = signed(other.key, "Balance", 10**18 - 5, {"otp": "123456"})
    assert fake.answer(*below, NOW)["error"] == []
    assert fake.answer(*signed(caller.key, "Balance", 1), NOW) == {"error": ["EAPI:Invalid nonce"]}
    assert [each.key_name for each in fake.arrivals[:2]] == ["bot", "bot 2"]
    assert {each.account for each in fake.arrivals} == {"bot"}
    fake.answer(*signed(other.key, "Balance", 1), NOW)
    with pytest.raises(AssertionError, match=r"bot 2: Balance with nonce 1;"):
        fake.assert_no_invalid_nonce()


def test_a_lockout_is_the_keys(fake: FakeKraken, caller: Caller) -> None:
    """The other key of the account goes on."""
    fake.rules.change(lockout_after=2)
    other = with_key(caller)
    for _ in range(2):
        fake.answer(*signed(other.key, "Balance", 0), NOW)
    assert other.error("Balance") == "EGeneral:Temporary lockout"
    assert caller.result("Balance") == {}


def test_a_key_counts_its_calls_and_the_account_its_orders(fake: FakeKraken, caller: Caller) -> None:
    """The REST counter is the key's; the trading counter of a pair is the account's."""
    fake.rules.tier = "starter"
    other = with_key(caller)
    for _ in range(15):
        caller.result("Balance")
    assert caller.error("Balance") == "EAPI:Rate limit exceeded"
    assert other.result("Balance") == {}
    for number in range(60):
        (caller, other)[number % 2].place(timeinforce="IOC")
    assert caller.error("AddOrder", **ORDER) == other.error("AddOrder", **ORDER) == "EOrder:Rate limit exceeded"


def test_the_limit_of_open_orders_is_the_accounts(fake: FakeKraken, caller: Caller) -> None:
    """The orders of all its keys count together, and each key may make room for the others."""
    fake.rules.tier = "starter"
    callers = [caller, *(with_key(caller) for _ in range(3))]
    placed = []
    for number in range(60):
        for each in callers:
            each.now += 2
        placed.append(callers[number % 4].place())
    assert {each.error("AddOrder", **ORDER) for each in callers} == {"EOrder:Orders limit exceeded"}
    callers[1].result("CancelOrder", txid=placed[0])
    callers[2].place()


def test_a_key_may_expire(fake: FakeKraken, caller: Caller) -> None:
    """From then on it is an invalid key, and the others are not."""
    other = with_key(caller, valid_until=NOW + 60)
    assert other.result("GetApiKeyInfo")["validUntil"] == str(int(NOW) + 60)
    caller.now = other.now = NOW + 60
    assert other.error("Balance") == INVALID_KEY
    assert caller.result("Balance") == {}


def test_a_key_may_be_revoked_while_it_is_used(fake: FakeKraken, caller: Caller) -> None:
    """Its orders stay, as they are the account's."""
    other = with_key(caller)
    txid = other.place()
    fake.revoke(other.key.key)
    assert other.error("Balance") == INVALID_KEY
    assert fake.arrivals[-1].accepted is False
    assert caller.look(txid)["status"] == "open"
    with pytest.raises(ConfigError, match="no such key"):
        fake.revoke("guess")


def test_a_key_tells_what_it_is(fake: FakeKraken, caller: Caller) -> None:
    """GetApiKeyInfo: its own settings, and the nonce of this very call, also below the last one."""
    key = fake.add_key(caller.account, "reader", nonce_window=10, permissions=["query-ledger", "query-funds"])
    other = Caller(fake, caller.account, key=key)
    info = other.result("GetApiKeyInfo")
    assert re.fullmatch("AA[0-9]{2} N84G [A-Z0-9]{4} [A-Z0-9]{4}", info.pop("iban"))
    assert abs(int(info.pop("createdTime")) - fake.time()) < 60
    assert abs(int(info.pop("modifiedTime")) - fake.time()) < 60
    assert info == {
        "apiKeyName": "reader",
        "apiKey": key.key,
        "nonce": "1",
        "nonceWindow": 10,
        "permissions": ["query-funds", "query-ledger"],
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "ipAllowlist": [],
        "lastUsed": str(int(NOW)),
    }
    key.last_nonce = 100
    below = fake.answer(*signed(key, "GetApiKeyInfo", 95), NOW)["result"]
    assert (below["nonce"], key.last_nonce) == ("95", 100)
    assert below["iban"] == caller.result("GetApiKeyInfo")["iban"]


def test_a_key_is_there_once(fake: FakeKraken, account: FakeAccount) -> None:
    """A second one of the same text, a setting that keys do not have, and a secret that is none are explained."""
    with pytest.raises(ConfigError, match="already"):
        fake.add_key(account, key=account.key)
    with pytest.raises(ConfigError, match="already"):
        fake.add_account("other", key=account.key)
    with pytest.raises(ConfigError, match="has no window"):
        fake.add_key(account, window=5)
    with pytest.raises(ConfigError):
        fake.add_key(account, secret="no base64")
    assert (len(account.keys), list(fake.accounts.values())) == (1, [account])


def test_the_requests_of_all_keys_of_an_account_are_in_flight_together(
    fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer
) -> None:
    """Too many get the time, in seconds since 1970, from which on the account may go on; other accounts go on."""
    fake.rules.max_in_flight = 1
    fake.faults.add("Balance", "slow_answer", seconds=1000)
    second, stranger = fake.add_key(account), fake.add_account("stranger")
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as sender:
        sender.sendall(as_http(*signed(account, "Balance", 1)))
        while not fake.arrivals:
            threading.Event().wait(0.001)
        assert re.fullmatch(r"EService:Throttled: [0-9]{10}", Wire(server.url, second).reply("Balance")["error"][0])
        assert Wire(server.url, stranger).reply("Balance")["error"] == []
