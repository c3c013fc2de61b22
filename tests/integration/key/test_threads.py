"""The turn among the threads of one process."""

from __future__ import annotations

import errno
import gc
import math
import os
import re
import resource
import sys
import threading
import types
import weakref
from fcntl import LOCK_UN
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.errors import LaneError, LaneTimeout, NonceStoreError
from krakenonce.key.naming import fingerprint
from krakenonce.key.waiting import LaneQueue
from krakenonce.manager import NonceManager
from krakenonce.native import start_new_thread
from tests.integration.key.helpers import in_child, in_thread, join, open_files, refusal, until_waiting, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.key.helpers import Peer

KEY = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
NO_TIME = [0, -1, -math.inf, 0.01]
ALL_THE_TIME = [None, 1e300, math.inf, 10**400]


def test_one_thread_at_a_time(manager: NonceManager) -> None:
    """Threads that add to a number in their turns lose nothing."""
    number = 0

    def add() -> None:
        nonlocal number
        for _ in range(50):
            with manager.lane("key"):
                seen = number
                with manager.lane("another"):  # gives the other threads an opportunity
                    pass
                number = seen + 1

    threads = [in_thread(add) for _ in range(8)]
    join(threads)
    assert number == 400


@pytest.mark.parametrize("timeout", [None, 60])
def test_threads_come_in_the_order_of_asking(manager: NonceManager, timeout: float | None) -> None:
    """Turns are given in the order in which threads have asked, whether they have a timeout or not."""
    order: list[int] = []
    lane = manager.lane("key", timeout)

    def ask(number: int) -> None:
        with lane:
            order.append(number)

    with lane:
        threads = []
        for number in range(20):
            threads.append(in_thread(ask, number))
            until_waiting(lane, len(threads))
    join(threads)
    assert order == list(range(20))


def test_the_holder_may_enter_again(manager: NonceManager, peer: Peer) -> None:
    """A thread may enter a lane that it holds; the turn ends with the outermost block."""
    with manager.lane("key"):
        with manager.lane("key"), manager.lane("key", timeout=0):
            pass
        assert peer.ask("take 0.01") != "held"
    assert peer.ask("take") == "held"


def test_only_the_holder_gives_the_turn_back(manager: NonceManager) -> None:
    """Releasing a lane that another thread holds, or that is free, is a LaneError and changes nothing."""
    lane = manager.lane("key")
    refused = []

    def release() -> None:
        with pytest.raises(LaneError, match="not held by this thread"):
            lane.release()
        refused.append(refusal(manager.lane("key", timeout=0)))

    release()
    with lane:
        in_thread(release).join()
    release()
    assert [reason == "taken" for reason in refused] == [True, False, True]


@pytest.mark.parametrize("kept", ["file", "memory"])
@pytest.mark.parametrize("timeout", NO_TIME)
def test_a_timeout_names_the_holder(manager: NonceManager, timeout: float, kept: str) -> None:
    """LaneTimeout says which process holds the lane and for how long, and is a TimeoutError."""
    manager = manager if kept == "file" else NonceManager("memory:")
    with manager.lane("key"):
        said: list[str] = []
        in_thread(lambda: said.append(refusal(manager.lane("key", timeout)))).join()
    holder = rf"process {os.getpid()} has held it for 0\.\d s"
    wanted = rf"lane {fingerprint('key')} was not free within \S+ s: {holder}; nothing was sent"
    assert re.fullmatch(wanted, said[0])
    assert issubclass(LaneTimeout, TimeoutError)


@pytest.mark.parametrize("timeout", NO_TIME)
def test_a_block_is_not_entered_after_its_time(manager: NonceManager, timeout: float) -> None:
    """`with` keeps to the timeout like acquire()."""
    entered: list[bool] = []

    def enter() -> None:
        with pytest.raises(LaneTimeout), manager.lane("key", timeout):
            entered.append(True)

    with manager.lane("key"):
        in_thread(enter).join()
    assert not entered


