"""What an account is told over the WebSocket API: its orders, trades and balances."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.integration.testing.helpers import ORDER, Wire
from tests.integration.testing.socket_client import LIMIT, TIME, Trader, trading

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


def test_the_end_of_a_subscription_names_the_channel(server: FakeKrakenServer, account: FakeAccount) -> None:
    """And nothing else of an account's channel: neither limits nor what the snapshot had."""

    async def work(trader: Trader) -> None:
        for channel in ("executions", "balances"):
            await trader.follow(channel, token=trader.token)
            answer = await trader.ask("unsubscribe", channel=channel, token=trader.token)
            assert answer["result"] == {"channel": channel}

    trading(server, account, work)


def test_the_life_of_an_order_is_told(server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount) -> None:
    """It comes in, is live, is changed, is filled in part, then wholly: the fields that Kraken sends at each step."""

    async def work(trader: Trader) -> None:
        assert (await trader.follow("executions", token=trader.token))["data"] == []
        txid = (await trader.order("add_order", **LIMIT, cl_ord_id="mine"))["order_id"]
        names = {"order_id": txid, "order_userref": 0, "cl_ord_id": "mine"}
        assert await trader.event() == {
            **names,
            "symbol": "BTC/USD",
            "order_qty": Decimal("1.25"),
            "cum_cost": 0,
            "time_in_force": "GTC",
            "exec_type": "pending_new",
            "side": "buy",
            "order_type": "limit",
            "limit_price_type": "static",
            "limit_price": 37500,
            "stop_price": 0,
            "order_status": "pending_new",
            "fee_usd_equiv": 0,
            "fee_ccy_pref": "fciq",
        }
        assert await trader.event() == {**names, "exec_type": "new", "order_status": "new"}
        await trader.order("amend_order", cl_ord_id="mine", order_qty=1)
        assert await trader.event() == {
            **names,
            "exec_type": "amended",
            "order_status": "new",
            "amended": True,
            "reason": "User requested",
            "cum_qty": 0,
            "order_qty": 1,
            "limit_price": 37500,
            "limit_price_type": "static",
        }
        await asyncio.to_thread(fake.fill, txid, "0.4")
        trade = await trader.event()
        assert trade.pop("exec_id") in account.trades
        assert trade == {
            **names,
            "exec_type": "trade",
            "trade_id": 1,
            "symbol": "BTC/USD",
            "side": "buy",
            "last_qty": Decimal("0.4"),
            "last_price": 37500,
            "liquidity_ind": "m",
            "cost": 15000,
            "order_status": "partially_filled",
            "order_type": "limit",
            "fee_usd_equiv": 24,
            "fees": [{"asset": "USD", "qty": 24}],
        }
        await asyncio.to_thread(fake.set_price, "XBTUSD", "37000")
        last, filled = await trader.event(), await trader.event()
        assert (last["exec_type"], last["last_qty"], last["order_status"]) == (
            "trade",
            Decimal("0.6"),
            "partially_filled",
        )
        assert filled == {
            **names,
            "exec_type": "filled",
            "order_status": "filled",
            "order_qty": 1,
            "cum_qty": 1,
            "cum_cost": 37500,
            "avg_price": 37500,
            "fee_usd_equiv": 60,
        }

    trading(server, account, work)


def test_an_order_that_ends_says_why(server: FakeKrakenServer, account: FakeAccount) -> None:
    """Also one that was placed over REST, and one that only time has ended."""

    async def work(trader: Trader) -> None:
        wire = Wire(server.url, account)
        await trader.follow("executions", token=trader.token, order_status=False)
        params = {**ORDER, "timeinforce": "GTD", "expiretm": f"{server.fake.time() + 1:.3f}"}
        assert (await asyncio.to_thread(lambda: wire.reply("AddOrder", **params)))["error"] == []
        assert (await trader.event())["exec_type"] == "new"  # without pending_new, as order_status is off
        assert (await trader.event())["exec_type"] == "expired"  # nobody has called anything
        await asyncio.to_thread(lambda: wire.reply("AddOrder", **ORDER))
        await trader.event()
        await asyncio.to_thread(lambda: wire.reply("CancelAll"))
        ended = await trader.event()
        assert (ended["exec_type"], ended["order_status"], ended["cum_qty"]) == ("canceled", "canceled", 0)
        assert ended["reason"] == ended["cancel_reason"] == "User requested"

    trading(server, account, work)


