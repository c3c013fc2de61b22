"""Orders over the WebSocket API, through the methods of REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.testing.socket_client import LIMIT, Trader, trading

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


def test_an_order_is_placed_changed_and_cancelled(server: FakeKrakenServer, account: FakeAccount) -> None:
    """With the ids of REST, and those of the client."""

    async def work(trader: Trader) -> None:
        placed = await trader.order("add_order", **LIMIT, cl_ord_id="mine", post_only=True, time_in_force="gtc")
        (order,) = account.orders.values()
        assert placed == {"order_id": order.txid, "cl_ord_id": "mine"}
        assert (order.volume, order.price, order.flags) == (Decimal("1.25"), Decimal(37500), ("post",))
        amended = await trader.order("amend_order", order_id=order.txid, order_qty=2, limit_price=37501.5)
        assert (list(amended), amended["order_id"]) == (["amend_id", "order_id"], order.txid)
        assert (order.volume, order.price) == (Decimal(2), Decimal("37501.5"))
        assert await trader.order("cancel_order", cl_ord_id=["mine"]) == {"cl_ord_id": "mine"}
        assert (account.orders, order.status) == ({}, "canceled")

    trading(server, account, work)


def test_each_cancelled_order_is_answered(server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount) -> None:
    """One answer for each id, also for one that is unknown."""

    async def work(trader: Trader) -> None:
        ids = [(await trader.order("add_order", **LIMIT, order_userref=n))["order_id"] for n in (1, 2)]
        params = {"order_id": [ids[0], "OGUESS-GUESS-GUESSS", ids[1]], "token": trader.token}
        await trader.say({"method": "cancel_order", "params": params, "req_id": 4})
        answers = [await trader.read() for _ in range(3)]
        assert [each.get("result") for each in answers] == [{"order_id": ids[0]}, None, {"order_id": ids[1]}]
        assert (answers[1]["error"], answers[1]["success"]) == (fake.rules.unknown_order_error, False)
        assert {each["req_id"] for each in answers} == {4}

    trading(server, account, work)


def test_batches_and_the_cancels_of_all(server: FakeKrakenServer, account: FakeAccount) -> None:
    """Each has the form that Kraken gives it."""
    line = {name: value for name, value in LIMIT.items() if name != "symbol"}

    async def work(trader: Trader) -> None:
        rows = await trader.order("batch_add", symbol="BTC/USD", orders=[line, {**line, "order_userref": 5}])
        ids = list(account.orders)
        assert rows == [{"order_id": ids[0]}, {"order_id": ids[1], "order_userref": 5}]
        answer = await trader.ask("batch_cancel", token=trader.token, orders=ids)
        assert {name: answer[name] for name in ("orders_cancelled", "success")} == {
            "orders_cancelled": 2,
            "success": True,
        }
        assert "result" not in answer
        await trader.order("add_order", **LIMIT)
        assert await trader.order("cancel_all") == {"count": 1}
        until = await trader.order("cancel_all_orders_after", timeout=60)
        assert until["triggerTime"] > until["currentTime"]
        assert account.cancel_all_at is not None
        await trader.order("cancel_all_orders_after", timeout=0)
        assert account.cancel_all_at is None

    trading(server, account, work)


def test_a_batch_may_fail_in_part(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """The others are placed, and the answer says which was not."""
    payer = fake.add_account("payer", balances={"ZUSD": "1000"})
    line = {"order_type": "limit", "side": "buy", "order_qty": 0.01, "limit_price": 37500}

    async def work(trader: Trader) -> None:
        orders = [line, {**line, "order_qty": 1}]
        answer = await trader.ask("batch_add", token=trader.token, symbol="BTC/USD", orders=orders)
        assert answer["success"] is False
        assert answer["result"] == [{"order_id": next(iter(payer.orders))}, {"error": "EOrder:Insufficient funds"}]

    trading(server, payer, work)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"symbol": "XBT/USD"}, "Currency pair not supported XBT/USD"),
        ({"symbol": None}, "Currency pair not supported None"),
        ({"price": 5}, "Unsupported field: 'price' for the given msg type: add order"),
        ({"order_qty": "1.25"}, "Order_qty field must be a number_float"),
        ({"limit_price": True}, "Limit_price field must be a number_float"),
        ({"limit_price": 1.23}, "EOrder:Invalid price:XBTUSD price can only be specified up to 1 decimals."),
        ({"order_qty": 1e-6}, "EOrder:Order minimum not met"),
        ({"side": "guess"}, "EGeneral:Invalid arguments:type"),
        ({"side": ["buy"]}, "EGeneral:Invalid arguments:type"),
        ({"margin": True}, "EGeneral:Not simulated:leverage"),
        ({"fee_preference": []}, "EGeneral:Invalid arguments:fee_preference"),
        ({"cl_ord_id": {}}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": ""}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"time_in_force": "gtd"}, "EGeneral:Invalid arguments:expiretm"),
        ({"expire_time": "soon"}, "EGeneral:Invalid arguments:expire_time"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "EService:Deadline elapsed"),
        ({"triggers": 5}, "EGeneral:Invalid arguments:triggers"),
        ({"conditional": 5}, "EGeneral:Invalid arguments:conditional"),
        ({"triggers": {"price": 5, "guess": 5}}, "EGeneral:Invalid arguments:triggers"),
        (
            {"conditional": {"order_type": "limit", "limit_price": 5, "guess": 5}},
            "EGeneral:Invalid arguments:conditional",
        ),
        ({"conditional": {"order_type": "limit", "limit_price": "5"}}, "EGeneral:Invalid arguments:conditional"),
        ({"post_only": "true"}, "EGeneral:Invalid arguments:post_only"),
        ({"margin": 1}, "EGeneral:Invalid arguments:margin"),
        ({"validate": "false"}, "EGeneral:Invalid arguments:validate"),
    ],
)
def test_a_wrong_order_is_refused(
    server: FakeKrakenServer, account: FakeAccount, change: dict[str, Any], error: str
) -> None:
    """By the checks of REST, and by those of this API: numbers are numbers, and no field is ignored."""

    async def work(trader: Trader) -> None:
        assert await trader.error("add_order", **{**LIMIT, **change}) == error
        assert account.orders == {}

    trading(server, account, work)


def test_a_time_of_expiry_and_a_quote_amount_are_understood(server: FakeKrakenServer, account: FakeAccount) -> None:
    """They have other forms in REST."""
    later = datetime.now(UTC) + timedelta(hours=1)

    async def work(trader: Trader) -> None:
        await trader.order("add_order", **LIMIT, time_in_force="gtd", expire_time=later.isoformat())
        (order,) = account.orders.values()
        assert order.expires == pytest.approx(later.timestamp())
        await trader.order("add_order", order_type="market", side="buy", symbol="BTC/USD", cash_order_qty=60030)
        assert [done.filled for done in account.done.values()] == [1]
        assert (await trader.order("add_order", **LIMIT, validate=True))["order_id"] == ""

    trading(server, account, work)


def test_orders_need_the_permission_and_the_mode_of_rest(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """A token does not give a key more than the key may do."""
    reader = fake.add_account("reader", permissions=["create-ws-token"])

    async def work(trader: Trader) -> None:
        assert await trader.error("add_order", **LIMIT) == "EGeneral:Permission denied"
        reader.keys[0].permissions |= {"modify-trades"}
        fake.rules.change(status="cancel_only")
        assert await trader.error("add_order", **LIMIT) == "EService:Market in cancel_only mode"

    trading(server, reader, work)


def test_the_prices_of_a_conditional_close_may_be_relative(server: FakeKrakenServer, account: FakeAccount) -> None:
    """Each has a type of its own, as the prices of the order have."""
    half = {"limit_price": -0.5, "limit_price_type": "pct"}
    closes = [
        {"order_type": "limit", "limit_price": 2, "limit_price_type": "pct"},
        {"order_type": "stop-loss-limit", "trigger_price": -100, "trigger_price_type": "quote", **half},
    ]

    async def work(trader: Trader) -> None:
        for close in closes:
            await trader.order("add_order", **LIMIT, conditional=close)
        shown = [order.descr["close"] for order in account.orders.values()]
        assert shown == [
            "close position @ limit +2.0000%",
            "close position @ stop loss -100.0 -> limit -0.5000%",
        ]

    trading(server, account, work)


def test_relative_prices_have_signs_in_rest(server: FakeKrakenServer, account: FakeAccount) -> None:
    """A trailing stop is so many dollars, or a part of the price, away."""
    order = {"order_type": "trailing-stop", "side": "sell", "symbol": "BTC/USD", "order_qty": 1}

    async def work(trader: Trader) -> None:
        await trader.order("add_order", **order, triggers={"price": 500, "price_type": "quote"})
        await trader.order("add_order", **order, triggers={"price": 1.5, "price_type": "pct"})
        assert [each.stop for each in account.orders.values()] == [59500, 59100]

    trading(server, account, work)
