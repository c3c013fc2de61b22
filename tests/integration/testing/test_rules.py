from __future__ import annotations

import base64
import contextlib
import socket
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer, Rules
from tests.integration.kraken.helpers import as_http, signed
from tests.integration.testing.helpers import NOW, ORDER, Caller, Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

INVALID_NONCE = {"error": ["EAPI:Invalid nonce"]}
FINE: dict[str, Any] = {"error": [], "result": {}}


def try_nonces(fake: FakeKraken, account: FakeAccount, nonces: Sequence[int]) -> list[int]:
    """Return those that were accepted."""
    return [n for n in nonces if fake.answer(*signed(account, "Balance", n), NOW)["error"] == []]


def forged(account: FakeAccount, nonce: int) -> tuple[str, dict[str, str], bytes]:
    """A request whose signature is wrong."""
    path, headers, body = signed(account, "Balance", nonce)
    return path, headers | {"API-Sign": base64.b64encode(bytes(64)).decode()}, body


def test_an_account_may_have_a_past(fake: FakeKraken) -> None:
    """Its key has accepted a nonce before."""
    account = fake.add_account("old", last_nonce=100)
    assert try_nonces(fake, account, [99, 100, 101]) == [101]


@pytest.mark.parametrize(
    ("edge", "duplicates", "accepted"),
    [
        (False, True, [100, 91, 91, 100]),
        (False, False, [100, 91]),
        (True, True, [100, 90, 91, 91, 100]),
        (True, False, [100, 90, 91]),
    ],
)
def test_a_nonce_window_accepts_lower_nonces(
    fake: FakeKraken, edge: bool, duplicates: bool, accepted: list[int]
) -> None:
    """By how much, and whether again, is not documented: both ways can be tried."""
    fake.rules.change(window_includes_edge=edge, window_allows_duplicates=duplicates)
    account = fake.add_account("window", nonce_window=10)
    assert try_nonces(fake, account, [100, 89, 90, 91, 91, 100]) == accepted
    assert account.last_nonce == 100


def test_the_nonce_may_be_compared_before_the_signature(fake: FakeKraken, account: FakeAccount) -> None:
    """Kraken does not document which comes first."""
    assert try_nonces(fake, account, [10]) == [10]
    assert fake.answer(*forged(account, 5), NOW) == {"error": ["EAPI:Invalid signature"]}
    fake.rules.sig_before_nonce = False
    assert fake.answer(*forged(account, 5), NOW) == INVALID_NONCE
    assert fake.answer(*forged(account, 15), NOW) == {"error": ["EAPI:Invalid signature"]}


def test_a_bad_signature_may_use_the_nonce(fake: FakeKraken, account: FakeAccount) -> None:
    """Only with this switch."""
    fake.rules.failed_sig_consumes_nonce = True
    fake.answer(*forged(account, 50), NOW)
    assert account.last_nonce == 50


@pytest.mark.parametrize(
    ("method", "enough", "not_enough"),
    [
        ("Balance", ["query-funds"], ["modify-trades"]),
        ("TradeBalance", ["query-open-trades"], ["query-ledger"]),
        ("OpenOrders", ["query-open-trades"], ["query-closed-trades"]),
        ("ClosedOrders", ["query-closed-trades"], ["query-open-trades"]),
        ("Ledgers", ["query-ledger"], ["query-funds"]),
        ("AddOrder", ["modify-trades"], ["close-trades"]),
        ("AddOrderBatch", ["modify-trades", "close-trades"], ["modify-trades"]),
        ("CancelAll", ["close-trades"], ["query-open-trades"]),
        ("EditOrder", ["modify-trades", "close-trades"], ["modify-trades"]),
        ("GetWebSocketsToken", ["create-ws-token"], ["query-funds"]),
        ("Withdraw", ["withdraw-funds"], ["add-funds"]),
        ("GetApiKeyInfo", [], None),
    ],
)
def test_a_key_may_do_what_it_was_given(
    fake: FakeKraken, method: str, enough: list[str], not_enough: list[str] | None
) -> None:
    """A method without its permission is refused, and the nonce stays used."""
    caller = Caller(fake, fake.add_account("able", permissions=enough))
    assert caller.reply(method)["error"] != ["EGeneral:Permission denied"]
    if not_enough is not None:
        caller = Caller(fake, fake.add_account("unable", permissions=not_enough))
        assert caller.error(method) == "EGeneral:Permission denied"
        assert caller.account.last_nonce == 1


