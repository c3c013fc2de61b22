"""The queue of one key: who is next, who is refused, and who may leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import LaneTimeout, NonceStoreError
from krakenonce.gateway.waiting import Closed, Full, KeyQueue, TooLong, TurnDetails
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from krakenonce.key.lane import Lane

FOREVER = 1e6  # seconds


class Bench:
    """A queue, jobs that end when the test says so, and the order in which they began."""

    def __init__(self, *lanes: Callable[..., Lane], length: int = 1000, max_wait: float = FOREVER) -> None:
        self._all = range(len(lanes))
        self.turns: list[TurnDetails] = []
        self.queue = KeyQueue("MASTER", lanes, length, max_wait, self.turns.append)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.taken = asyncio.Event()  # set once a job has begun
        self.gate = asyncio.Event()

    def job(self, name: str) -> Callable[[int], Awaitable[str]]:
        """Return a job that waits for the gate."""

        async def run(_: int) -> str:
            self.begun.append(name)
            self.taken.set()
            await self.gate.wait()
            self.ended.append(name)
            return name

        return run

    async def start(self, name: str, *, urgent: bool = False) -> asyncio.Task[str]:
        """Let a call enter the queue."""
        task = asyncio.create_task(self.queue.run(self.job(name), self._all, urgent=urgent))
        await asyncio.sleep(0)
        return task

    async def are_begun(self, number: int) -> None:
        """Wait until so many jobs have begun."""
        while len(self.begun) < number:
            self.taken.clear()
            await self.taken.wait()

    async def holder(self) -> asyncio.Task[str]:
        """Let a call take the turn."""
        task = await self.start("holder")
        await self.taken.wait()
        return task


@pytest.fixture
def lane() -> Iterator[Callable[..., Lane]]:
    """What returns the lane of a key."""
    with NonceManager("memory:") as manager:
        yield partial(manager.lane, "key")


def play(main: Coroutine[object, object, None]) -> None:
    """Run a test's coroutine; nothing may be left uncaught."""
    complaints: list[str] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        await main

    asyncio.run(watched())
    assert complaints == []


def test_first_come_first_served_and_one_at_a_time(lane: Callable[..., Lane]) -> None:
    """In the order in which they asked, and each is over before the next begins."""

    async def main() -> None:
        bench = Bench(lane)
        names = [str(number) for number in range(20)]
        tasks = [await bench.start(name) for name in names]
        await bench.taken.wait()
        assert bench.begun == ["0"]
        assert len(bench.queue) == 19
        bench.gate.set()
        assert await asyncio.gather(*tasks) == names == bench.begun == bench.ended
        assert (len(bench.turns), len(bench.queue), bench.queue.busy) == (20, 0, False)
        assert {turn.account for turn in bench.turns} == {"MASTER"}
        assert min(min(turn.waited, turn.held) for turn in bench.turns) >= 0

    play(main())


def test_the_lane_is_held_until_the_call_is_over() -> None:
    """Nothing else has a turn meanwhile, neither another process nor another user of the manager."""

    async def main() -> None:
        with NonceManager("memory:") as manager:
            bench = Bench(partial(manager.lane, "key"))
            holder = await bench.holder()
            with pytest.raises(LaneTimeout):
                async with manager.lane("key", timeout=0):
                    pass
            bench.gate.set()
            assert await holder == "holder"
            async with manager.lane("key", timeout=20):
                pass

    play(main())


def test_cancels_go_first(lane: Callable[..., Lane]) -> None:
    """Before all others that wait, but not before the one that has begun; among themselves as they came."""

    async def main() -> None:
        bench = Bench(lane)
        tasks = [await bench.holder(), await bench.start("order 1"), await bench.start("order 2")]
        tasks += [await bench.start("cancel 1", urgent=True), await bench.start("cancel 2", urgent=True)]
        bench.gate.set()
        await asyncio.gather(*tasks)
        assert bench.begun == ["holder", "cancel 1", "cancel 2", "order 1", "order 2"]

    play(main())


def test_a_cancel_goes_before_other_users_of_the_lane(lane: Callable[..., Lane]) -> None:
    """There is one queue for all of this process, whether they call through the gateway or not."""

    async def main() -> None:
        bench = Bench(lane)

        async def other() -> None:
            async with lane():
                bench.begun.append("other")

        holder, waits = await bench.holder(), asyncio.create_task(other())
        await asyncio.sleep(0)
        calls = [await bench.start("order"), await bench.start("cancel", urgent=True)]
        bench.gate.set()
        await asyncio.gather(holder, waits, *calls)
        assert bench.begun == ["holder", "cancel", "other", "order"]

    play(main())


