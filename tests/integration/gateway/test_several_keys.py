"""An account with several API keys behind one local key: as many calls at once, and the rest as with one key."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.brokers import Account
from krakenonce.gateway.gateway import NONCE_PATH
from krakenonce.key.naming import fingerprint
from krakenonce.testing import FakeKrakenServer
from krakenonce.testing.clock import ManualClock
from tests.integration.gateway.conftest import (
    ORDER,
    RunningGateway,
    WatchedKraken,
    assert_unknown,
    call,
    fetch,
    order_request,
    send,
    send_and_leave,
    signed,
    until,
)
from tests.integration.gateway.stock_client import Call, by_krakenex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from krakenonce.testing.request import Request

KEYS = 8


class CrowdedKraken(WatchedKraken):
    """A fake Kraken that notes how many requests of an account, and of each key, are under way when one is executed."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = 0

    def answer_to(self, request: Request) -> dict[str, Any]:
        """Note it."""
        self.at_once = max(self.at_once, request.in_flight)
        return super().answer_to(request)


@pytest.fixture
def fake() -> CrowdedKraken:
    """A fake Kraken without accounts."""
    return CrowdedKraken()


@pytest.fixture
def master(fake: CrowdedKraken) -> FakeAccount:
    """An account with two keys."""
    account = fake.add_account("MASTER")
    fake.add_key(account)
    return account


def account_of(master: FakeAccount, tier: str = "none") -> Account:
    """The account as the gateway has it, with all keys."""
    return Account("MASTER", keys=[(each.key, each.secret) for each in master.keys], tier=tier)


@pytest.fixture
def gateway(master: FakeAccount, server: FakeKrakenServer, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway that has all keys of one account, and waits half a second for the answer to an order."""
    with RunningGateway(server.url, [account_of(master)], tmp_path / "state", order_timeout=0.5) as running:
        yield running
    assert running.complaints == []


def keys_of(fake: WatchedKraken, *methods: str) -> list[str | None]:
    """The names of the keys with which methods were called, in order."""
    return [each.key_name for each in fake.arrivals if each.method in methods]


def errors(fake: WatchedKraken, method: str) -> list[str | None]:
    """What Kraken has answered to a method, in order."""
    return [each.error for each in fake.arrivals if each.method == method]


class Busy:
    """Keeps the first key that is free busy, so that other calls are made with the next one.

    Args:
        gateway: The gateway.
        pair: A local key.
        fake: The fake Kraken.
        seconds: How long.
    """

    def __init__(self, gateway: RunningGateway, pair: LocalKey, fake: WatchedKraken, seconds: float) -> None:
        self._pool, before = ThreadPoolExecutor(1), len(keys_of(fake, "TradeVolume"))
        fake.faults.add("TradeVolume", "slow_answer", seconds=seconds)
        self._call = self._pool.submit(call, gateway.url, pair, "TradeVolume")
        until(lambda: len(keys_of(fake, "TradeVolume")) > before)

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        assert self._call.result().errors == []
        self._pool.shutdown()


def placed_by_krakenex(url: str, pair: LocalKey, number: int) -> Any:
    """Place one order with stock krakenex, and return Kraken's ids."""
    params = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": str(number + 1)}
    answer: Any = by_krakenex(Call(url, pair.key, pair.secret, 60.0, "AddOrder", params))
    assert answer["error"] == []
    return answer["result"]["txid"]


@pytest.mark.parametrize("gateways", [1, 2])
def test_sixty_stock_clients_with_one_local_key_use_all_keys_at_once(
    fake: CrowdedKraken, tmp_path: Path, gateways: int
) -> None:
    """Each order is placed once and none is refused, also through two gateways with one state."""
    account = fake.add_account("MASTER")
    for _ in range(KEYS - 1):
        fake.add_key(account)
    with FakeKrakenServer(fake, latency=0.05) as server, contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(RunningGateway(server.url, [account_of(account)], tmp_path / "state"))
            for _ in range(gateways)
        ]
        pair, urls = running[0].add("bot"), itertools.cycle([each.url for each in running])
        with ThreadPoolExecutor(60) as pool:
            ids = list(pool.map(lambda n, url: placed_by_krakenex(url, pair, n), range(60), urls))
    assert {txid for each in ids for txid in each} == set(account.orders)
    assert len(account.orders) == len(keys_of(fake, "AddOrder")) == 60
    assert fake.invalid_nonces() == []
    assert fake.at_once == len(set(keys_of(fake, "AddOrder"))) == KEYS


