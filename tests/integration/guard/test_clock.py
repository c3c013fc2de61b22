"""guard_method(): a bot that makes its nonces from a clock inside its request method."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import ConfigError, LockedOut
from krakenonce.guards import guard_method
from krakenonce.manager import NonceManager
from tests.integration.guard.families import is_free

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

FILE = Path(__file__).with_name("clock_bot.py")
DIGITS = (
    "int(time.time() * 1000)",
    "int(1000 * time.time())",
    "str(int(time.time() * 1e6))",
    "str(round(now() * 1000000))",
    "f'{now() * 1000:.0f}'",
    "time.time_ns()",
    "str(time_ns())",
    "time_ns() // 1_000_000",
    "int(time_ns() / 1e6)",
)


@pytest.fixture
def module() -> Any:
    """The bot's module, loaded anew, because guarding changes it."""
    spec = importlib.util.spec_from_file_location("clock_bot", FILE)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def guarded(module: Any, manager: NonceManager) -> Any:
    """The same with a guarded request method."""
    guard_method(module.Bot, "request", key=module.key_of, clock=module, manager=manager)
    return module


@pytest.mark.parametrize("way", ["int(time.time() * 1000)", "str(int(time.time() * 1e6))", "time.time_ns()"])
def test_four_processes_of_a_bot_share_a_key(
    way: str, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken
) -> None:
    """Each of its calls is accepted, with a nonce of 19 digits, though each process looks at its own clock."""
    words = [sys.executable, str(FILE), account.key, account.secret, server.url, way, "30"]
    started = [subprocess.Popen(words) for _ in range(4)]
    assert [each.wait(60) for each in started] == [0] * 4
    assert [len(str(arrival.nonce)) for arrival in fake.accepted()] == [19] * 120


@pytest.mark.parametrize("way", DIGITS)
def test_all_digits_of_the_nonce_are_kept(
    guarded: Any, way: str, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """However the bot brings its clock into another unit, the nonce is the manager's."""
    bot = guarded.Bot(account.key, account.secret, server.url, way)
    assert bot.request("/0/private/Balance")["error"] == []
    assert fake.accepted()[-1].nonce == manager.peek()


@pytest.mark.parametrize("way", ["str(now() * 1000 + 0.5)", "'%.0f' % (now() * 1000)"])
def test_a_nonce_that_would_lose_digits_is_not_sent(
    guarded: Any, way: str, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """A float has 16 digits: the bot's method raises ConfigError, and the turn is given back."""
    bot = guarded.Bot(account.key, account.secret, server.url, way)
    with pytest.raises(ConfigError, match=r"Not sent: .* float"):
        bot.request("/0/private/Balance")
    assert fake.arrivals == []
    assert is_free(manager, account.key)


def test_a_nonce_that_does_not_come_from_us_is_warned_about(
    guarded: Any, account: FakeAccount, server: FakeKrakenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each method: the clock was used in a way that we do not notice."""
    bot = guarded.Bot(account.key, account.secret, server.url, "int(now()) * 1000")
    with caplog.at_level(logging.WARNING):
        bot.request("/0/private/Balance")
        bot.request("/0/private/Balance")
    said = [record.getMessage() for record in caplog.records if "guarded clock" in record.getMessage()]
    assert [text.partition(" without")[0] for text in said] == ["Bot.request has made a call"]


def test_the_clock_tells_the_time_otherwise(
    guarded: Any, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Between calls, for durations within a call, and for public calls nothing is changed, and no nonce is used."""
    bot = guarded.Bot(account.key, account.secret, server.url, DIGITS[0])
    assert abs(guarded.time.time() * 1000 - time.time() * 1000) < 5000
    assert guarded.time_ns() < time.time_ns()
    assert guarded.time.strftime is time.strftime
    assert "unixtime" in str(bot.request("/0/public/Time"))
    assert manager.peek() is None
    bot.request("/0/private/Balance")
    assert 0 < bot.took < 60
    assert manager.stats().issued == 1


def test_the_turn_is_held_until_the_answer_is_there(
    module: Any, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Nobody else has the key's turn while the method runs; and a method within a method has it already."""
    free: list[bool] = []
    send = module.Bot.request

    def request(self: Any, path: str) -> Any:
        free.append(is_free(manager, account.key))
        return send(self, path)

    guard_method(module.Bot, "request", key=module.key_of, clock=module, manager=manager)
    send, module.Bot.request = module.Bot.request, request
    guard_method(module.Bot, "request", key=module.key_of, clock=module, manager=manager)
    bot = module.Bot(account.key, account.secret, server.url, DIGITS[0])
    assert bot.request("/0/private/Balance")["error"] == []
    assert free == [False]
    assert is_free(manager, account.key)


def test_guarding_it_again_replaces_the_manager(
    guarded: Any, account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, tmp_path: Path
) -> None:
    """However often: the turns and nonces are those of the last manager, as with guard()."""
    other = NonceManager(tmp_path / "other")
    for _ in range(sys.getrecursionlimit()):
        guard_method(guarded.Bot, "request", key=guarded.key_of, clock=guarded, manager=other)
    bot = guarded.Bot(account.key, account.secret, server.url, DIGITS[0])
    assert bot.request("/0/private/Balance")["error"] == []
    assert (manager.stats().issued, other.stats().issued) == (0, 1)


def test_an_asynchronous_method_is_guarded(
    module: Any, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """Many calls at once in one loop, each with its own nonce."""

    async def request(self: Any, path: str) -> Any:
        return await asyncio.to_thread(send, self, path)

    send, module.Bot.request = module.Bot.request, request
    guard_method(module.Bot, "request", key=module.key_of, clock=module, manager=manager)
    bot = module.Bot(account.key, account.secret, server.url, DIGITS[0])

    async def calls() -> None:
        await asyncio.gather(*(bot.request("/0/private/Balance") for _ in range(20)))

    asyncio.run(calls())
    assert [len(str(arrival.nonce)) for arrival in fake.accepted()] == [19] * 20


def test_it_heeds_a_lockout(
    guarded: Any, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """After Kraken's answer nothing more is sent with the key."""
    fake.rules.change(lockout_after=1)
    account.last_nonce = 2**62
    bot = guarded.Bot(account.key, account.secret, server.url, DIGITS[0])
    assert bot.request("/0/private/Balance")["error"] == ["EAPI:Invalid nonce"]
    assert bot.request("/0/private/Balance")["error"] == ["EGeneral:Temporary lockout"]
    with pytest.raises(LockedOut):
        bot.request("/0/private/Balance")
    assert len(fake.arrivals) == 2


def test_what_cannot_be_guarded_is_refused(module: Any) -> None:
    """A method that is not there, or that the class has inherited, and a module without a clock."""
    with pytest.raises(ConfigError, match="has none with the name query"):
        guard_method(module.Bot, "query", key=module.key_of, clock=module)
    with pytest.raises(ConfigError, match="has no clock"):
        guard_method(module.Bot, "request", key=module.key_of, clock=ModuleType("empty"))