@pytest.mark.parametrize("timeout", NO_TIME)
def test_a_timeout_leaves_nothing_behind(manager: NonceManager, peer: Peer, timeout: float) -> None:
    """After a timeout the queue is empty, and when the holder leaves, another process gets the lane."""
    lane = manager.lane("key", timeout)
    with manager.lane("key"):
        in_thread(lambda: refusal(lane)).join()
        assert not waiting(lane)
    assert peer.ask("take") == "held"
    assert f"process {peer.pid} has held it" in refusal(lane)
    assert not waiting(lane)
    peer.ask("leave")
    assert peer.ask("take") == "held"


@pytest.mark.parametrize("timeout", ALL_THE_TIME, ids=["none", "1e300", "inf", "10**400"])
def test_a_timeout_may_be_as_long_as_one_likes(manager: NonceManager, timeout: float | None) -> None:
    """Centuries and infinity are timeouts too."""
    lane = manager.lane("key", timeout)
    said: list[str] = []
    with lane:
        thread = in_thread(lambda: said.append(refusal(lane)))
        until_waiting(lane, 1)
    thread.join()
    assert said == ["taken"]


def test_a_free_lane_needs_no_time(manager: NonceManager) -> None:
    """With no time to wait, a free lane is taken all the same."""
    assert [refusal(manager.lane("key", timeout)) for timeout in NO_TIME] == ["taken"] * len(NO_TIME)


def test_managers_of_one_directory_share_the_queue(tmp_path: Path) -> None:
    """A path, a URL, a link and a detour to one directory lead to one queue, which its holder may enter again."""
    (tmp_path / "state").mkdir()
    (tmp_path / "link").symlink_to("state")
    ways: list[str | Path] = [
        tmp_path / "state",
        f"file:{tmp_path}/state",
        tmp_path / "link",
        tmp_path / "link" / ".." / "state",
    ]
    lanes = [NonceManager(way).lane("key", timeout=0) for way in ways]
    for lane in lanes:
        lane.acquire()
    others: list[str] = []
    in_thread(lambda: others.extend(map(refusal, lanes))).join()
    assert "taken" not in others
    for lane in lanes:
        lane.release()
    assert [refusal(lane) for lane in lanes] == ["taken"] * 4


@pytest.mark.parametrize("stores", [("file:{}/one", "file:{}/two"), ("memory:", "memory:")], ids=["file", "memory"])
def test_keys_do_not_wait_for_each_other(tmp_path: Path, stores: tuple[str, str]) -> None:
    """Each key has its own lane, in each directory or memory, and so has the global one."""
    manager, elsewhere = (NonceManager(store.format(tmp_path)) for store in stores)
    others = [manager.lane("key two", 0), manager.lane(timeout=0), elsewhere.lane("key", 0)]
    said: list[str] = []
    with manager.lane("key"):
        in_thread(lambda: said.extend(map(refusal, [*others, manager.lane("key", 0)]))).join()
    assert said[:3] == ["taken"] * 3
    assert f"process {os.getpid()} has held it for" in said[3]


def test_the_key_is_shown_nowhere(manager: NonceManager, tmp_path: Path) -> None:
    """Files, names, messages and threads carry a fingerprint of the API key, and nothing of the key itself."""
    lane, shown = manager.lane(KEY, timeout=60), [fingerprint(KEY)]
    with pytest.raises(LaneError) as caught:
        lane.release()
    with lane:
        in_thread(lambda: shown.append(refusal(manager.lane(KEY, timeout=0)))).join()
        thread = in_thread(lambda: shown.append(refusal(lane)))
        until_waiting(lane, 1)
        shown += [repr(lane), lane.name, str(caught.value)]
        shown += [each.name for each in threading.enumerate()]
    thread.join()
    for file in (tmp_path / "state" / "lanes").iterdir():
        shown += [file.name, file.read_text()]
    assert not [text for text in shown if KEY[:6] in text or KEY[-8:] in text]


def test_a_lane_is_called_by_sixteen_digits_of_a_hash(manager: NonceManager) -> None:
    """The same in every process and release, for it names the lane's files; the lane for all is called as it is."""
    assert (manager.lane("key").name, manager.lane().name) == ("2c70e12b7a0646f9", "global")