@pytest.mark.parametrize("fault", ["slow_request", "hold_back"])
def test_an_order_whose_answer_was_lost_is_looked_for_with_its_own_key(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount, fault: Any
) -> None:
    """It arrives when Kraken has accepted a later nonce of that key, and so it is never placed."""
    pair = gateway.add("bot")
    assert call(gateway.url, pair, "CancelAllOrdersAfter", "timeout=0").errors == []
    with Busy(gateway, pair, fake, 1.5):
        assert call(gateway.url, pair, "CancelAllOrdersAfter", "timeout=0").errors == []  # Kraken knows the second key
        fake.faults.add("AddOrder", fault, seconds=1.2)
        assert_unknown(send(gateway.url, order_request(pair, f"{ORDER}&cl_ord_id=bot-1")), "AddOrder")
        until(lambda: errors(fake, "AddOrder"))
    assert errors(fake, "AddOrder") == ["EAPI:Invalid nonce"]
    assert set(keys_of(fake, "AddOrder", "OpenOrders", "ClosedOrders")) == {"MASTER 2"}
    assert master.orders == {}


@pytest.mark.parametrize("how", ["started again", "another one", "other order of keys", "the second that sent it"])
def test_another_gateway_looks_for_an_order_with_the_key_that_sent_it(
    gateway: RunningGateway,
    fake: CrowdedKraken,
    master: FakeAccount,
    server: FakeKrakenServer,
    tmp_path: Path,
    how: str,
) -> None:
    """The record says which key that was: after a restart, in a second gateway, and with the keys in another order."""
    pair, request = gateway.add("bot"), ORDER + "&cl_ord_id=bot-1"
    first = order_request(pair, request)
    if how == "the second that sent it":
        fake.faults.add("AddOrder", "error", error="EAPI:Invalid key")
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=60.0)
    with contextlib.nullcontext() if how == "the second that sent it" else Busy(gateway, pair, fake, 0.5):
        assert_unknown(send(gateway.url, first), "AddOrder")
    assert keys_of(fake, "AddOrder")[-1] == "MASTER 2"
    if how == "started again":
        gateway.stop()
    account = account_of(master)
    if how == "other order of keys":
        account = Account("MASTER", keys=account.keys[::-1], tier="none")
    fake.arrivals.clear()
    with RunningGateway(server.url, [account], tmp_path / "state", order_timeout=0.3) as another:
        for repeat in (first, order_request(pair, request)):  # the same bytes, and an equal order
            assert_unknown(send(another.url, repeat), "AddOrder")
    assert set(keys_of(fake, "OpenOrders")) == {"MASTER 2"}
    assert keys_of(fake, "AddOrder") == []


