"""What the type checkers must accept, and which types they must see."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, assert_type

import krakenonce
from krakenonce import NonceManager, guard, open_store
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, KeyPair, KrakenBroker, Outcome
from krakenonce.errors import KrakenAPIError, KrakenError, RateLimited
from krakenonce.guards import Turns, guard_method
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.kraken.orders import Cancelled, Placed
from krakenonce.kraken.queries import AssetBalance, WebSocketToken
from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


def nonces(directory: Path) -> None:
    """A manager of nonces and turns."""
    for store in (None, directory, "memory:", open_store(f"file:{directory}")):
        NonceManager(store)
    with NonceManager() as manager:
        assert_type(manager, NonceManager)
        assert_type(manager.next(), int)
        assert_type(manager.next("key-a"), int)
        assert_type(manager.peek(), int | None)
        assert_type(manager.stats().lead_ns, int | None)
        manager.raise_floor(0, scope="key-a")
        with manager.lane("key"), manager.lane("key", timeout=1.5):
            pass


async def nonces_for_tasks(manager: NonceManager) -> int:
    """The same lane in asyncio."""
    async with manager.lane("key"):
        return manager.next()


class SomeClient:
    """Somebody's client."""

    key = "key"

    def private(self, method: str) -> bytes:
        """Send a call."""
        return method.encode()


class SomeAsyncClient:
    """Somebody's client for asyncio."""

    key = "key"

    async def private(self, method: str) -> dict[str, Any]:
        """Send a call."""
        return {"result": method}


def adapter(client: SomeClient, turns: Turns) -> None:
    """An adapter: a plain function."""
    send = client.private

    def private(method: str) -> bytes:
        with turns.lane(client.key):
            assert_type(turns.next(client.key), int)
            assert_type(turns.timeout, float)
            answer = send(method)
            turns.heard(client.key, answer)
            return answer

    setattr(client, "private", private)  # noqa: B010 - mypy refuses to assign to a method


class AsyncAdapter:
    """An adapter: anything that can be called."""

    def __call__(self, client: SomeAsyncClient, turns: Turns) -> object:
        """Change *client*."""
        send = client.private

        async def private(method: str) -> dict[str, Any]:
            async with turns.lane(client.key):
                return await send(method)

        setattr(client, "private", private)  # noqa: B010
        return client


def key_of(client: SomeClient, method: str) -> str | None:
    """Return the key of a private call."""
    return None if method == "Time" else type(client).__name__


def guarded(manager: NonceManager) -> None:
    """A guarded client keeps its type."""
    assert_type(guard(SomeClient(), manager, adapter=adapter, timeout=10, heed_lockout=False), SomeClient)
    assert_type(guard(SomeAsyncClient(), adapter=AsyncAdapter()), SomeAsyncClient)
    assert_type(krakenonce.guard(SomeClient()).private("Balance"), bytes)
    guard_method(SomeClient, "private", key=key_of, clock=krakenonce, manager=manager)


def client(manager: NonceManager) -> Iterator[object]:
    """The client for threads."""
    with Kraken("key", "secret", manager=manager, tier="pro", max_wait=0, timeout=5) as kraken:
        assert_type(kraken, Kraken)
        yield kraken.private("OpenPositions", docalcs=True)
        yield kraken.public("Ticker", pair="XBTUSD")
        assert_type(kraken.query_private("Balance", {"asset": "ZUSD"}, timeout=3), dict[str, Any])
        assert_type(kraken.balances(), dict[str, Decimal])
        assert_type(kraken.extended_balances()["ZUSD"], AssetBalance)
        assert_type(kraken.open_orders(cl_ord_id="a"), dict[str, dict[str, Any]])
        assert_type(kraken.closed_orders(start=0.5).total, int)
        placed = kraken.add_order("XBTUSD", "buy", Decimal("0.1"), "30000", timeinforce="IOC")
        assert_type(placed, Placed)
        assert_type(kraken.add_orders("XBTUSD", [{"type": "buy"}]), list[Placed | KrakenAPIError])
        assert_type(kraken.amend_order("txid", limit_price=Decimal(1)), str)
        assert_type(kraken.cancel_order(cl_ord_id="a"), Cancelled)
        assert_type(kraken.cancel_all_after(60), dict[str, Any])
        assert_type(kraken.websocket_token(), WebSocketToken)
        assert_type(kraken.server_time(), int)
        assert_type(kraken.run(kraken.calls.private("Balance", {}), within=2.5), Any)
        for txid, trade in kraken.trades(end=1.5):
            assert_type((txid, trade), tuple[str, dict[str, Any]])