def test_a_permission_that_kraken_does_not_have_is_named(fake: FakeKraken) -> None:
    """The message names a slip in the set-up of the test."""
    with pytest.raises(ConfigError, match="query-funds"):
        fake.add_account("typo", permissions=["query-fund"])


def test_a_second_factor_is_asked_for(fake: FakeKraken) -> None:
    """Missing or wrong, it is refused, in words that are a switch."""
    caller = Caller(fake, fake.add_account("careful", otp="secret"))
    assert caller.error("Balance") == "EAPI:Invalid otp"
    fake.rules.otp_error = "EGeneral:Other words"
    assert caller.error("Balance", otp="wrong") == "EGeneral:Other words"
    assert caller.error("Balance", as_json=True, otp="\ud800") == "EGeneral:Other words"
    assert caller.result("Balance", otp="secret") == {}


@pytest.mark.parametrize(
    ("failure", "answer"),
    [
        ("error only", {"error": ["EGeneral:Unknown method"]}),
        ("result null", {"error": ["EGeneral:Unknown method"], "result": None}),
        ("result {}", {"error": ["EGeneral:Unknown method"], "result": {}}),
    ],
)
def test_an_error_comes_in_three_forms(fake: FakeKraken, caller: Caller, failure: Any, answer: object) -> None:
    """For public and private methods alike."""
    fake.rules.failure = failure
    assert caller.reply("Guess") == answer
    assert fake.answer("/0/public/Guess", {}, b"", NOW) == answer


@pytest.mark.parametrize(
    ("status", "taking", "resting", "cancelling"),
    [
        ("online", None, None, None),
        ("post_only", "EService:Market in post_only mode", None, None),
        ("cancel_only", "EService:Market in cancel_only mode", "EService:Market in cancel_only mode", None),
        ("maintenance", "EService:Unavailable", "EService:Unavailable", "EService:Unavailable"),
    ],
)
def test_the_mode_of_kraken_refuses_orders(
    fake: FakeKraken, caller: Caller, status: Any, taking: str | None, resting: str | None, cancelling: str | None
) -> None:
    """SystemStatus shows the mode, and orders are refused by it."""
    fake.rules.status = status
    assert caller.public("SystemStatus")["status"] == status
    resting_only: dict[str, Any] = {**ORDER, "oflags": "post"}
    calls: list[tuple[str, dict[str, Any]]] = [("AddOrder", {**ORDER}), ("AddOrder", resting_only), ("CancelAll", {})]
    replies = [caller.reply(method, **params) for method, params in calls]
    assert [reply["error"] for reply in replies] == [[e] if e else [] for e in (taking, resting, cancelling)]


def test_there_are_no_limits_unless_asked_for(caller: Caller) -> None:
    """A test of something else is not slowed down."""
    for _ in range(300):
        caller.result("AddOrder", **ORDER)
        caller.result("Ledgers")


@pytest.mark.parametrize(("tier", "most", "decay"), [("starter", 15, 0.33), ("intermediate", 20, 0.5), ("pro", 20, 1)])
def test_the_rest_counter_rises_and_falls(fake: FakeKraken, caller: Caller, tier: Any, most: int, decay: float) -> None:
    """So many calls at once, and one more after the time that one takes to decay."""
    fake.rules.tier = tier
    for _ in range(most):
        assert caller.reply("Balance") == FINE
    assert caller.error("Balance") == "EAPI:Rate limit exceeded"
    caller.now += 2.01 / decay  # the refused call counted as well
    assert caller.reply("Balance") == FINE
    assert caller.error("Balance") == "EAPI:Rate limit exceeded"


