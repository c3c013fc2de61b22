"""What is repeated, what is waited for, and what an order's outcome is: in simulated time, without sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from krakenonce import errors
from krakenonce.errors import InvalidNonce, KrakenError, LockedOut, OutcomeUnknown, PoisonedKey, RateLimited
from krakenonce.key.limits import TIERS
from krakenonce.key.lockout import LOCKOUT
from krakenonce.kraken import orders, queries
from krakenonce.kraken.repeating import PAUSES
from krakenonce.kraken.request import PrivateCall
from krakenonce.kraken.sent import LIFETIME, MARGIN, SentOrder
from tests.integration.kraken.simulation import FAULTS, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.kraken.request import Steps

LIMIT = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.5", "price": "30000"}


def say(world: World, method: str, *strings: str) -> None:
    """Have the fake Kraken answer the next calls of a method with these errors, without looking at them."""
    real, waiting = world._answer, list(strings)

    def answer(request: Any) -> dict[str, Any]:
        return {"error": [waiting.pop(0)]} if waiting and request.path.endswith(method) else real(request)

    world._answer = answer  # type: ignore[method-assign]


def say_all(world: World, method: str, strings: list[str]) -> None:
    """Have the fake Kraken answer all calls of a method with these errors together."""
    real = world._answer

    def answer(request: Any) -> dict[str, Any]:
        return {"error": strings} if request.path.endswith(method) else real(request)

    world._answer = answer  # type: ignore[method-assign]


# --- no connection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["Balance", "AddOrder", "Withdraw"])
def test_what_was_never_sent_is_sent_again_whatever_it_is(method: str) -> None:
    """Without a connection nothing reached Kraken: two repetitions, each after a pause."""
    world = World()
    world.faults[method].extend(["not sent", "not sent"])
    params = LIMIT if method == "AddOrder" else {}
    try:
        world.run(world.calls.private(method, params))
    except errors.KrakenAPIError:
        assert method == "Withdraw"  # it lacks parameters, which is Kraken's own answer
    assert world.sent == [method]
    assert world.slept == list(PAUSES)


def test_the_third_time_without_a_connection_is_the_last() -> None:
    """Then the error comes up, and it says that nothing was executed."""
    world = World()
    world.faults["AddOrder"].extend(["not sent"] * 9)
    with pytest.raises(errors.RequestNotSent) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert len(world.faults["AddOrder"]) == 9 - 1 - len(PAUSES)
    assert (caught.value.may_have_executed, caught.value.order) == ("no", None)


# --- no answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "cut", "html", "busy"])
def test_what_only_reads_is_repeated(fault: str) -> None:
    """A read without an answer is made again, with a new number each time."""
    world = World()
    world.faults["Balance"].extend([fault, fault])
    assert world.run(queries.balances(world.calls)) == {}
    assert world.sent == ["Balance"] * 3
    numbers = [each.nonce for each in world.fake.accepted()]
    assert len(set(numbers)) == len(numbers)


def test_an_order_that_is_only_checked_is_repeated() -> None:
    """With validate nothing is placed."""
    world = World()
    world.faults["AddOrder"].append("cut")
    placed = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", validate=True))
    assert placed.txid is None
    assert world.sent == ["AddOrder"] * 2


@pytest.mark.parametrize("fault", ["lost", "cut", "html", "busy"])
@pytest.mark.parametrize(
    ("method", "params"),
    [("AddOrder", LIMIT), ("Withdraw", {"asset": "XBT"}), ("CancelAll", {}), ("EditOrder", {}), ("Whatever", {})],
)
def test_what_changes_something_is_not_repeated(method: str, params: dict[str, Any], fault: str) -> None:
    """No second copy of an order, a withdrawal, or of anything that we do not know."""
    world = World()
    world.faults[method].append(fault)
    with pytest.raises(KrakenError) as caught:
        world.run(world.calls.private(method, params))
    assert caught.value.may_have_executed == "unknown"
    assert world.sent == [method]
    assert (caught.value.order is not None) == (method == "AddOrder")


def test_a_cancel_by_id_is_repeated() -> None:
    """The second cancel finds nothing left to do, and then says that it may have been the first."""
    world = World()
    placed = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    world.faults["CancelOrder"].append("lost")
    assert world.run(orders.cancel_order(world.calls, placed.txid)).count == 1
    again = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    world.faults["CancelOrder"].append("cut")
    with pytest.raises(errors.UnknownOrder) as caught:
        world.run(orders.cancel_order(world.calls, again.txid))
    assert caught.value.may_have_executed == "unknown"
    with pytest.raises(errors.UnknownOrder) as caught:
        world.run(orders.cancel_order(world.calls, again.txid))
    assert caught.value.may_have_executed == "no"


def test_an_unknown_string_is_never_a_result() -> None:
    """What we do not know is an error, and an order that got it may stand."""
    world = World()
    say(world, "AddOrder", "EOrder:Something new")
    with pytest.raises(errors.UnknownKrakenError) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert caught.value.may_have_executed == "unknown"
    assert caught.value.order.cl_ord_ids


@pytest.mark.parametrize("strings", [["EAPI:Rate limit exceeded", "EOrder:Something new"], ["EOrder:Something new"]])
def test_an_unknown_string_is_not_tried_again_whatever_stands_beside_it(strings: list[str]) -> None:
    """What nobody knows may mean that the order was placed, and a second one would be placed."""
    world = World()
    say_all(world, "AddOrder", strings)
    with pytest.raises(KrakenError) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert caught.value.may_have_executed == "unknown"
    assert world.sent == ["AddOrder"]


@pytest.mark.parametrize("strings", [["EService:Busy", "EAuth:Something new"], ["EAuth:Something new"]], ids=str)
@pytest.mark.parametrize("method", ["Balance", "Time"])
def test_a_read_that_is_refused_in_unknown_words_is_made_once(method: str, strings: list[str]) -> None:
    """It may cost the account's limits, or count as a wrong code: private and public calls alike."""
    world = World()
    say_all(world, method, strings)
    with pytest.raises(errors.KrakenAPIError):
        world.run(world.calls.read(method, {}, dict))
    assert (world.sent, world.slept) == ([method], [])


