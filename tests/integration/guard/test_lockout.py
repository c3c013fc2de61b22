"""After Kraken's "Temporary lockout" no guarded client of this host sends with that key, until it is over."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import LockedOut
from krakenonce.guards import guard
from krakenonce.kraken import Kraken
from krakenonce.manager import NonceManager
from tests.integration.guard.families import FAMILIES, Family, close, is_free, settled

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer

every = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@every
def test_a_lockout_seen_by_one_client_closes_the_key_for_all(
    family: Family, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager, state: Path
) -> None:
    """Another guarded client, with a manager of its own on the same directory, and our own client send nothing."""
    fake.rules.change(lockout_after=1)

    async def main() -> None:
        first, second = (family.make(account.key, account.secret, server.url) for _ in range(2))
        guard(first, manager)
        guard(second, NonceManager(state))
        account.last_nonce = 2**62
        for _ in range(2):  # the refusal that leads to the lockout, and Kraken's word of it
            with contextlib.suppress(Exception):
                await settled(family.private(first, "Balance"))
        sent = len(fake.arrivals)
        for client in (first, second):
            with pytest.raises(LockedOut, match=r"Not sent: .* nothing with this key for another") as caught:
                await settled(family.private(client, "Balance"))
            assert caught.value.may_have_executed == "no"
        with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as ours:
            assert ours.key == account.key
            with pytest.raises(LockedOut):
                ours.balances()
        assert len(fake.arrivals) == sent == 2
        await settled(family.public(first))
        assert is_free(manager, account.key)
        for client in (first, second):
            await close(client)

    asyncio.run(main())


@every
def test_a_client_may_go_on_during_a_lockout(
    family: Family, account: FakeAccount, server: FakeKrakenServer, fake: FakeKraken, manager: NonceManager
) -> None:
    """With heed_lockout=False; guarded once more without it, it heeds the lockout."""

    async def main() -> None:
        client = family.make(account.key, account.secret, server.url)
        with Kraken(account.key, account.secret, manager=manager, base_url=server.url) as ours:
            ours.calls.api_key.settle(ours.calls.api_key.place("Balance", {}), LockedOut("now"))
        guard(client, manager, heed_lockout=False)
        await settled(family.private(client, "Balance"))
        guard(client, manager)
        with pytest.raises(LockedOut):
            await settled(family.private(client, "Balance"))
        assert len(fake.accepted()) == 1
        await close(client)

    asyncio.run(main())
