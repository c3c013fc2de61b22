"""Which of an account's keys may be used now, by a clock that the test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import (
    ConfigError,
    InvalidKey,
    InvalidNonce,
    KrakenAPIError,
    KrakenError,
    LockedOut,
    OutcomeUnknown,
    PermissionDenied,
    PoisonedKey,
    RateLimited,
    ServiceUnavailable,
    Throttled,
)
from krakenonce.key.account_keys import FEWER, REFUSED, AccountKeys
from krakenonce.key.methods import METHODS, Kind
from krakenonce.testing.documented import DOCUMENTED_PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """Three keys and a clock."""

    def __init__(self, keys: int = 3) -> None:
        self.now = 1000.0
        self.keys = AccountKeys([f"key {number}" for number in range(keys)], lambda: self.now)

    def usable(self, method: str = "Balance", **params: Any) -> list[int]:
        """Return the places of the keys that may be used now."""
        return self.keys.usable(method, params)


def error(kind: type[KrakenAPIError], *strings: str, retry_after: float | None = None) -> KrakenAPIError:
    """Return an error of Kraken's."""
    made = kind("Kraken answered so.", strings)
    if isinstance(made, RateLimited | LockedOut):
        made.retry_after = retry_after
    return made


@pytest.mark.parametrize(
    ("why", "seconds"),
    [
        (lambda: error(LockedOut, "EGeneral:Temporary lockout", retry_after=900.0), 900.0),
        (lambda: error(RateLimited, "EAPI:Rate limit exceeded", retry_after=7.0), 7.0),
        (lambda: error(InvalidKey, "EAPI:Invalid key"), REFUSED),
        (lambda: error(PoisonedKey, "EAPI:Invalid nonce"), REFUSED),
    ],
)
def test_a_key_is_passed_over_for_a_while(why: Callable[[], KrakenAPIError], seconds: float) -> None:
    """Then it is tried again, before the others as ever."""
    world = World()
    assert world.keys.passes_over(0, "Balance", why())
    assert world.usable() == [1, 2]
    world.now += seconds - 0.1
    assert world.usable() == [1, 2]
    world.now += 0.2
    assert world.usable() == [0, 1, 2]


@pytest.mark.parametrize(
    "why",
    [
        OutcomeUnknown("no answer came"),
        error(ServiceUnavailable, "EService:Unavailable"),
        error(InvalidNonce, "EAPI:Invalid nonce"),
        error(RateLimited, "EOrder:Rate limit exceeded", retry_after=7.0),
        error(RateLimited, retry_after=7.0),
    ],
)
def test_what_says_nothing_about_the_key_or_may_have_been_executed_is_not_given_to_another(why: KrakenError) -> None:
    """The trading engine's limit and an HTTP status 429 are the account's and the address's."""
    world = World()
    assert not world.keys.passes_over(0, "AddOrder", why)
    assert world.usable() == [0, 1, 2]


def test_an_error_that_leaves_the_outcome_open_passes_no_key_over() -> None:
    """Although it would, if nothing was executed."""
    world, poisoned = World(), error(PoisonedKey, "EAPI:Invalid nonce")
    poisoned.may_have_executed = "unknown"
    assert not world.keys.passes_over(0, "AddOrder", poisoned)


def test_a_missing_permission_is_that_of_one_method() -> None:
    """The key makes all other calls."""
    world = World()
    assert world.keys.passes_over(0, "Ledgers", error(PermissionDenied, "EGeneral:Permission denied"))
    assert (world.usable("Ledgers"), world.usable("Balance")) == ([1, 2], [0, 1, 2])