def test_each_key_has_its_own_counter_and_some_calls_cost_two(fake: FakeKraken, caller: Caller) -> None:
    """Ledgers and trades cost 2; ClosedOrders does if the switch says so; orders cost nothing here."""
    fake.rules.change(tier="starter", closed_orders_cost=2)
    for method in ("Ledgers", "TradesHistory", "ClosedOrders"):
        caller.result(method)
        caller.result(method)
    caller.result("Balance")
    caller.result("AddOrder", **ORDER)
    caller.result("Balance")
    assert caller.error("Ledgers") == "EAPI:Rate limit exceeded"
    assert Caller(fake, fake.add_account("other")).reply("Ledgers")["error"] == []


def test_a_refused_call_has_used_its_nonce(fake: FakeKraken, caller: Caller) -> None:
    """The limit comes after the nonce."""
    fake.rules.tier = "starter"
    for _ in range(16):
        caller.reply("Balance")
    assert caller.account.last_nonce == 16
    assert (fake.arrivals[-1].accepted, fake.arrivals[-1].error) == (True, "EAPI:Rate limit exceeded")


def test_the_trading_counter_is_the_pairs(fake: FakeKraken, caller: Caller) -> None:
    """Orders of one pair are limited, those of another go on; with time the counter falls."""
    fake.rules.tier = "starter"
    for _ in range(60):
        caller.place(timeinforce="IOC")
    assert caller.error("AddOrder", **ORDER) == "EOrder:Rate limit exceeded"
    assert caller.place(pair="ETHUSD", price="100")
    caller.now += 2
    assert caller.place()


def test_an_order_that_is_wrong_counts_as_well(fake: FakeKraken, caller: Caller) -> None:
    """The fixed part counts on receipt."""
    fake.rules.tier = "starter"
    for _ in range(60):
        caller.reply("AddOrder", pair="XBTUSD")
    assert caller.error("AddOrder", **ORDER) == "EOrder:Rate limit exceeded"


@pytest.mark.parametrize(
    ("age", "cost"), [(0, 8), (4.9, 8), (5, 6), (10, 5), (15, 4), (44, 4), (45, 2), (90, 1), (299, 1), (300, 0)]
)
def test_a_young_order_is_dear_to_cancel(fake: FakeKraken, caller: Caller, age: float, cost: int) -> None:
    """Kraken's table: with just enough left it succeeds, with less it is refused and the order stays."""
    fake.rules.tier = "starter"
    txid = caller.place()
    counter = fake._limits._counters[caller.account.key, "XXBTZUSD"]
    caller.now += age
    if cost:
        counter.value, counter.at = 60 - cost + 1, caller.now
        assert caller.error("CancelOrder", txid=txid) == "EOrder:Rate limit exceeded"
        assert counter.value == 61 - cost
    counter.value, counter.at = 60 - cost, caller.now
    assert caller.result("CancelOrder", txid=txid)["count"] == 1
    assert counter.value == 60


def test_krakens_own_example_costs_eight(fake: FakeKraken, caller: Caller) -> None:
    """Add (1), amend after 7 s (1 + 2), cancel 36 s later (4): within the decay, what the page says."""
    fake.rules.tier = "starter"
    txid = caller.place()
    counter = fake._limits._counters[caller.account.key, "XXBTZUSD"]
    costs = [counter.value]
    caller.now += 7
    caller.result("AmendOrder", txid=txid, order_qty="2")
    costs.append(counter.value)  # the 1 had decayed
    caller.now += 36
    caller.result("CancelOrder", txid=txid)
    costs.append(counter.value)
    assert costs == [1, 3, 4]


def test_editing_and_batches_count(fake: FakeKraken, caller: Caller) -> None:
    """An edit costs 1 and 6 for a young order; a batch half of its lines; cancelling a batch is never refused."""
    fake.rules.tier = "starter"
    counters = fake._limits._counters
    txid = caller.place()
    new = caller.result("EditOrder", pair="XBTUSD", txid=txid, price="38000")["txid"]
    counter = counters[caller.account.key, "XXBTZUSD"]
    assert counter.value == 8
    line = {name: value for name, value in ORDER.items() if name != "pair"}
    lines = [{**line, "price": "30000"} for _ in range(15)]
    caller.result("AddOrderBatch", as_json=True, pair="XBTUSD", orders=lines)
    assert counter.value == 15.5
    caller.result("CancelOrderBatch", as_json=True, orders=[new, *caller.account.orders])
    assert (counter.value > 60, caller.account.orders) == (True, {})


