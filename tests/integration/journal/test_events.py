"""What real clients leave in the journal, and that a call which goes well leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import krakenex
import pytest

import krakenonce
from krakenonce.backends import MemoryStore
from krakenonce.brokers import Account, BrokerManager
from krakenonce.errors import KrakenError, LaneTimeout, LockedOut, OutcomeUnknown, RateLimited
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.guards import guard
from krakenonce.guards.entry import turns_of
from krakenonce.journal.event import from_line
from krakenonce.journal.recorder import directory_of, journal_of
from krakenonce.key import waiting
from krakenonce.key.any_lane import AnyLane
from krakenonce.key.naming import fingerprint
from krakenonce.kraken import Kraken
from krakenonce.kraken.adopt import adopt
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from tests.integration.gateway.conftest import RunningGateway, call
from tests.integration.guard.families import NAMED, Family, close, settled
from tests.integration.kraken.helpers import Twin, held

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.journal import Event
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer
    from tests.integration.journal.conftest import Told

ORDER: dict[str, Any] = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100"}
REFUSALS = [
    ("EAPI:Invalid nonce", "invalid_nonce"),
    ("EGeneral:Temporary lockout", "locked_out"),
    ("EAPI:Rate limit exceeded", "rate_limit"),
    ("EService:Throttled: 99", "rate_limit"),
    ("EAPI:Invalid key", "invalid_key"),
    ("EAPI:Invalid signature", "invalid_signature"),
    ("EGeneral:Permission denied", "permission"),
    ("EFunding:Unknown withdraw key", "refused"),
    ("EFuture:Words of next year", "refused"),
]

GUARDED = ["krakenex", "ccxt", "ccxt async", "sdk User", "sdk SpotAsyncClient"]


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager) -> Any:
    """Each of our two clients."""
    options: dict[str, Any] = {"manager": manager, "tier": "none", "max_wait": 0.0, "base_url": server.url}
    with Twin(request.param, account.key, account.secret, **options) as made:
        yield made


@pytest.fixture(params=GUARDED)
def bot(request: pytest.FixtureRequest, account: FakeAccount, manager: NonceManager) -> Callable[..., None]:
    """Makes a call with a new guarded client of each kind, whatever comes of it."""
    family: Family = NAMED[request.param]

    async def main(url: str, method: str, params: dict[str, Any] | None) -> None:
        client = family.make(account.key, account.secret, url)
        guard(client, manager)
        with contextlib.suppress(Exception):
            await settled(family.private(client, method, params))
        await close(client)

    return lambda url, method, params=None: asyncio.run(main(url, method, params))


@pytest.mark.parametrize(("error", "what"), REFUSALS)
def test_each_refusal_is_in_the_journal(
    twin: Twin, fake: FakeKraken, account: FakeAccount, told: Told, error: str, what: str
) -> None:
    """With its method, both nonces, Kraken's words, and the process."""
    twin("query_private", "Balance")
    before = int(fake.arrivals[-1].nonce or 0)
    fake.faults.add("Ledgers", "error", error=error)
    twin("query_private", "Ledgers")
    event = told(what)[-1]
    assert (event.key, event.method, event.text) == (fingerprint(account.key), "Ledgers", error)
    assert (event.nonce, event.before) == (int(fake.arrivals[-1].nonce or 0), before)
    assert 0 < event.seconds < 60
    assert event.pid == os.getpid()
    assert event.host


@pytest.mark.parametrize(("error", "what"), [REFUSALS[0], *REFUSALS[4:7]])
def test_a_guarded_client_s_refusal_is_in_the_journal(
    bot: Callable[..., None],
    account: FakeAccount,
    server: FakeKrakenServer,
    fake: FakeKraken,
    told: Told,
    error: str,
    what: str,
) -> None:
    """With its method and its nonce."""
    fake.faults.add("Balance", "error", error=error)
    bot(server.url, "Balance")
    (event,) = told(what)
    assert (event.method, event.nonce) == ("Balance", int(fake.arrivals[0].nonce or 0))
    assert event.key == fingerprint(account.key)