def test_a_snapshot_has_open_orders_and_trades(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """What is asked for, and of this account alone."""
    mine, other = (fake.add_account(name) for name in ("mine", "other"))

    async def work(trader: Trader) -> None:
        async with Trader(server, other) as stranger:
            await stranger.follow("executions", token=stranger.token)
            open_id = (await trader.order("add_order", **LIMIT))["order_id"]
            market = {"order_type": "market", "side": "sell", "symbol": "ETH/BTC", "order_qty": 1}
            done_id = (await trader.order("add_order", **market))["order_id"]
            snapshot = await trader.follow("executions", token=trader.token, snap_trades=True)
            assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", 1)
            order, trade = snapshot["data"]
            assert (order["order_id"], order["exec_type"], order["order_status"]) == (open_id, "new", "new")
            assert (trade["order_id"], trade["exec_type"], trade["order_status"]) == (done_id, "trade", "filled")
            assert (trade["fees"][0]["asset"], trade["liquidity_ind"]) == ("BTC", "t")
            assert trade["fee_usd_equiv"] == trade["fees"][0]["qty"] * 60000
            await trader.order("cancel_all")
            assert (await trader.heard("executions"))["sequence"] == 2
            await stranger.order("add_order", **LIMIT)
            assert (await stranger.event())["order_id"] == next(iter(other.orders))

    trading(server, mine, work)


def test_a_balance_changes_with_each_ledger_entry(server: FakeKrakenServer, fake: FakeKraken) -> None:
    """The balances first, then each entry with the balance after it."""
    payer = fake.add_account("payer", balances={"ZUSD": "100000", "XXBT": "2"})

    async def work(trader: Trader) -> None:
        snapshot = await trader.follow("balances", token=trader.token)
        assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", 1)
        assert snapshot["data"][1] == {
            "asset": "BTC",
            "asset_class": "currency",
            "balance": 2,
            "wallets": [{"type": "spot", "id": "main", "balance": 2}],
        }
        await trader.order("add_order", order_type="market", side="buy", symbol="BTC/USD", order_qty=1)
        bought, paid = await trader.heard("balances"), await trader.heard("balances")
        assert [each["sequence"] for each in (bought, paid)] == [2, 3]
        (entry,) = paid["data"]
        assert entry.pop("ledger_id") in payer.ledger
        assert entry.pop("ref_id") in payer.trades
        assert TIME.fullmatch(entry.pop("timestamp"))
        assert entry == {
            "type": "trade",
            "asset": "USD",
            "asset_class": "currency",
            "category": "trade",
            "wallet_type": "spot",
            "wallet_id": "main",
            "amount": -60030,
            "fee": Decimal("156.078"),
            "balance": Decimal("39813.922"),
        }

    trading(server, payer, work)


def test_an_order_with_a_trigger_is_told(server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount) -> None:
    """It waits, is triggered, and is filled; the stop and the limit have names of their own."""
    order = {
        "order_type": "stop-loss-limit",
        "side": "buy",
        "symbol": "BTC/USD",
        "order_qty": 1,
        "limit_price": 66000,
        "triggers": {"reference": "index", "price": 65000},
    }

    async def work(trader: Trader) -> None:
        await trader.follow("executions", token=trader.token)
        txid = (await trader.order("add_order", **order))["order_id"]
        pending, live = await trader.event(), await trader.event()
        wanted = {"price": 65000, "price_type": "static", "reference": "index", "status": "untriggered"}
        assert (pending["triggers"], pending["stop_price"], pending["trigger"]) == (wanted, 65000, "index")
        assert (pending["order_type"], pending["limit_price"]) == ("stop-loss-limit", 66000)
        assert live["order_status"] == "new"
        await asyncio.to_thread(fake.set_price, "XBTUSD", "65500")
        triggered, trade, filled = await trader.event(), await trader.event(), await trader.event()
        assert (triggered["exec_type"], triggered["triggers"]) == ("status", {**wanted, "status": "triggered"})
        assert (trade["exec_type"], trade["last_price"]) == ("trade", Decimal("65532.8"))
        assert (filled["exec_type"], filled["order_id"]) == ("filled", txid)
        assert account.orders == {}

    trading(server, account, work)


def test_an_order_may_begin_later_and_show_a_part(server: FakeKrakenServer, account: FakeAccount) -> None:
    """An iceberg order, and one with a time to begin."""
    later = datetime.now(UTC) + timedelta(hours=1)

    async def work(trader: Trader) -> None:
        await trader.order("add_order", **{**LIMIT, "order_type": "iceberg", "display_qty": 0.5})
        await trader.order("add_order", **LIMIT, effective_time=later.isoformat())
        iceberg, waiting = (await trader.follow("executions", token=trader.token))["data"]
        assert (iceberg["order_type"], iceberg["display_qty"]) == ("iceberg", Decimal("0.5"))
        assert (waiting["order_status"], waiting["effective_time"][:16]) == ("pending_new", later.isoformat()[:16])

    trading(server, account, work)