def test_no_more_may_wait_than_are_allowed(lane: Callable[..., Lane]) -> None:
    """The next call is refused at once, a cancel too; when one has left, another may wait."""

    async def main() -> None:
        bench = Bench(lane, length=2)
        tasks = [await bench.holder(), await bench.start("a"), await bench.start("b")]
        for urgent in (False, True):
            with pytest.raises(Full, match="too many calls wait"):
                await bench.queue.run(bench.job("late"), urgent=urgent)
        gone = tasks.pop()
        gone.cancel()
        await asyncio.wait([gone])
        tasks.append(await bench.start("c"))
        bench.gate.set()
        await asyncio.gather(*tasks)
        assert bench.begun == ["holder", "a", "c"]

    play(main())


def test_a_call_that_has_waited_too_long_fails_and_never_begins(lane: Callable[..., Lane]) -> None:
    """The wait has a bound; the one that has the turn has none."""

    async def main() -> None:
        bench = Bench(lane, max_wait=0.05)
        holder = await bench.holder()
        waiting = [await bench.start("a"), await bench.start("b", urgent=True)]
        for each in waiting:
            with pytest.raises(TooLong, match="did not come in time"):
                await each
        assert len(bench.queue) == 0
        assert not holder.done()
        bench.gate.set()
        assert await holder == "holder"
        assert bench.begun == ["holder"]

    play(main())


def test_a_call_cancelled_while_waiting_leaves_the_queue(lane: Callable[..., Lane]) -> None:
    """Its job never runs, and those behind it move up."""

    async def main() -> None:
        bench = Bench(lane)
        holder, gone, urgent = await bench.holder(), await bench.start("gone"), await bench.start("u", urgent=True)
        last = await bench.start("last")
        gone.cancel()
        urgent.cancel()
        await asyncio.wait([gone, urgent])
        assert len(bench.queue) == 1
        bench.gate.set()
        await asyncio.gather(holder, last)
        assert bench.begun == ["holder", "last"]

    play(main())


def test_all_may_leave_before_the_turn_comes(lane: Callable[..., Lane]) -> None:
    """Then the turn is given back unused, and the next call is served."""

    async def main() -> None:
        bench = Bench(lane)
        async with lane():  # another process, say
            gone = await bench.start("gone")
            gone.cancel()
            await asyncio.wait([gone])
        bench.gate.set()
        assert await bench.queue.run(bench.job("next"), urgent=False) == "next"
        assert bench.begun == ["next"]

    play(main())


def test_a_call_that_has_begun_continues_when_its_client_disconnects(lane: Callable[..., Lane]) -> None:
    """The turn is not released before the call is over."""

    async def main() -> None:
        bench = Bench(lane)
        holder, after = await bench.holder(), await bench.start("after")
        holder.cancel()
        await asyncio.wait([holder])
        assert holder.cancelled()
        assert bench.begun == ["holder"]
        assert bench.queue.busy
        bench.gate.set()
        assert await after == "after"
        assert bench.ended == ["holder", "after"]

    play(main())


def test_an_error_is_only_for_the_one_whose_call_it_was(lane: Callable[..., Lane]) -> None:
    """Whatever it is. An error for which no client waits any more does no harm."""

    async def failing(_: int) -> str:
        raise ValueError("mine")

    async def main() -> None:
        bench = Bench(lane)
        holder = await bench.holder()
        wrong = asyncio.create_task(bench.queue.run(failing, urgent=False))
        right = await bench.start("right")
        bench.gate.set()
        with pytest.raises(ValueError, match="mine"):
            await wrong
        assert [await holder, await right] == ["holder", "right"]

    play(main())


def test_an_error_after_the_client_has_disconnected_does_no_harm(lane: Callable[..., Lane]) -> None:
    """No client can get it, and the queue continues."""

    async def main() -> None:
        bench = Bench(lane)

        async def failing(_: int) -> str:
            bench.taken.set()
            await bench.gate.wait()
            raise ValueError("mine")

        gone = asyncio.create_task(bench.queue.run(failing, urgent=False))
        await bench.taken.wait()
        gone.cancel()
        await asyncio.wait([gone])
        after = await bench.start("after")
        bench.gate.set()
        assert await after == "after"

    play(main())


@pytest.mark.parametrize("error", [NonceStoreError("the disk is gone"), RuntimeError("can't start new thread")])
def test_a_lane_that_fails_is_an_error_for_each_call_that_waits(lane: Callable[..., Lane], error: Exception) -> None:
    """One error each, whatever it is; the queue works again when the lane does."""
    broken = [True]

    def sometimes(**how: Any) -> Lane:
        if broken[0]:
            raise error
        return lane(**how)

    async def main() -> None:
        bench = Bench(sometimes)
        bench.gate.set()
        tasks = [await bench.start(name) for name in "ab"]
        async with asyncio.timeout(5):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(each) for each in results] == [str(error)] * 2
        broken[0] = False
        assert await bench.queue.run(bench.job("c"), urgent=False) == "c"
        assert bench.begun == ["c"]

    play(main())