def test_there_is_a_most_of_open_orders(fake: FakeKraken, caller: Caller) -> None:
    """Sixty of a pair for the starter; one of another pair may still come."""
    fake.rules.tier = "starter"
    for _ in range(60):
        caller.place()
        caller.now += 2
    assert caller.error("AddOrder", **ORDER) == "EOrder:Orders limit exceeded"
    assert caller.place(pair="ETHUSD", price="100")


def test_a_key_is_locked_out(fake: FakeKraken, caller: Caller) -> None:
    """After some failures in a row it gets nothing but the lockout, until that ends; other keys go on."""
    fake.rules.change(lockout_after=3, lockout_seconds=100)
    account = caller.account
    for _ in range(2):
        fake.answer(*forged(account, 5), NOW)
    caller.result("Balance")  # not in a row
    for _ in range(3):
        assert fake.answer(*signed(account, "Balance", 1), NOW) == INVALID_NONCE
    assert caller.error("Balance") == "EGeneral:Temporary lockout"
    assert account.last_nonce == 1
    assert Caller(fake, fake.add_account("other")).reply("Balance") == FINE
    caller.now += 100
    assert caller.reply("Balance") == FINE


def test_failures_far_apart_do_not_lock_out(fake: FakeKraken, caller: Caller) -> None:
    """They have to come within a time; an unknown key is locked out as well."""
    fake.rules.change(lockout_after=2, lockout_within=10)
    unknown = {"API-Key": "guess"}
    answers = [fake.answer("/0/private/Balance", unknown, b"", NOW + at)["error"][0] for at in (0, 11, 12, 13)]
    assert answers == ["EAPI:Invalid key"] * 3 + ["EGeneral:Temporary lockout"]


def test_too_many_in_flight_are_throttled(fake: FakeKraken, account: FakeAccount, server: FakeKrakenServer) -> None:
    """The answer says until when, in seconds since 1970; the others are answered."""
    fake.rules.max_in_flight = 1
    fake.faults.add("Balance", "slow_answer", seconds=1000)
    wire = Wire(server.url, account)
    request = as_http(*signed(account, "Balance", 1))
    next(wire._nonces)
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as sender:
        sender.sendall(request)
        while not fake.arrivals:
            threading.Event().wait(0.001)
        (error,) = wire.reply("Balance")["error"]
    kind, _, moment = error.rpartition(": ")
    assert (kind, moment.isdigit()) == ("EService:Throttled", True)


def test_rules_are_set_over_http(fake: FakeKraken, wire: Wire) -> None:
    """Other processes see and change the switches; a wrong one is explained, and then none is changed."""
    status, rules = wire.control("POST", "rules", {"status": "cancel_only", "taker_fee": "0.001", "lockout_within": 5})
    assert (status, rules["status"], rules["taker_fee"]) == (200, "cancel_only", "0.001")
    assert wire.control("GET", "rules") == (200, rules)
    assert (fake.rules.status, fake.rules.taker_fee) == ("cancel_only", Decimal("0.001"))
    for wrong in ({"guess": 1}, {"status": "guess"}, {"tier": 1}, {"lockout_after": True}, {"taker_fee": "x"}):
        status, answer = wire.control("POST", "rules", {"max_in_flight": 5, **wrong})
        assert (status, "error" in answer) == (400, True)
    assert fake.rules.max_in_flight == 0


def test_rules_are_set_from_the_beginning() -> None:
    """They can be given to the fake."""
    assert FakeKraken(Rules(status="post_only")).rules.status == "post_only"