def test_a_public_call_waits_as_long_as_kraken_says() -> None:
    """And if that is longer than the caller's patience, it is an error that says it."""
    world = World(max_wait=10)
    say(world, "Time", f"EService:Throttled: {int(world.now()) + 4}")
    world.run(queries.server_time(world.calls))
    assert world.slept == [pytest.approx(4, abs=0.1)]
    say(world, "Time", f"EService:Throttled: {int(world.now()) + 40}")
    with pytest.raises(errors.Throttled) as caught:
        world.run(queries.server_time(world.calls))
    assert (caught.value.retry_after or 0) > 30
    assert len(world.slept) == 1


# --- Invalid nonce ---------------------------------------------------------------------------------------------


def test_one_invalid_nonce_is_repeated_after_raising_the_floor() -> None:
    """A read is refused once, and made again with a larger number."""
    world = World()
    world.account.last_nonce = world.clock.now_ns() + 5_000_000
    assert world.run(queries.balances(world.calls)) == {}
    assert world.sent == ["Balance"] * 2


def test_two_in_a_row_are_a_poisoned_key() -> None:
    """Then the call is given up, with a message that names the scales and the way out."""
    world = World()
    world.account.last_nonce = 2**62
    with pytest.raises(PoisonedKey) as caught:
        world.run(queries.balances(world.calls))
    assert world.sent == ["Balance"] * 2
    for word in ("adopt", "microseconds", "(16)", "(19)", "new API key"):
        assert word in str(caught.value)
    assert caught.value.may_have_executed == "no"


def test_an_order_is_repeated_after_invalid_nonce_only_when_it_cannot_have_been_placed() -> None:
    """It is looked for until its deadline has passed, and sent again under the same id."""
    world = World()
    world.run(queries.balances(world.calls))
    say(world, "AddOrder", "EAPI:Invalid nonce")
    placed = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    assert world.orders_placed() == 1
    assert sum(world.slept) >= LIFETIME + MARGIN.total_seconds() - 1
    (order,) = world.run(queries.open_orders(world.calls)).values()
    assert order["cl_ord_id"] == placed.cl_ord_id


def test_an_order_that_something_sent_twice_is_found() -> None:
    """The second copy is refused, the first one stands: that is the result."""
    world = World()
    world.faults["AddOrder"].append("twice")
    placed = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    assert list(world.run(queries.open_orders(world.calls))) == [placed.txid]
    assert placed.description.startswith("buy 0.5")


def test_an_order_without_an_id_is_not_repeated_after_invalid_nonce() -> None:
    """It could not be told apart: the error comes up, and says that nothing is known."""
    world = World()
    world.faults["AddOrder"].append("twice")
    with pytest.raises(InvalidNonce) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000", cl_ord_id=None))
    assert type(caught.value) is InvalidNonce
    assert caught.value.may_have_executed == "unknown"
    assert world.sent == ["AddOrder"]