@pytest.mark.parametrize("fault", ["process_then_cut", "drop", "process_then_html", "process_then_error"])
def test_a_guarded_client_s_lost_order_is_in_the_journal(
    bot: Callable[..., None], server: FakeKrakenServer, fake: FakeKraken, account: FakeAccount, told: Told, fault: Any
) -> None:
    """With its cl_ord_id; a read whose answer is lost is not."""
    fake.faults.add("AddOrder", fault)
    fake.faults.add("Balance", fault)
    bot(server.url, "AddOrder", {**ORDER, "cl_ord_id": "mine-3"})
    bot(server.url, "Balance")
    (event,) = told("unknown")
    assert (event.method, event.order, event.key) == ("AddOrder", "mine-3", fingerprint(account.key))


def test_a_guarded_client_s_order_of_which_it_knows_that_it_was_not_placed_is_not_unknown(
    bot: Callable[..., None], server: FakeKrakenServer, fake: FakeKraken, told: Told
) -> None:
    """Refused by Kraken, or there was no connection; or it was placed."""
    fake.faults.add("AddOrder", "error", error="EOrder:Insufficient funds")
    bot(server.url, "AddOrder", ORDER)
    with socket.socket() as deaf:  # bound, but it does not listen: it refuses connections
        deaf.bind(("127.0.0.1", 0))
        bot("http://{}:{}".format(*deaf.getsockname()), "AddOrder", ORDER)
    bot(server.url, "AddOrder", ORDER)
    assert len(fake.arrivals) == 2
    assert told("unknown") == []


@pytest.mark.parametrize("name", GUARDED)
def test_a_public_answer_is_not_that_to_a_private_call(
    name: str, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, told: Told
) -> None:
    """The client may make both at once: what became of the order is still unknown."""
    family: Family = NAMED[name]

    async def main() -> None:
        client = guard(family.make(account.key, account.secret, server.url), manager)
        turns: Any = turns_of(client)
        with contextlib.suppress(ConnectionResetError):
            async with turns.lane(account.key, method="AddOrder", params=ORDER):
                turns.next(account.key)
                await settled(family.public(client))
                raise ConnectionResetError
        await close(client)

    asyncio.run(main())
    assert [event.method for event in told("unknown")] == ["AddOrder"]


@pytest.mark.parametrize("bot", ["krakenex", "ccxt", "ccxt async"], indirect=True)
def test_a_guarded_client_s_order_that_a_firewall_has_refused_is_not_unknown(
    bot: Callable[..., None], server: FakeKrakenServer, fake: FakeKraken, told: Told
) -> None:
    """With HTTP status 403. python-kraken-sdk does not show the status."""
    fake.faults.add("AddOrder", "html", status=403)
    bot(server.url, "AddOrder", ORDER)
    assert len(fake.arrivals) == 1
    assert told("unknown") == []