def test_a_key_in_any_state_can_be_made_over_http(fake: FakeKraken, wire: Wire) -> None:
    """With all that Python's call takes; so a bot's recovery can be tested in any language."""
    settings = {"nonce_window": 5, "otp": "123", "permissions": ["query-funds"], "valid_until": 2e9}
    status, made = wire.control("POST", "accounts", {"name": "mine", "last_nonce": 2**60, **settings})
    key = fake.keys[made["api_key"]]
    assert (status, key.last_nonce, key.nonce_window, key.otp) == (200, 2**60, 5, "123")
    assert (key.permissions, key.valid_until) == (frozenset(["query-funds"]), 2e9)
    status, second = wire.control("POST", "keys", {"account": key.key, "name": "spare", "last_nonce": 7})
    assert (status, second["name"], fake.keys[second["api_key"]].last_nonce) == (200, "spare", 7)
    assert fake.keys[second["api_key"]].account is key.account
    spare = Wire(wire.url, fake.keys[second["api_key"]])
    assert spare.reply("Balance")["error"] == []
    assert wire.control("POST", "revoke", {"key": second["api_key"]}) == (200, {})
    assert spare.reply("Balance")["error"] == ["EAPI:Invalid key"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("accounts", {}),
        ("accounts", {"name": "mine", "last_once": 5}),
        ("accounts", {"name": "mine", "last_nonce": "5"}),
        ("accounts", {"name": "mine", "last_nonce": True}),
        ("accounts", {"name": "mine", "nonce_window": -1}),
        ("accounts", {"name": "mine", "permissions": "query-funds"}),
        ("accounts", {"name": "mine", "permissions": ["query-fonds"]}),
        ("accounts", {"name": "mine", "otp": 5}),
        ("accounts", {"name": "mine", "valid_until": "soon"}),
        ("accounts", {"name": "mine", "balances": ["ZUSD"]}),
        ("accounts", {"name": "mine", "balances": {"USD": "5"}}),
        ("accounts", {"name": "mine", "balances": {"ZUSD": "-5"}}),
        ("accounts", {"name": "mine", "key": 5}),
        ("keys", {"account": "unknown"}),
        ("keys", {"name": "spare"}),
        ("revoke", {"key": "unknown"}),
        ("revoke", {"api_key": "unknown"}),
        ("price", {"pair": "XBTUSD", "price": 30000, "now": 5}),
        ("fill", {"txid": "O", "volumes": "1"}),
        ("price", {"pair": "XBTUSD", "price": "0.05"}),
        ("price", {"pair": "XBTUSD", "price": "1e13"}),
        ("faults", {"method": "AddOrdr", "fault": "drop"}),
        ("rules", {"teir": "pro"}),
    ],
    ids=str,
)
def test_a_slip_in_what_is_asked_of_the_fake_is_told(fake: FakeKraken, wire: Wire, path: str, body: Any) -> None:
    """A name or a value that cannot be used is no default: the test of a bot would test something else."""
    before = len(fake.keys)
    status, answer = wire.control("POST", path, body)
    assert (status, list(answer), len(fake.keys)) == (400, ["error"], before)


def test_prices_fills_and_accounts_over_http(fake: FakeKraken, wire: Wire) -> None:
    """A bot in another language is tested like one in Python."""
    status, made = wire.control("POST", "accounts", {"name": "mine", "balances": {"ZUSD": 100000}})
    account = fake.accounts[made["api_key"]]
    assert (status, account.secret, account.balances) == (200, made["api_secret"], {"ZUSD": Decimal(100000)})
    mine = Wire(wire.url, account)
    (txid,) = mine.reply("AddOrder", **ORDER)["result"]["txid"]
    assert wire.control("POST", "fill", {"txid": txid, "volume": "0.25"}) == (200, {})
    assert wire.control("POST", "price", {"pair": "XBTUSD", "price": 30000}) == (200, {})
    assert account.orders == {}
    assert wire.control("POST", "fill", {"txid": txid})[0] == 400
    assert wire.control("POST", "price", {"pair": "XBTUSD"}) == (400, {"error": "The body needs a price."})
    assert wire.control("POST", "accounts", {"name": 1})[0] == 400


def test_requests_on_their_way_are_in_flight(fake: FakeKraken, account: FakeAccount) -> None:
    """A request counts from its coming in, also while it waits for the slow network, until it is answered."""
    request = as_http(*signed(account, "Balance", 1))
    with FakeKrakenServer(fake, latency=1000) as server, contextlib.ExitStack() as senders:
        for _ in range(3):
            sender = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
            senders.enter_context(sender).sendall(request)
        while server._delivery._in_flight[account.key] < 3:
            threading.Event().wait(0.001)
    assert server._delivery._in_flight[account.key] == 0