def test_close_refuses_the_calls_that_wait_and_lets_the_one_end(lane: Callable[..., Lane]) -> None:
    """It returns when the call that has begun is over."""

    async def main() -> None:
        bench = Bench(lane)
        holder = await bench.holder()
        waiting = [await bench.start("a"), await bench.start("b", urgent=True)]
        closing = asyncio.create_task(bench.queue.close())
        for each in waiting:
            with pytest.raises(Closed, match="is stopping; the call was not sent"):
                await each
        assert not closing.done()
        bench.gate.set()
        await closing
        assert await holder == "holder"
        assert bench.begun == ["holder"]

    play(main())


def test_close_does_not_wait_for_another_process_s_turn(lane: Callable[..., Lane]) -> None:
    """The calls that waited for it are refused, and the gateway does not take it later: it is free for others."""

    async def main() -> None:
        bench = Bench(lane)
        async with lane():  # another process, say
            waits = await bench.start("a")
            await asyncio.sleep(0)  # the queue itself waits for the lane
            async with asyncio.timeout(5):
                await bench.queue.close()
            with pytest.raises(Closed):
                await waits
        async with asyncio.timeout(5), lane():
            pass
        assert bench.begun == []

    play(main())


def test_a_client_that_disconnects_while_it_is_closed_does_no_harm(lane: Callable[..., Lane]) -> None:
    """No client gets its refusal, and that is not an error."""

    async def main() -> None:
        bench = Bench(lane)
        holder, gone = await bench.holder(), await bench.start("gone")
        closing = asyncio.create_task(bench.queue.close())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        bench.gate.set()
        await asyncio.gather(closing, holder)

    play(main())


def test_close_of_a_queue_without_calls_returns(lane: Callable[..., Lane]) -> None:
    """Before the first call as after the last."""

    async def main() -> None:
        bench = Bench(lane)
        await bench.queue.close()
        bench.gate.set()
        await bench.queue.run(bench.job("a"), urgent=False)
        await bench.queue.close()

    play(main())


def test_as_many_calls_are_made_at_once_as_there_are_keys_and_the_others_wait_in_one_line() -> None:
    """In the order in which they asked, the urgent first; the queue says how many turns are in use."""

    async def main() -> None:
        with NonceManager("memory:") as manager:
            bench = Bench(*(partial(manager.lane, key) for key in ("key 1", "key 2")))
            assert bench.queue.turn == "free"
            tasks = [await bench.start(name) for name in ("a", "b", "c", "d")]
            tasks.append(await bench.start("cancel", urgent=True))
            await bench.are_begun(2)
            assert (bench.begun, len(bench.queue), bench.queue.urgent) == (["a", "b"], 3, 1)
            assert bench.queue.turn == "2 of 2 by calls of this gateway"
            bench.gate.set()
            await asyncio.gather(*tasks)
            assert bench.begun == ["a", "b", "cancel", "c", "d"]
            assert (bench.queue.busy, len(bench.turns), bench.queue.turn) == (0, 5, "free")

    play(main())


def test_close_lets_the_calls_of_all_keys_end() -> None:
    """It returns when they are over; the others are refused."""

    async def main() -> None:
        with NonceManager("memory:") as manager:
            bench = Bench(*(partial(manager.lane, key) for key in ("key 1", "key 2")))
            tasks = [await bench.start(name) for name in ("a", "b", "c")]
            await bench.are_begun(2)
            closing = asyncio.create_task(bench.queue.close())
            with pytest.raises(Closed):
                await tasks.pop()
            assert not closing.done()
            bench.gate.set()
            await closing
            assert [await each for each in tasks] == bench.ended == ["a", "b"]

    play(main())


def test_a_call_that_is_made_anew_waits_no_longer_than_it_may(lane: Callable[..., Lane]) -> None:
    """It has been in the queue before: it may always wait, but not for longer than is left."""

    async def main() -> None:
        bench = Bench(lane, length=1)
        holder, waits = await bench.holder(), await bench.start("a")
        with pytest.raises(TooLong):
            await bench.queue.run(bench.job("anew"), urgent=False, left=0.01)
        bench.gate.set()
        await asyncio.gather(holder, waits)
        assert bench.begun == ["holder", "a"]

    play(main())


def test_fifty_clients_share_fairly(lane: Callable[..., Lane]) -> None:
    """Each calls again as soon as it is answered; whenever one has its nth turn, none is two behind."""

    async def main() -> None:
        bench = Bench(lane)
        bench.gate.set()

        async def client(name: str) -> None:
            for _ in range(20):
                assert await bench.queue.run(bench.job(name), urgent=False) == name

        await asyncio.gather(*(client(str(number)) for number in range(50)))
        so_far: Counter[str] = Counter({str(number): 0 for number in range(50)})
        for name in bench.begun:
            so_far[name] += 1
            assert so_far[name] <= min(so_far.values()) + 1
        assert set(so_far.values()) == {20}

    play(main())
