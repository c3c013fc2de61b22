"""What Kraken is asked, and only if it is told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from krakenonce.key.naming import fingerprint
from tests.integration.doctor.test_causes import METHODS

if TYPE_CHECKING:
    from krakenonce.testing import FakeAccount
    from tests.integration.doctor.conftest import World


def give(world: World, **accounts: FakeAccount) -> None:
    """Put the keys of accounts into the environment of the doctor."""
    for name, account in accounts.items():
        world.shell.env |= {f"KRAKEN_{name}_API_KEY": account.key, f"KRAKEN_{name}_API_SECRET": account.secret}


def methods(world: World, account: FakeAccount) -> list[str]:
    """Return which private calls have come with the account's key."""
    return [each.method for each in world.fake.arrivals if each.key_name == account.keys[0].name]


def test_without_online_no_call_is_made(world: World) -> None:
    """Not even with credentials."""
    give(world, MASTER=world.account)
    assert world.bot()() == []
    count = len(world.fake.arrivals)
    assert world.causes() == []
    assert len(world.fake.arrivals) == count


def test_only_keys_that_the_state_has_used_are_asked_about(world: World) -> None:
    """The others are named, with the reason."""
    bob = world.fake.add_account("bob")
    give(world, MASTER=world.account, USER_BOB=bob)
    assert world.bot()() == []
    code, said = world.doctor("--online", "--base-url", world.url)
    assert (code, said["findings"]) == (0, [])
    assert methods(world, world.account)[-1] == "GetApiKeyInfo"
    assert methods(world, bob) == []
    assert any("USER:bob was not asked about" in note for note in said["online"])


def test_another_key_is_asked_about_only_with_yes(world: World) -> None:
    """Without it the message says what a question does."""
    bob = world.fake.add_account("bob")
    give(world, USER_BOB=bob)
    words = ("doctor", "--online", "--base-url", world.url, "--key", "bob")
    assert "smaller nonces, for ever" in world.shell.fails(2, *words)
    assert methods(world, bob) == []
    assert world.causes("--online", "--base-url", world.url, "--key", "bob", "--yes") == []
    assert methods(world, bob) == ["GetApiKeyInfo"]


def test_what_kraken_says_of_a_key(world: World) -> None:
    """A window, an expiry, a missing permission, two names for one account."""
    both = world.fake.add_account(
        "both", nonce_window=10_000, valid_until=time.time() + 86_400, permissions=("query-funds",)
    )
    give(world, MASTER=both, USER_BOB=both)
    bot = world.bot(account=both)
    assert bot() == []
    assert bot("CancelAll") == ["EGeneral:Permission denied"]
    found = world.causes("--online", "--base-url", world.url)
    assert set(found) == {"permission", "permission_missing", "key_expires", "nonce_window", "one_account_twice"}


def test_credentials_that_cannot_be_used(world: World) -> None:
    """Swapped, for example; no part of them is shown."""
    world.shell.env |= {
        "KRAKEN_MASTER_API_KEY": world.account.secret,
        "KRAKEN_MASTER_API_SECRET": world.account.key,
    }
    assert world.causes("--online", "--base-url", world.url) == ["wrong_pair"]


def test_a_key_that_kraken_refuses_meanwhile(world: World) -> None:
    """What the question shows is explained by the causes."""
    give(world, MASTER=world.account)
    assert world.bot()() == []
    world.account.keys[0].is_revoked = True
    code, said = world.doctor("--online", "--base-url", world.url)
    assert (code, [each["cause"] for each in said["findings"]]) == (1, ["invalid_key"])
    assert said["findings"][0]["key"] == fingerprint(world.account.key)


def test_a_key_whose_nonces_are_refused_is_not_asked_about(world: World) -> None:
    """One more refusal would bring a lockout nearer."""
    give(world, MASTER=world.account)
    world.account.last_nonce = 2**62
    bot = world.bot("ours")
    for method in METHODS:
        bot(method)
    count = len(world.fake.arrivals)
    assert world.causes("--online", "--base-url", world.url) == ["poisoned_key"]
    assert len(world.fake.arrivals) == count


def test_a_long_look_says_that_it_goes_on(world: World) -> None:
    """After a second, on stderr; a short one says nothing."""
    assert world.shell.run("doctor", "--online", "--base-url", world.url).err == ""
    world.fake.faults.add("Time", "slow_answer", seconds=1.5)
    done = world.shell.run("doctor", "--online", "--base-url", world.url)
    assert (done.code, done.err) == (0, "krakenonce: still looking ...\n")


def test_a_kraken_that_cannot_be_reached(world: World) -> None:
    """It is said."""
    assert world.causes("--online", "--base-url", "http://127.0.0.1:1") == ["not_reached"]
