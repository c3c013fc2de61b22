"""ccxt's own ways: tries after a failure, the rate limit, signing by hand, markets."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import ccxt
import pytest

from krakenonce.guards import guard
from tests.integration.guard.families import NAMED, ORDER, Family, ccxt_private, close, is_free, settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krakenonce.manager import NonceManager
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
    from krakenonce.testing.faults import FaultName

both = pytest.mark.parametrize("family", [NAMED["ccxt"], NAMED["ccxt async"]], ids=lambda family: family.name)
WITHDRAWAL = {"asset": "XBT", "key": "mine", "amount": "1"}


@pytest.fixture
def use(account: FakeAccount, server: FakeKrakenServer, manager: NonceManager) -> Callable[..., Any]:
    """Make a guarded exchange that tries three times more, do something with it and close it."""

    def run(family: Family, job: Callable[[Any], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            exchange = guard(family.make(account.key, account.secret, server.url), manager)
            exchange.options["maxRetriesOnFailure"] = 3
            try:
                return await job(exchange)
            finally:
                await close(exchange)

        return asyncio.run(whole())

    return run


@both
@pytest.mark.parametrize("fault", ["process_then_cut", "process_then_html"])
def test_a_read_is_tried_again_with_a_new_number(
    family: Family, fault: FaultName, use: Callable[..., Any], fake: FakeKraken
) -> None:
    """Two answers get lost and the third comes: three numbers, each larger, none refused."""
    fake.faults.add("Balance", fault, times=2)
    answer = use(family, lambda exchange: settled(ccxt_private(exchange, "Balance")))
    assert answer["error"] == []
    numbers = [arrival.nonce or 0 for arrival in fake.accepted()]
    assert len(set(numbers)) == 3
    assert numbers == sorted(numbers)
    assert fake.invalid_nonces() == []


@both
@pytest.mark.parametrize("fault", ["drop", "html", "process_then_cut", "process_then_html"])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("AddOrder", ORDER),
        ("AddOrder", {**ORDER, "validate": False, "maxRetriesOnFailure": 2}),
        ("EditOrder", {"txid": "O", "pair": "XBTUSD"}),
        ("Withdraw", WITHDRAWAL),
        ("Withdraw", {**WITHDRAWAL, "validate": True}),
        ("WalletTransfer", {"asset": "XBT", "from": "Spot Wallet", "to": "Futures Wallet", "amount": "1"}),
        ("Earn/Allocate", {"amount": "1", "strategy_id": "S"}),
    ],
)
def test_what_moves_money_is_sent_once(
    family: Family, fault: FaultName, method: str, params: dict[str, Any], use: Callable[..., Any], fake: FakeKraken
) -> None:
    """After a failure an order, a withdrawal or a transfer is not tried again, whatever the settings say."""
    fake.faults.add("any", fault)

    async def job(exchange: Any) -> None:
        with pytest.raises(ccxt.NetworkError):
            await settled(exchange.request(method, ["private"], "POST", dict(params)))

    use(family, job)
    assert len(fake.arrivals) == 1
    assert len(fake.faults) == 0


@both
def test_an_order_by_ccxts_own_method_is_sent_once(family: Family, use: Callable[..., Any], fake: FakeKraken) -> None:
    """create_order, with markets loaded, does not place a second order when the answer to the first is lost."""
    fake.faults.add("AddOrder", "process_then_cut")

    async def job(exchange: Any) -> None:
        with pytest.raises(ccxt.NetworkError):
            await settled(exchange.create_order("BTC/USD", "limit", "buy", 1, 100))
        assert len(await settled(exchange.fetch_open_orders())) == 1

    use(family, job)
    assert [arrival.method for arrival in fake.accepted()] == ["AddOrder", "OpenOrders"]


@both
def test_an_order_that_is_only_validated_is_tried_again(
    family: Family, use: Callable[..., Any], fake: FakeKraken
) -> None:
    """With validate nothing is placed, so it may be repeated."""
    fake.faults.add("AddOrder", "process_then_cut")
    answer = use(family, lambda exchange: settled(ccxt_private(exchange, "AddOrder", {**ORDER, "validate": True})))
    assert answer["error"] == []
    assert len(fake.accepted()) == 2


@both
def test_nobody_waits_for_anothers_rate_limit(
    family: Family, use: Callable[..., Any], fake: FakeKraken, account: FakeAccount, manager: NonceManager
) -> None:
    """While ccxt waits for its rate limit or between two tries, the lane is free."""
    fake.faults.add("Balance", "html", times=2)
    free: list[tuple[str, bool]] = []

    def noting(name: str) -> Callable[..., Any]:
        def wait(_: object) -> None:
            free.append((name, is_free(manager, account.key)))

        async def wait_async(_: object) -> None:
            wait(_)

        return wait_async if family.is_async else wait

    async def job(exchange: Any) -> list[tuple[str, bool]]:
        exchange.options["maxRetriesOnFailureDelay"] = 1000
        exchange.enableRateLimit = True
        exchange.throttle, exchange.sleep = noting("throttle"), noting("sleep")
        await settled(ccxt_private(exchange, "Balance"))
        return list(free)

    assert use(family, job) == [("throttle", True), ("sleep", True), ("sleep", True)]


@both
def test_a_request_signed_by_hand_is_in_order_too(
    family: Family, use: Callable[..., Any], fake: FakeKraken, manager: NonceManager
) -> None:
    """A request that was signed early and is sent late still arrives with a number larger than all before it."""

    async def job(exchange: Any) -> None:
        early = exchange.sign("Balance", ["private"], "POST", {})
        assert early["body"].startswith("nonce=1")
        await settled(ccxt_private(exchange, "Balance"))
        await settled(exchange.fetch(early["url"], early["method"], early["headers"], early["body"]))
        assert exchange.last_request_body == f"nonce={manager.peek()}"

    use(family, job)
    assert len(fake.accepted()) == 2


@both
def test_markets_are_loaded(family: Family, use: Callable[..., Any], fake: FakeKraken) -> None:
    """What ccxt does before its first call of its own, in public calls, works and uses no number."""

    async def job(exchange: Any) -> None:
        assert "BTC/USD" in await settled(exchange.load_markets())
        assert fake.arrivals == []
        assert (await settled(exchange.fetch_balance()))["USD"]["total"] == 100000

    use(family, job)


def test_an_event_loop_goes_on_while_the_lane_is_taken(
    use: Callable[..., Any], fake: FakeKraken, account: FakeAccount, manager: NonceManager
) -> None:
    """A task that waits for its turn, which somebody else has, does not keep the other tasks from running."""
    taken, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with manager.lane(account.key):
            taken.set()
            leave.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()

    async def job(exchange: Any) -> None:
        call = asyncio.ensure_future(ccxt_private(exchange, "Balance"))
        for _ in range(20):
            await settled(exchange.public_get_time())
        assert not call.done()
        assert fake.arrivals == []
        leave.set()
        assert (await call)["error"] == []

    try:
        use(NAMED["ccxt async"], job)
    finally:
        leave.set()
        holder.join()
