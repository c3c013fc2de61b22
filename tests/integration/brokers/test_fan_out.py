"""What holds for one call to many accounts, with any client: time limits, amounts, outcomes."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import global_manager
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, KrakenBroker, Outcome, async_manager, manager
from krakenonce.brokers.fan_out import Call, FanOut, late, not_sent
from krakenonce.brokers.procedures import exact, scaled
from krakenonce.errors import CallTimeout, ConfigError, DuplicateOrder, KrakenError, OutcomeUnknown, RequestNotSent
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.sent import Reconciled, SentOrder
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ["MASTER", "USER:alice", "USER:bob"]
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.5", "price": "20000"}


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of its own, as in a new process."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(global_manager, "_manager", None)


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken with MASTER and two users."""
    fake = FakeKraken()
    for name in NAMES:
        fake.add_account(name, balances={"ZUSD": "100000.0000"})
    return fake


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP."""
    with FakeKrakenServer(fake) as running:
        yield running


@pytest.fixture
def accounts(fake: FakeKraken) -> list[Account]:
    """All three, with the keys that the fake Kraken knows."""
    return [Account(each.name, each.key, each.secret, "none") for each in fake.accounts.values()]


class Simple:
    """A client that keeps no time limit, like krakenex: it does something, and answers."""

    def __init__(self, during: Callable[[], object] = lambda: None) -> None:
        self.during = during
        self.called: list[str] = []

    def query_private(self, method: str, _data: Any = None) -> dict[str, Any]:
        """Answer anything."""
        self.called.append(method)
        self.during()
        return {"error": [], "result": {}}


def brokers_of(*clients: Simple) -> BrokerManager:
    """Return a manager of brokers over these clients."""
    brokers = BrokerManager([])
    for name, client in zip(NAMES, clients, strict=False):
        brokers.add(KrakenBroker(name, client, serialization="key"))
    return brokers


# --- deadlines -------------------------------------------------------------------------------------------------


def named(error: Any) -> bool:
    """Whether the error's text and its order name the cl_ord_id of an order that may have been placed."""
    (cl_ord_id,) = error.order.cl_ord_ids
    return cl_ord_id in str(error)


def test_a_client_that_hangs_does_not_hold_up_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outcome is unknown when the time is over, whenever it comes back; the others have their results.

    on_outcome is called with each.
    """
    monkeypatch.setattr(manager, "GRACE", 0.1)
    enough = threading.Event()
    hanging, quick, noted = Simple(enough.wait), Simple(), list[Any]()
    try:
        found = brokers_of(hanging, quick).call_all("AddOrder", ORDER, within=1.0, on_outcome=noted.append)
    finally:
        enough.set()
    assert list(found) == NAMES[:2]
    assert type(found["MASTER"].error) is OutcomeUnknown
    assert (found["MASTER"].may_have_executed, found["USER:alice"].ok) == ("unknown", True)
    assert named(found["MASTER"].error)
    assert noted == [found["USER:alice"], found["MASTER"]]


def test_what_is_left_in_the_queue_when_the_time_is_over_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """More accounts than threads: the last ones' turn does not come in time, nor later."""
    monkeypatch.setattr(manager, "GRACE", 0.1)
    monkeypatch.setattr(manager, "THREADS", 1)
    enough = threading.Event()
    hanging, waiting = Simple(enough.wait), Simple()
    try:
        found = brokers_of(hanging, waiting).call_all("AddOrder", ORDER, within=0.1)
    finally:
        enough.set()
        for thread in threading.enumerate():
            if thread.name.startswith("fan-out"):
                thread.join()
    assert not any(outcome.ok for outcome in found.values())
    assert waiting.called == []


