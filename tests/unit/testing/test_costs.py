"""What a call costs the fake Kraken does not depend on how many orders rest: steps are counted, not time."""

from __future__ import annotations

import random
import sys
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.testing import FakeKraken, Rules
from tests.integration.testing.helpers import NOW, ORDER, Caller

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

FEW, MANY = 40, 1500

CALLS: dict[str, tuple[str, dict[str, str]]] = {
    "AddOrder": ("AddOrder", {**ORDER, "price": "15000", "volume": "0.001"}),
    "AddOrder at a price of others": ("AddOrder", {**ORDER, "price": "20000", "volume": "0.001"}),
    "AddOrder with a name": ("AddOrder", {**ORDER, "price": "15000", "volume": "0.001", "cl_ord_id": "new"}),
    "AddOrder with an end": (
        "AddOrder",
        {**ORDER, "price": "15000", "volume": "0.001", "timeinforce": "GTD", "expiretm": "+90"},
    ),
    "a sale to the best of many": ("AddOrder", {**ORDER, "type": "sell", "ordertype": "market", "volume": "0.001"}),
    "CancelOrder": ("CancelOrder", {"txid": "the order"}),
    "CancelOrder by its name": ("CancelOrder", {"cl_ord_id": "mine"}),
    "CancelOrder by its userref": ("CancelOrder", {"txid": "7"}),
    "AmendOrder": ("AmendOrder", {"cl_ord_id": "mine", "limit_price": "15001"}),
    "OpenOrders by name": ("OpenOrders", {"cl_ord_id": "mine"}),
    "OpenOrders by userref": ("OpenOrders", {"userref": "7"}),
    "QueryOrders": ("QueryOrders", {"txid": "the order"}),
    "Balance": ("BalanceEx", {}),
}


def steps(do: Callable[[], object]) -> int:
    """Return how many steps of bytecode it takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


def cost(method: str, params: dict[str, str], resting: int, price: Callable[[int], object]) -> int:
    """Return what a call costs while so many orders rest, at these prices, of an account with funds and limits."""
    fake = FakeKraken(Rules(check_funds=True))
    caller = Caller(fake, fake.add_account("bot", balances={"ZUSD": "1e9", "XXBT": "10"}))
    other = Caller(fake, fake.add_account("other", balances={"ZUSD": "1e9"}))
    for number in range(resting):
        caller.place(price=price(number), volume="0.001", cl_ord_id=f"c{number}")
    other.place(price="59000", volume="1")
    other.place(price="15000.5", volume="0.001")
    names = {"cl_ord_id": "mine"} if "cl_ord_id" in params else {"userref": "7"}
    own = caller.place(price="15000", volume="0.001", **names)
    asked = {name: own if value == "the order" else value for name, value in params.items()}
    fake.rules.tier = "pro"
    fake.accounts[caller.account.key].open_in.clear()  # so many may be open in no tier
    return steps(lambda: caller.result(method, **asked))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("price", [lambda n: f"{20000 + n * 7919 % 30000 / 10:.1f}", lambda _: "20000"])
def test_a_call_costs_the_same_among_few_and_among_many(name: str, price: Callable[[int], object]) -> None:
    """At many prices, and at one."""
    method, params = CALLS[name]
    few, many = (cost(method, params, resting, price) for resting in (FEW, MANY))
    assert many < few + 400, f"{few} steps with {FEW} orders, {many} with {MANY}"


def test_a_new_price_looks_at_the_orders_that_it_reaches() -> None:
    """The orders far from it cost nothing."""
    counts = []
    for resting in (FEW, MANY):
        kraken = FakeKraken()
        caller = Caller(kraken, kraken.add_account("bot"))
        for number in range(resting):
            caller.place(price=20000 + number, volume="0.001")
        counts.append(steps(partial(kraken.set_price, "XBTUSD", "59000", NOW)))
    assert counts[1] < counts[0] + 400


def test_what_is_set_aside_is_what_the_orders_need() -> None:
    """The running sums are what adding up all open orders gives, after a day of trading."""
    fake, chance = FakeKraken(Rules(check_funds=False)), random.Random(3)
    callers = [Caller(fake, fake.add_account(name, balances={"ZUSD": "1e9", "XXBT": "1e3"})) for name in "ab"]
    for number in range(600):
        caller = chance.choice(callers)
        caller.now = NOW + number
        price = f"{chance.randrange(590000, 610000) / 10:.1f}"
        open_now = list(caller.account.orders)
        if not open_now or chance.random() < 0.7:
            end: dict[str, Any] = (
                {"timeinforce": "GTD", "expiretm": f"+{chance.randrange(5, 99)}"} if chance.random() < 0.3 else {}
            )
            side, volume = chance.choice(["buy", "sell"]), f"{chance.randrange(1, 300) / 1000}"
            caller.reply("AddOrder", **{**ORDER, "type": side, "price": price, "volume": volume, **end})
        elif chance.random() < 0.5:
            caller.reply("AmendOrder", txid=chance.choice(open_now), limit_price=price, order_qty="0.2")
        else:
            caller.reply("CancelOrder", txid=chance.choice(open_now))
        if number % 50 == 0:
            fake.set_price("XBTUSD", price, caller.now)
    for caller in callers:
        orders = caller.account.orders.values()
        assert len(orders) > 5
        for asset, side in (("ZUSD", "buy"), ("XXBT", "sell")):
            needed = sum((order.to_hold for order in orders if order.side == side), Decimal(0))
            assert caller.account.held(asset, Decimal(0)) == needed
        assert set(caller.account.by_cl_ord_id) | set(caller.account.by_userref) == set()
        assert caller.account.open_in["XXBTZUSD"] == len(orders)
