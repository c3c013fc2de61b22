"""Brokers for MASTER and users: over real HTTP against the fake Kraken, with krakenex and with our own client."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import krakenex
import pytest
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from bot.broker_manager import BrokerManager, KrakenBroker, KrakenNonce
from krakenonce import global_manager
from krakenonce.brokers import Account
from krakenonce.errors import (
    ConfigError,
    InvalidKey,
    InvalidNonce,
    KrakenAPIError,
    LockedOut,
    RequestNotSent,
)
from krakenonce.global_manager import (
    GlobalKrakenNonceManager,
    get_global_kraken_nonce,
    get_global_nonce_manager,
    get_global_nonce_stats,
    get_kraken_api_lock,
)
from krakenonce.guards import guard
from krakenonce.kraken import Kraken
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAMES = ["MASTER", "USER:alice", "USER:bob"]
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "1", "price": "100", "validate": "true"}


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, no manager yet and no credentials, as in a new process."""
    monkeypatch.chdir(tmp_path)
    for name in ("KRAKENONCE_STATE_DIR", "KRAKENONCE_CREDENTIALS", "KRAKEN_MASTER_API_KEY", "KRAKEN_MASTER_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(global_manager, "_manager", None)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    """Keep all log lines."""
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken with MASTER and two users."""
    fake = FakeKraken()
    for name in NAMES:
        fake.add_account(name, balances={"ZUSD": "1234.5600", "USDT": "567.89000000", "XXBT": "0.1000000000"})
    return fake


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP; calls that are in progress at the same time overtake each other."""
    with FakeKrakenServer(fake, latency=0.002, jitter=0.002) as running:
        yield running


@pytest.fixture
def accounts(fake: FakeKraken) -> list[Account]:
    """MASTER and two users, with the keys that the fake Kraken knows; their calls are not counted."""
    return [Account(each.name, each.key, each.secret, "none") for each in fake.accounts.values()]


def with_krakenex(account: Account, url: str) -> KrakenBroker:
    """Return a broker over an unmodified krakenex API."""
    api = krakenex.API(account.key, account.secret)
    api.uri = url
    return KrakenBroker(account.name, api)


def with_ours(account: Account, url: str) -> KrakenBroker:
    """Return a broker that makes a client of our own."""
    broker = KrakenBroker(account.name, credentials=account, base_url=url)
    broker.connect()
    return broker


MAKERS = {"krakenex": with_krakenex, "ours": with_ours}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, server: FakeKrakenServer) -> Iterator[Callable[[Account], KrakenBroker]]:
    """Make brokers, over each kind of client."""
    made = []

    def broker(account: Account) -> KrakenBroker:
        made.append(MAKERS[request.param](account, server.url))
        return made[-1]

    yield broker
    for each in made:
        close(each)


@pytest.fixture
def unmodified(accounts: list[Account], server: FakeKrakenServer) -> Iterator[KrakenBroker]:
    """MASTER's broker over an unmodified krakenex API."""
    broker = with_krakenex(accounts[0], server.url)
    yield broker
    close(broker)


def close(broker: KrakenBroker) -> None:
    """Close the broker's connections."""
    api: Any = broker.kraken_api
    api.close()


def call_often(broker: KrakenBroker) -> None:
    """Make five calls."""
    for _ in range(5):
        assert broker._kraken_private_call("Balance")["error"] == []


def trade(kind: str, accounts: list[Account], url: str, disabled: bool = False) -> None:
    """Make five calls in each of two threads per account."""
    if disabled:
        get_global_nonce_manager().disable_api_serialization()
    brokers = [MAKERS[kind](account, url) for account in accounts]
    with ThreadPoolExecutor(2 * len(brokers)) as pool:
        list(pool.map(call_often, brokers * 2))
    for broker in brokers:
        close(broker)


def assert_in_order(fake: FakeKraken, arrivals: int) -> None:
    """All nonces that have arrived were accepted, have 19 digits and rise for each key."""
    assert len(fake.accepted()) == len(fake.arrivals) == arrivals
    assert fake.invalid_nonces() == []
    for name in NAMES:
        nonces = [arrival.nonce or 0 for arrival in fake.arrivals if arrival.account == name]
        assert nonces == sorted(set(nonces))
        assert all(len(str(nonce)) == 19 for nonce in nonces)


def spy(broker: KrakenBroker, during: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the list of the parameters that krakenex will have passed to its own ``_query``.

    *during* is called in each call, when its nonce is taken.
    """
    passed: list[dict[str, Any]] = []
    api: Any = broker.kraken_api
    send = api._query

    def noted(where: str, data: Mapping[str, Any], *more: Any, **how: Any) -> Any:
        passed.append(dict(data))
        during()
        return send(where, data, *more, **how)

    api._query = noted
    return passed


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what krakenonce has logged at a level."""
    return [record.message for record in caplog.records if record.name == "krakenonce" and record.levelno == level]


# Nonces on their way


@pytest.mark.parametrize("kind", MAKERS)
def test_threads_and_processes_send_in_order(
    kind: str, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account]
) -> None:
    """MASTER and two users, in threads of two processes: every nonce is ours, rises and is accepted."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(get_global_nonce_stats).result(timeout=30)  # the process has started
        other = pool.submit(trade, kind, accounts, server.url)
        trade(kind, accounts, server.url)
        other.result(timeout=30)
    connecting = 6 if kind == "ours" else 0
    assert_in_order(fake, arrivals=60 + connecting)
    nonces = [arrival.nonce or 0 for arrival in fake.arrivals]
    assert nonces == sorted(nonces)  # the API lock: over all accounts


@pytest.mark.parametrize("kind", MAKERS)
def test_each_key_sends_in_order_without_the_lock(
    kind: str, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account]
) -> None:
    """With serialization disabled accounts overtake each other, but the calls of one key do not."""
    trade(kind, accounts, server.url, disabled=True)
    connecting = 3 if kind == "ours" else 0
    assert_in_order(fake, arrivals=30 + connecting)


def test_the_nonce_sent_is_the_last_one_on_file(
    make: Callable[[Account], KrakenBroker], fake: FakeKraken, accounts: list[Account]
) -> None:
    """And the order is the one that was asked for."""
    broker = make(accounts[0])
    reply = broker._kraken_private_call("AddOrder", ORDER)
    nonce = fake.arrivals[-1].nonce
    assert nonce == get_global_nonce_stats()["last_nonce"]
    assert Path("data", "kraken_global_nonce.txt").read_text() == f"{nonce}"
    assert reply["result"]["descr"] == {"order": "buy 1.00000000 XBTUSD @ limit 100.0"}


@pytest.mark.parametrize("way", ["_kraken_private_call", "call"])
def test_our_client_has_no_turn_while_it_waits_for_the_rate_limit(
    way: str, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account], caplog: pytest.LogCaptureFixture
) -> None:
    """A call that the limits do not allow is not sent, and keeps no other account waiting meanwhile."""
    api = Kraken(accounts[0].key, accounts[0].secret, tier="starter", base_url=server.url)
    broker = KrakenBroker("MASTER", api)
    with contextlib.closing(api), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: [getattr(broker, way)("Balance") for _ in range(16)])
        until(lambda: "Balance waits" in caplog.text)
        sent = len(fake.arrivals)
        with get_kraken_api_lock():
            assert len(fake.arrivals) == sent < 16
        assert len(waiting.result(timeout=30)) == 16


@pytest.mark.parametrize("way", ["_kraken_private_call", "call"])
def test_our_client_that_was_made_elsewhere_uses_the_broker_s_nonces_and_turns(
    way: str, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account], tmp_path: Path
) -> None:
    """Also when it is called directly; with the API lock disabled, no account waits for another."""
    api = Kraken(accounts[0].key, accounts[0].secret, manager=NonceManager(tmp_path), tier="none", base_url=server.url)
    broker = KrakenBroker("MASTER", api)
    nonces = get_global_nonce_manager()
    assert api.query_private("Balance")["error"] == []
    assert fake.arrivals[-1].nonce == nonces.manager.peek()
    with contextlib.closing(api), ThreadPoolExecutor(2) as pool, nonces.manager.lane():
        waiting = pool.submit(getattr(broker, way), "Balance")
        assert not wait([waiting], 0.3).done
        nonces.disable_api_serialization()
        pool.submit(getattr(broker, way), "Balance").result(timeout=5)
        assert not waiting.done()


def test_the_callers_parameters_are_left_alone(
    make: Callable[[Account], KrakenBroker], fake: FakeKraken, accounts: list[Account]
) -> None:
    """The caller's dict is as it was, and a nonce in it is neither used nor changed."""
    broker = make(accounts[0])
    params = {**ORDER, "nonce": 1}
    assert broker._kraken_private_call("AddOrder", params)["error"] == []
    assert params == {**ORDER, "nonce": 1}
    assert_in_order(fake, arrivals=len(fake.arrivals))


@pytest.mark.parametrize("after_a_call", [False, True])
def test_krakenex_called_directly_sends_a_nonce_of_ours(
    after_a_call: bool, fake: FakeKraken, unmodified: KrakenBroker
) -> None:
    """As soon as the broker has been made."""
    if after_a_call:
        unmodified._kraken_private_call("Balance")
    before = get_global_kraken_nonce()
    api: Any = unmodified.kraken_api
    assert api.query_private("Balance")["error"] == []
    assert (fake.arrivals[-1].nonce or 0) > before
    unmodified._kraken_private_call("Balance")
    assert_in_order(fake, arrivals=3 if after_a_call else 2)


@pytest.mark.parametrize("directly", [True, False])
@pytest.mark.parametrize("serialization", ["global", "key"])
def test_a_krakenex_call_waits_for_its_key_s_turn(
    serialization: str, directly: bool, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account]
) -> None:
    """Also when krakenex is called directly."""
    api = krakenex.API(accounts[0].key, accounts[0].secret)
    api.uri = server.url
    broker = KrakenBroker("MASTER", api, serialization=serialization)
    with ThreadPoolExecutor(1) as pool, contextlib.closing(api):
        with get_global_nonce_manager().manager.lane(api.key):
            calling = pool.submit(api.query_private if directly else broker._kraken_private_call, "Balance")
            assert not wait([calling], 0.3).done
            assert fake.arrivals == []
        assert calling.result(timeout=30)["error"] == []


