"""The turn in forked children."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from krakenonce.errors import LaneError
from krakenonce.key import lane as lane_module
from tests.integration.key.helpers import in_child, in_thread, join, refusal, start_child, until_waiting

if TYPE_CHECKING:
    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer


def leave(lane: Lane, times: int = 1) -> str:
    """Give *lane* back, as a block that was inherited does; ``left``, or how often that went well."""
    for done in range(times):
        try:
            lane.release()
        except LaneError:
            return f"left {done} times"
    return "left"


def test_a_child_does_not_hold_its_parents_turn(manager: NonceManager) -> None:
    """A child of the holder has to wait like all others, and its error says that its parent holds the lane."""
    with manager.lane("key"):
        said = in_child(lambda: refusal(manager.lane("key", timeout=0)))
    assert f"process {os.getpid()} has held it for" in said


def test_a_child_waits_for_its_parents_turn_to_end(manager: NonceManager) -> None:
    """A child of the holder that waits gets its turn when the parent's ends."""
    reader, writer = os.pipe()

    def child() -> str:
        assert refusal(manager.lane("key", timeout=0)) != "taken"
        os.write(writer, b"!")
        return refusal(manager.lane("key", timeout=20))

    lane = manager.lane("key")
    lane.acquire()
    answer = start_child(child)
    os.read(reader, 1)
    lane.release()
    assert answer() == "taken"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("depth", [1, 2])
def test_leaving_an_inherited_block_leaves_the_parent_in_its_turn(
    manager: NonceManager, peer: Peer, depth: int
) -> None:
    """A child that leaves the blocks it was forked in does not end its parent's turn; once is enough for each."""
    lane = manager.lane("key", timeout=0)
    with contextlib.ExitStack() as blocks:
        for _ in range(depth):
            blocks.enter_context(lane)
        assert in_child(lambda: leave(lane, depth)) == "left"
        assert in_child(lambda: leave(lane, depth + 1)) == f"left {depth} times"
        assert f"process {os.getpid()} has held it" in peer.ask("take 0.01")
    assert peer.ask("take") == "held"


def test_grandchildren_leave_inherited_blocks_too(manager: NonceManager, peer: Peer) -> None:
    """The same for a child's child, also when the child has a turn of its own."""
    with manager.lane("key") as lane, manager.lane("other") as other:
        assert in_child(lambda: in_child(lambda: leave(lane, 2))) == "left 1 times"
        assert in_child(lambda: refusal(other) if leave(other) != "left" else in_child(lambda: leave(lane))) == "left"
        assert f"process {os.getpid()} has held it" in peer.ask("take 0.01")


def test_a_grandchild_leaves_what_both_before_it_were_in(manager: NonceManager) -> None:
    """A child takes the lane again in a block that it has inherited: its own child has both to leave, and no more."""
    lane = manager.lane("key", timeout=20)
    reader, writer = os.pipe()

    def child() -> str:
        os.read(reader, 1)
        with lane:
            return in_child(lambda: leave(lane, 3))

    lane.acquire()
    answer = start_child(child)
    lane.release()
    os.write(writer, b"!")
    assert answer() == "left 2 times"
    os.close(reader)
    os.close(writer)


def test_what_one_thread_has_inherited_is_not_another_s(manager: NonceManager) -> None:
    """A child's other thread takes the lane and forks: its child has one block to leave, its own."""
    lane = manager.lane("key", timeout=20)
    reader, writer = os.pipe()
    said: list[str] = []

    def turn() -> None:
        with lane:
            said.append(in_child(lambda: leave(lane, 2)))

    def child() -> str:
        os.read(reader, 1)
        in_thread(turn).join()
        return said[0]

    lane.acquire()
    answer = start_child(child)
    lane.release()
    os.write(writer, b"!")
    assert answer() == "left 1 times"
    os.close(reader)
    os.close(writer)


def test_a_task_forks_in_its_turn(manager: NonceManager, peer: Peer) -> None:
    """A child that leaves an `async with` it was forked in does not end its parent's turn either."""

    async def main() -> None:
        async with manager.lane("key") as lane:
            assert in_child(lambda: leave(lane, 2)) == "left 1 times"
            assert f"process {os.getpid()} has held it" in peer.ask("take 0.01")

    asyncio.run(main())
    assert peer.ask("take") == "held"


