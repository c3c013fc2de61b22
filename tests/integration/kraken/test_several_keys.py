"""One account with several API keys: as many calls at once, and everything else as with one key."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import (
    CancelledBeforeSent,
    ConfigError,
    DeadlineElapsed,
    InvalidKey,
    KrakenError,
    LockedOut,
    OutcomeUnknown,
    PermissionDenied,
    PoisonedKey,
    RateLimited,
    UnknownOrder,
)
from krakenonce.key import account_keys
from krakenonce.key.naming import fingerprint
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import Twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

KEYS = 4
LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "30000"}


@pytest.fixture
def pairs(fake: FakeKraken, rich: FakeAccount) -> list[tuple[str, str]]:
    """The keys of the rich account, each with its secret."""
    for _ in range(KEYS - 1):
        fake.add_key(rich)
    return [(each.key, each.secret) for each in rich.keys]


@pytest.fixture
def options(server: FakeKrakenServer) -> dict[str, Any]:
    """How the clients are made."""
    return {"manager": NonceManager("memory:"), "tier": "none", "base_url": server.url}


@pytest.fixture
def client(pairs: list[tuple[str, str]], options: dict[str, Any]) -> Iterator[Kraken]:
    """A client with all keys."""
    with Kraken(keys=pairs, **options) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest, pairs: list[tuple[str, str]], options: dict[str, Any]) -> Iterator[Twin]:
    """Each of the two clients with all keys, one after the other."""
    with Twin(request.param, keys=pairs, **options) as made:
        yield made


def keys_of(fake: FakeKraken, method: str) -> list[str | None]:
    """Return the names of the keys with which a method was called, in order."""
    return [each.key_name for each in fake.arrivals if each.method == method]


def order(number: int = 0) -> dict[str, str]:
    """Return the parameters of one order; no two are equal."""
    return {**LIMIT, "volume": f"0.00{number + 10}", "cl_ord_id": f"order-{number}"}


def hold(manager: NonceManager, key: str) -> Callable[[], None]:
    """Have another thread hold a key's lane; return what ends that."""
    has, end = threading.Event(), threading.Event()

    def work() -> None:
        with manager.lane(key):
            has.set()
            end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    has.wait(20)

    def stop() -> None:
        end.set()
        thread.join()

    return stop


def test_as_many_calls_are_made_at_once_as_there_are_keys(
    fake: FakeKraken, client: Kraken, server: FakeKrakenServer
) -> None:
    """Sixty orders of sixty threads: each placed once, no nonce refused, all keys used."""
    with ThreadPoolExecutor(60) as threads:
        placed = list(threads.map(lambda number: client.private("AddOrder", **order(number)), range(60)))
    assert len({txid for each in placed for txid in each["txid"]}) == 60
    assert fake.invalid_nonces() == []
    assert set(keys_of(fake, "AddOrder")) == {"rich", "rich 2", "rich 3", "rich 4"}
    fake.assert_no_invalid_nonce()


def test_tasks_use_all_keys(fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]) -> None:
    """As threads do."""

    async def main() -> None:
        async with AsyncKraken(keys=pairs, **options) as client:
            await asyncio.gather(*(client.private("AddOrder", **order(number)) for number in range(60)))

    asyncio.run(main())
    assert len(set(keys_of(fake, "AddOrder"))) == KEYS
    assert len(keys_of(fake, "AddOrder")) == 60
    fake.assert_no_invalid_nonce()


def test_one_caller_alone_uses_the_first_key(fake: FakeKraken, both: Twin) -> None:
    """Unless that one is in use."""
    both("private", "Balance")
    assert keys_of(fake, "Balance") == ["rich"]
    stop = hold(both.client._manager, both.client.key)
    both("private", "Balance")
    stop()
    assert keys_of(fake, "Balance") == ["rich", "rich 2"]


def test_kraken_is_asked_for_permissions_before_the_first_call_that_changes_something(
    fake: FakeKraken, both: Twin
) -> None:
    """Once for each key, in the same turn; reads need no question."""
    both("private", "Balance")
    assert keys_of(fake, "GetApiKeyInfo") == []
    for number in range(2):
        both("private", "AddOrder", **order(number))
    assert [each.method for each in fake.arrivals] == ["Balance", "GetApiKeyInfo", "AddOrder", "AddOrder"]


def test_one_key_is_asked_nothing(fake: FakeKraken, rich: FakeAccount, options: dict[str, Any]) -> None:
    """It stays as simple as it is."""
    with Kraken(rich.key, rich.secret, **options) as client:
        client.private("AddOrder", **order())
    assert [each.method for each in fake.arrivals] == ["AddOrder"]


