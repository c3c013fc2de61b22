"""The turn among asyncio tasks, and among tasks and threads together."""

from __future__ import annotations

import _thread
import asyncio
import math
import os
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import LaneError, LaneTimeout, NonceStoreError
from tests.integration.key.helpers import in_thread, join, refusal, until, until_waiting, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer


async def true(condition: Callable[[], object]) -> None:
    """Wait until *condition* is true, while the loop goes on."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a queue gives no event
            await asyncio.sleep(0.001)


async def lined_up(lane: Lane, count: int) -> None:
    """Wait until *count* threads and tasks are in the queue, while the loop goes on."""
    await true(lambda: waiting(lane) == count)


async def turn(lane: Lane, log: list[object], entry: object = None) -> None:
    """Take a turn and note it."""
    async with lane:
        log.append(entry)


async def in_line(lane: Lane, log: list[object], entry: object = None) -> asyncio.Task[None]:
    """Start a task and wait until it is in the queue."""
    before = waiting(lane)
    task = asyncio.create_task(turn(lane, log, entry))
    await lined_up(lane, before + 1)
    return task


def run_elsewhere(
    loop: asyncio.AbstractEventLoop, work: Coroutine[None, None, asyncio.Task[None]]
) -> asyncio.Task[None]:
    """Run *work* in *loop* in a thread of its own; return the task it has started."""
    done: list[asyncio.Task[None]] = []
    in_thread(lambda: done.append(loop.run_until_complete(work))).join()
    return done[0]


def test_two_hundred_tasks_come_in_order(manager: NonceManager) -> None:
    """200 tasks have their turns one at a time, in the order of asking."""
    inside, order = 0, []

    async def work(number: int) -> None:
        nonlocal inside
        async with manager.lane("key"):
            inside += 1
            await asyncio.sleep(0)
            assert inside == 1
            order.append(number)
            inside -= 1

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(work(number))

    asyncio.run(main())
    assert order == list(range(200))


def test_threads_and_tasks_wait_in_one_queue(manager: NonceManager) -> None:
    """Threads, threads with a timeout, and tasks of two event loops are served in the order of asking."""
    order: list[object] = []
    wanted = list(range(24))

    def ask(number: int, timeout: float | None) -> None:
        with manager.lane("key", timeout):
            order.append(number)

    async def main() -> None:
        lane = manager.lane("key")
        threads, tasks = [], []
        async with lane:
            for number in wanted[::4]:
                tasks.append(await in_line(lane, order, number))
                for step, timeout in ((1, None), (2, 60)):
                    threads.append(in_thread(ask, number + step, timeout))
                    await lined_up(lane, number + step + 1)
                other_loop = turn(lane, order, number + 3)
                threads.append(in_thread(asyncio.run, other_loop))
                await lined_up(lane, number + 4)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(join, threads)

    asyncio.run(main())
    assert order == wanted


def test_the_holding_task_may_enter_again(manager: NonceManager, peer: Peer) -> None:
    """A task may enter a lane that it holds, also with `with`; the turn ends with the outermost block."""

    async def main() -> None:
        async with manager.lane("key"):
            async with manager.lane("key", timeout=0):
                with manager.lane("key"):
                    pass
            assert await asyncio.to_thread(peer.ask, "take 0.01") != "held"
        assert await asyncio.to_thread(peer.ask, "take") == "held"

    asyncio.run(main())


def test_a_task_does_not_share_the_turn_of_its_maker(manager: NonceManager) -> None:
    """A task of the same thread has to wait, and cannot give back what it does not hold."""

    async def main() -> None:
        lane = manager.lane("key", timeout=0)

        async def other() -> None:
            with pytest.raises(LaneTimeout, match=f"process {os.getpid()} has held it for"):
                await turn(lane, [])
            with pytest.raises(LaneError, match="not held by this thread or task"):
                lane.release()

        async with lane:
            await asyncio.create_task(other())

    asyncio.run(main())


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_cancelled_task_leaves_the_queue(manager: NonceManager, place: int) -> None:
    """Wherever in the queue a task is cancelled, it is gone at once and the others have their turns."""
    log: list[object] = []

    async def main() -> None:
        lane = manager.lane("key")
        async with lane:
            tasks = [await in_line(lane, log, number) for number in range(3)]
            tasks[place].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks.pop(place)
            assert waiting(lane) == 2
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert log == [number for number in range(3) if number != place]


def test_a_task_cancelled_as_its_turn_comes_gives_it_back(manager: NonceManager, peer: Peer) -> None:
    """A task that is granted its turn and cancelled before it runs again holds nothing, and the next gets it."""
    log: list[object] = []

    async def main() -> None:
        lane = manager.lane("key")
        await lane.__aenter__()
        cancelled, following = await in_line(lane, log, "cancelled"), await in_line(lane, log, "following")
        lane.release()
        until_waiting(lane, 1)  # granted to the first, while the loop does not run
        cancelled.cancel()
        await following
        assert cancelled.cancelled()
        assert await asyncio.to_thread(peer.ask, "take") == "held"

    asyncio.run(main())
    assert log == ["following"]


def test_a_turn_that_comes_with_the_timeout_is_kept(manager: NonceManager) -> None:
    """A turn granted at the moment when time is up counts as granted."""

    async def main() -> None:
        lane = manager.lane("key", timeout=0.001)
        await lane.__aenter__()
        task = await in_line(lane, log)
        deadline = asyncio.get_running_loop().time() + 0.001
        lane.release()
        until_waiting(lane, 0)
        until(lambda: asyncio.get_running_loop().time() > deadline)
        await task

    log: list[object] = []
    asyncio.run(main())
    assert log == [None]


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, 0.01])
def test_a_timeout_names_the_holder_and_leaves_nothing_behind(
    manager: NonceManager, peer: Peer, timeout: float
) -> None:
    """A task that runs out of time learns which process holds the lane, and is out of the queue."""

    async def main() -> None:
        peer.ask("take")
        lane = manager.lane("key", timeout)
        with pytest.raises(LaneTimeout, match=rf"process {peer.pid} has held it for \d+\.\d s"):
            await turn(lane, [])
        assert not waiting(lane)
        peer.ask("leave")
        assert peer.ask("take") == "held"

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [None, 1e300, math.inf, 10**400], ids=["none", "1e300", "inf", "10**400"])
def test_a_timeout_may_be_as_long_as_one_likes(manager: NonceManager, timeout: float | None) -> None:
    """Centuries and infinity are timeouts too."""
    log: list[object] = []

    async def main() -> None:
        lane = manager.lane("key", timeout)
        async with lane:
            task = await in_line(lane, log)
        await task

    asyncio.run(main())
    assert log == [None]


@pytest.mark.parametrize("timeout", [None, 60])
def test_waiting_does_not_block_the_loop(manager: NonceManager, peer: Peer, timeout: float | None) -> None:
    """While tasks wait for another process, the loop goes on; the lane itself does not make it wait."""
    log: list[object] = []

    async def main() -> None:
        peer.ask("take")
        lane = manager.lane("key", timeout)
        tasks = [await in_line(lane, log) for _ in range(10)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert log == []
        peer.tell("leave")
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(log) == 10


def test_one_thread_waits_for_all(manager: NonceManager, peer: Peer) -> None:
    """While 50 tasks and 10 threads with a timeout wait for another process, one thread more waits for all."""
    log: list[object] = []

    async def main() -> None:
        peer.ask("take")
        lane = manager.lane("key", timeout=60)
        before = _thread._count()
        tasks = [await in_line(lane, log) for _ in range(50)]
        threads = [in_thread(lambda: log.append(refusal(lane))) for _ in range(10)]
        await lined_up(lane, 60)
        assert _thread._count() == before + 10 + 1
        peer.tell("leave")
        await asyncio.gather(*tasks)
        await asyncio.to_thread(join, threads)

    asyncio.run(main())
    assert log == [None] * 50 + ["taken"] * 10


def test_with_refuses_to_wait_for_a_task_of_its_own_loop(manager: NonceManager) -> None:
    """`with` in a running loop raises LaneError where waiting would stop the very task it waits for."""

    async def main() -> None:
        lane = manager.lane("key", timeout=60)
        async with lane:
            task = asyncio.create_task(holder_waits(lane))
            await true(task.done)
            task.result()
        assert refusal(lane) == "taken"

    async def holder_waits(lane: Lane) -> None:
        with pytest.raises(LaneError, match=r"blocks the loop; use `async with`$"):
            lane.acquire()

    asyncio.run(main())


def test_with_refuses_to_wait_behind_a_task_of_its_own_loop(manager: NonceManager, peer: Peer) -> None:
    """The same where a task of the loop is only in the queue before it."""

    async def main() -> None:
        lane = manager.lane("key")
        peer.ask("take")
        task = await in_line(lane, [])
        with pytest.raises(LaneError, match=r"blocks the loop; use `async with`$") as caught:
            lane.acquire()
        assert not isinstance(caught.value, LaneTimeout)
        assert waiting(lane) == 1
        peer.ask("leave")
        await task

    asyncio.run(main())


@pytest.mark.parametrize("holds", [True, False])
def test_with_refuses_to_wait_while_a_task_of_its_loop_has_another_lane(
    manager: NonceManager, peer: Peer, holds: bool
) -> None:
    """Two processes with two keys would wait for each other; whether the task holds the other lane or waits for it."""

    async def main() -> None:
        other = manager.lane("other")
        if not holds:
            in_thread(other.acquire).join()
        peer.ask("take")
        task = asyncio.create_task(hold(other))
        await asyncio.sleep(0)
        with pytest.raises(LaneError, match=f"a task of this asyncio loop holds lane {other.name} or waits for it"):
            manager.lane("key", timeout=2).acquire()
        peer.ask("leave")
        assert refusal(manager.lane("key")) == "taken"
        task.cancel()

    async def hold(lane: Lane) -> None:
        async with lane:
            await asyncio.Event().wait()

    asyncio.run(main())


def test_with_waits_although_its_own_task_has_another_lane(manager: NonceManager, peer: Peer) -> None:
    """As a call under the global lock does, which holds that lane and waits for its key's: no other task is stopped."""

    async def main() -> None:
        with manager.lane("global"):
            peer.ask("take")
            assert "was not free within 0.1 s" in refusal(manager.lane("key", timeout=0.1))

    asyncio.run(main())


