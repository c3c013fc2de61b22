"""API keys with a second factor, of both clients."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import errors
from krakenonce.brokers import Account, AsyncBrokerManager, BrokerManager, load_accounts
from krakenonce.global_manager import GlobalKrakenNonceManager
from krakenonce.manager import NonceManager
from tests.integration.forked import run_forked
from tests.integration.kraken.helpers import Twin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


@pytest.fixture
def guarded(fake: FakeKraken) -> FakeAccount:
    """An account whose key wants a second factor with each call."""
    return fake.add_account("guarded", balances={"ZUSD": "1000"}, otp="a password")


@pytest.fixture(params=["sync", "async"])
def client(
    request: pytest.FixtureRequest, guarded: FakeAccount, server: FakeKrakenServer
) -> Iterator[Callable[[Any], Twin]]:
    """Makes a client with a second factor."""
    made: list[Twin] = []

    def make(otp: Any) -> Twin:
        pair, manager = (guarded.key, guarded.secret), NonceManager("memory:")
        made.append(Twin(request.param, *pair, manager=manager, tier="none", base_url=server.url, otp=otp))
        return made[-1].__enter__()

    yield make
    for each in made:
        each.__exit__()


def test_each_call_has_the_second_factor(client: Callable[[Any], Twin], guarded: FakeAccount, fake: FakeKraken) -> None:
    """Typed calls, orders, the search for an order, and calls in krakenex's form."""
    twin = client("a password")
    twin("balances")
    twin("add_order", "XBTUSD", "buy", "0.01", "100")
    fake.faults.add("AddOrder", "process_then_cut")
    with pytest.raises(errors.OutcomeUnknown) as caught:
        twin("add_order", "XBTUSD", "buy", "0.02", "100")
    assert set(twin.wait(caught.value.reconcile()).orders) < set(guarded.orders)
    assert twin("query_private", "Balance")["error"] == []
    assert [arrival.error for arrival in fake.arrivals if arrival.error] == []


def test_a_function_is_asked_for_each_call(client: Callable[[Any], Twin], fake: FakeKraken) -> None:
    """A code that changes is right for a short time only; one among the parameters goes before it."""
    asked: list[str] = []

    def code() -> str:
        asked.append("")
        return "a password"

    twin = client(code)
    for _ in range(3):
        twin("balances")
    twin("private", "Balance", otp="a password")
    assert len(asked) == 3
    assert [arrival.error for arrival in fake.arrivals if arrival.error] == []


def test_accounts_have_their_second_factor(
    guarded: FakeAccount, server: FakeKrakenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment or a file, for brokers of both kinds and for the command line."""
    environment = {
        "KRAKEN_MASTER_API_KEY": guarded.key,
        "KRAKEN_MASTER_API_SECRET": guarded.secret,
        "KRAKEN_MASTER_API_OTP": "a password",
    }
    file = tmp_path / "accounts.toml"
    file.touch(0o600)
    file.write_text(f'[USER.a]\napi_key = "{guarded.key}"\napi_secret = "{guarded.secret}"\notp = "a password"\n')
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", str(tmp_path / "state"))
    nonces = GlobalKrakenNonceManager(NonceManager("memory:"))
    for accounts in (load_accounts(environment), load_accounts({}, file)):
        with BrokerManager(accounts.values(), nonces=nonces, base_url=server.url) as brokers:
            assert all(outcome.ok for outcome in brokers.balances().values())

        async def ask(accounts: dict[str, Account] = accounts) -> bool:
            async with AsyncBrokerManager(accounts.values(), nonces=nonces, base_url=server.url) as brokers:
                return all(outcome.ok for outcome in (await brokers.balances()).values())

        assert asyncio.run(ask())
    code, out, _ = run_forked(("balance", "--base-url", server.url), dict(os.environ) | environment)
    assert (code, "ZUSD" in out) == (0, True)


def test_a_wrong_second_factor_is_tried_once(client: Callable[[Any], Twin], fake: FakeKraken) -> None:
    """Too many of them lead to a lockout; the message says that it may be this."""
    with pytest.raises(errors.KrakenAPIError, match="second factor") as caught:
        client("another")("balances")
    assert caught.value.may_have_executed == "no"
    assert len(fake.arrivals) == 1


def no_code() -> str:
    """A function that fails."""
    raise OSError("no such device: 471147")


NO_CODES = (
    no_code,
    lambda: next(iter(())),  # what has come to its end
    lambda: 12345,  # an integer has lost the zeros in front
    lambda: b"a password",
    lambda: None,
    lambda: "",
    "",
)


@pytest.mark.parametrize("otp", NO_CODES)
def test_nothing_is_sent_without_a_code(client: Callable[[Any], Twin], fake: FakeKraken, otp: Any) -> None:
    """The error says why, and nothing of what the function has said."""
    with pytest.raises(errors.ConfigError, match=r"Not sent: the (function given as|second factor).*otp") as caught:
        client(otp)("add_order", "XBTUSD", "buy", "0.01", "100")
    assert ("4711" in str(caught.value), fake.arrivals) == (False, [])