def test_a_call_goes_to_a_key_that_may_make_it(fake: FakeKraken, rich: FakeAccount, both: Twin) -> None:
    """What it may not is known from Kraken's answer to GetApiKeyInfo, or to a read."""
    rich.keys[0].permissions = frozenset({"query-funds", "query-ledger"})
    rich.keys[1].permissions = frozenset({"modify-trades", "close-trades"})
    both("private", "AddOrder", **order())
    both("private", "AddOrder", **order(1))
    assert keys_of(fake, "AddOrder") == ["rich 2", "rich 2"]
    both("private", "OpenOrders")
    both("private", "OpenOrders")
    assert keys_of(fake, "OpenOrders") == ["rich", "rich 2", "rich 3", "rich 3"]
    for key in rich.keys:
        key.permissions = frozenset({"query-ledger"})
    with pytest.raises(
        PermissionDenied, match=r"none of the account's 4 API keys can be used now\. key [0-9a-f]{16}: .*; "
    ):
        both("private", "Withdraw", asset="XBT", key="mine", amount="1")


@pytest.mark.parametrize("how", ["revoked", "wrong secret", "locked out", "poisoned"])
def test_a_key_that_cannot_be_used_is_passed_over_and_that_is_said_once(
    fake: FakeKraken,
    rich: FakeAccount,
    pairs: list[tuple[str, str]],
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    """The others go on, with reads and with orders."""
    first, *others = pairs
    if how == "revoked":
        rich.keys[0].is_revoked = True
    elif how == "wrong secret":
        first = (first[0], others[0][1])
    elif how == "poisoned":
        rich.keys[0].last_nonce = 2**63
    else:
        fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    caplog.set_level(logging.INFO)
    with Kraken(keys=[first, *others], **options) as client:
        for number in range(3):
            client.private("Balance")
            client.private("AddOrder", **order(number))
    assert [each.key_name for each in fake.arrivals if each.accepted and not each.fault] == ["rich 2"] * 7
    said = [each.message for each in caplog.records if "is passed over" in each.message]
    assert len(said) == 1
    assert said[0].startswith(f"API key {fingerprint(first[0])} is passed over: ")
    assert said[0].endswith("The account's other keys are used.")


def test_a_lockout_closes_one_key_for_all_processes_and_no_other(
    pairs: list[tuple[str, str]], options: dict[str, Any], fake: FakeKraken
) -> None:
    """The next client sends nothing with it."""
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    with Kraken(keys=pairs, **options) as client:
        client.private("Balance")
    with Kraken(keys=pairs, **options) as client:
        client.private("Balance")
    assert keys_of(fake, "Balance") == ["rich", "rich 2", "rich 2"]
    with Kraken(*pairs[0], **options) as alone, pytest.raises(LockedOut):
        alone.private("Balance")


def test_when_no_key_can_be_used_the_error_names_the_reason_of_each(
    rich: FakeAccount, fake: FakeKraken, both: Twin
) -> None:
    """It is the error of the key that is back first; nothing was executed."""
    for key in rich.keys[1:]:
        key.is_revoked = True
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    with pytest.raises(InvalidKey) as caught:
        both("private", "Balance")
    names = [fingerprint(key.key) for key in rich.keys]
    assert str(caught.value) == (
        f"Not sent: none of the account's 4 API keys can be used now. key {names[0]}: EGeneral:Temporary lockout; "
        + "; ".join(f"key {name}: EAPI:Invalid key" for name in names[1:])
        + "."
    )
    assert caught.value.may_have_executed == "no"
    assert rich.key not in str(caught.value)


def test_a_key_over_its_rate_limit_is_passed_over(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """Each key has a REST counter of its own, so four keys read four times as much without waiting."""
    options["tier"] = "starter"
    fake.rules.tier = "starter"
    with Kraken(keys=pairs, max_wait=0.0, **options) as client, pytest.raises(RateLimited):
        list(map(client.private, itertools.repeat("Balance", 100)))
    assert 4 * 13 <= len(keys_of(fake, "Balance")) < 4 * 16
    assert fake.invalid_nonces() == []


def test_a_call_waits_for_the_key_whose_rate_limit_is_free_first(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """If all are used up."""
    options["tier"] = "starter"
    fake.rules.tier = "starter"
    with Kraken(keys=pairs[:2], **options) as client:
        for _ in range(32):
            client.private("Balance")
    assert len(keys_of(fake, "Balance")) == 32
    assert [each.error for each in fake.arrivals if each.error] == []


def test_a_call_waits_for_the_rate_limit_of_one_key_while_kraken_refuses_the_other(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is tried again sooner than that. All come in the order in which they asked, and none in vain."""
    monkeypatch.setattr(account_keys, "REFUSED", 1.0)
    options["tier"] = "pro"
    fake.rules.tier = "pro"
    fake.revoke(pairs[1][0])
    with Kraken(keys=pairs[:2], **options) as client, ThreadPoolExecutor(28) as threads:
        assert len(list(threads.map(lambda _: client.private("Balance"), range(28)))) == 28
        assert client.private("AddOrder", **order())["txid"]
        assert set(keys_of(fake, "AddOrder")) == {"rich"}


def test_an_order_whose_answer_was_lost_is_asked_for_with_its_own_key(fake: FakeKraken, both: Twin) -> None:
    """Only a later nonce of that key proves that a late one is refused. No other key sends it again."""
    stop = hold(both.client._manager, both.client.key)
    fake.faults.add("AddOrder", "process_then_cut")
    with pytest.raises(OutcomeUnknown) as caught:
        both("private", "AddOrder", **order())
    stop()
    assert keys_of(fake, "AddOrder") == ["rich 2"]
    found = both.wait(caught.value.reconcile())
    assert found.placed is True
    assert set(keys_of(fake, "OpenOrders")) == {"rich 2"}


def test_an_order_that_comes_late_is_refused_once_its_key_was_asked(fake: FakeKraken, both: Twin) -> None:
    """The question's nonce is larger, and of the same key."""
    fake.faults.add("AddOrder", "hold_back", seconds=20)
    with pytest.raises(KrakenError) as caught:
        both.wait(both.client.run(both.client.calls.private("AddOrder", order()), timeout=0.2))
    both("private", "Balance")
    assert caught.value.may_have_executed == "unknown"
    assert {each.key_name for each in fake.arrivals} == {"rich"}
    assert [each.accepted for each in fake.arrivals if each.method == "AddOrder"] == [False]


def test_an_order_with_a_refused_nonce_is_not_sent_again_by_another_key(fake: FakeKraken, client: Kraken) -> None:
    """It may have been a copy of it that was refused: its own key is asked, and sends it again."""
    client.private("AddOrder", **order(1))
    fake.faults.add("AddOrder", "error", error="EAPI:Invalid nonce")
    stop = hold(client._manager, client._pairs[1].key)
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    with pytest.raises(DeadlineElapsed):
        client.private("AddOrder", **order(), deadline=soon)
    stop()
    assert keys_of(fake, "AddOrder") == ["rich"] * 3
    assert set(keys_of(fake, "OpenOrders")) == {"rich"}
    assert len(fake.accounts[client.key].orders) == 1


def test_a_call_that_names_an_order_under_way_comes_after_it_with_its_key(fake: FakeKraken, client: Kraken) -> None:
    """A cancel with another key could arrive first, and would find nothing."""
    client.private("AddOrder", **order(1))
    fake.faults.add("AddOrder", "slow_request", seconds=0.3)
    thread = threading.Thread(target=lambda: client.private("AddOrder", **order()))
    thread.start()
    while not client.calls.account.with_orders():
        threading.Event().wait(0.001)
    cancelled = client.private("CancelOrder", cl_ord_id="order-0")
    thread.join()
    assert cancelled["count"] == 1
    assert keys_of(fake, "CancelOrder") == keys_of(fake, "AddOrder")[-1:]


def test_cancel_all_comes_after_the_orders_that_this_process_is_sending(fake: FakeKraken, client: Kraken) -> None:
    """So nothing stands after it."""
    client.private("AddOrder", **order(1))
    fake.faults.add("AddOrder", "slow_request", seconds=0.3)
    thread = threading.Thread(target=lambda: client.private("AddOrder", **order()))
    thread.start()
    while not client.calls.account.with_orders():
        threading.Event().wait(0.001)
    assert client.private("CancelAll")["count"] == 2
    thread.join()


def test_a_cancel_by_userref_comes_after_all_orders_of_that_group(fake: FakeKraken, client: Kraken) -> None:
    """With whichever keys they are just being sent."""
    for number in (1, 2):
        client.only(number).private("AddOrder", **order(number))
    stops = [hold(client._manager, client._pairs[number].key) for number in (2, 3)]
    orders = []
    with ThreadPoolExecutor(2) as threads:
        for under_way, seconds in (([0], 0.3), ([0, 1], 1.0)):  # the cancel goes with the first key
            fake.faults.add("AddOrder", "slow_request", seconds=seconds)
            orders.append(threads.submit(client.private, "AddOrder", **LIMIT, volume="0.1", userref=7))
            while client.calls.account.with_orders() != under_way:
                threading.Event().wait(0.001)
        assert client.private("CancelOrder", txid=7)["count"] == 2
        assert all(each.result()["txid"] for each in orders)
    for stop in stops:
        stop()


def test_two_calls_that_cancel_everything_do_not_wait_for_each_other(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """Not even while orders with their keys wait for the rate limit: these are not sent any more."""
    with Kraken(keys=pairs[:2], **options) as client, ThreadPoolExecutor(4) as threads:
        for number in (1, 2):
            client.only(number).private("AddOrder", **order(number))
        stops = [hold(client._manager, key) for key, _ in pairs[:2]]
        fake.faults.add("AddOrder", "error", error="EOrder:Rate limit exceeded", times=2)
        orders = [threads.submit(client.private, "AddOrder", **order(number)) for number in (3, 4)]
        while len(client._manager.lane(pairs[1][0])._queue._turn.waiting) < 2:
            threading.Event().wait(0.001)
        for stop in stops:
            stop()
        while len(keys_of(fake, "AddOrder")) < 4:
            threading.Event().wait(0.001)
        assert set(keys_of(fake, "AddOrder")[2:]) == {"rich", "rich 2"}
        stops = [hold(client._manager, key) for key, _ in pairs[:2]]
        cancels = [threads.submit(client.run, client.calls.private("CancelAll", {}), within=10) for _ in range(2)]
        while len(client._manager.lane(pairs[1][0], urgent=True)._queue._turn.waiting) < 2:
            threading.Event().wait(0.001)
        for stop in stops:
            stop()
        assert sum(each.result()["count"] for each in cancels) == 2
        assert {type(each.exception()) for each in orders} == {CancelledBeforeSent}


def test_a_cancel_is_made_with_another_key_if_that_of_its_waiting_order_is_refused(
    fake: FakeKraken, client: Kraken
) -> None:
    """Once: Kraken locks out who goes on with a key that it does not know."""
    for number in (1, 2):
        client.only(number).private("AddOrder", **order(number))
    fake.faults.add("AddOrder", "error", error="EService:Throttled")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.private, "AddOrder", **order())
        while len(keys_of(fake, "AddOrder")) < 3:
            threading.Event().wait(0.001)
        fake.revoke(client.key)
        with pytest.raises(UnknownOrder):
            client.private("CancelOrder", cl_ord_id="order-0")
        assert keys_of(fake, "CancelOrder") == ["rich", "rich 2"]
        assert isinstance(waiting.exception(), CancelledBeforeSent)


def test_after_throttled_fewer_keys_are_used_at_once_and_that_is_said(
    fake: FakeKraken, client: Kraken, caplog: pytest.LogCaptureFixture
) -> None:
    """Kraken answers it when too many calls of an account are under way."""
    fake.rules.max_in_flight = 2
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: client.private("Balance"), range(40)))
    said = [
        each.message for each in caplog.records if "Throttled: " in each.message and "at the same time" in each.message
    ]
    assert said[0].startswith("Kraken has answered Throttled: 2 of the account's 4 API keys are used at the same time")
    fake.arrivals.clear()
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: client.private("Balance"), range(20)))
    assert len(set(keys_of(fake, "Balance"))) <= 2