def test_the_error_for_all_keys_is_that_of_the_key_that_is_back_first() -> None:
    """With the seconds until then."""
    world = World(2)
    world.keys.passes_over(0, "Balance", error(LockedOut, "EGeneral:Temporary lockout", retry_after=900.0))
    world.now += 10
    world.keys.passes_over(1, "Balance", error(RateLimited, "EAPI:Rate limit exceeded", retry_after=20.0))
    with pytest.raises(RateLimited) as caught:
        world.usable()
    assert caught.value.retry_after == pytest.approx(20.0)
    first, second = world.keys.names
    assert str(caught.value) == (
        "Not sent: none of the account's 2 API keys can be used now. "
        f"key {first}: EGeneral:Temporary lockout; key {second}: EAPI:Rate limit exceeded."
    )


def test_each_throttled_halves_the_keys_for_a_minute_and_one_is_always_left() -> None:
    """After the minute all are used again."""
    world = World(8)
    for left in (4, 2, 1, 1):
        assert not world.keys.passes_over(0, "Balance", error(Throttled, "EService:Throttled: 1"))
        assert world.usable() == list(range(left))
    world.now += FEWER + 0.1
    assert world.usable() == list(range(8))
    world.keys.passes_over(0, "Balance", error(Throttled, "EService:Throttled: 1"))
    assert world.usable() == [0, 1, 2, 3]


def test_the_key_whose_rate_limit_is_free_first_is_waited_for() -> None:
    """Not one that is out for another reason."""
    world = World()
    world.keys.passes_over(0, "Balance", error(InvalidKey, "EAPI:Invalid key"))
    world.keys.must_wait(1, 5.0)
    assert world.keys.full_the_shortest("Balance", {}) == 1
    world.keys.must_wait(2, 3.0)
    assert world.keys.full_the_shortest("Balance", {}) == 2
    assert world.keys.passes_over(2, "Ledgers", error(PermissionDenied, "EGeneral:Permission denied"))
    assert world.keys.full_the_shortest("Ledgers", {}) == 1


def test_one_key_is_used_whatever_has_happened() -> None:
    """An account with one key is as ever."""
    world = World(1)
    assert not world.keys.passes_over(0, "Balance", error(InvalidKey, "EAPI:Invalid key"))
    assert not world.keys.passes_over(0, "Balance", error(Throttled, "EService:Throttled: 1"))
    assert world.usable() == [0]
    assert not world.keys.needs_info(0, "AddOrder", {})


def test_a_key_of_another_account_is_never_used_again() -> None:
    """Whatever the call is."""
    world = World()
    world.keys.learn(0, {"iban": "AA", "permissions": ["modify-trades"]})
    with pytest.raises(ConfigError, match="are of different accounts"):
        world.keys.learn(1, {"iban": "BB", "permissions": ["modify-trades"]})
    world.now += 1e6
    assert world.usable() == [0, 2]
    world.keys.learn(2, {"permissions": []})  # of a Kraken that does not tell the number
    assert world.usable("AddOrder") == [0]


def test_what_names_an_order_under_way_goes_with_its_key() -> None:
    """By the ids that its sender has given it; until it has its answer."""
    world = World()
    world.keys.begin(2, "AddOrder", {"cl_ord_id": "mine"})
    world.keys.begin(1, "AddOrder", {"userref": 7})
    assert world.usable("CancelOrder", cl_ord_id="mine") == [2]
    assert world.usable("QueryOrders", userref=7) == [1]
    assert world.usable("CancelOrder", cl_ord_id="other") == [0, 1, 2]
    assert world.usable("CancelOrder", txid="7") == world.usable("CancelOrder", txid=7) == [1]
    assert world.keys.with_orders() == [1, 2]
    world.keys.end(0)
    assert world.keys.with_orders() == [1, 2]
    world.keys.end(2)
    assert world.usable("CancelOrder", cl_ord_id="mine") == [0, 1, 2]