async def async_client(manager: NonceManager) -> AsyncIterator[object]:
    """Its twin for asyncio."""
    async with AsyncKraken("key", "secret", manager=manager) as kraken:
        assert_type(kraken, AsyncKraken)
        yield await kraken.private("Balance")
        assert_type(await kraken.query_public("Time"), dict[str, Any])
        assert_type(await kraken.balances(), dict[str, Decimal])
        assert_type(await kraken.add_order("XBTUSD", "sell", 1), Placed)
        assert_type(await kraken.cancel_all(), Cancelled)
        async for txid, entry in kraken.ledger():
            assert_type((txid, entry), tuple[str, dict[str, Any]])


def after_an_error(error: KrakenError) -> None:
    """What an error says."""
    assert_type(error.may_have_executed, Literal["yes", "no", "unknown"])
    if isinstance(error, KrakenAPIError):
        assert_type(error.errors, tuple[str, ...])
    if isinstance(error, RateLimited):
        assert_type(error.retry_after, float | None)
    with contextlib.suppress(krakenonce.KrakenonceError):
        assert_type(error.reconcile(), Any)  # a Reconciled; with AsyncKraken to be awaited


def show(outcome: Outcome[Any]) -> None:
    """A hook for outcomes: it gets one frozen value."""
    print(outcome.account, outcome.ok, outcome.may_have_executed, outcome.error)  # noqa: T201


def brokers(accounts: list[Account], hook: Callable[[Outcome[Any]], object]) -> None:
    """Many accounts at the same time."""
    with BrokerManager(accounts, serialization="key") as manager:
        assert_type(manager, BrokerManager)
        assert_type(manager["alice"], KrakenBroker)
        assert_type(manager.balances(["alice"], on_outcome=show)["alice"].get(), dict[str, Decimal])
        assert_type(manager.call_all("Balance", within=2, on_outcome=hook), dict[str, Outcome[Any]])
        manager.copy_order({"pair": "XBTUSD"}, scale={"alice": Decimal("0.5"), "bob": "0.1"}, on_outcome=print)
        manager.copy_order({"pair": "XBTUSD"}, ["alice"], 2)
    assert_type(BrokerManager.from_toml("accounts.toml").users, list[KrakenBroker])


def keys(account: Account) -> list[Account]:
    """One key, or several."""
    assert_type(account.key, str)
    assert_type(account.keys, tuple[KeyPair, ...])
    assert_type(account.keys[0].secret, str)
    return [
        Account("MASTER", "key", "secret", "pro", otp=lambda: "123456"),
        Account(
            "USER:a", keys=[("key", "secret"), ("key 2", "secret", "123456"), KeyPair("key 3", "secret")], tier="pro"
        ),
        Account("USER:b", keys=account.keys),
        dataclasses.replace(account, tier="none"),
    ]


async def async_brokers() -> None:
    """The same for asyncio."""
    async with AsyncBrokerManager.from_env() as manager:
        assert_type(manager, AsyncBrokerManager)
        outcomes = await manager.balances(on_outcome=show)
        assert_type(outcomes["MASTER"].get()["ZUSD"], Decimal)


def fakes() -> None:
    """The fake Kraken."""
    fake = FakeKraken()
    account = fake.add_account("bot", balances={"ZUSD": "100"})
    assert_type(account, FakeAccount)
    with FakeKrakenServer(fake, latency=0.1, seed=1) as server:
        assert_type(server.url, str)
    fake.assert_no_invalid_nonce()
