"""The turn between processes."""

from __future__ import annotations

import math
import multiprocessing
import re
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.integration.key.helpers import in_thread, is_waiting, join, refusal, until, until_waiting
from tests.integration.key.peer import add

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_one_process_at_a_time(tmp_path: Path, method: str) -> None:
    """Processes that add to a number in a file in their turns lose nothing."""
    (tmp_path / "count").write_text("0")
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=add, args=(str(tmp_path), 100)) for _ in range(3)]  # type: ignore[attr-defined]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "count").read_text() == "300"


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_killed_holder_frees_the_lane(manager: NonceManager, peer: Peer, timeout: float | None) -> None:
    """When its holder is killed, the lane goes to the next in the queue at once."""
    assert peer.ask("take") == "held"
    lane, said = manager.lane("key", timeout), list[str]()
    thread = in_thread(lambda: said.append(refusal(lane)))
    until_waiting(lane, 1)
    peer.kill()
    thread.join()
    assert said == ["taken"]


def test_a_holder_that_ends_frees_the_lane(manager: NonceManager, peer: Peer) -> None:
    """A process that ends without giving the lane back leaves it free."""
    assert peer.ask("take") == "held"
    peer.signal(signal.SIGTERM)
    assert refusal(manager.lane("key")) == "taken"


@pytest.mark.parametrize("order", ["take", "take 60"])
def test_a_killed_waiter_is_out_of_the_queue(start_peer: Callable[[], Peer], manager: NonceManager, order: str) -> None:
    """When a process is killed that waits for the lane, the others have their turns."""
    holder, killed, following = start_peer(), start_peer(), start_peer()
    assert holder.ask("take") == "held"
    for waiter in (killed, following):
        waiter.tell(order)
        until(partial(is_waiting, waiter.pid))
    killed.kill()
    holder.ask("leave")
    assert following.answer() == "held"
    assert f"process {following.pid} has held it" in refusal(manager.lane("key", timeout=0))


def test_a_stopped_holder_is_named(manager: NonceManager, peer: Peer) -> None:
    """A holder that was stopped keeps the lane; a caller whose time runs out learns its pid."""
    assert peer.ask("take") == "held"
    peer.signal(signal.SIGSTOP)
    said = refusal(manager.lane("key", timeout=0.01))
    assert re.search(rf": process {peer.pid} has held it for \d+\.\d s; nothing was sent$", said)
    peer.signal(signal.SIGCONT)
    assert peer.ask("leave") == "free"
    assert refusal(manager.lane("key")) == "taken"


def test_no_process_starves(start_peer: Callable[[], Peer], manager: NonceManager) -> None:
    """Among processes that take turn after turn with no pause between them, another one gets its share."""
    for _ in range(3):
        assert start_peer().ask("hog") == "hogging"
    assert [refusal(manager.lane("key", timeout=2)) for _ in range(100)] == ["taken"] * 100


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_process_does_not_keep_the_lane_to_itself(peer: Peer, manager: NonceManager, timeout: float | None) -> None:
    """Between the turns of a process that has a queue of its own, other processes have theirs."""
    lane, going = manager.lane("key", timeout), [True]

    def hog() -> None:
        while going:
            with lane:
                pass

    threads = [in_thread(hog) for _ in range(4)]
    try:
        for _ in range(30):
            assert peer.ask("take 10") == "held"
            assert peer.ask("leave") == "free"
    finally:
        going.clear()
        join(threads)


@pytest.mark.parametrize("way", ["deleted", "moved", "directory moved"])
def test_a_lost_file_is_replaced(
    start_peer: Callable[[], Peer], manager: NonceManager, tmp_path: Path, way: str
) -> None:
    """A caller that waits while the lane's file is deleted or moved ends up at the new one, with all others."""
    holder, waiter = start_peer(), start_peer()
    assert holder.ask("take") == "held"
    waiter.tell("take")
    until(lambda: is_waiting(waiter.pid))
    lane = manager.lane("key", timeout=0)
    assert refusal(lane) != "taken"
    path = tmp_path / "state" / "lanes" / f"{lane.name}.lock"
    lose: dict[str, Callable[[], object]] = {
        "deleted": path.unlink,
        "moved": lambda: path.rename(tmp_path / "old"),
        "directory moved": lambda: path.parent.rename(tmp_path / "old"),
    }
    lose[way]()
    assert holder.ask("leave") == "free"
    assert waiter.answer() == "held"
    assert path.exists()
    until(lambda: f"process {waiter.pid} has held it" in refusal(lane))  # as soon as it has followed, too
    assert f"process {waiter.pid} has held it" in holder.ask("take 0.01")
    assert f"process {waiter.pid} has held it" in start_peer().ask("take 0.01")


def test_a_holder_whose_file_was_moved_comes_back_to_the_others(
    start_peer: Callable[[], Peer], manager: NonceManager, tmp_path: Path
) -> None:
    """A process that has the moved file open does not take that for the lane."""
    with manager.lane("key"):
        (tmp_path / "state" / "lanes").rename(tmp_path / "old")
    assert start_peer().ask("take") == "held"
    assert refusal(manager.lane("key", timeout=0)) != "taken"


@pytest.mark.parametrize("how", ["remembered", "forgotten"])
def test_five_hundred_lanes_in_256_descriptors(peer: Peer, how: str) -> None:
    """A process may use more lanes than it may have files open."""
    assert peer.ask(f"use_many {how}") == "done"


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_timeouts_and_cancellations(
    start_peer: Callable[[], Peer], manager: NonceManager, seed: int
) -> None:
    """Whatever threads and tasks of two processes do, no two are inside at once, and in the end the lane is free."""
    peers = [start_peer(), start_peer()]
    for number, peer in enumerate(peers):
        peer.tell(f"storm {seed}{number}")
    assert all(re.fullmatch(r"[1-9]\d* turns", peer.answer()) for peer in peers)
    assert refusal(manager.lane("key", timeout=2)) == "taken"
    assert [peer.ask("take 2") + peer.ask("leave") for peer in peers] == ["heldfree"] * 2


@pytest.mark.parametrize("seed", range(2))
def test_an_interrupted_wait_leaves_nothing_held(peer: Peer, manager: NonceManager, seed: int) -> None:
    """A thread that is interrupted with Ctrl-C at any moment of waiting holds nothing and blocks no other caller."""
    thread = in_thread(lambda: [refusal(manager.lane("key")) for _ in range(300)])
    assert peer.ask(f"interrupted {seed}") == "interrupted"
    thread.join()
    assert refusal(manager.lane("key", timeout=20)) == "taken"


LEAVES_WAITERS = """
import asyncio, sys
from krakenonce.manager import NonceManager
async def wait():
    async with NonceManager(sys.argv[1]).lane("key"):
        pass
async def main():
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    try:
        NonceManager(sys.argv[1]).lane("other").acquire()
        await asyncio.wait_for(wait(), 0.01)
    except TimeoutError:
        print("timeout")
asyncio.run(main())
"""


def test_a_process_ends_while_it_waits(manager: NonceManager, tmp_path: Path) -> None:
    """A process with tasks in the queue and lanes held ends at once when its program does, and prints nothing."""
    with manager.lane("key"):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", LEAVES_WAITERS, str(tmp_path / "state")],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "timeout\n", "")
    assert refusal(manager.lane("other", timeout=math.inf)) == "taken"