@pytest.mark.parametrize("name", ["", None, 7, b"key"])
def test_a_lane_without_a_name_is_refused(manager: NonceManager, name: Any) -> None:
    """A key that was not set would else share a lane with every other key that was not."""
    said = "the name of a lane must be an API key or 'global', not empty and not another type; is the API key set?"
    with pytest.raises(LaneError) as caught:
        manager.lane(name)
    assert str(caught.value) == said


@pytest.mark.usefixtures("few_files")
def test_the_lanes_used_last_keep_their_files_open(manager: NonceManager, tmp_path: Path) -> None:
    """The next turn is quick, also if nothing refers to the lane in between."""

    def use() -> str:  # in a child, which has no files of other tests open
        for number in (0, *range(1, 32), 0, *range(32, 40)):
            assert refusal(manager.lane(f"key {number}")) == "taken"
        gc.collect()
        return " ".join(open_files(tmp_path / "state" / "lanes"))

    last = {fingerprint(f"key {number}") for number in (0, *range(9, 40))}
    assert in_child(use).split() == sorted(f"{name}.{kind}" for name in last for kind in ("line", "lock"))


def test_a_turn_outlives_the_object_it_was_taken_with(manager: NonceManager, peer: Peer) -> None:
    """A lane that is held stays held while hundreds of others are used and nothing refers to its object."""
    manager.lane("key").acquire()
    for number in range(200):
        with manager.lane(f"key {number}"):
            pass
    gc.collect()
    assert f"process {os.getpid()} has held it" in peer.ask("take 0.01")
    manager.lane("key").release()
    assert peer.ask("take") == "held"


def test_more_lanes_keep_their_files_open_where_many_files_may_be_open(manager: NonceManager, tmp_path: Path) -> None:
    """Each lane has two files, and an eighth of the files that the process may open stays open."""

    def use() -> str:  # in a child, which has no files of other tests open
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for number in range(100):
            assert refusal(manager.lane(f"key {number}")) == "taken"
        gc.collect()
        return " ".join(open_files(tmp_path / "state" / "lanes"))

    assert len(in_child(use).split()) == 1024 // 8


@pytest.mark.usefixtures("few_files")
def test_a_lane_that_is_not_used_is_forgotten(manager: NonceManager) -> None:
    """A lane that is not held and that nothing refers to takes no memory once many others have been used."""
    assert refusal(manager.lane("key")) == "taken"
    queue = weakref.ref(manager.lane("key")._queue)
    for number in range(200):
        manager.lane(f"key {number}")
    gc.collect()
    assert queue() is None


