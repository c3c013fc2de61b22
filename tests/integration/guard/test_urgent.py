"""A guarded client's cancels go before the calls that wait."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.guards import guard
from tests.integration.guard.families import FAMILIES, Family, close, settled
from tests.integration.key.helpers import is_waiting, join, until, until_waiting

if TYPE_CHECKING:
    from krakenonce.manager import NonceManager
    from krakenonce.testing import FakeAccount, FakeKraken, FakeKrakenServer


@pytest.mark.parametrize(
    ("method", "params", "order"),
    [
        ("CancelAll", {}, ["CancelAll", "Balance"]),
        ("CancelAllOrdersAfter", {"timeout": 60}, ["CancelAllOrdersAfter", "Balance"]),
        ("CancelAllOrdersAfter", {"timeout": 0}, ["Balance", "CancelAllOrdersAfter"]),
    ],
    ids=["cancel", "arm", "disarm"],
)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_cancel_goes_before_reads_that_wait(
    family: Family,
    account: FakeAccount,
    server: FakeKrakenServer,
    fake: FakeKraken,
    manager: NonceManager,
    method: str,
    params: dict[str, Any],
    order: list[str],
) -> None:
    """And so does arming the dead man's switch; disarming it does not."""

    def call(method: str, params: dict[str, Any]) -> None:
        async def main() -> None:
            client = guard(family.make(account.key, account.secret, server.url), manager)
            await settled(family.private(client, method, params))
            await close(client)

        asyncio.run(main())

    lane = manager.lane(account.key)
    threads = []
    with lane:
        for number, (each, its) in enumerate([("Balance", {}), (method, params)], 1):
            threads.append(threading.Thread(target=call, args=(each, its)))
            threads[-1].start()
            until_waiting(lane, number)
        if order[0] == method:
            until(lambda: is_waiting(os.getpid()))
    join(threads)
    assert [each.method for each in fake.arrivals] == order