def test_a_withdrawal_is_not_repeated_after_invalid_nonce() -> None:
    """It has no id of ours by which it could be found."""
    world = World()
    say(world, "Withdraw", "EAPI:Invalid nonce")
    with pytest.raises(InvalidNonce):
        world.run(world.calls.private("Withdraw", {}))
    assert world.sent == ["Withdraw"]


# --- limits ----------------------------------------------------------------------------------------------------


def test_calls_wait_for_room_before_they_take_a_number() -> None:
    """Starter: a first lot at once, then one call every three seconds, and Kraken refuses none."""
    world = World(TIERS["starter"])
    for _ in range(20):
        world.run(queries.balances(world.calls))
    assert len(world.sent) == 20
    assert 10 < sum(world.slept) < 40


def test_without_patience_there_is_an_error_instead_of_a_wait() -> None:
    """RateLimited says when there will be room; no number is used."""
    world = World(TIERS["starter"], max_wait=0)
    answered: list[object] = []

    def all_at_once() -> None:
        answered.extend(world.run(queries.balances(world.calls)) for _ in range(20))

    with pytest.raises(RateLimited) as caught:
        all_at_once()
    assert 0 < (caught.value.retry_after or 0) < 5
    assert caught.value.errors == ()
    assert len(world.fake.arrivals) == world.nonces == len(answered) < 20
    world.clock.pass_time(caught.value.retry_after or 0)
    world.run(queries.balances(world.calls))


@pytest.mark.parametrize("method", ["Balance", "AddOrder"])
@pytest.mark.parametrize("string", ["EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EService:Throttled: {}"])
def test_kraken_s_own_refusal_is_waited_for(method: str, string: str, caplog: pytest.LogCaptureFixture) -> None:
    """Kraken says that it was too much: a pause, then the call again, for an order too; a long one is told."""
    world = World(TIERS["pro"])
    say(world, method, string.format(int(world.now()) + 4))
    world.run(world.calls.private(method, LIMIT if method == "AddOrder" else {}))
    assert world.sent == [method] * 2
    assert sum(world.slept) > 0
    told = [f"; trying again in {pause:.0f} s" for pause in world.slept if pause > 2]
    messages = [each.getMessage() for each in caplog.records if each.name != "krakenonce.journal"]
    assert [message[message.find("; trying") :] for message in messages] == told
    assert all(message.startswith(f"{method}: {string.partition(' {')[0]}") for message in messages)


def test_kraken_s_refusals_are_waited_for_only_so_long() -> None:
    """In the end the error comes up and says when to come back."""
    world = World(TIERS["starter"], max_wait=30)
    say(world, "Balance", *["EAPI:Rate limit exceeded"] * 99)
    with pytest.raises(RateLimited) as caught:
        world.run(queries.balances(world.calls))
    assert sum(world.slept) <= 30
    assert (caught.value.retry_after or 0) > 0
    assert caught.value.errors


@pytest.mark.parametrize("tier", ["none", "starter"])
def test_a_lockout_closes_the_key(tier: str) -> None:
    """One answer is enough: no call leaves before it is over, whether calls are counted or not."""
    world = World(TIERS.get(tier))
    say(world, "Balance", "EGeneral:Temporary lockout")
    with pytest.raises(LockedOut):
        world.run(queries.balances(world.calls))
    world.clock.pass_time(LOCKOUT - 5)
    with pytest.raises(LockedOut, match="another 5 s") as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    assert world.sent == ["Balance"]
    assert (caught.value.may_have_executed, caught.value.errors) == ("no", ())
    world.clock.pass_time(6)
    world.run(queries.balances(world.calls))


def test_krakenex_s_shape_keeps_the_limits_too() -> None:
    """A lockout seen by query_private closes the key as well; a refusal fills the counter."""
    world = World(TIERS["pro"], max_wait=0)
    say(world, "Balance", "EAPI:Rate limit exceeded", "EGeneral:Temporary lockout")
    assert world.run(world.calls.once("Balance", {})) == {"error": ["EAPI:Rate limit exceeded"]}
    with pytest.raises(RateLimited):
        world.run(world.calls.once("Balance", {}))
    world.clock.pass_time(60)
    assert world.run(world.calls.once("Balance", {})) == {"error": ["EGeneral:Temporary lockout"]}
    world.clock.pass_time(60)
    with pytest.raises(LockedOut):
        world.run(world.calls.once("Balance", {}))


