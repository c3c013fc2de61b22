"""Urgent calls: before the others of their process that wait, and never into a turn that another has."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import LaneError, LaneTimeout
from tests.integration.key.helpers import in_thread, is_waiting, join, refusal, until, until_waiting, waiting

if TYPE_CHECKING:
    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer


def turn(lane: Lane, order: list[str], name: str) -> None:
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


def test_an_urgent_with_may_go_before_a_task_of_its_own_loop(manager: NonceManager, peer: Peer) -> None:
    """It stops the loop, but waits for none of its tasks; one that is before it is an error as ever."""
    order: list[str] = []

    def leave() -> None:
        until_waiting(manager.lane("key"), 2)
        peer.ask("leave")

    async def main() -> None:
        peer.ask("take")
        task = asyncio.create_task(turn_of_task(manager.lane("key"), order, "task"))
        await asyncio.sleep(0)
        thread = in_thread(leave)
        turn(manager.lane("key", urgent=True), order, "urgent")
        await task
        thread.join()
        assert order == ["urgent", "task"]
        async with manager.lane("key"):
            pending = asyncio.create_task(refused())
            await asyncio.sleep(0)
            await pending

    async def refused() -> None:
        with pytest.raises(LaneError, match=r"blocks the loop; use `async with`$"):
            refusal(manager.lane("key", urgent=True))

    asyncio.run(main())


def test_urgency_ends_at_the_process(manager: NonceManager, peer: Peer) -> None:
    """Between processes the kernel's queue decides: another process in it goes before our urgent call."""
    said: list[str] = []
    with manager.lane("key"):
        peer.tell("take")
        thread = in_thread(lambda: said.append(refusal(manager.lane("key", urgent=True))))
        until_waiting(manager.lane("key"), 1)
        until(lambda: is_waiting(peer.pid))
        assert said == []
    assert peer.answer() == "held"
    peer.ask("leave")
    thread.join()
    assert said == ["taken"]
