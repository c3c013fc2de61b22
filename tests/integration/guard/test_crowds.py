"""Many at once on one key, with a network that lets calls overtake each other: none is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.guards import guard
from tests.integration.guard import crew
from tests.integration.guard.families import NAMED, close

if TYPE_CHECKING:
    from krakenonce.manager import NonceManager
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

ROOT = Path(__file__).parents[3]


def test_processes_and_threads_with_different_clients(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken
) -> None:
    """Four processes, two of them forked, with four threads each: krakenex beside ccxt beside python-kraken-sdk."""
    command = [sys.executable, "-m", "tests.integration.guard.crew", account.key, account.secret, server.url]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert fake.invalid_nonces() == []
    assert len(fake.accepted()) == 4 * len(crew.CREW) * crew.CALLS
    assert {len(str(arrival.nonce)) for arrival in fake.arrivals} == {19}


def test_tasks_with_different_clients(
    account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """Two hundred tasks through ccxt's and python-kraken-sdk's asynchronous clients."""
    families = [NAMED["ccxt async"], NAMED["sdk SpotAsyncClient"]]

    async def job() -> list[Any]:
        clients = [guard(family.make(account.key, account.secret, server.url), manager) for family in families]
        try:
            return await asyncio.gather(
                *(
                    family.private(client, "Balance")
                    for _ in range(100)
                    for family, client in zip(families, clients, strict=True)
                )
            )
        finally:
            for client in clients:
                await close(client)

    answers = asyncio.run(job())
    assert len(answers) == 200
    assert fake.invalid_nonces() == []
    assert len(fake.accepted()) == 200