def test_callbacks_of_a_loop_cannot_share_a_turn(manager: NonceManager) -> None:
    """They are no tasks: the second may belong to another coroutine, as with Tornado, so it gets LaneError."""
    lane, said = manager.lane("key"), list[str]()

    def try_it() -> None:
        with pytest.raises(LaneError) as caught:
            lane.acquire()
        said.append(str(caught.value))

    loop = asyncio.new_event_loop()
    loop.call_soon(lane.acquire)
    loop.call_soon(try_it)
    loop.call_soon(lane.release)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert said[0].startswith(f"lane {lane.name} is held in this thread, where asyncio runs, perhaps by another ")
    assert refusal(lane) == "taken"


def test_a_loop_refuses_to_wait_for_its_own_thread(manager: NonceManager) -> None:
    """A thread that starts an event loop in its turn does not wait in that loop for itself."""

    async def main() -> None:
        with pytest.raises(LaneError, match="before it started its event loop"):
            await turn(manager.lane("key"), [])
        with pytest.raises(LaneError, match="before it started its event loop"):
            manager.lane("key").acquire()

    with manager.lane("key"):
        asyncio.run(main())
    assert refusal(manager.lane("key")) == "taken"


def test_a_closed_loop_is_passed_over(manager: NonceManager) -> None:
    """Tasks whose loop was closed while they were in the queue lose their places, and the next thread gets the turn."""
    lane, log = manager.lane("key"), list[object]()
    loop = asyncio.new_event_loop()
    lane.acquire()
    tasks = [run_elsewhere(loop, in_line(lane, log)) for _ in range(2)]
    loop.close()
    said: list[str] = []
    thread = in_thread(lambda: said.append(refusal(lane)))
    until_waiting(lane, 3)
    lane.release()
    thread.join()
    assert (said, log) == (["taken"], [])
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("urgent", [False, True])
def test_a_turn_whose_loop_was_closed_is_over(manager: NonceManager, urgent: bool) -> None:
    """Whoever asks next has it. The task can neither continue nor leave."""

    async def hold() -> None:
        for _ in range(2):
            await manager.lane("key", urgent=urgent).__aenter__()  # it never leaves
        await asyncio.sleep(60)

    loop = asyncio.new_event_loop()
    task = loop.create_task(hold())
    loop.run_until_complete(asyncio.sleep(0.05))
    said: list[str] = []
    waits = in_thread(lambda: said.append(refusal(manager.lane("key", 20))))
    until_waiting(manager.lane("key"), 1)
    loop.close()
    assert refusal(manager.lane("key", 20, urgent=True)) == "taken"
    waits.join()
    assert said == ["taken"]
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_an_error_meant_for_a_closed_loop_is_passed_on(manager: NonceManager, peer: Peer, tmp_path: Path) -> None:
    """When the lane's file fails while the first in the queue is a task of a closed loop, the next one learns of it."""
    lane = manager.lane("key", timeout=20)
    loop = asyncio.new_event_loop()
    peer.ask("take")
    task = run_elsewhere(loop, in_line(lane, []))
    loop.close()
    errors: list[NonceStoreError] = []

    def ask() -> None:
        with pytest.raises(NonceStoreError) as caught:
            lane.acquire()
        errors.append(caught.value)

    thread = in_thread(ask)
    until_waiting(lane, 2)
    path = tmp_path / "state" / "lanes" / f"{lane.name}.lock"
    path.unlink()
    path.mkdir()
    peer.kill()
    thread.join()
    assert len(errors) == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]