def test_asyncio_may_be_half_imported(manager: NonceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane works while another thread is still importing asyncio."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "asyncio"]:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    said: list[str] = []
    with manager.lane("key"):
        in_thread(lambda: said.append(refusal(manager.lane("key", timeout=0)))).join()
    assert f"process {os.getpid()}" in said[0]


def test_out_of_threads(manager: NonceManager, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can be had to wait for another process, that is a LaneError, and the lane works afterwards."""

    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    peer.ask("take")
    lane = manager.lane("key", timeout=60)
    with monkeypatch.context() as patch:
        patch.setattr("krakenonce.key.waiting.start_new_thread", start)
        with pytest.raises(LaneError, match="can't start new thread"):
            lane.acquire()
    assert not waiting(lane)
    peer.ask("leave")
    assert refusal(lane) == "taken"


@pytest.mark.parametrize("entered", [0, 1])
def test_interrupted_right_after_the_turn_has_come(
    manager: NonceManager, monkeypatch: pytest.MonkeyPatch, entered: int
) -> None:
    """Ctrl-C before the block begins ends this turn and no other."""
    lane, real_enter = manager.lane("key"), LaneQueue.ask

    def enter(queue: LaneQueue, waiter: Any, *, blocks_loop: bool) -> bool:
        assert real_enter(queue, waiter, blocks_loop=blocks_loop)
        raise KeyboardInterrupt

    for _ in range(entered):
        lane.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(LaneQueue, "ask", enter)
        with pytest.raises(KeyboardInterrupt):
            lane.acquire()
    for _ in range(entered):
        lane.release()
    with pytest.raises(LaneError):
        lane.release()
    assert refusal(lane) == "taken"


@pytest.mark.parametrize("started", [False, True])
def test_interrupted_while_a_thread_is_started(
    manager: NonceManager, peer: Peer, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    """Ctrl-C before or after the start of the thread that is to wait for another process leaves the lane sound."""

    def start(*what: Any) -> None:
        if started:
            start_new_thread(*what)
        raise KeyboardInterrupt

    peer.ask("take")
    lane = manager.lane("key", timeout=20)
    with monkeypatch.context() as patch:
        patch.setattr("krakenonce.key.waiting.start_new_thread", start)
        with pytest.raises(KeyboardInterrupt):
            lane.acquire()
    assert not waiting(lane)
    assert f"process {peer.pid} has held it" in refusal(manager.lane("key", timeout=0))
    inside, seen = list[str](), list[int]()

    def turn() -> None:
        with lane:
            inside.append(peer.ask("take 0.1"))
            seen.append(len(inside))
            inside.pop()

    threads = [in_thread(turn) for _ in range(2)]
    until_waiting(lane, 2)
    peer.ask("leave")
    join(threads)
    assert seen == [1, 1]
    assert peer.ask("take") == "held"


@pytest.mark.parametrize("timeout", [None, 60])
def test_an_unusable_file_fails_all_in_the_queue(
    manager: NonceManager, peer: Peer, tmp_path: Path, timeout: float | None
) -> None:
    """When the lane's file cannot be used any more, all in the queue get an error, until it can be used again."""
    lane = manager.lane("key", timeout)
    errors: list[NonceStoreError] = []

    def ask() -> None:
        with pytest.raises(NonceStoreError) as caught:
            lane.acquire()
        errors.append(caught.value)

    peer.ask("take")
    threads = [in_thread(ask) for _ in range(3)]
    until_waiting(lane, 3)
    path = tmp_path / "state" / "lanes" / f"{lane.name}.lock"
    path.unlink()
    path.mkdir()
    peer.kill()
    join(threads)
    assert ["move it away" in str(error) for error in errors] == [True] * 3
    path.rmdir()
    assert refusal(lane) == "taken"


def test_an_unusable_directory_is_a_backend_error(tmp_path: Path) -> None:
    """A state directory that is a file fails the first turn with a NonceStoreError, and nothing is held."""
    (tmp_path / "state").write_text("")
    lane = NonceManager(tmp_path / "state").lane("key")
    with pytest.raises(NonceStoreError, match="must be a directory"):
        lane.acquire()
    with pytest.raises(LaneError):
        lane.release()


def test_errors_of_the_lock_itself_are_backend_errors(manager: NonceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives no locks is reported as a NonceStoreError, never as an OSError."""

    def flock(_fd: int, how: int) -> None:
        if how != LOCK_UN:
            raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("krakenonce.backends.file.gate.flock", flock)
        with pytest.raises(NonceStoreError, match=r"^cannot lock the lane /.*\.lock: No locks available; "):
            manager.lane("key").acquire()
    assert refusal(manager.lane("key")) == "taken"


def test_a_full_disk_stops_no_turn(manager: NonceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the lane is written into its file for messages alone."""

    def pwrite(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    lane = manager.lane("key")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        lane.acquire()
    assert lane.holder() == "its holder is not known"
    lane.release()


def test_a_block_that_fails_gives_the_lane_back(manager: NonceManager) -> None:
    """The next thread gets its turn at once."""
    with pytest.raises(ValueError, match="in the block"), manager.lane("key"):
        raise ValueError("in the block")
    came = threading.Event()

    def take() -> None:
        with manager.lane("key", timeout=0):
            came.set()

    join([in_thread(take)])
    assert came.is_set()