def test_an_order_from_when_the_account_had_one_key_is_looked_for_with_that(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """The record did not say the key then. It was the first."""
    before = Account("MASTER", master.key, master.secret, "none")
    fake.faults.add("AddOrder", "process_then_cut", hidden_for=60.0)
    with RunningGateway(server.url, [before], tmp_path / "state", order_timeout=0.3) as gateway:
        pair = gateway.add("bot")
        request = order_request(pair)
        assert_unknown(send(gateway.url, request), "AddOrder")
    fake.arrivals.clear()
    after = RunningGateway(server.url, [account_of(master)], tmp_path / "state", order_timeout=0.3)
    with after as gateway, Busy(gateway, pair, fake, 0.5):
        assert_unknown(send(gateway.url, request), "AddOrder")
    assert set(keys_of(fake, "OpenOrders")) == {"MASTER"}
    assert keys_of(fake, "AddOrder") == []


def test_an_order_with_the_same_cl_ord_id_may_be_placed_again_with_the_same_key(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount
) -> None:
    """The first was answered and is filled. That the record names its key makes the second no repeat."""
    pair, order = gateway.add("bot"), "pair=XBTUSD&type=buy&ordertype=market&volume=0.01&cl_ord_id=bot-1"
    for _ in range(2):
        got = send(gateway.url, order_request(pair, order))
        assert got.errors == []
        assert "X-Krakenonce-Repeat" not in got.headers
    assert len(master.done) == 2
    assert set(keys_of(fake, "AddOrder")) == {"MASTER"}


def spoil(fake: CrowdedKraken, master: FakeAccount, how: str, method: str) -> None:
    """Make the first key unusable."""
    if how == "revoked":
        fake.revoke(master.key)
    elif how == "poisoned":
        master.last_nonce = 2**62
    elif how == "without the permission":
        master.keys[0].permissions = frozenset()
    else:
        fake.faults.add("GetApiKeyInfo" if method == "AddOrder" else method, "error", error=how)


@pytest.mark.parametrize("method", ["Balance", "AddOrder", "CancelOrder"])
@pytest.mark.parametrize(
    "how", ["revoked", "poisoned", "without the permission", "EGeneral:Temporary lockout", "EAPI:Rate limit exceeded"]
)
def test_a_key_that_cannot_be_used_is_passed_over(
    gateway: RunningGateway,
    fake: CrowdedKraken,
    master: FakeAccount,
    caplog: pytest.LogCaptureFixture,
    how: str,
    method: str,
) -> None:
    """The same request is made with another key, and the next ones at once; the client sees nothing of it."""
    pair = gateway.add("bot")
    txid = json.loads(send(gateway.url, order_request(pair)).body)["result"]["txid"][0]
    params = {"Balance": "", "AddOrder": ORDER, "CancelOrder": f"txid={txid}"}[method]
    gateway.accounts["MASTER"].known.ask_again(0)  # as if nothing had been asked yet
    spoil(fake, master, how, method)
    caplog.set_level(logging.INFO)
    fake.arrivals.clear()
    assert call(gateway.url, pair, method, params).errors == []
    assert call(gateway.url, pair, "Balance").errors == []
    assert keys_of(fake, method, "Balance")[-1] == "MASTER 2"
    assert [each for each in caplog.messages if "is passed over" in each]
    assert len([each for each in errors(fake, method) if each is None]) == (2 if method == "Balance" else 1)
    assert len(master.orders) == {"Balance": 1, "AddOrder": 2, "CancelOrder": 0}[method]


@pytest.mark.parametrize("error", ["EAPI:Invalid key", "EGeneral:Permission denied", "EGeneral:Temporary lockout"])
def test_a_key_that_kraken_refuses_for_an_order_is_passed_over_in_the_same_request(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount, error: str
) -> None:
    """Nothing was executed; the repeat of an order that another key has placed is one of an answered order."""
    pair = gateway.add("bot")
    fake.faults.add("AddOrder", "error", error=error)
    request = order_request(pair)
    assert send(gateway.url, request).errors == []
    assert send(gateway.url, request).errors == ["EAPI:Invalid nonce"]
    assert keys_of(fake, "AddOrder") == ["MASTER", "MASTER 2"]
    assert len(master.orders) == 1


def test_when_all_keys_are_out_the_client_gets_kraken_s_error(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount
) -> None:
    """The answer to the last key; and after that without a call, with the reason of each key."""
    pair = gateway.add("bot")
    for each in master.keys:
        fake.revoke(each.key)
    got = call(gateway.url, pair, "Balance")
    assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EAPI:Invalid key"], None)
    assert len(fake.arrivals) == 2
    for refused in (call(gateway.url, pair, "Balance"), send(gateway.url, order_request(pair))):
        assert (refused.errors, refused.headers["X-Krakenonce-Executed"]) == (["EAPI:Invalid key"], "no")
        for each in master.keys:
            assert fingerprint(each.key) in refused.headers["X-Krakenonce-Explanation"]
    assert len(fake.arrivals) == 2


def test_an_order_with_a_refused_nonce_is_not_sent_again_by_another_key(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount
) -> None:
    """It may be the answer to a copy. The next call that changes something finds out that the key is poisoned."""
    pair = gateway.add("bot")
    assert send(gateway.url, order_request(pair)).errors == []
    master.last_nonce = 2**62
    assert send(gateway.url, order_request(pair, f"{ORDER}&userref=2")).errors == ["EAPI:Invalid nonce"]
    assert send(gateway.url, order_request(pair, f"{ORDER}&userref=3")).errors == []
    assert keys_of(fake, "AddOrder") == ["MASTER", "MASTER", "MASTER 2"]
    assert len(master.orders) == 2


def test_each_key_has_its_own_rest_counter(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """When the first is used up, calls are made with the second; then they wait until one of them has fallen."""
    fake.rules.tier = "pro"
    with RunningGateway(server.url, [account_of(master, "pro")], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        with ThreadPoolExecutor(20) as pool:
            got = list(pool.map(lambda _: call(gateway.url, pair, "Balance").errors, range(45)))
    assert got == [[]] * 45
    assert set(keys_of(fake, "Balance")) == {"MASTER", "MASTER 2"}
    assert [each.error for each in fake.arrivals if each.error] == []


def test_full_rest_counters_keep_no_order_and_no_cancel_from_being_made(
    master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """They are not counted there. The clock stands still here, and no counter falls."""
    clock = ManualClock(time.time_ns())
    with RunningGateway(
        server.url, [account_of(master, "starter")], tmp_path / "state", max_wait=0.05, clock=clock
    ) as gateway:
        pair = gateway.add("bot")
        for _ in range(2):
            made = 0
            while (got := call(gateway.url, pair, "Balance")).errors == []:
                made += 1
            assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EAPI:Rate limit exceeded"], "no")
            got = send(gateway.url, order_request(pair))
            txid = json.loads(got.body)["result"]["txid"][0]
            assert call(gateway.url, pair, "CancelOrder", f"txid={txid}").errors == []
    assert made == 0


def test_a_call_goes_to_a_key_that_may_make_it(
    fake: CrowdedKraken, master: FakeAccount, gateway: RunningGateway
) -> None:
    """Kraken is asked before the first call of a key that changes something; no call is refused."""
    master.keys[0].permissions = frozenset(("query-funds",))
    pair = gateway.add("bot")
    for _ in range(2):
        assert send(gateway.url, order_request(pair)).errors == []
        assert call(gateway.url, pair, "Balance").errors == []
    assert keys_of(fake, "GetApiKeyInfo") == ["MASTER", "MASTER 2"]
    assert keys_of(fake, "AddOrder", "Balance") == ["MASTER 2", "MASTER"] * 2
    assert [each.error for each in fake.arrivals if each.error] == []


def test_keys_of_two_accounts_place_no_order_on_the_wrong_one(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first call that finds it out is refused, and the log says so; the key is not used any more."""
    stranger = fake.add_account("STRANGER")
    pairs = [(each.key, each.secret) for each in (master, stranger)]
    with RunningGateway(server.url, [Account("MASTER", keys=pairs, tier="none")], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        assert send(gateway.url, order_request(pair)).errors == []
        with Busy(gateway, pair, fake, 0.5):
            got = send(gateway.url, order_request(pair))
        assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EService:Unavailable"], "no")
        assert send(gateway.url, order_request(pair)).errors == []
    assert (len(master.orders), len(stranger.orders)) == (2, 0)
    assert [each for each in caplog.messages if "different accounts at Kraken" in each]


def test_the_calls_of_one_export_are_made_with_the_first_key_that_may(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """Also while that is busy."""
    fake.add_key(master)
    master.keys[0].permissions -= {"export-data"}
    with RunningGateway(server.url, [account_of(master)], tmp_path / "state") as gateway:
        pair = gateway.add("bot", "query", "export")
        got = call(gateway.url, pair, "AddExport", "report=ledgers&description=all")
        name = json.loads(got.body)["result"]["id"]
        with Busy(gateway, pair, fake, 0.6), Busy(gateway, pair, fake, 0.6):
            assert call(gateway.url, pair, "ExportStatus", "report=ledgers").errors == []
        assert call(gateway.url, pair, "ExportStatus", "report=ledgers").errors == []
        call(gateway.url, pair, "RemoveExport", f"id={name}&type=cancel")
    assert keys_of(fake, "AddExport", "ExportStatus", "RetrieveExport", "RemoveExport") == ["MASTER 2"] * 4


def test_cancel_all_comes_after_the_orders_that_are_being_sent(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """An order on its way with another key would arrive after it, and stay open."""
    with RunningGateway(server.url, [account_of(master)], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        assert call(gateway.url, pair, "CancelAllOrdersAfter", "timeout=0").errors == []
        fake.faults.add("AddOrder", "slow_request", seconds=1.0)
        with ThreadPoolExecutor(1) as pool:
            order = pool.submit(send, gateway.url, order_request(pair))
            until(lambda: not fake.faults.waiting())
            got = call(gateway.url, pair, "CancelAll")
            assert order.result().errors == []
        assert json.loads(got.body)["result"]["count"] == 1
    assert master.orders == {}


def test_a_cancel_by_userref_comes_after_the_orders_of_that_group(
    fake: CrowdedKraken, master: FakeAccount, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """They are on their way with two keys, and the cancel could arrive before them with a third."""
    fake.add_key(master)
    with RunningGateway(server.url, [account_of(master)], tmp_path / "state") as gateway:
        pair = gateway.add("bot")
        fake.faults.add("AddOrder", "slow_request", seconds=1.0, times=2)
        limits = [f"pair=XBTUSD&type=buy&ordertype=limit&volume=1&price={price}&userref=7" for price in (1, 2)]
        with ThreadPoolExecutor(2) as pool:
            orders = [pool.submit(call, gateway.url, pair, "AddOrder", limit) for limit in limits]
            until(lambda: not fake.faults.waiting())
            got = call(gateway.url, pair, "CancelOrder", "txid=7")
            assert [each.result().errors for each in orders] == [[], []]
        assert json.loads(got.body)["result"]["count"] == 2
    assert master.orders == {}


def test_a_client_that_keeps_order_itself_gets_nonces_of_the_first_key(
    gateway: RunningGateway, master: FakeAccount
) -> None:
    """Its calls are made with one key; of an adopted one they are that key's own."""
    pair, body = gateway.add("own", "nonce"), b"nonce=5"
    account = gateway.accounts["MASTER"]
    account.keys[0]._manager.raise_floor(2**61, account.keys[0]._manager.own_scope(master.keys[0].key))
    account.keys[0]._manager.raise_floor(2**62, account.keys[0]._manager.own_scope(master.keys[1].key))
    got = fetch(gateway.url, "POST", NONCE_PATH, body, signed(pair, NONCE_PATH, 5, body))
    assert 2**61 < int(json.loads(got.body)["result"]["nonce"]) < 2**62


def test_a_client_that_goes_while_its_order_is_passed_on_has_not_sent_it(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount
) -> None:
    """No other key sends it for nobody. Its repeat is sent."""
    pair = gateway.add("bot")
    request = order_request(pair)
    fake.faults.add("AddOrder", "error", error="EAPI:Invalid key")
    fake.faults.add("GetApiKeyInfo", "slow_answer", seconds=0.4)
    send_and_leave(gateway.url, request, lambda: keys_of(fake, "GetApiKeyInfo"))
    until(lambda: not gateway.accounts["MASTER"].queue.busy)
    assert keys_of(fake, "AddOrder") == ["MASTER"]
    got = send(gateway.url, request)
    assert got.errors == []
    assert "X-Krakenonce-Repeat" not in got.headers
    assert len(master.orders) == 1
    last = [(each.outcome, each.reason) for each in gateway.activity.recent]
    assert last == [("executed", ""), ("refused", "invalid_key")]


@pytest.mark.parametrize("cancel", ["CancelAll", "CancelOrder"])
def test_an_order_that_is_cancelled_while_it_waits_is_not_sent(
    gateway: RunningGateway, fake: CrowdedKraken, master: FakeAccount, cancel: str
) -> None:
    """It is answered as one that clients do not repeat; the same bytes may be sent later."""
    pair = gateway.add("bot")
    request = order_request(pair, f"{ORDER}&cl_ord_id=bot-1")
    with ThreadPoolExecutor(1) as pool, Busy(gateway, pair, fake, 0.7), Busy(gateway, pair, fake, 0.4):
        order = pool.submit(send, gateway.url, request)
        until(lambda: gateway.waiting() == 1)
        call(gateway.url, pair, cancel, "cl_ord_id=bot-1" if cancel == "CancelOrder" else "")
        got = order.result()
    assert (got.errors, got.headers["X-Krakenonce-Executed"]) == (["EGeneral:Invalid arguments"], "no")
    assert "cancelled before it was sent" in got.headers["X-Krakenonce-Explanation"]
    assert keys_of(fake, "AddOrder") == []
    assert send(gateway.url, request).errors == []
