"""The doctor names what it was, and nothing that it was not."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from krakenonce.backends import FileStore
from krakenonce.key.naming import fingerprint
from krakenonce.testing import FakeKraken, FakeKrakenServer
from krakenonce.testing.rules import Rules
from tests.integration.doctor.conftest import World
from tests.integration.kraken.helpers import signed

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.testing import FakeAccount
    from tests.integration.doctor.conftest import Bot

METHODS = ("Balance", "Ledgers", "TradeBalance", "OpenOrders")
ORDER: dict[str, Any] = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "volume": "0.01", "price": "100"}


def rival(world: World, account: FakeAccount, ahead: int) -> int:
    """Make a call with a nonce of one's own, so many nanoseconds ahead of the clock; return the nonce."""
    nonce = time.time_ns() + ahead
    path, headers, body = signed(account, "Balance", nonce)
    with urllib3.PoolManager() as pool:
        assert pool.request("POST", world.url + path, headers=headers, body=body).json()["error"] == []
    return nonce


def overtaken(world: World, bot: Bot, account: FakeAccount) -> None:
    """Let somebody be faster once: the bot's call is refused, and the one after it is not."""
    nonce = rival(world, account, 400_000_000)
    assert bot() == ["EAPI:Invalid nonce"]
    while time.time_ns() <= nonce:
        os.sched_yield()
    assert bot() == []


def test_a_healthy_machine_is_fine(world: World) -> None:
    """Several programs on one key, and one of another key with another state: no finding, and exit code 0."""
    bob = world.fake.add_account("bob")
    bots = [world.bot(), world.bot(), world.bot("ours"), world.bot(account=bob, state=world.other_state)]
    for _ in range(5):
        for bot in bots:
            assert bot() == []
    code, said = world.doctor()
    assert (code, said["verdict"], said["findings"]) == (0, "nothing is wrong", [])
    assert {each["program"] for each in said["processes"] if str(world.state) in each["states"]} == {"python"}


def test_a_poisoned_key(world: World) -> None:
    """Each of our nonces is refused, though each is larger."""
    world.account.last_nonce = 2**62
    bot = world.bot("ours")
    for method in METHODS:
        bot(method)
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"], finding["certainty"]) == (1, "poisoned_key", "likely")
    assert finding["key"] == fingerprint(world.account.key)
    assert "8 nonces" in finding["evidence"][0]
    assert any("still runs" in line for line in finding["evidence"])


def test_a_key_that_was_adopted_is_fine_again(world: World) -> None:
    """The finding is over, is sure now, and says how the other tool may count."""
    world.account.last_nonce = int(time.time()) * 1_024_000_000 - 10**12
    bot = world.bot("ours")
    for method in METHODS:
        bot(method)
    world.shell.env |= {
        "KRAKEN_MASTER_API_KEY": world.account.key,
        "KRAKEN_MASTER_API_SECRET": world.account.secret,
    }
    assert world.shell.run("adopt", "--yes", "--base-url", world.url).code == 0
    assert bot() == []
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"], finding["certainty"], finding["is_over"]) == (0, "poisoned_key", "sure", True)
    assert any("microseconds times 1024" in line for line in finding["evidence"])


def test_a_key_that_was_adopted_after_a_few_refusals_is_fine_again(world: World) -> None:
    """The adoption itself has shown that the key was poisoned."""
    world.account.last_nonce = 2**62
    bot = world.bot()
    assert bot() == ["EAPI:Invalid nonce"]
    bot.end()
    world.shell.env |= {
        "KRAKEN_MASTER_API_KEY": world.account.key,
        "KRAKEN_MASTER_API_SECRET": world.account.secret,
    }
    assert world.causes() == ["not_known"]
    assert world.shell.run("adopt", "--yes", "--base-url", world.url).code == 0
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"], finding["certainty"], finding["is_over"]) == (0, "poisoned_key", "sure", True)


def test_processes_with_different_states(world: World) -> None:
    """One key, two states, both in use: before anything is refused."""
    assert world.bot()() == world.bot(state=world.other_state)() == []
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"], finding["certainty"]) == (1, "several_states", "sure")
    assert any(str(world.other_state) in line for line in finding["evidence"])


def test_a_state_that_was_used_by_a_process_that_has_ended(world: World) -> None:
    """With refusals at that time it is likely; a switch of state without a refusal is none."""
    other = world.bot(state=world.other_state)
    assert other() == []
    other.end()
    world.shell.env["XDG_STATE_HOME"] = str(world.other_state.parent)
    world.other_state.rename(world.other_state.parent / "krakenonce")
    bot = world.bot()
    assert bot() == []
    assert world.causes() == []
    world.fake.faults.add("Balance", "error", error="EAPI:Invalid nonce")
    bot()
    assert world.causes() == ["several_states"]


def test_another_program_that_takes_no_turns(world: World) -> None:
    """Refusals between calls that go well. One or two are not enough to say so."""
    bot = world.bot()
    assert bot() == []
    for cause in ("not_known", "not_known", "another_user"):
        overtaken(world, bot, world.account)
        assert world.causes() == [cause]


@pytest.mark.parametrize("how", ["guarded", "ours"])
def test_a_busy_rival_is_not_taken_for_a_poisoned_key(world: World, how: str) -> None:
    """Though it is often faster several times in a row."""
    world.bot("rival")()
    bot = world.bot(how)
    for number in range(200):
        bot("Balance" if number % 2 else "Ledgers")
    wrong = world.causes()
    assert len(wrong) <= 1
    assert set(wrong) <= {"another_user", "not_known"}


