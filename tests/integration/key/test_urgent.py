"""Urgent calls: before all others that wait, in every process, and never into a turn that another has."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.file.gate import NormalGate
from krakenonce.backends.file.holder import urgent_turns
from krakenonce.errors import LaneError, LaneTimeout
from krakenonce.key.any_lane import AnyLane
from krakenonce.key.queue_order import EVERY
from tests.integration.key.helpers import (
    has_stopped,
    in_thread,
    is_waiting,
    join,
    refusal,
    until,
    until_waiting,
    waiting,
)

if TYPE_CHECKING:
    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer


def gate_of(manager: NonceManager, key: str) -> NormalGate:
    """Return what excludes the other processes from a lane."""
    gate = manager.lane(key)._queue._gate
    assert isinstance(gate, NormalGate)
    return gate


def turn(lane: Lane | AnyLane, order: list[str], name: str) -> None:
    """Take a turn as a thread."""
    with lane:
        order.append(name)


async def turn_of_task(lane: Lane, order: list[str], name: str) -> None:
    """Take a turn as a task."""
    async with lane:
        order.append(name)


@pytest.mark.parametrize("timeout", [None, 60])
def test_urgent_threads_go_first(manager: NonceManager, timeout: float | None) -> None:
    """In the order of asking among themselves, as the others do; who has the turn keeps it."""
    order: list[str] = []
    threads = []
    with manager.lane("key"):
        for name in ("a", "U1", "b", "U2", "c"):
            threads.append(in_thread(turn, manager.lane("key", timeout, urgent=name[0] == "U"), order, name))
            until_waiting(manager.lane("key"), len(threads))
            if name == "U1":
                until(lambda: is_waiting(os.getpid()))
        order.append("holder")
    join(threads)
    assert order == ["holder", "U1", "U2", "a", "b", "c"]


def test_an_urgent_task_goes_before_a_thread_that_waits_in_the_kernel(manager: NonceManager, peer: Peer) -> None:
    """The thread brings the turn from the other process, the task has it first, and the thread waits on."""
    order: list[str] = []
    peer.ask("take")
    lane = manager.lane("key")
    threads = [in_thread(turn, lane, order, name) for name in "a"]
    until_waiting(lane, 1)
    threads.append(in_thread(turn, lane, order, "b"))
    until_waiting(lane, 2)

    async def main() -> None:
        task = asyncio.create_task(turn_of_task(manager.lane("key", 60, urgent=True), order, "U"))
        await asyncio.sleep(0)
        assert waiting(lane) == 3
        await asyncio.to_thread(until, lambda: is_waiting(os.getpid(), 2))
        peer.tell("leave")
        await task

    asyncio.run(main())
    join(threads)
    assert order == ["U", "a", "b"]
    assert peer.answer() == "free"
    assert peer.ask("take") == "held"


def test_an_urgent_thread_goes_before_tasks_that_a_helper_waits_for(manager: NonceManager, peer: Peer) -> None:
    """It needs no helper itself, but the one that is there is good for it."""
    order: list[str] = []
    peer.ask("take")
    threads: list[threading.Thread] = []
    lane = manager.lane("key", 60)

    async def main() -> None:
        tasks = [asyncio.create_task(turn_of_task(lane, order, name)) for name in "ab"]
        await asyncio.sleep(0)
        before = threading.active_count()
        threads.append(in_thread(turn, manager.lane("key", urgent=True), order, "U"))
        await asyncio.to_thread(until_waiting, lane, 3)
        assert before <= threading.active_count() <= before + 2  # the thread, and one that to_thread keeps
        peer.tell("leave")
        await asyncio.gather(*tasks)

    asyncio.run(main())
    join(threads)
    assert order == ["U", "a", "b"]


@pytest.mark.parametrize("urgent", [False, True])
def test_an_urgent_call_may_give_up(manager: NonceManager, urgent: bool) -> None:
    """By its timeout, or cancelled: it leaves nothing behind, and those behind it have their turns."""
    order: list[str] = []

    async def main() -> None:
        lane = manager.lane("key", 60, urgent=urgent)
        async with lane:
            other = asyncio.create_task(turn_of_task(manager.lane("key"), order, "other"))
            gone = asyncio.create_task(turn_of_task(lane, order, "gone"))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(LaneTimeout):
                await asyncio.create_task(turn_of_task(manager.lane("key", 0.001, urgent=urgent), order, "late"))
            assert waiting(lane) == 1
        await other

    asyncio.run(main())
    assert order == ["other"]


def test_the_holder_enters_again_whether_urgent_or_not(manager: NonceManager) -> None:
    """It does not wait for an urgent call that waits for it."""
    order: list[str] = []
    with manager.lane("key"):
        thread = in_thread(turn, manager.lane("key", urgent=True), order, "urgent")
        until_waiting(manager.lane("key"), 1)
        with manager.lane("key", timeout=0), manager.lane("key", timeout=0, urgent=True):
            order.append("holder")
    thread.join()
    assert order == ["holder", "urgent"]


def test_an_urgent_with_is_refused_where_a_task_of_its_own_loop_waits(manager: NonceManager, peer: Peer) -> None:
    """That task may have the turn first, every tenth time, and could not continue."""

    async def main() -> None:
        peer.ask("take")
        task = asyncio.create_task(turn_of_task(manager.lane("key"), [], "task"))
        await asyncio.sleep(0)
        with pytest.raises(LaneError, match=r"blocks the loop; use `async with`$"):
            refusal(manager.lane("key", urgent=True))
        peer.ask("leave")
        await task

    asyncio.run(main())


def test_an_urgent_call_goes_before_other_processes_that_wait(
    manager: NonceManager, peer: Peer, other_peer: Peer
) -> None:
    """Also before the one that is next; which then goes on waiting."""
    with manager.lane("key"):
        peer.tell("take")
        until(lambda: is_waiting(peer.pid))
        other_peer.tell("take_urgently")
        until(lambda: is_waiting(other_peer.pid))
    assert other_peer.answer() == "held"
    until(lambda: is_waiting(peer.pid))
    other_peer.ask("leave")
    assert peer.answer() == "held"


@pytest.mark.parametrize("where", ["in another process", "in this process"])
def test_what_is_not_urgent_has_every_tenth_turn(manager: NonceManager, peer: Peer, where: str) -> None:
    """Although urgent calls of this process always wait."""
    order: list[str] = []
    threads: list[threading.Thread] = []
    with manager.lane("key", urgent=True):
        if where == "in this process":
            threads.append(in_thread(turn, manager.lane("key"), order, "other"))
            until_waiting(manager.lane("key"), 1)
        else:
            peer.tell("take")
            until(lambda: is_waiting(peer.pid))
        for count in range(12):
            threads.append(in_thread(turn, manager.lane("key", urgent=True), order, "U"))
            until_waiting(manager.lane("key"), count + 1 + (where == "in this process"))
    if where == "in another process":
        assert peer.answer() == "held"
        order.append("other")
        peer.ask("leave")
    join(threads)
    assert order.index("other") == EVERY - 2, "one urgent turn was taken above"
    assert len(order) == 13


def test_a_turn_that_nobody_wants_any_more_is_not_the_tenth(manager: NonceManager) -> None:
    """A call of an account with several keys waits for all of their lanes, and takes one turn only."""
    order: list[str] = []
    gate = gate_of(manager, "key")
    other = NormalGate(gate.path)  # as another process has it
    for _ in range(EVERY):
        assert other.urgent.try_acquire()
        other.urgent.release()
    assert other.urgent.try_acquire()
    with manager.lane("key 2"):
        several = in_thread(turn, AnyLane([manager.lane("key"), manager.lane("key 2")]), order, "several")
        until(lambda: is_waiting(os.getpid()))
    join([several])
    other.urgent.release()
    until(manager.lane("key")._queue.is_idle)
    with gate.path.open("rb") as file:
        assert urgent_turns(file.fileno()) == EVERY - 1
    assert order == ["several"]


def test_an_urgent_call_does_not_wait_for_a_process_that_is_stopped_in_the_line(
    manager: NonceManager, peer: Peer
) -> None:
    """It has waited for the tenth turn long enough then."""
    order: list[str] = []
    with manager.lane("key"):
        peer.tell("take")
        until(lambda: is_waiting(peer.pid))
        os.kill(peer.pid, signal.SIGSTOP)
        until(lambda: has_stopped(peer.pid))
    try:
        for _ in range(12):
            turn(manager.lane("key", urgent=True), order, "U")
    finally:
        os.kill(peer.pid, signal.SIGCONT)
    assert order == ["U"] * 12
    assert peer.answer() == "held"


def test_the_lane_is_one_for_urgent_calls_and_others(manager: NonceManager) -> None:
    """Who has it as the one enters it as the other, and leaves it through either."""
    normal, urgent = manager.lane("key", 0), manager.lane("key", 0, urgent=True)
    with urgent, normal, urgent:
        assert "was not free within 0 s" in in_thread_refusal(normal)
        assert "was not free within 0 s" in in_thread_refusal(urgent)
    urgent = manager.lane("key", 20, urgent=True)
    urgent.acquire()
    normal.acquire()
    urgent.release()
    normal.release()
    with pytest.raises(LaneError, match="is not held by this thread or task"):
        urgent.release()


def in_thread_refusal(lane: Lane) -> str:
    """Return why another thread cannot have the lane, or ``taken``."""
    said: list[str] = []
    join([in_thread(lambda: said.append(refusal(lane)))])
    return said[0]
