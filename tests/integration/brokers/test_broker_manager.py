"""One call to many accounts: by threads and by tasks, over real HTTP against the fake Kraken."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import threading
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import krakenex
import pytest

from krakenonce import global_manager
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, KrakenBroker
from krakenonce.brokers.procedures import scaled
from krakenonce.errors import (
    CallTimeout,
    ConfigError,
    InvalidKey,
    LaneTimeout,
    OutcomeUnknown,
    PermissionDenied,
    RequestNotSent,
)
from krakenonce.testing import FakeKraken, FakeKrakenServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.brokers import Outcome

NAMES = ["MASTER", *(f"USER:u{number}" for number in range(9))]
ORDER = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": Decimal("0.5"), "price": "20000"}


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State of its own and no credentials, as in a new process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("KRAKENONCE_CREDENTIALS", raising=False)
    monkeypatch.setattr(global_manager, "_manager", None)


@pytest.fixture
def fake() -> FakeKraken:
    """A fake Kraken with MASTER and nine users."""
    fake = FakeKraken()
    for number, name in enumerate(NAMES):
        fake.add_account(name, balances={"ZUSD": f"{100000 + number}.0000"})
    return fake


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake Kraken over HTTP; each call takes 20 ms."""
    with FakeKrakenServer(fake, latency=0.02) as running:
        yield running


@pytest.fixture
def accounts(fake: FakeKraken) -> list[Account]:
    """All ten, with the keys that the fake Kraken knows."""
    return [Account(each.name, each.key, each.secret, "none") for each in fake.accounts.values()]


class Manager:
    """Either manager, used in the same way."""

    def __init__(self, kind: str, accounts: list[Account] | None, **options: Any) -> None:
        self.kind, self.accounts, self.options = kind, accounts, options

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *args, **more: self._call(method, *args, **more)

    def _call(self, method: str, *args: Any, **more: Any) -> Any:
        if self.kind == "threads":
            with BrokerManager(self.accounts, **self.options) as brokers:
                return getattr(brokers, method)(*args, **more)

        async def main() -> Any:
            async with AsyncBrokerManager(self.accounts, **self.options) as brokers:
                return await getattr(brokers, method)(*args, **more)

        return asyncio.run(main())


@pytest.fixture(params=["threads", "tasks"])
def make(request: pytest.FixtureRequest, server: FakeKrakenServer) -> Callable[..., Manager]:
    """Make managers, of each kind."""
    return lambda accounts, **options: Manager(request.param, accounts, base_url=server.url, **options)


def stranger(accounts: list[Account]) -> Account:
    """An account that Kraken does not know."""
    return Account("USER:stranger", accounts[0].key[:-4] + "AAA=", accounts[0].secret, "none")


def orders_of(fake: FakeKraken) -> Counter[str | None]:
    """How many orders each account has placed."""
    return Counter(each.account for each in fake.arrivals if each.method == "AddOrder" and each.error is None)