# --- orders ----------------------------------------------------------------------------------------------------


def test_an_order_gets_an_id_and_a_deadline() -> None:
    """Each order its own id; the deadline counts from the signature."""
    world = World()
    first, second = (world.run(orders.add_order(world.calls, "XBTUSD", "buy", "1", "1")) for _ in range(2))
    assert first.cl_ord_id
    assert second.cl_ord_id
    assert first.cl_ord_id != second.cl_ord_id
    world.faults["AddOrder"].append("lost")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    order = caught.value.order
    assert isinstance(order, SentOrder)
    assert order.deadline is not None
    assert order.deadline.timestamp() == pytest.approx(world.now() + LIFETIME, abs=0.1)


@pytest.mark.parametrize(
    "more", [{"cl_ord_id": None}, {"userref": 5}, {"close[ordertype]": "limit", "close[price]": "3"}], ids=str
)
def test_an_order_gets_no_id_where_kraken_takes_none(more: dict[str, Any]) -> None:
    """Beside userref and conditional closes, or where None says so; the caller's own dict is not touched."""
    world = World()
    world.faults["AddOrder"].append("lost")
    given_params = {**LIMIT, **more}
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", given_params))
    assert caught.value.order.cl_ord_ids == ()
    assert "cl_ord_id" not in caught.value.order.params
    assert given_params == {**LIMIT, **more}


def test_an_order_s_own_id_and_deadline_are_kept() -> None:
    """What the caller gives is sent."""
    world = World()
    world.faults["AddOrder"].append("lost")
    mine = {"cl_ord_id": "mine-1", "deadline": "2027-01-15T08:00:30Z"}
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", {**LIMIT, **mine}))
    order = caught.value.order
    assert (order.cl_ord_ids, order.deadline.isoformat()) == (("mine-1",), "2027-01-15T08:00:30+00:00")


def test_a_float_is_no_amount() -> None:
    """Volumes and prices that are not exact are refused before anything is sent."""
    world = World()
    with pytest.raises(errors.ConfigError, match="volume must be a Decimal or text"):
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", 0.1, "1"))  # type: ignore[arg-type]
    assert world.sent == []


def first_request(steps: Steps[Any]) -> PrivateCall:
    """Let a procedure go on until it asks for its first request."""
    request = next(steps)
    assert isinstance(request, PrivateCall)
    return request


