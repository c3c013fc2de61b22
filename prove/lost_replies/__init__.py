"""Orders through a proxy that repeats, to gateways that are killed, to a Kraken whose answers are lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.manager import NonceManager
from krakenonce.testing import FakeKraken
from prove.campaign import Campaign
from prove.lost_replies.bots import Bots
from prove.lost_replies.gateways import PROGRAM, Gateways, account_name
from prove.lost_replies.jobs import Jobs
from prove.lost_replies.judge import judge
from prove.lost_replies.kraken import FaultyKraken
from prove.lost_replies.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.testing import FakeAccount
    from prove.campaign import Figures, Trial
    from prove.lost_replies.jobs import Event, Job

__all__ = ["LOST_REPLIES", "run"]

_ORDERS = 50  # for each second of the run
_ACCOUNTS = 25
_KEYS = 3  # of each account; the first is traced
_LEAST_PATIENCE, _MOST_PATIENCE = 4.0, 60.0  # seconds
_NEAR = 2.0  # seconds: what happened so near to something in an order's story belongs to it
_BETWEEN_FILLS = 0.1  # seconds
_FILLED = 0.1  # of the open orders, each time


def run(trial: Trial, program: Sequence[str] = PROGRAM, state: str = "", accounts: int = _ACCOUNTS) -> Figures:
    """So many orders for each second; the bots wait longer for those whose answers are lost.

    Args:
        trial: Where, how many, and with which random choices.
        program: What Python runs as the gateway.
        state: The state of the gateways; empty: a directory.
        accounts: How many there are at Kraken.
    """
    fake, state = FakeKraken(), state or str(trial.directory / "state")
    owners = [fake.add_account(f"a{i}") for i in range(accounts)]
    jobs = Jobs(round(_ORDERS * trial.seconds), _local_keys(state, owners), trial.seed)
    kraken = FaultyKraken(fake, jobs, trial.seed)
    with kraken.server:
        gateways = Gateways(trial.directory, state, kraken.server.url, owners, _chance(trial, "kills"), program)
        proxy = Proxy(gateways.ports, jobs, _chance(trial, "proxy"))
        bots = Bots(jobs, min(_LEAST_PATIENCE + trial.seconds / 3, _MOST_PATIENCE))
        asyncio.run(_work(gateways, proxy, bots, _fill(fake, owners, _chance(trial, "fills"))))
        while kraken.in_flight:  # what is still on its way may be placed
            time.sleep(0.05)
    gateways.check()

    def around(job: Job) -> list[Event]:
        own = [event.at for event in job.story]
        events = [*gateways.story, *kraken.asked(job)]
        return [each for each in events if any(abs(each.at - at) < _NEAR for at in own)]

    ends = judge(jobs, owners, around)
    return {"orders": jobs.orders, **ends, **proxy.count, **bots.count, "kills": gateways.kills}


async def _work(gateways: Gateways, proxy: Proxy, bots: Bots, filling: Coroutine[Any, Any, None]) -> None:
    """Let the bots do all jobs, while gateways are killed and orders are filled."""
    async with gateways, proxy:
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(each) for each in (gateways.kill_for_ever(), filling)]
            await bots.work(proxy.port)
            for each in others:
                each.cancel()
        await gateways.start_missing()
        await bots.ask_again(gateways.ports)


def _local_keys(state: str, accounts: Sequence[FakeAccount]) -> list[tuple[LocalKey, FakeAccount]]:
    """Make some local keys for each account; return each with its account."""
    with NonceManager(state) as manager:
        keys = LocalKeys(key_storage(manager.store))
        allow = frozenset(("query", "trade"))
        return [
            (keys.add(f"bot-{i}-{k}", account_name(i), allow, trace_orders=k == 0), account)
            for i, account in enumerate(accounts)
            for k in range(_KEYS)
        ]


def _chance(trial: Trial, what: str) -> random.Random:
    return random.Random(f"{trial.seed} {what}")


async def _fill(fake: FakeKraken, accounts: Sequence[FakeAccount], chance: random.Random) -> None:
    """Fill open orders: one that was just placed may be open or closed when the gateway looks for it."""
    while True:
        await asyncio.sleep(_BETWEEN_FILLS)
        for txid in [txid for account in accounts for txid in list(account.orders)]:
            if chance.random() < _FILLED:
                with contextlib.suppress(ConfigError):  # it was filled by another order meanwhile
                    fake.fill(txid)


LOST_REPLIES = Campaign(
    "lost-replies",
    "orders whose answers are lost, through a proxy that repeats them, to gateways that are killed",
    run,
    seconds=200,
    short=6,
)