def test_orders_with_one_userref_are_sent_with_all_keys() -> None:
    """It names a group of orders: a bot may give all of its orders the same one. A cancel names them all."""
    world = World()
    world.keys.begin(1, "AddOrderBatch", {"orders": [{"userref": 7}, {"userref": 8, "cl_ord_id": "mine"}]})
    assert world.usable("AddOrder", userref=7) == [0, 1, 2]
    assert world.usable("AddOrder", cl_ord_id="mine") == [1]
    world.keys.begin(2, "AddOrder", {"userref": 7})
    assert world.keys.with_orders(["userref 7"]) == [1, 2]
    assert world.keys.with_orders(["userref 8"]) == [1]
    assert world.keys.with_orders([]) == []


def test_a_full_rest_counter_is_waited_for_whatever_keeps_the_other_keys() -> None:
    """Also if one of them is tried again before that: Kraken may refuse it as before."""
    world = World(2)
    assert world.keys.passes_over(1, "Balance", error(InvalidKey, "EAPI:Invalid key"))
    world.now += REFUSED - 1
    world.keys.must_wait(0, 5.0)
    with pytest.raises(RateLimited) as caught:
        world.usable()
    assert caught.value.retry_after == 5.0


def test_the_permissions_are_those_that_kraken_documents() -> None:
    """For all methods that change something, and no other."""
    documented = {
        name: {frozenset(each) for each in method.permissions}
        for name, method in DOCUMENTED_PRIVATE.items()
        if METHODS[name].kind is not Kind.READ and method.permissions
    }
    ours = {
        name: {frozenset(each.split(" + ")) for each in its.needs.split(" / ")}
        for name, its in METHODS.items()
        if its.needs
    }
    assert ours == documented
    assert METHODS["CancelAll"].may_be_called(["close-trades"])
    assert not METHODS["AddOrderBatch"].may_be_called(["modify-trades"])
    assert METHODS["SomethingNew"].may_be_called([])


def test_a_full_rest_counter_keeps_no_call_back_that_is_not_in_it() -> None:
    """Neither an order nor a cancel by id; all other calls wait for the key that is full the shortest."""
    world = World(2)
    world.keys.must_wait(0, 7.0)
    world.keys.must_wait(1, 5.0)
    assert world.keys.full_the_shortest("Balance", {}) == 1
    for method in ("AddOrder", "CancelOrder"):
        assert world.usable(method) == [0, 1]
    with pytest.raises(RateLimited) as caught:
        world.usable()
    assert caught.value.retry_after == 5.0


def test_a_key_that_cannot_be_asked_what_it_may_do_is_passed_over_for_orders_too() -> None:
    """Kraken has refused the question, because the key's REST counter is full."""
    world = World(2)
    world.keys.learn(0, {"permissions": ["modify-trades"]})
    full = error(RateLimited, "EAPI:Rate limit exceeded", retry_after=7.0)
    assert all(world.keys.passes_over(place, "AddOrder", full) for place in (0, 1))
    assert world.usable("AddOrder") == [0]
    world.now += 7
    assert world.usable("AddOrder") == [0, 1]


def test_the_keys_that_are_passed_over_are_named_as_long_as_they_are() -> None:
    """With the reason, and the seconds that are left."""
    world = World()
    assert world.keys.passes_over(0, "Balance", error(InvalidKey, "EAPI:Invalid key"))
    assert world.keys.passes_over(1, "AddOrder", error(PermissionDenied, "EGeneral:Permission denied"))
    world.now += 10.0
    first, second = world.keys.out()
    assert first == (0, "EAPI:Invalid key", REFUSED - 10)
    assert (second[0], second[1].endswith(" for AddOrder")) == (1, True)
    world.now += REFUSED
    assert world.keys.out() == []


def test_a_key_is_asked_again_what_it_may_do() -> None:
    """After a refused nonce: another program may use it."""
    world = World()
    world.keys.learn(0, {"permissions": ["modify-trades"], "iban": "1"})
    assert not world.keys.needs_info(0, "AddOrder", {})
    world.keys.ask_again(0)
    assert world.keys.needs_info(0, "AddOrder", {})