def test_every_account_is_called_and_answers_for_itself(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """Balances are exact and each account's own, in the order of the accounts."""
    found = make(accounts).balances()
    assert list(found) == NAMES
    assert [outcome.get()["ZUSD"] for outcome in found.values()] == [Decimal(100000 + i) for i in range(10)]
    assert fake.invalid_nonces() == []
    assert all(each.ok and each.may_have_executed == "yes" for each in found.values())


def test_some_accounts_are_called(make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken) -> None:
    """Accounts are named in full or by the user's name; an unknown one is an error before anything is sent."""
    found = make(accounts).call_all("Balance", accounts=["u3", "MASTER"])
    assert list(found) == ["USER:u3", "MASTER"]
    with pytest.raises(ConfigError, match="there is no account 'nobody'"):
        make(accounts).call_all("Balance", accounts=["u1", "nobody"])
    with pytest.raises(ConfigError, match="accounts must be a list"):
        make(accounts).call_all("Balance", accounts="u1")
    assert len(fake.arrivals) == 2


def test_an_error_in_one_account_does_not_affect_the_others(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """A refused key, a missing right and a cut connection are outcomes beside results."""
    fake.keys[accounts[2].key].permissions = frozenset(["query-funds"])
    fake.faults.add("AddOrder", "process_then_cut")
    mine = [stranger(accounts), accounts[2], accounts[3], accounts[4]]
    noted: list[Outcome[Any]] = []
    found: dict[str, Outcome[Any]] = make(mine).call_all("AddOrder", ORDER, on_outcome=noted.append)
    kinds = Counter(type(outcome.error) for outcome in found.values())
    # The fault meets whichever of them comes first.
    assert kinds[OutcomeUnknown] == 1
    assert sum(outcome.ok for outcome in found.values()) + kinds[InvalidKey] + kinds[PermissionDenied] == 3
    assert sorted(each.account for each in noted) == sorted(found)


def test_a_wrong_account_comes_with_its_typed_error(make: Callable[..., Manager], accounts: list[Account]) -> None:
    """The error of the client, and get() raises it."""
    found = make([stranger(accounts), accounts[1]]).balances()
    assert type(found["USER:stranger"].error) is InvalidKey
    assert found["USER:stranger"].may_have_executed == "no"
    assert found["USER:u0"].ok
    with pytest.raises(InvalidKey):
        found["USER:stranger"].get()


@pytest.mark.parametrize("serialization", ["key", "global", "off"])
def test_accounts_are_called_at_the_same_time_unless_global(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken, serialization: str
) -> None:
    """One lane per key lets accounts overlap; "global" is one call at a time, as the fake Kraken sees it."""
    make(accounts, serialization=serialization).balances()
    # Half of the 20 ms is on the way there: calls one after the other arrive at least 20 ms apart.
    arrived = sorted(each.at for each in fake.arrivals)
    overlapping = sum(later - earlier < 0.02 for earlier, later in itertools.pairwise(arrived))
    assert (overlapping == 0) == (serialization == "global")


def test_a_wrong_serialization_is_an_error(accounts: list[Account]) -> None:
    """The message names those there are."""
    for kind in (BrokerManager, AsyncBrokerManager):
        with pytest.raises(ConfigError, match="key, global or off"):
            kind(accounts, serialization="none")


def test_an_order_is_copied_to_the_users(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """All users and not MASTER; the volume times each one's scale, rounded down; an id of its own for each."""
    found = make(accounts).copy_order(ORDER, scale={"USER:u1": "0.333333333", "USER:u2": 2})
    assert list(found) == NAMES[1:]
    assert "buy 0.16666666 XBTUSD" in found["USER:u1"].get()["descr"]["order"]
    assert "buy 1.00000000 XBTUSD" in found["USER:u2"].get()["descr"]["order"]
    assert "buy 0.50000000 XBTUSD" in found["USER:u3"].get()["descr"]["order"]
    assert orders_of(fake) == Counter(NAMES[1:])
    assert ORDER["volume"] == Decimal("0.5")


def test_a_scale_for_an_unknown_account_stops_everything(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """Short names are as good as full ones, and a misspelt name does not send an order with the full volume."""
    found = make(accounts).copy_order({**ORDER, "validate": True}, ["u1"], {"u1": "0.5"})
    assert "buy 0.25000000" in found["USER:u1"].get()["descr"]["order"]
    with pytest.raises(ConfigError, match="there is no account 'uu1'"):
        make(accounts).copy_order(ORDER, ["u1"], {"uu1": "0.5"})
    assert not orders_of(fake) - Counter({"USER:u1": 1})


def test_on_outcome_may_raise(make: Callable[..., Manager], accounts: list[Account]) -> None:
    """No outcome is lost by it."""

    def careless(_outcome: Outcome[Any]) -> None:
        raise ZeroDivisionError

    assert [each.ok for each in make(accounts).call_all("Balance", on_outcome=careless).values()] == [True] * 10


def test_an_order_is_copied_with_one_scale_to_those_named(
    make: Callable[..., Manager], accounts: list[Account]
) -> None:
    """A factor for all; MASTER too if it is named; validate places nothing."""
    found = make(accounts).copy_order({**ORDER, "validate": True}, ["MASTER", "u5"], Decimal("1.5"))
    assert [each.get()["descr"]["order"][:14] for each in found.values()] == ["buy 0.75000000"] * 2
    assert all("txid" not in each.get() for each in found.values())


def test_a_copy_that_is_too_small_is_not_sent(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """It is that account's error; the others are placed."""
    found = make(accounts).copy_order(ORDER, ["u1", "u2"], {"USER:u1": "0.000000001"})
    assert type(found["USER:u1"].error) is ConfigError
    assert found["USER:u2"].ok
    assert orders_of(fake) == {"USER:u2": 1}


@pytest.mark.parametrize("wrong", [0.5, "x", "NaN", -1, 0, None])
def test_amounts_must_be_exact(wrong: Any) -> None:
    """A float, a word, nothing or less is no volume and no scale."""
    with pytest.raises(ConfigError, match="volume must be a Decimal, text or integer above 0"):
        scaled({**ORDER, "volume": wrong}, 1, "MASTER")
    if wrong is not None:
        with pytest.raises(ConfigError, match="scale must be a Decimal, text or integer above 0"):
            scaled(ORDER, wrong, "MASTER")


def test_a_copy_without_an_answer_can_be_looked_for(accounts: list[Account], server: FakeKrakenServer) -> None:
    """The outcome's error finds out that the order was placed."""
    server.fake.faults.add("AddOrder", "process_then_cut")
    with BrokerManager(accounts, base_url=server.url) as brokers:
        (outcome,) = brokers.copy_order(ORDER, ["u1"]).values()
        assert outcome.may_have_executed == "unknown"
        assert isinstance(outcome.error, OutcomeUnknown)
        assert outcome.error.reconcile().placed is True


def test_the_outcome_of_each_copy_is_found_out(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """By Kraken's answer where there was one, else by asking; also in another process, as outcomes can be pickled."""
    fake.faults.add("AddOrder", "process_then_cut")
    outcomes = {
        **make(accounts).copy_order(ORDER, ["u0"]),
        **make(accounts).copy_order(ORDER, ["u1", "u2"], {"u2": 10000}),
        **make(accounts).copy_order({**ORDER, "validate": True}, ["u3"]),
    }
    noted: list[Outcome[Any]] = []
    outcomes = pickle.loads(pickle.dumps(outcomes))  # noqa: S301 - our own
    found = make(accounts).reconcile(outcomes, within=20, on_outcome=noted.append)
    assert {name: each.state for name, each in found.items()} == {
        "USER:u0": "placed",
        "USER:u1": "placed",
        "USER:u2": "not placed",
        "USER:u3": "valid",
    }
    orders = {each.name: tuple(each.orders) for each in fake.accounts.values()}
    assert all(each.txids == orders[name] for name, each in found.items())
    assert [(each.account, each.get().placed) for each in noted] == [("USER:u0", True)]


def test_orders_are_looked_for_within_a_time(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """Without time for it Kraken is not asked, and the outcome stays unknown."""
    fake.faults.add("AddOrder", "process_then_cut")
    outcomes = make(accounts).copy_order(ORDER, ["u0"])
    verdict = make(accounts).reconcile(outcomes, within=0)["USER:u0"]
    assert (verdict.state, verdict.txids) == ("unknown", ())
    assert verdict.details.startswith("there was no time to ask Kraken (cl_ord_id ")
    assert [each.method for each in fake.arrivals] == ["AddOrder"]


def test_a_question_that_takes_too_long_ends(
    make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken
) -> None:
    """The outcome of the order stays unknown."""
    fake.faults.add("AddOrder", "process_then_cut")
    fake.faults.add("OpenOrders", "slow_answer", seconds=30)
    outcomes = make(accounts).copy_order(ORDER, ["u0"])
    verdict = make(accounts).reconcile(outcomes, within=1)["USER:u0"]
    assert verdict.state == "unknown"
    assert verdict.details.startswith("Kraken could not be asked whether the order was placed")


@pytest.mark.parametrize("missing", [False, True])
def test_connecting_is_logged(
    make: Callable[..., Manager], accounts: list[Account], caplog: pytest.LogCaptureFixture, missing: bool
) -> None:
    """Each account that is connected, and why another is not."""
    caplog.set_level("INFO")
    found = make([stranger(accounts) if missing else accounts[1]]).connect_all()
    (line,) = (record.message for record in caplog.records if "onnected (" in record.message)
    if missing:
        assert line.startswith("❌ Kraken not connected (USER:stranger): Kraken answered: EAPI:Invalid key")
    else:
        assert (line, found["USER:u0"].get()) == ("✅ Kraken connected (USER:u0)", True)


def test_the_deadline_is_kept(make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken) -> None:
    """What was sent and not answered in time has an unknown outcome, and what waits for its turn is not sent."""
    fake.faults.add("AddOrder", "slow_answer", seconds=30)
    manager = global_manager.get_global_nonce_manager().manager
    taken, give_back = threading.Event(), threading.Event()

    def occupy() -> None:
        with manager.lane(accounts[1].key):
            taken.set()
            give_back.wait()

    other = threading.Thread(target=occupy)
    other.start()
    taken.wait()
    try:
        found = make(accounts[:4]).call_all("AddOrder", ORDER, within=1)
    finally:
        give_back.set()
        other.join()
    kinds = Counter(type(outcome.error) for outcome in found.values())
    assert type(found["USER:u0"].error) is LaneTimeout
    assert kinds == {LaneTimeout: 1, OutcomeUnknown: 1, type(None): 2}
    assert orders_of(fake).total() == 3


def test_no_time_at_all_sends_nothing(make: Callable[..., Manager], accounts: list[Account], fake: FakeKraken) -> None:
    """Every account has this outcome."""
    found = make(accounts).call_all("AddOrder", ORDER, within=0)
    assert {type(outcome.error) for outcome in found.values()} == {CallTimeout}
    assert {outcome.may_have_executed for outcome in found.values()} == {"no"}
    assert fake.arrivals == []


@pytest.mark.parametrize("kind", [BrokerManager, AsyncBrokerManager])
def test_accounts_come_from_the_environment_or_a_file(
    kind: Any, accounts: list[Account], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """from_env and from_toml; without any account they say what to set."""
    file = tmp_path / "accounts.toml"
    file.touch(0o600)
    with pytest.raises(ConfigError, match="KRAKEN_MASTER_API_KEY"):
        kind.from_env()
    with pytest.raises(ConfigError, match="KRAKEN_MASTER_API_KEY"):
        kind.from_toml(file)
    monkeypatch.setenv("KRAKEN_MASTER_API_KEY", accounts[0].key)
    monkeypatch.setenv("KRAKEN_MASTER_API_SECRET", accounts[0].secret)
    file.write_text(f'[USER.u0]\napi_key = "{accounts[1].key}"\napi_secret = "{accounts[1].secret}"\n')
    attribute = "brokers" if kind is BrokerManager else "clients"
    assert list(getattr(kind.from_env(), attribute)) == ["MASTER"]
    assert list(getattr(kind.from_toml(file), attribute)) == ["USER:u0"]


def test_a_krakenex_api_fans_out_beside_ours(accounts: list[Account], server: FakeKrakenServer) -> None:
    """A broker over unmodified krakenex takes part, and its HTTP library's errors are outcomes."""
    unmodified = krakenex.API(accounts[1].key, accounts[1].secret)
    unmodified.uri = server.url
    with BrokerManager(accounts[:1], base_url=server.url) as brokers, unmodified.session:
        brokers.add(KrakenBroker("USER:u0", unmodified, serialization="key"))
        assert [each.ok for each in brokers.balances().values()] == [True, True]
        server.stop()
        found = brokers.balances()
    assert type(found["MASTER"].error) is RequestNotSent
    assert found["USER:u0"].may_have_executed == "unknown"