def test_a_guarded_krakenex_keeps_what_it_was_guarded_with(unmodified: KrakenBroker) -> None:
    """A caller that guards a broker's API again, with the same manager, sets its timeout."""
    api: Any = unmodified.kraken_api
    guard(api, get_global_nonce_manager().manager, timeout=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.session, "post", Mock(side_effect=TimeoutError))
        with pytest.raises(TimeoutError):
            unmodified._kraken_private_call("Balance")
        assert api.session.post.call_args.kwargs["timeout"] == 7


def test_a_krakenex_that_repeats_posts_is_refused() -> None:
    """Its session would place an order twice."""
    api = krakenex.API("key", "c2VjcmV0")
    with api.session:
        api.session.mount("https://", HTTPAdapter(max_retries=Retry(3, allowed_methods=None)))
        with pytest.raises(ConfigError, match="repeats POST"):
            KrakenBroker("MASTER", api)


@pytest.mark.parametrize("fallback", [False, True])
def test_nothing_is_sent_after_a_lockout(
    fallback: bool, make: Callable[[Account], KrakenBroker], fake: FakeKraken, accounts: list[Account]
) -> None:
    """A lockout that one broker meets holds for all brokers of the key, whatever their clients; not for other keys."""
    broker, other = make(accounts[0]), make(accounts[1])
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    assert broker._kraken_private_call("Balance") == {"error": ["EGeneral:Temporary lockout"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        again = KrakenBroker("MASTER", broker.kraken_api, use_global_nonce=not fallback)
    sent = len(fake.arrivals)
    with pytest.raises(LockedOut, match="Not sent"):
        again._kraken_private_call("Balance")
    assert len(fake.arrivals) == sent
    assert other._kraken_private_call("Balance")["error"] == []


def test_a_client_of_another_kind_is_not_called_during_a_lockout() -> None:
    """Nor does a broker over another client with the same key send anything."""
    answers = [{"error": ["EGeneral:Temporary lockout"]}, {"error": [], "result": {}}]
    client = Mock(key="a key", query_private=Mock(side_effect=answers))
    assert KrakenBroker("MASTER", client)._kraken_private_call("Balance") == answers[0]
    for again in (client, Mock(key="a key")):
        with pytest.raises(LockedOut, match="Not sent"):
            KrakenBroker("MASTER", again)._kraken_private_call("Balance")
    assert client.query_private.call_count == 1


def test_a_client_of_another_kind_is_not_called_for_the_funding_api() -> None:
    """It would sign something whose nonce is elsewhere."""
    client = Mock(key="a key")
    with pytest.raises(ConfigError, match="Kraken's Funding API"):
        KrakenBroker("MASTER", client)._kraken_private_call("../../funding/v1/withdrawals")
    assert client.query_private.call_count == 0


def test_our_client_called_directly_takes_the_next_nonce(
    fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account]
) -> None:
    """The client that a broker has made takes its nonces from the broker's manager, also when it is called directly."""
    broker = with_ours(accounts[0], server.url)
    api: Any = broker.kraken_api
    assert api.query_private("Balance")["error"] == []
    close(broker)
    assert fake.arrivals[-1].nonce == get_global_nonce_stats()["last_nonce"]
    assert_in_order(fake, arrivals=2)


def test_a_failed_call_leaves_no_nonce_behind(fake: FakeKraken, unmodified: KrakenBroker) -> None:
    """The nonce of a call that krakenex has refused is not sent later, after larger ones."""
    api: Any = unmodified.kraken_api
    secret, api.secret = api.secret, ""
    with pytest.raises(Exception, match="secret is not set"):
        unmodified._kraken_private_call("Balance")
    api.secret = secret
    before = get_global_kraken_nonce()
    api.query_private("Balance")
    assert (fake.arrivals[-1].nonce or 0) > before


def test_a_nonce_is_issued_once(fake: FakeKraken, unmodified: KrakenBroker) -> None:
    """A krakenex that asks again within a call, to send it again, gets a larger nonce."""
    taken = []
    api: Any = unmodified.kraken_api
    passed = spy(unmodified, during=lambda: taken.append(api._nonce()))
    unmodified._kraken_private_call("Balance")
    assert passed[0]["nonce"] == fake.accepted()[-1].nonce
    assert taken[0] > passed[0]["nonce"]


def test_a_thread_does_not_take_anothers_nonce(fake: FakeKraken, unmodified: KrakenBroker) -> None:
    """While a call is in progress, another thread that asks krakenex for a nonce gets a different one."""
    taken = []
    api: Any = unmodified.kraken_api
    with ThreadPoolExecutor(1) as pool:
        passed = spy(unmodified, during=lambda: taken.append(pool.submit(api._nonce).result(timeout=30)))
        unmodified._kraken_private_call("Balance")
    assert [passed[0]["nonce"]] == [arrival.nonce for arrival in fake.arrivals] != taken


def test_other_clients_work_too() -> None:
    """A client needs only query_private; what that returns is returned, whatever it is."""

    class Recorder:
        def __init__(self) -> None:
            self.calls: list[tuple[str, dict[str, Any]]] = []

        def query_private(self, method: str, data: Any = None) -> None:
            self.calls.append((method, data))

    recorder, mock = Recorder(), Mock()
    assert KrakenBroker("MASTER", recorder)._kraken_private_call("Balance", {"a": 1}) is None
    assert KrakenBroker("USER:alice", mock)._kraken_private_call("Balance", {"a": 1}) is mock.query_private.return_value
    (method, params), (mocked, mock_params) = recorder.calls[0], mock.query_private.call_args.args
    assert method == mocked == "Balance"
    assert params["a"] == mock_params["a"] == 1
    assert len(str(params["nonce"])) == 19
    assert params["nonce"] < mock_params["nonce"]


# What is printed and logged


def test_a_krakenex_call_does_not_wait_for_ever(unmodified: KrakenBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A krakenex API has no timeout of its own; a call that hangs would keep all others waiting."""
    api: Any = unmodified.kraken_api
    seen: list[float] = []
    post = api.session.post

    def watched(url: str, timeout: float, **how: Any) -> Any:
        seen.append(timeout)
        return post(url, timeout=timeout, **how)

    monkeypatch.setattr(api.session, "post", watched)
    unmodified._kraken_private_call("Balance")
    assert seen == [30.0]


def test_a_broker_logs_where_its_nonces_come_from(caplog: pytest.LogCaptureFixture) -> None:
    """A broker logs at INFO that it uses the global manager, and for which account."""
    for name in NAMES:
        KrakenBroker(name)
    assert logged(caplog, logging.INFO)[2:] == [
        "✅ Using GLOBAL Kraken Nonce Manager for MASTER (nanosecond precision)",
        "✅ Using GLOBAL Kraken Nonce Manager for USER:alice (nanosecond precision)",
        "✅ Using GLOBAL Kraken Nonce Manager for USER:bob (nanosecond precision)",
    ]


def test_the_balance_is_printed_logged_and_returned(
    make: Callable[[Account], KrakenBroker],
    accounts: list[Account],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The balance is three lines on stdout and in the log, and exact decimals for the caller."""
    broker = make(accounts[0])
    caplog.clear()
    balance = broker.get_account_balance()
    block = "💰 Kraken Balance (MASTER):\n   ✅ Available USD:  $1234.56\n   ✅ Available USDT: $567.89\n"
    assert capsys.readouterr().out == block
    assert logged(caplog, logging.INFO) == block.splitlines()
    assert balance == {"ZUSD": Decimal("1234.56"), "USDT": Decimal("567.89"), "XXBT": Decimal("0.1")}


def test_the_balance_of_an_empty_account(
    server: FakeKrakenServer, fake: FakeKraken, capsys: pytest.CaptureFixture[str]
) -> None:
    """An account without dollars has zero of them."""
    empty = fake.add_account("USER:empty")
    broker = with_ours(Account(empty.name, empty.key, empty.secret), server.url)
    assert broker.get_account_balance() == {}
    close(broker)
    assert capsys.readouterr().out == (
        "💰 Kraken Balance (USER:empty):\n   ✅ Available USD:  $0.00\n   ✅ Available USDT: $0.00\n"
    )


def test_errors_are_logged_and_returned(
    make: Callable[[Account], KrakenBroker],
    fake: FakeKraken,
    accounts: list[Account],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Kraken's answer is returned unchanged; an error is in the log, too."""
    broker = make(accounts[0])
    wrong = {"error": ["EGeneral:Invalid arguments:ordertype"]}
    assert broker._kraken_private_call("AddOrder", {**ORDER, "ordertype": "guess"}) == wrong
    fake.accounts[accounts[0].key].last_nonce = 2**63
    assert broker._kraken_private_call("Balance") == {"error": ["EAPI:Invalid nonce"]}
    assert logged(caplog, logging.ERROR) == [
        "❌ Kraken API error: EGeneral:Invalid arguments:ordertype",
        "❌ Kraken API error: EAPI:Invalid nonce",
    ]


def test_errors_are_raised_where_a_result_is_promised(
    make: Callable[[Account], KrakenBroker],
    fake: FakeKraken,
    accounts: list[Account],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a result, connecting and asking for the balance raise Kraken's error and print nothing."""
    broker = make(accounts[0])
    fake.accounts[accounts[0].key].last_nonce = 2**63
    for method in (broker.connect, broker.get_account_balance):
        with pytest.raises(InvalidNonce) as caught:
            method()
        assert caught.value.errors == ("EAPI:Invalid nonce",)
    assert capsys.readouterr().out == ""


def test_no_secret_is_shown(
    make: Callable[[Account], KrakenBroker],
    server: FakeKrakenServer,
    accounts: list[Account],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither key nor secret is in a repr, in what is logged or printed, or in an error and its traceback."""
    master, alice, _ = accounts
    broker = make(master)
    broker.connect()
    broker.get_account_balance()
    shown = [repr(broker), repr(broker._nonces), repr(broker._credentials), f"{BrokerManager([master]).brokers}"]
    wrong = Account("USER:mixed", alice.key, master.secret)
    mixed_up = KrakenBroker("USER:mixed", credentials=wrong, base_url=server.url)
    for failing in (mixed_up, KrakenBroker("USER:bob", credentials=alice, base_url="http://127.0.0.1:1")):
        with pytest.raises((KrakenAPIError, RequestNotSent)) as caught:
            failing.connect()
        shown.append("".join(traceback.format_exception(caught.value)))
        shown.append(repr(failing.kraken_api))
    close(mixed_up)
    shown += [caplog.text, capsys.readouterr().out]
    for hidden in (master.key, master.secret, alice.key, alice.secret):
        assert hidden not in "".join(shown)


# Connecting


def test_a_broker_that_is_not_connected_says_so() -> None:
    """Without a client there is no call and no nonce, but an error that names the account and what to do."""
    broker = KrakenBroker("USER:alice")
    for call in (broker.get_account_balance, lambda: broker._kraken_private_call("Balance")):
        with pytest.raises(ConfigError, match=r"USER:alice is not connected: call connect\(\) first"):
            call()
    assert get_global_nonce_stats()["total_nonces_issued"] == 0


def test_connecting_makes_the_client_and_proves_it(
    fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account], caplog: pytest.LogCaptureFixture
) -> None:
    """Connecting makes one call; connecting again makes one more with the same client."""
    broker = KrakenBroker("MASTER", credentials=accounts[0], base_url=server.url)
    assert broker.connect()
    api = broker.kraken_api
    assert broker.connect()
    assert broker.kraken_api is api
    close(broker)
    assert [arrival.method for arrival in fake.accepted()] == ["Balance", "Balance"]
    assert logged(caplog, logging.INFO)[-1] == "✅ Kraken connected (MASTER)"


def test_connecting_takes_the_credentials_of_the_environment(
    server: FakeKrakenServer, accounts: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials of its own a broker finds its account's in the environment, or says that there are none."""
    broker = KrakenBroker("USER:alice", base_url=server.url)
    with pytest.raises(ConfigError, match="no Kraken credentials"):
        broker.connect()
    monkeypatch.setenv("KRAKEN_USER_ALICE_API_KEY", accounts[1].key)
    monkeypatch.setenv("KRAKEN_USER_ALICE_API_SECRET", accounts[1].secret)
    assert broker.connect()
    close(broker)


def test_brokers_can_share_a_manager_of_their_own(server: FakeKrakenServer, accounts: list[Account]) -> None:
    """A manager that is passed in is used for nonces and turns; the process's global one is not even made."""
    nonces = GlobalKrakenNonceManager()
    brokers = BrokerManager(accounts, nonces=nonces, base_url=server.url)
    brokers.connect_all()
    for broker in brokers:
        close(broker)
    assert nonces.get_stats()["total_nonces_issued"] == 3
    assert global_manager._manager is None


# MASTER and users


def test_a_broker_manager_holds_master_and_users(
    fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account]
) -> None:
    """Brokers are found by name, as MASTER and as users; all connect at the same time, with rising nonces."""
    brokers = BrokerManager(accounts, base_url=server.url)
    assert [broker.account_identifier for broker in brokers] == NAMES
    assert brokers.master is brokers["MASTER"]
    assert brokers.users == [brokers[name] for name in NAMES[1:]]
    assert [outcome.ok for outcome in brokers.connect_all().values()] == [True] * 3
    brokers.close()
    assert sorted(arrival.account or "" for arrival in fake.accepted()) == NAMES


def test_a_broker_manager_takes_the_accounts_of_the_environment(
    accounts: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without accounts of its own it has those of the environment."""
    for account in accounts:
        prefix = f"KRAKEN_{account.name.replace(':', '_').upper()}_API_"
        monkeypatch.setenv(f"{prefix}KEY", account.key)
        monkeypatch.setenv(f"{prefix}SECRET", account.secret)
    assert list(BrokerManager().brokers) == NAMES


def test_a_broker_manager_takes_more_brokers() -> None:
    """Any number of users can be added; a broker of the same account replaces the other one."""
    brokers = BrokerManager([])
    users = [brokers.add(KrakenBroker(f"USER:{number}")) for number in range(20)]
    assert brokers.users == users
    another = brokers.add(KrakenBroker("USER:0"))
    assert brokers.users == [another, *users[1:]]


def test_no_master_is_an_error() -> None:
    """Without MASTER the manager says which variables to set."""
    with pytest.raises(ConfigError, match="KRAKEN_MASTER_API_KEY"):
        _ = BrokerManager([]).master


def test_one_account_that_cannot_connect_stops_no_other(
    server: FakeKrakenServer, fake: FakeKraken, accounts: list[Account], caplog: pytest.LogCaptureFixture
) -> None:
    """A refused account's error is its outcome, and in the log; the others are connected."""
    stranger = Account("USER:stranger", accounts[0].key + "x", accounts[0].secret)
    with BrokerManager([stranger, *accounts], base_url=server.url) as brokers:
        outcomes = brokers.connect_all()
    assert [outcome.ok for outcome in outcomes.values()] == [False, True, True, True]
    with pytest.raises(InvalidKey):
        outcomes["USER:stranger"].get()
    assert len(fake.accepted()) == 3
    (line,) = logged(caplog, logging.ERROR)[-1:]
    assert line.startswith("❌ Kraken not connected (USER:stranger): Kraken answered: EAPI:Invalid key.")


# The deprecated counter


def test_the_deprecated_counter_rises() -> None:
    """KrakenNonce warns; its nonces rise over threads, in nanoseconds."""
    with pytest.warns(DeprecationWarning, match="use the global nonce manager") as warned:
        counter = KrakenNonce()
    assert warned[0].filename == __file__

    def take(_: int) -> list[int]:
        return [counter.next() for _ in range(500)]

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(take, range(4)))
    assert all(nonces == sorted(nonces) for nonces in taken)
    assert len({nonce for nonces in taken for nonce in nonces}) == 2000
    assert len(str(counter.next())) == 19


@pytest.mark.parametrize("kind", MAKERS)
def test_the_fallback_warns_and_its_nonces_rise(
    kind: str, fake: FakeKraken, server: FakeKrakenServer, accounts: list[Account], caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that falls back to a counter of its own says so twice, and sends that counter's nonces."""
    with pytest.warns(DeprecationWarning, match="use the global nonce manager"):
        broker = KrakenBroker("MASTER", credentials=accounts[0], use_global_nonce=False, base_url=server.url)
    assert logged(caplog, logging.WARNING)[:1] == [
        "⚠️  Global nonce manager not available, falling back to per-user KrakenNonce (MASTER)"
    ]
    if kind == "krakenex":
        broker.kraken_api = with_krakenex(accounts[0], server.url).kraken_api
    for _ in range(3):
        broker.connect()
    close(broker)
    assert_in_order(fake, arrivals=3)
    assert get_global_nonce_stats()["total_nonces_issued"] == 0


def test_the_global_manager_does_not_warn(accounts: list[Account]) -> None:
    """A broker with the global manager does not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KrakenBroker("MASTER", credentials=accounts[0])