def test_an_interrupted_order_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Ctrl-C or a cancelled task leave no error to catch: the log has the id by which the order can be found."""
    world = World()
    steps = world.calls.private("AddOrder", {**LIMIT, "cl_ord_id": "mine"})
    first_request(steps)
    steps.close()
    assert caplog.messages == []  # not signed yet, so not sent
    steps = world.calls.private("AddOrder", {**LIMIT, "cl_ord_id": "mine"})
    world._do(first_request(steps))
    steps.close()
    told, event = caplog.messages
    assert told == "interrupted: an order may have been placed; look for it at Kraken by its cl_ord_id: mine"
    assert "AddOrder: it is not known whether the call was executed: the call was interrupted; order mine" in event


def test_an_id_that_was_used_before_is_another_order() -> None:
    """Yesterday's order of the same id is not today's: neither after no answer nor after Invalid nonce."""
    world = World()
    old = world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.1", "30000", cl_ord_id="daily"))
    world.run(orders.cancel_order(world.calls, old.txid))
    world.clock.pass_time(86_400)
    world.faults["AddOrder"].append("lost")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "sell", "0.7", "90000", cl_ord_id="daily"))
    assert world.run(world.calls.reconcile(caught.value.order)).placed is False
    say(world, "AddOrder", "EAPI:Invalid nonce")
    placed = world.run(orders.add_order(world.calls, "XBTUSD", "sell", "0.7", "90000", cl_ord_id="daily"))
    assert placed.txid != old.txid
    assert list(world.run(queries.open_orders(world.calls))) == [placed.txid]


def test_another_order_of_the_same_id_leaves_it_open() -> None:
    """A minute ago, and of another volume: it may have been amended, or be another. That is told, not guessed."""
    world = World()
    world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.1", "30000", cl_ord_id="mine"))
    with pytest.raises(errors.DuplicateOrder) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.7", "30000", cl_ord_id="mine"))
    found = world.run(world.calls.reconcile(caught.value.order))
    assert (found.placed, len(found.orders)) == (None, 1)


def test_when_kraken_cannot_be_asked_the_order_may_stand() -> None:
    """The failure of the question is not taken for a word on the order."""
    world = World()
    world.faults["AddOrder"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    world.faults["Time"].extend(["not sent"] * 9)
    with pytest.raises(OutcomeUnknown, match="could not be asked") as asked:
        world.run(world.calls.reconcile(caught.value.order))
    assert asked.value.may_have_executed == "unknown"
    assert asked.value.order == caught.value.order
    assert isinstance(asked.value.__cause__, errors.RequestNotSent)


@pytest.mark.parametrize("result", [{"txid": ["O"]}, [], 5, True, {"descr": None, "txid": []}, {"txid": 7}], ids=str)
def test_an_answer_of_another_shape_leaves_an_order_open(result: object) -> None:
    """Kraken said no error, so the order may stand; it can be looked for."""
    world = World()
    real = world._answer
    world._answer = lambda request: {**real(request), "result": result} if "AddOrder" in request.path else real(request)  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", "30000"))
    assert world.run(world.calls.reconcile(caught.value.order)).placed is True


BATCH = {"pair": "XBTUSD", "orders": [{name: text for name, text in LIMIT.items() if name != "pair"}] * 2}


@pytest.mark.parametrize(
    ("method", "params", "result"),
    [
        ("AddOrder", LIMIT, {"descr": {"order": "buy"}}),
        ("AddOrder", LIMIT, {"descr": {"order": "buy"}, "txid": []}),
        ("AddOrder", LIMIT, {"descr": {"order": "buy"}, "txid": [None]}),
        ("AddOrderBatch", BATCH, {"orders": [{"txid": "O", "descr": {}}, {"descr": {"order": "buy"}}]}),
    ],
    ids=["no txid", "an empty list", "a list of nothing", "one of a batch"],
)
def test_an_order_that_is_answered_without_an_id_may_have_been_placed(
    method: str, params: dict[str, Any], result: object
) -> None:
    """It is no success, and it can be looked for."""
    world = World()
    world._answer = lambda _: {"error": [], "result": result}  # type: ignore[method-assign, assignment]
    with pytest.raises(OutcomeUnknown, match="without an id of the order") as caught:
        world.run(world.calls.private(method, params))
    assert caught.value.order.method == method
    assert world.sent == [method]


@pytest.mark.parametrize("value", [1, 0, 1.0, "1", "True", ""])
def test_a_boolean_is_written_in_one_way_only(value: object) -> None:
    """Nobody knows whether Kraken takes 1 for true: it may place the order that it was to check."""
    world = World()
    with pytest.raises(errors.ConfigError, match="validate must be true or false"):
        world.run(world.calls.private("AddOrder", {**LIMIT, "validate": value}))
    assert world.sent == []


def test_an_edit_that_says_err_is_an_error() -> None:
    """Kraken answers with a status then, and with no error string beside it."""
    world = World()
    result = {"status": "Err", "error_message": "EOrder:Insufficient funds"}
    world._answer = lambda _: {"error": [], "result": result}  # type: ignore[method-assign, assignment]
    with pytest.raises(errors.InsufficientFunds):
        world.run(world.calls.private("EditOrder", {"txid": "O", "volume": "1"}))
    assert world.sent == ["EditOrder"]


def test_a_cancel_says_whether_it_is_done() -> None:
    """Until then the order may still be filled."""
    world = World()
    world._answer = lambda _: {"error": [], "result": {"count": 1, "pending": True}}  # type: ignore[method-assign, assignment]
    assert world.run(orders.cancel_order(world.calls, "O")) == orders.Cancelled(1, pending=True)
    world._answer = lambda _: {"error": [], "result": {"count": 1}}  # type: ignore[method-assign, assignment]
    assert world.run(orders.cancel_all(world.calls)) == orders.Cancelled(1, pending=False)


READ: dict[str, Callable[[Any], Any]] = {
    "balances": queries.balances,
    "extended_balances": queries.extended_balances,
    "trade_balance": queries.trade_balance,
    "open_orders": queries.open_orders,
    "closed_orders": queries.closed_orders,
    "query_orders": lambda calls: queries.query_orders(calls, ["O"]),
    "trade_page": lambda calls: queries.trade_page(calls, None, 1.0, 0),
    "ledger_page": lambda calls: queries.ledger_page(calls, None, 1.0, 0),
    "websocket_token": queries.websocket_token,
    "api_key_info": queries.api_key_info,
    "server_time": queries.server_time,
    "system_status": queries.system_status,
    "system_advisories": queries.system_advisories,
    "amend_order": lambda calls: orders.amend_order(calls, "O", order_qty="1"),
    "cancel_order": lambda calls: orders.cancel_order(calls, "O"),
    "cancel_orders": lambda calls: orders.cancel_orders(calls, ["O"]),
    "cancel_all": orders.cancel_all,
    "cancel_all_after": lambda calls: orders.cancel_all_after(calls, 60),
}


@pytest.mark.parametrize("result", [[1], 5, "x"], ids=str)
@pytest.mark.parametrize("name", READ)
def test_an_answer_of_another_shape_is_an_unknown_outcome(name: str, result: object) -> None:
    """What cannot be read as this call's answer is one error that names the call, never a KeyError."""
    world = World()
    world._answer = lambda _: {"error": [], "result": result}  # type: ignore[method-assign, assignment]
    with pytest.raises(OutcomeUnknown, match="not the expected form"):
        world.run(READ[name](world.calls))