def test_a_call_that_goes_well_writes_nothing(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, state: Path
) -> None:
    """Neither our client nor a guarded one: the journal is not even looked for, and its code is not loaded."""
    code = (
        "import sys, krakenex, krakenonce\n"
        "from krakenonce.kraken import Kraken\n"
        "touched = []\n"
        "def look(name, args):\n"
        "    if args and isinstance(args[0], str) and args[0].startswith(sys.argv[4] + '/journal'):\n"
        "        touched.append(args[0])\n"
        "sys.addaudithook(look)\n"
        "key, secret, url, state = sys.argv[1:]\n"
        "manager = krakenonce.NonceManager(state)\n"
        "api = krakenex.API(key, secret)\n"
        "api.uri = url\n"
        "krakenonce.guard(api, manager)\n"
        "assert api.query_private('Balance')['error'] == []\n"
        "with Kraken(key, secret, manager=manager, base_url=url) as kraken:\n"
        "    kraken.add_order('XBTUSD', 'buy', '0.01', '100')\n"
        "assert touched == [], touched\n"
        "assert 'krakenonce.journal.recorder' not in sys.modules\n"
    )
    arguments = [account.key, account.secret, server.url, str(state)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert not (state / "journal").exists()


def soon() -> str:
    """A deadline that is as early as Kraken allows."""
    return (datetime.now(UTC) + timedelta(seconds=2.5)).isoformat(timespec="milliseconds")


@pytest.mark.parametrize("fault", ["process_then_cut", "drop"])
def test_an_unknown_outcome_and_what_became_of_it(
    twin: Twin, fake: FakeKraken, account: FakeAccount, told: Told, fault: Any
) -> None:
    """An order whose answer was lost, by its cl_ord_id; then what reconcile() has found out."""
    fake.faults.add("AddOrder", fault)
    with pytest.raises(OutcomeUnknown) as caught:
        twin("private", "AddOrder", **ORDER, cl_ord_id="mine-1", deadline=soon())
    found = twin.wait(caught.value.reconcile())
    (lost,), (became,) = told("unknown"), told("found_out")
    assert lost.order == became.order == "mine-1"
    assert lost.method == became.method == "AddOrder"
    assert became.text == (f"placed: {next(iter(found.orders))}" if found.placed else "not placed")


def test_the_gateway_notes_an_unknown_outcome_and_what_became_of_it(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, state: Path, told: Told
) -> None:
    """And each refusal, under the account's name. It writes no line for calls that go well."""
    settings = Account("MASTER", account.key, account.secret, "none")
    with RunningGateway(server.url, [settings], state, order_timeout=0.5) as gateway:
        pair = gateway.add("bot")
        call(gateway.url, pair, "Balance")
        assert told() == []
        fake.faults.add("Balance", "error", error="EGeneral:Permission denied")
        call(gateway.url, pair, "Balance")
        fake.faults.add("AddOrder", "process_then_cut")
        order = "pair=XBTUSD&type=buy&ordertype=limit&volume=0.01&price=100&cl_ord_id=mine-2"
        assert call(gateway.url, pair, "AddOrder", order).status == 200
    refused, lost, became = told()
    assert (refused.what, refused.account, refused.method) == ("permission", "MASTER", "Balance")
    assert (lost.what, lost.order, lost.account) == ("unknown", "mine-2", "MASTER")
    assert (became.what, became.order) == ("found_out", "mine-2")
    assert became.text == f"placed: {next(iter(account.orders))}"


def test_refusals_in_a_row_are_counted(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, fake: FakeKraken, told: Told
) -> None:
    """From one accepted nonce to the next; also those that are not written one by one."""
    api = krakenex.API(account.key, account.secret)
    api.uri = server.url
    guard(api, manager)
    api.query_private("Balance")
    fake.faults.add("Balance", "error", error="EAPI:Invalid nonce", times=5)
    for _ in range(6):
        api.query_private("Balance")
    fake.faults.add("Ledgers", "error", error="EAPI:Invalid nonce")
    api.query_private("Ledgers")
    fake.faults.add("Balance", "error", error="EAPI:Invalid nonce")
    fake.faults.add("Ledgers", "error", error="EAPI:Invalid nonce")
    api.query_private("Balance")
    api.query_private("Ledgers")
    assert [event.in_a_row for event in told("invalid_nonce")] == [1, 2, 3, 1, 3]


def test_a_call_that_a_lockout_holds_back_is_noted(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, told: Told
) -> None:
    """Also of a guarded client; nothing was sent."""
    with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as kraken:
        kraken.calls.api_key.settle(kraken.calls.api_key.place("Balance", {}), LockedOut("now"))
        with pytest.raises(LockedOut):
            kraken.balances()
    api = krakenex.API(account.key, account.secret)
    api.uri = server.url
    guard(api, manager)
    with pytest.raises(LockedOut):
        api.query_private("TradeBalance")
    assert [(event.what, event.method) for event in told()] == [
        ("locked_out", "Balance"),
        ("held_back", "Balance"),
        ("held_back", "TradeBalance"),
    ]
    assert "the key is locked out for another 900 s" in told("held_back")[0].text


def test_a_clock_step_and_a_recovery_are_noted(state: Path, told: Told) -> None:
    """An hour back, and a nonce file that was deleted."""
    clock = ManualClock()
    with NonceManager(state, clock=clock) as manager:
        manager.next()
        clock.step(-3600)
        manager.next()
    (state / "kraken_global_nonce.txt").write_text("damaged")
    with NonceManager(state, clock=clock) as manager:
        manager.next()
    stepped, (recovered,) = told("clock_step")[0], told("recovered")
    assert stepped.text == "counter global: the clock stepped back; nonces continue from the last one"
    assert "does not contain a nonce" in recovered.text


def test_a_floor_and_an_adoption_are_noted(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, told: Told
) -> None:
    """With the counter and the nonce that Kraken has accepted."""
    account.last_nonce = 2**62
    scope = manager.own_scope(account.key)
    with Kraken(account.key, account.secret, manager=manager, scope=scope, base_url=server.url) as kraken:
        adopted = adopt(kraken, manager)
    (event,) = told("adopted")
    assert (event.nonce, event.text) == (adopted.nonce, f"it uses the counter {scope}")
    assert len(told("floor_raised")) >= 2


def test_a_turn_that_takes_long_is_noted(manager: NonceManager, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how long it took; and one that does not come in time, with who had it."""
    monkeypatch.setattr(waiting, "LONG", 0.0)
    with held(manager.lane("key")) as let_go:
        with pytest.raises(LaneTimeout), manager.lane("key", timeout=0.05):
            pass
        with pytest.raises(LaneTimeout), manager.lane("key", timeout=0):  # which only asks
            pass
        threading.Timer(0.05, let_go).start()
        with manager.lane("key"):
            pass
    (event,) = told("no_turn")
    assert event.seconds >= 0.05
    assert f"process {os.getpid()} has held it" in event.text
    assert told("slow_turn")[0].key == fingerprint("key")


@pytest.mark.parametrize("kind", ["with", "async with"])
def test_a_turn_of_several_keys_that_takes_long_is_noted(
    manager: NonceManager, told: Told, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """That of the key that became free; and that none came in time."""

    def take(timeout: float | None) -> None:
        lanes = AnyLane([manager.lane("one"), manager.lane("other")], timeout)

        async def take_in_a_task() -> None:
            async with lanes:
                pass

        if kind == "with":
            with lanes:
                pass
        else:
            asyncio.run(take_in_a_task())

    monkeypatch.setattr(waiting, "LONG", 0.0)
    with held(manager.lane("one")), held(manager.lane("other")) as let_go:
        with pytest.raises(LaneTimeout):
            take(0.05)
        threading.Timer(0.05, let_go).start()
        take(None)
    (event,) = told("no_turn")
    assert event.seconds >= 0.05
    assert "none of the lanes of 2 API keys" in event.text
    assert [event.key for event in told("slow_turn")] == [fingerprint("other")]


def test_a_broker_s_account_is_named(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, fake: FakeKraken, told: Told
) -> None:
    """In the events of its calls."""
    fake.faults.add("Balance", "error", error="EGeneral:Permission denied")
    accounts = [Account("USER:alice", account.key, account.secret)]
    with BrokerManager(accounts, nonces=GlobalKrakenNonceManager(manager), base_url=server.url) as brokers:
        brokers.call_all("Balance")
    assert [event.account for event in told("permission")] == ["USER:alice"]


def test_a_memory_store_keeps_its_journal_in_memory(account: FakeAccount, server: FakeKrakenServer) -> None:
    """Each one its own."""
    one, other = MemoryStore(), MemoryStore()
    account.last_nonce = 2**62
    with Kraken(account.key, account.secret, manager=NonceManager(one), base_url=server.url) as kraken:
        kraken.query_private("Balance")
    journal: Any = journal_of(one).journal
    (event,) = map(from_line, journal.lines)
    assert event is not None
    assert event.what == "invalid_nonce"
    empty: Any = journal_of(other).journal
    assert not empty.lines


def test_no_key_and_no_secret_is_in_the_journal(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager, told: Told
) -> None:
    """Not even if Kraken quotes the key, to a guarded client or to ours."""
    api = krakenex.API(account.key, account.secret)
    api.uri = server.url
    guard(api, manager)
    fake.faults.add("Balance", "error", error=f"EAPI:Invalid key:{account.key}", times=2)
    assert account.key in str(api.query_private("Balance"))
    with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as kraken:
        kraken.query_private("Balance")
    written = b"".join(path.read_bytes() for path in told.place.iterdir()).decode()
    assert "EAPI:Invalid key:(key)" in written
    assert account.key not in written
    assert account.secret not in written


def test_events_are_logged_and_given_to_hooks(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The first of a kind as a warning; a hook that raises breaks no call."""
    account.last_nonce = 2**62
    seen: list[Event] = []

    def hook(event: Event) -> None:
        seen.append(event)
        raise RuntimeError("of a hook")

    with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as kraken:
        for _ in range(3):
            kraken.query_private("Balance")
        logged = [each for each in caplog.records if each.name == "krakenonce.journal"]
        assert [each.levelno for each in logged if each.levelno >= logging.WARNING] == [logging.WARNING]
        assert "Kraken refused the nonce" in logged[0].getMessage()
        krakenonce.set_on_event_hooks([hook])
        try:
            assert kraken.query_private("Ledgers") == {"error": ["EAPI:Invalid nonce"]}
        finally:
            krakenonce.set_on_event_hooks(None)
    assert [event.what for event in seen] == ["invalid_nonce"]


def test_structlog_logs_events_if_the_program_has_configured_it(
    manager: NonceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the fields of the event; one that is not configured would print to stdout, and is left alone."""
    lines: list[tuple[Any, ...]] = []

    class Structlog:
        configured = False

        def is_configured(self) -> bool:
            return self.configured

        def get_logger(self, name: str) -> Any:
            assert name == "krakenonce.journal"
            return self

        def log(self, level: int, event: str, **fields: Any) -> None:
            lines.append((level, event, fields["text"]))

    module = Structlog()
    monkeypatch.setitem(sys.modules, "structlog", module)
    manager.note("permission", text="one")
    module.configured = True
    manager.note("invalid_key", text="two")
    assert lines == [(logging.WARNING, "krakenonce.invalid_key", "two")]


def test_an_error_of_a_journal_is_no_error_of_a_call(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the journal should be there is a file: every call gets Kraken's answer, and the log says it once."""
    account.last_nonce = 2**62
    state.mkdir()
    (state / "journal").write_text("in the way")
    with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as kraken:
        for method in ("Balance", "Ledgers", "TradeBalance"):
            assert kraken.query_private(method) == {"error": ["EAPI:Invalid nonce"]}
        with pytest.raises(KrakenError):
            kraken.balances()
    assert caplog.text.count("cannot be written") == 1


def test_an_error_that_nobody_expects_stops_no_call(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, caplog: pytest.LogCaptureFixture
) -> None:
    """A name of this host that is not there, or a bug of ours: the call gets Kraken's answer."""
    account.last_nonce = 2**62

    class Broken:
        def append(self, lines: bytes) -> None:
            raise ZeroDivisionError(lines)

    journal_of(manager.store).journal = Broken()
    with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as kraken:
        assert kraken.query_private("Balance") == {"error": ["EAPI:Invalid nonce"]}
    assert "an event could not be noted; the call goes on" in caplog.text


def test_a_call_that_may_not_wait_for_the_rate_limit_is_noted(
    account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, told: Told
) -> None:
    """Each one that was not sent; the log has it with the level INFO, for a bot may mean it so."""
    with Kraken(account.key, account.secret, manager=manager, max_wait=0.0, base_url=server.url) as kraken:
        api_key = kraken.calls.api_key
        api_key.settle(api_key.place("Ledgers", {}), RateLimited("no", ("EAPI:Rate limit exceeded",)))
        with pytest.raises(RateLimited):
            kraken.balances()
    (event,) = told("over_limit")
    assert event.method == "Balance"
    assert event.text.startswith("Kraken's rate limit allows it only in ")


def test_a_backend_may_say_where_its_journal_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is named after the state; without a name of the state it is in memory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store: Any = SimpleNamespace(shared="hosts")
    assert directory_of(store) is None
    store.place = "bird://nest/egg"
    (name,) = [str(directory_of(store)).removeprefix(f"{tmp_path}/krakenonce-journals/")]
    assert name.startswith("bird-nest-egg-")
    store.journal = tmp_path / "here"
    assert directory_of(store) == str(tmp_path / "here")