def test_a_second_ctrl_c_loses_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the wait for late answers; on_outcome gets every account's outcome, with the id of its order."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    enough, noted = threading.Event(), list[Any]()
    hanging = Simple(enough.wait)

    def first_ctrl_c(*_: object) -> None:
        until(lambda: hanging.called)
        raise KeyboardInterrupt

    monkeypatch.setattr(manager, "as_completed", first_ctrl_c)
    monkeypatch.setattr(manager, "wait", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            brokers_of(hanging).call_all("AddOrder", ORDER, on_outcome=noted.append)
    finally:
        enough.set()
    assert [outcome.account for outcome in noted] == ["MASTER"]
    assert named(noted[0].error)


def test_a_client_without_time_limits_is_not_called_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn comes after the time for all: CallTimeout, and nothing is sent."""
    monkeypatch.setattr(manager, "THREADS", 1)
    slow, waiting = Simple(lambda: time.sleep(0.2)), Simple()
    found = brokers_of(slow, waiting).call_all("AddOrder", ORDER, within=0.1)
    assert found["MASTER"].ok
    assert type(found["USER:alice"].error) is CallTimeout
    assert waiting.called == []


def test_each_account_has_what_is_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the whole of it again."""
    monkeypatch.setattr(manager, "THREADS", 1)
    left: list[float] = []

    def call(_broker: object, _method: str, _params: object, within: float) -> None:
        left.append(within)
        time.sleep(0.01)

    monkeypatch.setattr(KrakenBroker, "call", call)
    brokers_of(Simple(), Simple(), Simple()).call_all("Balance", within=50)
    assert 50 >= left[0] > left[1] > left[2]


@pytest.mark.parametrize("name", ["connect_all", "balances", "call_all", "copy_order"])
@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_every_call_keeps_to_its_time(
    kind: Any, name: str, accounts: list[Account], server: FakeKrakenServer, fake: FakeKraken
) -> None:
    """With none at all nothing is sent."""
    args = {"call_all": ("Balance",), "copy_order": (ORDER,)}.get(name, ())

    async def run() -> Any:
        brokers = kind(accounts, base_url=server.url)
        found = getattr(brokers, name)(*args, within=0)
        return found if kind is BrokerManager else await found

    assert {type(outcome.error) for outcome in asyncio.run(run()).values()} == {CallTimeout}
    assert fake.arrivals == []


def test_a_task_that_hangs_does_not_hold_up_the_whole(
    accounts: list[Account], server: FakeKrakenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not keep its time limit is not waited for; its outcome is unknown."""
    monkeypatch.setattr(async_manager, "GRACE", 0.1)

    async def run() -> dict[str, Outcome[Any]]:
        async with AsyncBrokerManager(accounts[:2], base_url=server.url) as brokers:

            async def hang(*_: object, **__: object) -> None:
                await asyncio.Event().wait()

            monkeypatch.setattr(brokers.clients["MASTER"], "run", hang)
            return await brokers.call_all("AddOrder", ORDER, within=1)

    found = asyncio.run(run())
    assert type(found["MASTER"].error) is OutcomeUnknown
    assert found["USER:alice"].ok
    assert named(found["MASTER"].error)


def test_a_cancelled_fan_out_loses_no_outcome(
    accounts: list[Account], server: FakeKrakenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its on_outcome is called for every account, with the id of an order that may have been placed."""
    monkeypatch.setattr(async_manager, "TASKS", 1)
    server.fake.faults.add("AddOrder", "slow_answer", seconds=30)
    noted: list[Any] = []

    async def run() -> None:
        async with AsyncBrokerManager(accounts[:2], base_url=server.url) as brokers:
            calling = asyncio.create_task(brokers.call_all("AddOrder", ORDER, on_outcome=noted.append))
            while not server.fake.arrivals:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling

    asyncio.run(run())
    assert [(each.account, each.may_have_executed) for each in noted] == [("MASTER", "unknown"), ("USER:alice", "no")]
    assert named(noted[0].error)
    assert [each.account for each in server.fake.arrivals] == ["MASTER"]


def test_a_call_that_is_not_waited_for_is_never_begun() -> None:
    """And one that was begun does not count as not sent."""
    fan: FanOut[Any, Any] = FanOut(NAMES, lambda _: Call.of("AddOrder", ORDER), None, None)
    fan.begin("MASTER")
    assert fan.give_up("MASTER", "Interrupted").may_have_executed == "unknown"
    assert fan.give_up("USER:alice", "Interrupted").may_have_executed == "no"
    with pytest.raises(CallTimeout):
        fan.begin("USER:alice")
    fan.begin("USER:bob")


def test_a_fan_out_that_is_cancelled_is_cancelled(accounts: list[Account], server: FakeKrakenServer) -> None:
    """Cancelling is not an account's error: it is raised in the caller."""
    server.fake.faults.add("Balance", "slow_answer", seconds=30)

    async def run() -> None:
        async with AsyncBrokerManager(accounts[:1], base_url=server.url) as brokers:
            calling = asyncio.create_task(brokers.balances())
            while not server.fake.arrivals:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling

    asyncio.run(run())


# --- outcomes and amounts --------------------------------------------------------------------------------------


def test_not_sent_and_not_answered_are_different_outcomes() -> None:
    """The first may be repeated; about the second Kraken has to be asked."""
    assert not_sent().may_have_executed == "no"
    assert late().may_have_executed == "unknown"
    assert isinstance(late(), OutcomeUnknown)
    assert Outcome("MASTER", error=RuntimeError()).may_have_executed == "unknown"


def test_whatever_a_client_raises_is_its_account_s_outcome() -> None:
    """Also what no client should raise."""

    def fail() -> None:
        raise RuntimeError("a bug")

    found = brokers_of(Simple(fail), Simple()).call_all("Balance")
    assert type(found["MASTER"].error) is RuntimeError
    assert found["USER:alice"].ok


def test_results_are_in_the_order_of_the_accounts() -> None:
    """on_outcome is called in the order of the answers."""
    first = threading.Event()
    noted: list[str] = []

    def note(outcome: Outcome[Any]) -> None:
        noted.append(outcome.account)
        first.set()

    found = brokers_of(Simple(first.wait), Simple()).call_all("Balance", on_outcome=note)
    assert (list(found), noted) == (NAMES[:2], ["USER:alice", "MASTER"])


@pytest.mark.parametrize(
    ("volume", "scale", "sent"),
    [
        ("50", 2, "100"),
        ("1", "1E-8", "0.00000001"),
        (Decimal("0.1"), Decimal("0.99999999"), "0.09999999"),
        (3, "0.5", "1.5"),
        ("0.5", {"USER:bob": 2}, "0.5"),
        ("0.5", {"USER:alice": 2}, "1"),
    ],
)
def test_a_volume_is_sent_in_digits_and_rounded_down(volume: Any, scale: Any, sent: str) -> None:
    """Never more than was meant, never as 1E+2; and the order given is not changed."""
    order = {**ORDER, "volume": volume}
    assert scaled(order, scale, "USER:alice") == {**ORDER, "volume": sent}
    assert order["volume"] is volume


def test_balances_are_exact() -> None:
    """Kraken's digits, not those of a float near them."""
    assert exact({"ZUSD": "0.1"}) == {"ZUSD": Decimal("0.1")}


@pytest.mark.parametrize("balance", [[], {"ZUSD": "a lot"}, {"ZUSD": None}], ids=str)
def test_a_balance_of_another_shape_is_an_unknown_outcome(balance: Any) -> None:
    """It is an error of ours, which names the method."""
    with pytest.raises(OutcomeUnknown, match="Balance"):
        exact(balance)


# --- the outcomes of orders -------------------------------------------------------------------------------------

SENT = SentOrder("AddOrder", ORDER, ("an-id",), None, datetime.now(UTC))


def unknown(error: KrakenError, order: SentOrder | None = SENT) -> KrakenError:
    """Return the error of an order with an unknown outcome."""
    error.order = order
    return error


@pytest.mark.parametrize(
    ("error", "found", "verdict"),
    [
        (unknown(OutcomeUnknown("no answer")), Reconciled(True, {"O1": {}}), ("placed", "O1", ("O1",))),
        (
            unknown(OutcomeUnknown("no answer")),
            Reconciled(False, {}),
            ("not placed", "the order did not reach Kraken", ()),
        ),
        (unknown(OutcomeUnknown("no answer")), Reconciled(None, {"O1": {}}), ("unknown", "no answer{id}", ())),
        (unknown(OutcomeUnknown("no answer")), RequestNotSent("no connection"), ("unknown", "no connection{id}", ())),
        (
            unknown(OutcomeUnknown("no answer")),
            RuntimeError("a secret"),
            ("unknown", "unexpected RuntimeError{id}", ()),
        ),
        (unknown(DuplicateOrder("it is there")), Reconciled(True, {"O1": {}}), ("placed", "O1", ("O1",))),
        (unknown(RequestNotSent("no connection")), None, ("not placed", "no connection", ())),
        (RuntimeError("a secret"), None, ("unknown", "unexpected RuntimeError", ())),
        (OutcomeUnknown("no order of ours"), None, ("unknown", "no order of ours", ())),
        (late(Call.of("AddOrder", {**ORDER, "cl_ord_id": "an-id"}).order), None, ("unknown", str(late(SENT)), ())),
    ],
    ids=[
        "placed",
        "not placed",
        "another order, perhaps",
        "cannot be asked",
        "a bug in asking",
        "there already",
        "not sent",
        "a bug",
        "not an order",
        "still in progress, perhaps",
    ],
)
@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_the_verdict_on_a_copy_is_never_a_guess(
    kind: Any, error: Exception, found: Any, verdict: tuple[str, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order is placed or not placed only if Kraken's answer proves it; Kraken is not asked for what is known."""

    def look(_: Calls, order: SentOrder) -> Any:
        assert found is not None, "not to be asked"
        assert order is SENT
        yield from ()
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Calls, "reconcile", look)
    outcomes: dict[str, Outcome[Any]] = {"USER:alice": Outcome("USER:alice", error=error)}

    async def run() -> Any:
        given = kind([Account("USER:alice", "key", "c2VjcmV0")]).reconcile(outcomes)
        return given if kind is BrokerManager else await given

    state, details, txids = verdict
    assert asyncio.run(run()) == {"USER:alice": (state, details.format(id=" (cl_ord_id an-id)"), txids)}


def test_another_client_cannot_be_asked_for_an_order() -> None:
    """The message says how to find the order."""
    with pytest.raises(ConfigError, match="by its cl_ord_id"):
        KrakenBroker("MASTER", Simple()).reconcile(SENT)


# --- managers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_a_copy_for_no_account_is_no_error(kind: Any, accounts: list[Account]) -> None:
    """MASTER alone has no users to copy to: there are no outcomes."""

    async def run() -> Any:
        found = kind(accounts[:1]).copy_order(ORDER)
        return found if kind is BrokerManager else await found

    assert asyncio.run(run()) == {}


def test_no_more_tasks_run_than_allowed(
    accounts: list[Account], monkeypatch: pytest.MonkeyPatch, server: FakeKrakenServer
) -> None:
    """Each needs a connection and two files, so the others wait."""
    monkeypatch.setattr(async_manager, "TASKS", 2)
    in_progress: set[str] = set()
    most: list[int] = []

    async def run() -> None:
        async with AsyncBrokerManager(accounts, base_url=server.url) as brokers:
            for name, client in brokers.clients.items():

                async def slow(*_: object, name: str = name, **__: object) -> None:
                    in_progress.add(name)
                    most.append(len(in_progress))
                    await asyncio.sleep(0)
                    in_progress.remove(name)

                monkeypatch.setattr(client, "run", slow)
            await brokers.call_all("Balance")

    asyncio.run(run())
    assert (len(most), max(most)) == (3, 2)


def test_brokers_share_their_connections_and_close_them(accounts: list[Account], server: FakeKrakenServer) -> None:
    """One pool for all accounts, empty when the manager is closed."""
    with BrokerManager(accounts, base_url=server.url) as brokers:
        assert all(outcome.ok for outcome in brokers.balances().values())
        pools = brokers._transport._pool.pools
        assert len(pools) == 1
        assert {client._transport for client in (broker.kraken_api for broker in brokers)} == {brokers._transport}  # type: ignore[union-attr]
    assert len(pools) == 0


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_options_go_with_the_accounts_of_the_environment(
    kind: Any, monkeypatch: pytest.MonkeyPatch, accounts: list[Account]
) -> None:
    """from_env takes whatever the class takes."""
    monkeypatch.setenv("KRAKEN_MASTER_API_KEY", accounts[0].key)
    monkeypatch.setenv("KRAKEN_MASTER_API_SECRET", accounts[0].secret)
    assert kind.from_env(base_url="http://127.0.0.1:1")._transport.base_url == "http://127.0.0.1:1"


def test_a_broker_over_another_client_keeps_to_an_adopted_key_s_counter(tmp_path: Path) -> None:
    """Its nonces come from the key's own counter; another key's do not."""

    class Keyed(Simple):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key
            self.nonces: list[int] = []

        def query_private(self, method: str, data: Any = None) -> dict[str, Any]:
            self.nonces.append(data["nonce"])
            return super().query_private(method, data)

    adopted, other = Keyed("adopted"), Keyed("other")
    with NonceManager(tmp_path / "another state") as manager:
        manager.raise_floor(2**62, manager.own_scope("adopted"))
        nonces = GlobalKrakenNonceManager(manager)
        for client in (adopted, other):
            KrakenBroker("MASTER", client, nonces=nonces).call("Balance")
    assert other.nonces[0] < 2**62 < adopted.nonces[0]


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_each_account_keeps_its_tier_and_the_manager_given(
    kind: Any, accounts: list[Account], server: FakeKrakenServer
) -> None:
    """Its limits are those of its own account at Kraken, and its nonces come from the manager that was passed."""
    mine = [
        Account(each.name, each.key, each.secret, tier) for each, tier in zip(accounts, ("pro", "none"), strict=False)
    ]
    nonces = GlobalKrakenNonceManager(NonceManager("memory:"))

    async def run() -> list[Any]:
        brokers = kind(mine, nonces=nonces, base_url=server.url)
        if kind is BrokerManager:
            with brokers:
                brokers.balances()
            return [broker.kraken_api for broker in brokers]
        async with brokers:
            await brokers.balances()
        return list(brokers.clients.values())

    tiers = [client._tier for client in asyncio.run(run())]
    assert (tiers[0].name, tiers[1]) == ("pro", None)
    assert nonces.manager.peek() is not None
    assert global_manager._manager is None


def test_a_broker_with_a_counter_of_its_own_uses_it_in_a_fan_out(
    accounts: list[Account], server: FakeKrakenServer
) -> None:
    """Every call gets its nonce from the deprecated counter."""
    with pytest.warns(DeprecationWarning, match="use the global nonce manager"):
        broker = KrakenBroker("MASTER", credentials=accounts[0], use_global_nonce=False, base_url=server.url)
    with BrokerManager([], base_url=server.url) as brokers:
        brokers.add(broker)
        assert brokers.balances()["MASTER"].ok
    assert broker.kraken_api is not None
    broker.kraken_api.close()  # type: ignore[attr-defined]
    assert global_manager.get_global_nonce_stats()["total_nonces_issued"] == 0


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_two_accounts_of_one_name_are_refused(kind: Any) -> None:
    """Dropping one without an error would leave out a customer's orders, or send them with the wrong key."""
    twice = [Account("USER:bob", "key", "c2VjcmV0"), Account("USER:bob", "other", "c2VjcmV0")]
    with pytest.raises(ConfigError, match="two accounts have the name USER:bob"):
        kind([Account("MASTER", "master", "c2VjcmV0"), *twice])


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager], ids=["threads", "tasks"])
def test_one_key_under_two_names_is_refused(kind: Any) -> None:
    """Each order would be placed twice on one account; the message does not show the key."""
    with pytest.raises(ConfigError, match="USER:alice and USER:bob have the same API key, so each order would be"):
        kind([Account(name, "a key", "c2VjcmV0") for name in ("USER:alice", "USER:bob")])


def test_a_broker_that_is_not_there_is_named_with_those_that_are(accounts: list[Account]) -> None:
    """The error for an unknown name lists the names, and is not just KeyError."""
    manager = BrokerManager(accounts)
    with pytest.raises(ConfigError, match=r"no account 'bobby'; the accounts are MASTER, USER:alice, USER:bob"):
        manager["bobby"]
    assert manager["bob"] is manager["USER:bob"] is manager.brokers["USER:bob"]
    own = manager.add(KrakenBroker("A name of my own"))
    assert manager["A name of my own"] is own
