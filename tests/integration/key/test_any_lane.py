"""A call that takes the first turn that comes of several lanes, as those of an account's API keys."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import LaneTimeout, NonceStoreError
from krakenonce.key.any_lane import AnyLane
from krakenonce.key.naming import fingerprint
from krakenonce.key.queue_order import Claim, Turn, Waiter
from krakenonce.key.waiting import LaneQueue
from krakenonce.native import get_ident
from tests.integration.key.helpers import in_thread, is_waiting, join, refusal, until, until_waiting, waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer

NAMES = ("a", "b", "c")


def any_of(manager: NonceManager, names: tuple[str, ...] = NAMES, timeout: float | None = 20.0) -> AnyLane:
    """Return the turn of any of some lanes."""
    return AnyLane([manager.lane(name) for name in names], timeout)


def are_free(manager: NonceManager, names: tuple[str, ...] = NAMES) -> bool:
    """Whether nothing is left behind in any lane."""
    return all(
        waiting(manager.lane(name)) == 0 and refusal(manager.lane(name, timeout=20)) == "taken" for name in names
    )


def test_the_first_free_lane_in_the_list_is_taken(manager: NonceManager) -> None:
    """Whoever has it keeps it."""
    with any_of(manager) as first, manager.lane("a"):
        assert first.index == 0
    held = in_other_thread(manager, "a")
    with any_of(manager) as second:
        assert second.index == 1
    held()
    assert are_free(manager)


def in_other_thread(manager: NonceManager, name: str) -> Callable[[], None]:
    """Let another thread hold a lane; return what ends that."""
    has, end = threading.Event(), threading.Event()

    def hold() -> None:
        with manager.lane(name):
            has.set()
            end.wait(20)

    thread = in_thread(hold)
    has.wait(20)

    def stop() -> None:
        end.set()
        thread.join()

    return stop


def test_the_first_turn_that_comes_is_taken_and_no_other_is_kept(manager: NonceManager) -> None:
    """One waits for all lanes, and one that waits for one lane only is behind it there."""
    stops = {name: in_other_thread(manager, name) for name in NAMES}
    got: list[str] = []

    def take() -> None:
        with any_of(manager) as turn:
            got.append(NAMES[turn.index])

    def take_c() -> None:
        with manager.lane("c"):
            got.append("c alone")

    threads = [in_thread(take)]
    until_waiting(manager.lane("c"), 1)
    threads.append(in_thread(take_c))
    until_waiting(manager.lane("c"), 2)
    stops["b"]()
    until(lambda: got)
    stops["c"]()
    stops["a"]()
    join(threads)
    assert got == ["b", "c alone"]
    assert are_free(manager)


@pytest.mark.parametrize("how", ["threads", "tasks"])
def test_callers_wait_in_one_line(manager: NonceManager, how: str) -> None:
    """The one that has asked first has the first turn that comes, whichever that is."""
    stops = {name: in_other_thread(manager, name) for name in NAMES}
    order: list[tuple[int, str]] = []
    done = threading.Event()

    def take(number: int) -> None:
        with any_of(manager) as turn:
            order.append((number, NAMES[turn.index]))
            done.wait(20)

    async def take_as_task(number: int) -> None:
        async with any_of(manager) as turn:
            order.append((number, NAMES[turn.index]))
            await asyncio.to_thread(done.wait, 20)

    def end() -> None:
        for served, name in enumerate(("b", "a", "c"), 1):
            stops[name]()
            until(lambda served=served: len(order) >= served)  # type: ignore[misc]
        done.set()

    if how == "threads":
        threads = []
        for number in range(3):
            threads.append(in_thread(take, number))
            until_waiting(manager.lane("c"), number + 1)
        end()
        join(threads)
    else:

        async def main() -> None:
            tasks = [asyncio.create_task(take_as_task(number)) for number in range(3)]
            await asyncio.sleep(0)
            await asyncio.to_thread(end)
            await asyncio.gather(*tasks)

        asyncio.run(main())
    assert order == [(0, "b"), (1, "a"), (2, "c")]
    assert are_free(manager)


def test_many_threads_use_all_lanes_at_once_and_each_alone(manager: NonceManager) -> None:
    """Sixty calls over eight lanes: never two in one lane, often eight at once."""
    names = tuple("abcdefgh")
    inside: set[int] = set()
    wrong: list[int] = []
    most = 0

    def call() -> None:
        nonlocal most
        with any_of(manager, names) as turn:
            if turn.index in inside:
                wrong.append(turn.index)
            inside.add(turn.index)
            most = max(most, len(inside))
            time.sleep(0.01)  # as a call does
            inside.discard(turn.index)

    join([in_thread(call) for _ in range(60)])
    assert wrong == []
    assert most == len(names)
    assert are_free(manager, names)


def test_a_lane_that_another_process_leaves_is_taken(manager: NonceManager, peer: Peer) -> None:
    """It waits in the kernel for that lane, too, while a thread of its own has the other one."""
    peer.ask("take")
    stop = in_other_thread(manager, "b")
    got: list[int] = []

    def take() -> None:
        with any_of(manager, ("b", "key")) as turn:
            got.append(turn.index)

    thread = in_thread(take)
    until(lambda: is_waiting(peer.pid) or waiting(manager.lane("key")))
    peer.ask("leave")
    thread.join()
    stop()
    assert got == [1]
    assert are_free(manager, ("b", "key"))


@pytest.mark.parametrize("how", ["thread", "task"])
def test_a_timeout_leaves_no_lane(manager: NonceManager, how: str) -> None:
    """Its error says how many lanes there are, and who has the first."""
    stops = [in_other_thread(manager, name) for name in NAMES]
    lane = any_of(manager, timeout=0.01)

    async def take() -> None:
        async with lane:
            pass

    with pytest.raises(LaneTimeout, match=r"none of the lanes of 3 API keys was free within 0.01 s; the first: .*held"):
        asyncio.run(take()) if how == "task" else lane.__enter__()
    for stop in stops:
        stop()
    assert are_free(manager)


def test_a_cancelled_task_leaves_no_lane(manager: NonceManager) -> None:
    """Whether it waits, or has just got a turn that it does not know of."""

    async def main() -> None:
        for late in (False, True):
            stops = [in_other_thread(manager, name) for name in NAMES]

            async def take() -> None:
                async with any_of(manager):
                    await asyncio.sleep(20)

            task = asyncio.create_task(take())
            await asyncio.sleep(0)
            if late:
                stops.pop()()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for stop in stops:
                stop()

    asyncio.run(main())
    assert are_free(manager)


def test_a_lane_that_cannot_be_used_is_passed_over(manager: NonceManager, tmp_path: Path) -> None:
    """Its error is raised only if no lane can be used."""
    manager.lane("c").acquire()
    manager.lane("c").release()
    for name in ("a", "b"):
        (tmp_path / "state" / "lanes" / f"{fingerprint(name)}.lock").mkdir()
    with any_of(manager) as turn:
        assert turn.index == 2
    with pytest.raises(NonceStoreError, match="is a directory where a state file should be"):
        any_of(manager, ("a", "b")).__enter__()
    stop = in_other_thread(manager, "c")
    got: list[int] = []

    def take() -> None:
        with any_of(manager) as turn:
            got.append(turn.index)

    thread = in_thread(take)
    until_waiting(manager.lane("c"), 1)
    stop()
    thread.join()
    assert got == [2]


def test_whoever_has_a_lane_enters_that_one_again(manager: NonceManager) -> None:
    """Although the one before it in the list is free."""
    with manager.lane("b"), any_of(manager) as turn, any_of(manager) as again:
        assert (turn.index, again.index) == (1, 1)
    assert are_free(manager)


def test_one_lane_is_an_ordinary_turn(manager: NonceManager) -> None:
    """As with an account that has one key."""
    with any_of(manager, ("a",)) as turn:
        assert turn.index == 0
        stop = in_other_thread(manager, "b")
        stop()
    assert are_free(manager)


class SlowGate:
    """A gate that is taken slowly, as at a server, while something else happens."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile
        self.held = False

    def try_acquire(self) -> bool:
        """Take it."""
        assert not self.held, "it was taken twice, and is given back once"
        self._meanwhile()
        self.held = True
        return True

    def acquire(self) -> None:
        """Take it, too."""
        self.try_acquire()

    def release(self) -> None:
        """Give it back."""
        self.held = False

    def holder(self) -> str:
        """Return who holds it."""
        return "somebody"

    def abandon(self) -> None:
        """Do nothing."""


def test_a_gate_that_came_after_another_turn_is_given_back_at_once() -> None:
    """Else the next caller would take it once more; a server's place that is overwritten is held for ever."""
    claim, other_lane = Claim(), Turn()
    gate = SlowGate(meanwhile=lambda: claim.take(other_lane))
    queue = LaneQueue("slow", gate)
    assert not queue.ask(Waiter(get_ident(), claim=claim), blocks_loop=True)
    assert not gate.held
    next_one = Waiter("another thread")
    assert queue.ask(next_one, blocks_loop=True)
    queue.give_up(next_one)
    assert not gate.held