def test_leaving_an_inherited_block_leaves_the_childs_own_turn(manager: NonceManager, peer: Peer) -> None:
    """A child that was forked in a turn can take the lane itself later, and give it back."""
    lane = manager.lane("key")
    reader, writer = os.pipe()

    def child() -> str:
        lane.release()
        os.read(reader, 1)
        with lane:
            return peer.ask("take 0.01")

    lane.acquire()
    answer = start_child(child)
    lane.release()
    os.write(writer, b"!")
    assert re.search(rf"process (?!{os.getpid()} )\d+ has held it", answer())
    assert refusal(lane) == "taken"
    os.close(reader)
    os.close(writer)


def test_a_childs_lanes_work(manager: NonceManager, peer: Peer) -> None:
    """A child takes and gives back lanes, also with a task, whether its parent has used them or not."""
    assert refusal(manager.lane("key")) == "taken"

    async def turn() -> str:
        async with manager.lane("key", timeout=20):
            return peer.ask("take 0.01")

    assert "has held it" in in_child(lambda: asyncio.run(turn()))
    assert in_child(lambda: refusal(manager.lane("other"))) == "taken"
    assert peer.ask("take") == "held"


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_child_of_a_process_in_the_queue(manager: NonceManager, peer: Peer, timeout: float | None) -> None:
    """A fork while threads wait for another process disturbs neither them nor the child."""
    assert peer.ask("take") == "held"
    lane, said = manager.lane("key", timeout), list[str]()
    threads = [in_thread(lambda: said.append(refusal(lane))) for _ in range(3)]
    until_waiting(lane, 3)
    assert f"process {peer.pid} has held it" in in_child(lambda: refusal(manager.lane("key", timeout=0.01)))
    peer.ask("leave")
    join(threads)
    assert said == ["taken"] * 3
    assert in_child(lambda: refusal(lane)) == "taken"


@pytest.mark.parametrize("where", ["line", "registry"])
def test_a_fork_in_the_middle_of_anothers_step(manager: NonceManager, where: str) -> None:
    """A fork while another thread is inside the lane's own code leaves the child nothing locked."""
    lane = manager.lane("key")
    assert refusal(lane) == "taken"
    mutex = lane._queue.lock if where == "line" else lane_module._registry.lock
    inside, forked = threading.Event(), threading.Event()

    def step() -> None:
        with mutex:
            inside.set()
            forked.wait()

    thread = in_thread(step)
    inside.wait()
    try:
        assert in_child(lambda: refusal(manager.lane("key", timeout=20))) == "taken"
    finally:
        forked.set()
        thread.join()


def test_a_turn_of_a_thread_that_did_not_fork(manager: NonceManager) -> None:
    """A child forked while another thread holds the lane has nothing to leave."""
    lane = manager.lane("key", timeout=0)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lane:
            held.set()
            done.wait()

    thread = in_thread(hold)
    held.wait()
    assert in_child(lambda: leave(lane)) == "left 0 times"
    done.set()
    thread.join()


def test_a_child_keeps_no_hold_on_a_killed_parents_lane(manager: NonceManager, peer: Peer) -> None:
    """When the holder is killed, the lane is free even while a child that it has forked lives on."""
    assert peer.ask("take") == "held"
    child = int(peer.ask("fork"))
    peer.kill()
    try:
        assert refusal(manager.lane("key", timeout=20)) == "taken"
    finally:
        os.kill(child, signal.SIGKILL)


def _nothing() -> None:
    """End at once."""


def test_starting_processes_in_a_turn(manager: NonceManager, peer: Peer) -> None:
    """Children of the holder that run something else and end leave the turn alone."""
    with manager.lane("key"):
        process = multiprocessing.get_context("fork").Process(target=_nothing)
        process.start()
        process.join()
        assert f"process {os.getpid()} has held it" in peer.ask("take 0.01")
    assert peer.ask("take") == "held"
