"""Kraken's limits kept together: threads and processes on one key, over HTTP, with the fake's own counters on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import LockedOut, RateLimited
from krakenonce.key.lockout import LOCKOUT
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken, FakeKrakenServer, Rules, limits
from tests.integration.kraken.helpers import Twin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krakenonce.testing import FakeAccount

# Two threads and a client of each kind, which all make the same calls.
CREW = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from krakenonce.kraken import AsyncKraken, Kraken
from krakenonce.manager import NonceManager

directory, key, secret, url, method, calls = sys.argv[1:]
options = {"manager": NonceManager(directory), "tier": "pro", "base_url": url}

async def in_tasks():
    async with AsyncKraken(key, secret, **options) as kraken:
        await asyncio.gather(*(kraken.private(method) for _ in range(int(calls))))

with Kraken(key, secret, **options) as kraken, ThreadPoolExecutor(3) as threads:
    tasks = threads.submit(asyncio.run, in_tasks())
    list(threads.map(lambda _: kraken.private(method), range(int(calls))))
    tasks.result()
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeKraken:
    """A fake that counts calls as for tier pro, at the higher of the documented costs, and locks out.

    Two points more than Kraken allows, for a busy machine may send a call later than the second that is reserved.
    """
    pro = limits._REST["pro"]
    monkeypatch.setitem(limits._REST, "pro", replace(pro, most=pro.most + 2))
    return FakeKraken(Rules(tier="pro", closed_orders_cost=2, lockout_after=3))


@pytest.fixture
def server(fake: FakeKraken) -> Iterator[FakeKrakenServer]:
    """The fake over HTTP, on a network where calls overtake each other."""
    with FakeKrakenServer(fake, latency=0.01, jitter=0.01) as running:
        yield running


def made(kind: str, account: FakeAccount, server: FakeKrakenServer, state: Path, **more: Any) -> Twin:
    """Return a client on a state directory."""
    options = {"manager": NonceManager(state), "tier": "pro", "base_url": server.url, **more}
    return Twin(kind, account.key, account.secret, **options)


@pytest.mark.parametrize(("method", "calls"), [("Balance", 6), ("ClosedOrders", 3)])
def test_processes_on_one_key_are_never_refused(
    account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path, method: str, calls: int
) -> None:
    """Two processes, each with threads and tasks, call for more than the limit allows at once: none is too many."""
    command = [sys.executable, "-c", CREW, str(tmp_path / "state"), account.key, account.secret, server.url, method]
    crews = [subprocess.Popen([*command, str(calls)]) for _ in range(2)]
    assert [crew.wait(60) for crew in crews] == [0, 0]
    assert [arrival.error for arrival in fake.arrivals] == [None] * (4 * calls)


def test_the_fake_refuses_who_does_not_count(
    account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """The control: the same number of calls at once, uncounted, is too many."""
    with made("sync", account, server, tmp_path / "state", tier="none") as twin:
        answers = [twin("query_private", "Balance") for _ in range(24)]
    assert {"error": ["EAPI:Rate limit exceeded"]} in answers


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_without_patience_no_number_is_used(
    kind: str, account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """max_wait=0: RateLimited at once, which says when to come back; nothing is sent and no number taken."""
    with made(kind, account, server, tmp_path / "state", max_wait=0) as twin:
        with pytest.raises(RateLimited) as caught:
            list(map(twin, ["balances"] * 30))
        assert 0 < (caught.value.retry_after or 0) < 5
        assert (caught.value.errors, caught.value.may_have_executed) == ((), "no")
    assert [arrival.error for arrival in fake.arrivals] == [None] * len(fake.arrivals)
    assert 10 < len(fake.arrivals) < 24
    with NonceManager(tmp_path / "state") as manager:
        assert manager.peek() == account.last_nonce


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_lockout_seen_by_one_process_closes_the_key_for_all(
    kind: str, account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """The next call of another process does not leave; another key's does."""
    fake.faults.add("Balance", "error", error="EGeneral:Temporary lockout")
    code = """
import sys
from krakenonce.errors import LockedOut
from krakenonce.kraken import Kraken
from krakenonce.manager import NonceManager
directory, key, secret, url = sys.argv[1:]
try:
    Kraken(key, secret, manager=NonceManager(directory), base_url=url).balances()
except LockedOut:
    sys.exit(7)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "state"), account.key, account.secret, server.url]
    assert subprocess.run(command, check=False).returncode == 7
    assert len(fake.faults) == 0
    for tier in ("pro", "none"):  # also who does not count calls
        with made(kind, account, server, tmp_path / "state", tier=tier) as twin:
            for name, args in (("balances", ()), ("query_private", ("Balance",)), ("cancel_all", ())):
                with pytest.raises(LockedOut, match=r"Not sent: .* nothing with this key for another") as caught:
                    twin(name, *args)
                assert 0 < (caught.value.retry_after or 0) <= LOCKOUT
            assert twin("system_status") == "online"  # public calls need no key
    assert [arrival.error for arrival in fake.arrivals] == ["EGeneral:Temporary lockout"]  # the first call alone
    other = fake.add_account("other")
    with made(kind, other, server, tmp_path / "state") as twin:
        assert twin("balances") == {}


def test_three_wrong_signatures_lock_the_key_out_and_the_fourth_call_is_the_last(
    account: FakeAccount, fake: FakeKraken, server: FakeKrakenServer, tmp_path: Path
) -> None:
    """Kraken's own lockout, met for real: after its first word nothing more is sent."""
    wrong = fake.add_account("another").secret
    with Twin(
        "sync", account.key, wrong, manager=NonceManager(tmp_path / "state"), tier="pro", base_url=server.url
    ) as twin:
        errors = [twin("query_private", "Balance")["error"] for _ in range(4)]
        assert errors == [["EAPI:Invalid signature"]] * 3 + [["EGeneral:Temporary lockout"]]
        with pytest.raises(LockedOut):
            twin("balances")
    assert len(fake.arrivals) == 4
