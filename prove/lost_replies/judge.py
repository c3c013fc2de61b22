"""Compares what the bots were told with the orders that Kraken has."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from prove.campaign import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krakenonce.testing import FakeAccount
    from krakenonce.testing.orders import Order
    from prove.lost_replies.jobs import Event, Job, Jobs

__all__ = ["judge", "wrong_in"]

_SHOWN = 3  # stories of a kind
_LEAST_KNOWN = 0.99  # of the orders that were placed
_FEW = 3  # so many may be unknown however few there are; twice as many with those of bots that send equal orders


def judge(jobs: Jobs, accounts: Iterable[FakeAccount], around: Callable[[Job], list[Event]]) -> Counter[str]:
    """Return how the orders ended.

    Args:
        jobs: What the bots wanted, and what they know.
        accounts: What Kraken has.
        around: Returns what else happened while a job was done.

    Raises:
        Broken: An order was placed twice, or is not what its bot was told; or too few bots know that theirs is placed.
    """
    placed: defaultdict[Job, list[Order]] = defaultdict(list)
    for account in accounts:
        for order in (account.orders | account.done).values():
            placed[jobs.of(order.volume)].append(order)
    wrong = [(job, why) for job in jobs for why in [wrong_in(job, placed[job])] if why]
    if wrong:
        stories = "\n".join(_story(job, why, placed[job], around(job)) for job, why in wrong[:_SHOWN])
        kinds = ", ".join(f"{count} times: {why}" for why, count in Counter(why for _, why in wrong).items())
        raise Broken(f"{len(wrong)} of {jobs.orders} orders: {kinds}\n{stories}")
    missed = {job: len(placed[job]) - sum(end.what == "placed" for end in job.ends) for job in jobs}
    alone = {job: unknown for job, unknown in missed.items() if job.times == 1}
    for what, few, unknown in (("", 2 * _FEW, missed), (" and are like no other of their bot", _FEW, alone)):
        count, most = sum(len(placed[job]) for job in unknown), sum(unknown.values())
        if most > max(few, (1 - _LEAST_KNOWN) * count):
            some = [job for job in unknown if unknown[job] > 0][:_SHOWN]
            stories = "\n".join(_story(job, "unknown, and placed", placed[job], around(job)) for job in some)
            raise Broken(f"of {count} orders that were placed{what}, the bots know only {count - most}\n{stories}")
    ends = Counter(end.what for job in jobs for end in job.ends)
    count, known = sum(map(len, placed.values())), ends["placed"]
    return Counter({"placed": count, "with txid": known, "refused": ends["refused"], "unknown": ends["unknown"]})


def wrong_in(job: Job, placed: list[Order]) -> str | None:
    """Return which promise a job breaks.

    Args:
        job: What was wanted, and what the bot knows.
        placed: The orders that Kraken has of it.
    """
    there = {order.txid: order for order in placed}
    told = [txid for end in job.ends for txid in end.txids]
    refused = sum(end.what == "refused" for end in job.ends)
    if any(len(end.txids) != 1 for end in job.ends if end.what == "placed"):
        return "a bot was told no txid, or two"
    if not set(told) <= set(there):
        return "a bot was told a txid that is not of its order"
    if len(set(told)) < len(told):
        return "a bot was told the same txid for two orders"
    if len(placed) > job.times:
        return "an order was placed twice"
    if len(placed) > job.times - refused:
        return "a bot was told that its order was not placed, and it was"
    if any(not _is_as_wanted(order, job.fields) or order.owner is not job.account for order in placed):
        return "an order is not as it was wanted"
    return None


def _is_as_wanted(order: Order, wanted: Mapping[str, str]) -> bool:
    return (
        order.pair.altname == "XBTUSD"
        and (order.side, order.kind) == (wanted["type"], wanted["ordertype"])
        and order.volume == Decimal(wanted["volume"])
        and order.price == Decimal(wanted.get("price", "0"))
        and (order.userref or 0) == int(wanted.get("userref", "0"))
        and ("cl_ord_id" not in wanted or order.cl_ord_id == wanted["cl_ord_id"])
    )


def _story(job: Job, why: str, placed: list[Order], around: list[Event]) -> str:
    """Return all that happened to a job's orders, line by line."""
    events = sorted([*job.story, *around])
    lines = [f"  {event.at - job.story[0].at:9.3f}  {event.what}" for event in events]
    orders = [
        f"  Kraken has {each.txid} ({each.status}), opened at {each.opened:.3f}, shown from {each.visible_from:.3f} on"
        for each in placed
    ]
    is_traced = "traced" if job.local.trace_orders else "not traced"
    head = f"order {job.number}, {job.times} times, named by {job.named}, {is_traced}, {job.account.name}: {why}"
    return "\n".join((head, *lines, *orders))