def test_nonces_without_turns(world: World) -> None:
    """An adapter that replaces the nonce alone: no lane of the key was ever taken."""
    bot = world.bot("nonces only")
    assert bot() == []
    overtaken(world, bot, world.account)
    assert world.causes() == ["turns_not_taken"]


def test_turns_without_nonces(world: World) -> None:
    """An adapter that leaves the nonces to the client, which counts in a coarser unit."""
    bot = world.bot("turns only")
    world.account.last_nonce = time.time_ns()
    assert bot() == ["EAPI:Invalid nonce"]
    assert world.causes() == ["own_nonces"]


def test_requests_that_are_sent_twice(world: World) -> None:
    """The order was placed although its nonce was refused."""
    world.fake.faults.add("AddOrder", "duplicate", answer="second")
    world.bot("ours")("AddOrder", **ORDER)
    assert len(world.account.orders) == 1
    assert world.causes() == ["sent_twice"]


def test_an_order_without_an_answer(world: World) -> None:
    """Whether it was placed is not known; with what was found out later, it is over."""
    world.fake.faults.add("AddOrder", "process_then_cut")
    bot = world.bot("ours")
    bot("AddOrder", **ORDER, cl_ord_id="mine-1")
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"]) == (1, "no_answer")
    assert any("mine-1" in line for line in finding["evidence"])


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("EAPI:Invalid key", "invalid_key"),
        ("EAPI:Invalid signature", "invalid_signature"),
        ("EGeneral:Permission denied", "permission"),
        ("EAPI:Rate limit exceeded", "rate_limit"),
        ("EService:Unavailable", "kraken_unavailable"),
    ],
)
def test_what_kraken_says_is_named(world: World, error: str, cause: str) -> None:
    """With Kraken's words as the evidence."""
    world.fake.faults.add("Balance", "error", error=error, times=2)
    bot = world.bot()
    assert bot() == bot() == [error]
    assert world.causes() == [cause]


def test_a_call_that_is_held_back(world: World) -> None:
    """More calls than the tier allows, of a program that does not wait."""
    bot = world.bot("impatient")
    while not bot("Ledgers"):
        pass
    assert world.causes() == ["over_limit"]


def test_a_lockout_and_what_came_before(world: World, tmp_path: Path) -> None:
    """The refusals that led to it are named, too; a lockout alone is the symptom."""
    fake = FakeKraken(Rules(lockout_after=4))
    with FakeKrakenServer(fake) as server:
        locked = World(tmp_path, fake, server.url)
        bot = locked.bot(secret=world.account.secret)
        while bot() != ["EGeneral:Temporary lockout"]:
            pass
        bot.end()
        code, said = locked.doctor()
    assert (code, sorted(each["cause"] for each in said["findings"])) == (1, ["invalid_signature", "locked_out"])
    (lockout,) = [each for each in said["findings"] if each["cause"] == "locked_out"]
    assert any("before it: Invalid signature 4 times" in line for line in lockout["evidence"])
    assert any("has ended" in line for line in lockout["evidence"])


def test_a_clock_that_was_set_back(world: World) -> None:
    """By an hour."""
    bot = world.bot("clock")
    bot("", seconds=0)
    bot("", seconds=-3600)
    assert world.causes() == ["clock_stepped"]


def test_a_stopped_process_with_a_lane(world: World) -> None:
    """It is named, with the calls that wait for it."""
    holder = world.bot("holds")
    holder.process.send_signal(signal.SIGSTOP)
    code, said = world.doctor()
    (finding,) = said["findings"]
    assert (code, finding["cause"]) == (1, "lane_held")
    assert f"process {holder.process.pid} has held it for" in finding["evidence"][0]
    assert "that process is stopped" in finding["evidence"][0]


def test_a_damaged_file(world: World) -> None:
    """Nonces went on, and it is said."""
    bot = world.bot()
    assert bot() == []
    bot.end()
    (world.state / "kraken_global_nonce.txt").write_text("damaged")
    assert world.bot()() == []
    assert world.causes() == ["recovered"]


def test_a_state_that_was_moved(world: World) -> None:
    """It is said where to."""
    bot = world.bot()
    assert bot() == []
    bot.end()
    old, new = FileStore(world.state), FileStore(world.other_state)
    old.retire(str(new.directory))
    new.restore({})
    assert world.causes() == ["state"]


def test_several_things_at_once(world: World) -> None:
    """Each has its own key, and no finding of one is named for another."""
    alice, bob, carol = (world.fake.add_account(name) for name in ("alice", "bob", "carol"))
    alice.last_nonce = 2**62
    mine = world.bot("ours", account=alice)
    for method in METHODS:
        mine(method)
    world.fake.faults.add("Ledgers", "error", error="EGeneral:Permission denied")
    world.bot(account=bob)("Ledgers")
    assert world.bot(account=carol)() == world.bot(account=carol, state=world.other_state)() == []
    assert world.bot()() == []
    code, said = world.doctor()
    assert code == 1
    assert {each["key"]: each["cause"] for each in said["findings"]} == {
        fingerprint(alice.key): "poisoned_key",
        fingerprint(bob.key): "permission",
        fingerprint(carol.key): "several_states",
    }
    assert said["verdict"].startswith("3 things are wrong: ")