def test_keys_of_two_accounts_are_found_out_before_an_order_is_sent(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """It would be the other account's order."""
    other = fake.add_account("other", balances={"ZUSD": "1000"})
    with Kraken(keys=[pairs[0], (other.key, other.secret)], **options) as client:
        client.private("AddOrder", **order())
        stop = hold(client._manager, pairs[0][0])
        with pytest.raises(ConfigError, match="are of different accounts at Kraken"):
            client.private("AddOrder", **order(1))
        stop()
        client.private("AddOrder", **order(2))
    assert set(keys_of(fake, "AddOrder")) == {"rich"}


def test_calls_that_belong_together_can_be_made_with_one_key(
    fake: FakeKraken, client: Kraken, options: dict[str, Any]
) -> None:
    """``only`` gives a client with that key, which takes its turns with the others."""
    stop = hold(client._manager, client.key)
    second = client.only(2)
    second.private("GetApiKeyInfo")
    stop()
    assert keys_of(fake, "GetApiKeyInfo") == ["rich 2"]
    assert second.api_key_info().nonce == fake.keys[second.key].last_nonce
    for number in (0, 5, True, "1"):
        with pytest.raises(ConfigError, match="one of the 4 keys"):
            client.only(number)  # type: ignore[arg-type]


def test_keys_are_given_instead_of_one_key(pairs: list[tuple[str, str]]) -> None:
    """What was given wrongly is named by its number; the repr has fingerprints alone."""
    with pytest.raises(ConfigError, match="Give either key and secret, or keys"):
        Kraken("key", "secret", keys=pairs)
    with pytest.raises(ConfigError, match="API keys 1 and 2 are the same key"):
        Kraken(keys=[pairs[0], pairs[0]])
    with pytest.raises(ConfigError, match="keys must be a list of one or more"):
        Kraken(keys=[])
    shown = repr(Kraken(keys=pairs))
    assert shown == f"Kraken(keys={[fingerprint(key) for key, _ in pairs]}, base_url='https://api.kraken.com')"


def test_a_question_without_an_answer_leaves_the_order_unsent(fake: FakeKraken, both: Twin) -> None:
    """And is asked again with the next try."""
    fake.faults.add("GetApiKeyInfo", "process_then_cut")
    both("private", "AddOrder", **order())
    assert [each.method for each in fake.arrivals if not each.fault] == ["GetApiKeyInfo", "AddOrder"]


def test_a_poisoned_key_is_found_out_by_the_question(rich: FakeAccount, fake: FakeKraken, both: Twin) -> None:
    """The order goes to the next key, and was sent once."""
    rich.keys[0].last_nonce = 2**63
    both("private", "AddOrder", **order())
    assert keys_of(fake, "AddOrder") == ["rich 2"]
    with pytest.raises(PoisonedKey):
        both.wait(both.client.only(1).private("Balance"))


def test_programs_that_know_different_keys_of_an_account_are_told(
    pairs: list[tuple[str, str]], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Also two names of one account: whatever they are called, Kraken's number of the account is the same."""
    with Kraken(keys=pairs[:2], **options) as client:
        client.private("AddOrder", **order())
    assert "Other programs" not in caplog.text
    with Kraken(keys=pairs[2:], **options) as client:
        client.private("AddOrder", **order(1))
        client.private("AddOrder", **order(2))
    said = [each.message for each in caplog.records if each.message.startswith("Other programs use API keys")]
    assert len(said) == 1
    assert f"{fingerprint(pairs[0][0])}, {fingerprint(pairs[1][0])}" in said[0] or (
        f"{fingerprint(pairs[1][0])}, {fingerprint(pairs[0][0])}" in said[0]
    )


def test_the_engine_counts_the_orders_of_all_keys_of_an_account_together(
    fake: FakeKraken, pairs: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """Also those of a program that knows one of the keys only."""
    options["tier"] = fake.rules.tier = "starter"
    with Kraken(keys=pairs, max_wait=0.0, **options) as client, ThreadPoolExecutor(KEYS) as threads:
        placed = [threads.submit(client.private, "AddOrder", **order(number)) for number in range(100)]
        errors = [each.exception() for each in placed]
    assert {type(error) for error in errors if error} == {RateLimited}
    assert [each.error for each in fake.arrivals if each.error] == []
    assert len(keys_of(fake, "AddOrder")) < 70
    with Kraken(*pairs[1], max_wait=0.0, **options) as alone, pytest.raises(RateLimited, match=r"^Not sent"):
        alone.private("AddOrder", **order(200))


def test_cancel_all_leaves_no_order_that_waits_for_its_turn(fake: FakeKraken, client: Kraken) -> None:
    """It goes first, and they are answered with ``not sent``."""
    stops = [hold(client._manager, key.key) for key in client.calls.api_keys]
    errors: list[BaseException | None] = []
    with ThreadPoolExecutor(11) as threads:
        orders = [threads.submit(client.private, "AddOrder", **order(number)) for number in range(10)]
        while len(client._manager.lane(client.key)._queue._turn.waiting) < 10:
            threading.Event().wait(0.001)
        cancel = threads.submit(client.private, "CancelAll")
        while not client._manager.lane(client.key, urgent=True)._queue._turn.waiting:
            threading.Event().wait(0.001)
        for stop in stops:
            stop()
        errors = [each.exception() for each in orders]
        cancel.result()
    assert {type(error) for error in errors if error} == {CancelledBeforeSent}
    assert [each for each in fake.accounts[client.key].orders.values() if each.status == "open"] == []
