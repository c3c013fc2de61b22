"""Adopting a key from which Kraken has accepted a larger nonce than ours, over HTTP and over processes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import OutcomeUnknown, PermissionDenied, PoisonedKey, RequestNotSent
from krakenonce.kraken import Kraken
from krakenonce.kraken.adopt import HIGHEST, Adopted, adopt, floors
from krakenonce.manager import NonceManager
from tests.integration.kraken.helpers import OK, ScriptedServer, Twin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NonceManager]:
    """The manager of a state directory."""
    with NonceManager(tmp_path / "state") as made:
        yield made


def client(account: FakeAccount, server: FakeKrakenServer, manager: NonceManager, **more: Any) -> Kraken:
    """Return a client of the account."""
    return Kraken(account.key, account.secret, manager=manager, tier="none", base_url=server.url, **more)


def take_over(account: FakeAccount, server: FakeKrakenServer, manager: NonceManager) -> tuple[Adopted, list[int]]:
    """Adopt the account's key; also return the numbers that were refused."""
    refused: list[int] = []
    with client(account, server, manager, scope=manager.own_scope(account.key)) as kraken:
        return adopt(kraken, manager, refused.append), refused


def in_another_process(account: FakeAccount, server: FakeKrakenServer, directory: Path, code: str) -> None:
    """Run code there, with ``kraken``, a client on the same state directory."""
    head = """
import sys
from krakenonce.kraken import Kraken
from krakenonce.kraken.adopt import adopt
from krakenonce.manager import NonceManager
manager = NonceManager(sys.argv[1])
key, secret, url = sys.argv[2:]
def client(**more):
    return Kraken(key, secret, manager=manager, tier="none", base_url=url, **more)
"""
    arguments = [str(directory), account.key, account.secret, server.url]
    subprocess.run([sys.executable, "-c", head + code, *arguments], check=True)