@pytest.mark.parametrize(
    "result", [{"orders": None}, {"orders": ["x"]}, {"orders": [7], "txid": 5}, {"txid": [[]]}], ids=str
)
def test_the_limits_take_any_answer(result: object) -> None:
    """What is remembered of an order for the limits never comes between its answer and the caller."""
    world = World(tier=TIERS["starter"])
    world._answer = lambda _: {"error": [], "result": result}  # type: ignore[method-assign, assignment]
    assert world.run(world.calls.once("AddOrder", LIMIT))["result"] == result


@pytest.mark.parametrize(
    "found", [{"open": {"O": {"descr": None}}}, {"open": {"O": 5}}, {"open": {"O": {"opentm": None}}}, []], ids=str
)
def test_an_answer_of_another_shape_does_not_end_the_search_for_an_order(found: object) -> None:
    """The order may stand, and that is what the error says."""
    world = World()
    world.faults["AddOrder"].append("cut")
    with pytest.raises(OutcomeUnknown) as caught:
        world.run(world.calls.private("AddOrder", LIMIT))
    real = world._answer
    world._answer = lambda request: {"error": [], "result": found} if "Orders" in request.path else real(request)  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown, match="was placed, so it may have been") as asked:
        world.run(world.calls.reconcile(caught.value.order))
    assert asked.value.order == caught.value.order


@pytest.mark.parametrize("method", ["Ba lance", "../public/Time", "", "Balance/", "Balance#x"])
def test_what_is_no_method_is_not_sent(method: str) -> None:
    """A slip would be a wrong signature at Kraken, and those lead to a lockout."""
    world = World()
    with pytest.raises(errors.ConfigError, match="not the name of a Kraken method"):
        world.run(world.calls.private(method, {}))
    assert world.sent == []


@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=3),
    lookups=st.lists(st.sampled_from(FAULTS), max_size=6),
    hidden_for=st.sampled_from([0.0, 0.5, 2.9]),
    market=st.booleans(),
    with_id=st.booleans(),
)
def test_no_order_is_ever_placed_twice(
    faults: list[str], lookups: list[str], hidden_for: float, market: bool, with_id: bool
) -> None:
    """Whatever happens to an order and to the questions about it: at most one, and never a wrong word about it."""
    world = World(hidden_for=hidden_for)
    world.faults["AddOrder"].extend(faults)
    for method in ("OpenOrders", "ClosedOrders", "Time"):
        world.faults[method].extend(lookups)
    more: dict[str, Any] = {} if with_id else {"cl_ord_id": None}
    try:
        world.run(orders.add_order(world.calls, "XBTUSD", "buy", "0.5", None if market else "30000", **more))
    except KrakenError as error:
        check_verdict(world, error)
    else:
        assert world.orders_placed() == 1
    world.clock.pass_time(100)
    world._deliver_late()
    assert world.orders_placed() <= 1


def check_verdict(world: World, error: KrakenError) -> None:
    """What the error and its reconciliation say is so, now and later."""
    if error.may_have_executed == "no":
        assert world.orders_placed() == 0
        return
    assert error.order is not None
    try:
        found = world.run(world.calls.reconcile(error.order))
    except KrakenError:
        return  # could not be asked: nothing is said
    world.clock.pass_time(100)
    world._deliver_late()
    if found.placed is not None:
        assert world.orders_placed() == int(found.placed)
        assert len(found.orders) == int(found.placed)
    else:
        assert not error.order.cl_ord_ids