@pytest.mark.parametrize(
    ("scale", "refusals"),
    [
        ("none", 0),
        ("s", 0),
        ("ms", 0),
        ("us", 0),
        ("10 ns", 0),
        ("ns", 0),
        ("ns, ahead", 1),
        ("us << 10", 1),
        ("us << 10, ahead", 2),
        ("2^62", 2),
        ("just below the last", 2),
    ],
)
def test_a_key_is_taken_over_from_any_scale(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, scale: str, refusals: int
) -> None:
    """As few numbers are refused as can be, each is told, and the key works from then on."""
    now = time.time_ns()
    last = {
        "none": 0,
        "s": now // 10**9,
        "ms": now // 10**6,
        "us": now // 10**3,
        "10 ns": now // 10,
        "ns": now,
        "ns, ahead": now + 60 * 10**9,
        "us << 10": now // 1000 << 10,
        "us << 10, ahead": (now // 1000 + 60_000_000) << 10,
        "2^62": 2**62,
        "just below the last": HIGHEST,
    }[scale]
    account = fake.add_account("bot", last_nonce=last)
    adopted, refused = take_over(account, server, manager)
    assert (adopted.scope, adopted.refused) == (manager.own_scope(account.key), refusals)
    assert adopted.nonce == account.last_nonce > last
    assert [arrival.nonce for arrival in fake.invalid_nonces()] == refused
    assert len(refused) == refusals
    with client(account, server, manager) as kraken:
        kraken.balances()
    assert account.last_nonce == manager.peek(adopted.scope)
    assert len(fake.invalid_nonces()) == refusals


@pytest.mark.parametrize("last", [2**63 - 2**41 + 2**40, 2**63 - 1, 2**64 - 1])
def test_a_key_without_room_is_given_up_in_the_end(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, last: int
) -> None:
    """Each run has four refusals at most; the last one says that only a new key helps. Other keys are not concerned."""
    account, other = fake.add_account("bot", last_nonce=last), fake.add_account("other")
    with pytest.raises(PoisonedKey, match="adopt it again"):
        take_over(account, server, manager)
    assert len(fake.invalid_nonces()) == 4
    with pytest.raises(PoisonedKey, match="hardly any nonces left"):
        take_over(account, server, manager)
    assert len(fake.invalid_nonces()) == 8
    with pytest.raises(PoisonedKey, match="hardly any nonces left"):
        take_over(account, server, manager)
    assert len(fake.invalid_nonces()) == 9
    with client(other, server, manager) as kraken:
        kraken.balances()
    assert abs(other.last_nonce - time.time_ns()) < 60 * 10**9


def test_a_key_whose_state_was_lost_is_adopted_again(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, tmp_path: Path
) -> None:
    """Also after nearly the largest nonce, and some calls: the key works as before."""
    account = fake.add_account("bot", last_nonce=2**62)
    take_over(account, server, manager)
    with client(account, server, manager) as kraken:
        kraken.balances()
    with NonceManager(tmp_path / "another") as empty:
        adopted, refused = take_over(account, server, empty)
        assert len(refused) == 3
        with client(account, server, empty) as kraken:
            kraken.balances()
    assert account.last_nonce == adopted.nonce + 1


@pytest.mark.parametrize("calls", [1, 5, 2**39, 2**50, 2**53 - 2**47])
def test_a_key_whose_state_came_from_a_backup_is_adopted_again(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, calls: int
) -> None:
    """However many calls are missing in the backup."""
    account = fake.add_account("bot", last_nonce=2**62)
    take_over(account, server, manager)
    account.last_nonce += calls  # the calls since the backup
    take_over(account, server, manager)
    with client(account, server, manager) as kraken:
        kraken.balances()


@pytest.mark.parametrize("room", [2**52, 2**48, 2**43])
def test_a_key_with_room_is_never_given_up(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, room: int
) -> None:
    """The first run says that there are larger nonces, and the second one finds them."""
    account = fake.add_account("bot", last_nonce=2**63 - room)
    with pytest.raises(PoisonedKey, match="adopt it again"):
        take_over(account, server, manager)
    adopted, _ = take_over(account, server, manager)
    assert adopted.nonce > 2**63 - room


def test_an_answer_without_a_nonce_is_no_adoption(manager: NonceManager) -> None:
    """The error names the call; nothing is said to be adopted."""
    with (
        ScriptedServer(OK) as kraken,
        Kraken("key", "c2VjcmV0", manager=manager, tier="none", base_url=kraken.url) as one,
    ):
        with pytest.raises(OutcomeUnknown, match="GetApiKeyInfo"):
            adopt(one, manager)
        assert len(kraken.requests) == 1


def test_other_keys_stay_with_the_clock(fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager) -> None:
    """The key's own counter is far ahead; the one for all the others is not."""
    account, other = fake.add_account("bot", last_nonce=2**62), fake.add_account("other")
    before = manager.next()
    take_over(account, server, manager)
    with client(account, server, manager) as kraken, client(other, server, manager) as another:
        kraken.balances()
        another.balances()
    assert account.last_nonce > 2**62
    assert before < other.last_nonce == manager.peek("global")
    assert other.last_nonce < time.time_ns() + 10**9
    assert manager.scope_of(other.key) == "global"


def test_another_process_uses_the_key_s_own_counter(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, tmp_path: Path
) -> None:
    """It need not be told: the state directory knows."""
    account = fake.add_account("bot", last_nonce=2**62)
    take_over(account, server, manager)
    in_another_process(account, server, tmp_path / "state", "client().balances()")
    with client(account, server, manager) as kraken:
        kraken.balances()
    assert [arrival.error for arrival in fake.arrivals[-2:]] == [None, None]
    assert fake.arrivals[-2].nonce == fake.arrivals[-1].last_nonce


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_running_client_recovers_by_itself(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager, tmp_path: Path, kind: str
) -> None:
    """Another process adopts the key: a second or a refusal later the client looks again, and its calls succeed."""
    account = fake.add_account("bot")
    options: dict[str, Any] = {"manager": manager, "tier": "none", "base_url": server.url}
    with Twin(kind, account.key, account.secret, **options) as twin:
        twin("balances")
        account.last_nonce = 2**62  # somebody else used the key
        with pytest.raises(PoisonedKey, match="adopt"):
            twin("balances")
        in_another_process(account, server, tmp_path / "state", "adopt(client(scope=manager.own_scope(key)), manager)")
        refused = len(fake.invalid_nonces())
        twin("balances")
        twin("balances")
    assert len(fake.invalid_nonces()) - refused in (0, 1)


def test_a_second_adoption_is_harmless(fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager) -> None:
    """It goes on from the key's own counter, and nothing is refused."""
    account = fake.add_account("bot", last_nonce=2**62)
    first, _ = take_over(account, server, manager)
    second, refused = take_over(account, server, manager)
    assert (second.scope, second.refused, refused) == (first.scope, 0, [])
    assert second.nonce > first.nonce


def test_what_is_no_refused_number_ends_the_adoption(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """Another error comes up as it is, after one call."""
    account = fake.add_account("bot")
    fake.faults.add("GetApiKeyInfo", "error", error="EGeneral:Permission denied")
    with pytest.raises(PermissionDenied):
        take_over(account, server, manager)
    assert [arrival.error for arrival in fake.arrivals] == ["EGeneral:Permission denied"]


def test_without_a_connection_the_key_still_works_afterwards(
    fake: FakeKraken, server: FakeKrakenServer, manager: NonceManager
) -> None:
    """An adoption that found no connection can be made again."""
    account = fake.add_account("bot", last_nonce=2**62)
    with (
        Kraken(account.key, account.secret, manager=manager, tier="none", base_url="http://127.0.0.1:1") as kraken,
        pytest.raises(RequestNotSent),
    ):
        adopt(kraken, manager)
    adopted, _ = take_over(account, server, manager)
    assert adopted.nonce > 2**62


def test_the_floors_rise_and_leave_room() -> None:
    """Each is above the one before, whatever the last number was, and the highest leaves a million millions."""
    now = time.time_ns()
    for last in (None, 0, now, now + 10**18, HIGHEST, HIGHEST + 1, 2**63 - 2**47, 2**63 - 2**42, 2**63 - 2**30):
        tried = floors(last, now)
        assert tried[0] == max(last or 0, now)
        assert sorted(set(tried)) == list(tried)
        assert 1 <= len(tried) <= 4
        assert max(tried) <= max(last or 0, 2**63 - 2**41)
    assert floors(None, now)[2] == HIGHEST
