"""Ctrl-C wherever Python looks for signals within a lane's code: no lane stays held, no caller waits for ever."""

from __future__ import annotations

import contextlib
import dis
import itertools
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import krakenonce
from krakenonce.errors import LaneError
from tests.integration.key.helpers import in_thread, join, refusal, until_waiting, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager

PACKAGE = str(Path(krakenonce.__file__).parent)
LOOKS = ("RESUME", "CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")  # after these, Python looks for signals


class Interrupt:
    """Raises KeyboardInterrupt at the nth place within the package where a signal handler might.

    Not at the nth line: at the one that leaves ``with mutex:`` no signal comes, and the mutex would stay locked. Nor
    where a function written in Python has just returned.
    """

    def __init__(self, place: int) -> None:
        self.came = False
        self.is_leaving = False  # whether it came while the turn was given back
        self._left = place
        self._last: dict[int, str] = {}  # the instruction before, in each frame

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        """The trace function."""
        if event == "call":
            self._last[id(frame)] = self._last[id(frame.f_back)] = ""
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            before = self._last[id(frame)]
            self._last[id(frame)] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self._left -= before.startswith(LOOKS)
            if not self._left and not self.came:
                self.came = True
                while frame is not None:
                    self.is_leaving |= frame.f_code.co_name == "release"
                    frame = frame.f_back
                raise KeyboardInterrupt
        return self


def interrupted(work: Callable[[], object], place: int) -> Interrupt:
    """Do *work*, with an interrupt at a place."""
    interrupt, before = Interrupt(place), sys.gettrace()
    sys.settrace(interrupt)
    try:
        work()
    except KeyboardInterrupt:
        assert interrupt.came
    finally:
        sys.settrace(before)
    return interrupt


def enter(lane: Lane) -> None:
    """A block."""
    with lane:
        pass


def is_held(lane: Lane) -> bool:
    """Whether this thread holds the lane; if so, give it back once."""
    with contextlib.suppress(LaneError):
        lane.release()
        return True
    return False


@pytest.mark.parametrize("holds", [False, True])
def test_an_interrupted_block_leaves_nothing_held(manager: NonceManager, holds: bool) -> None:
    """A free lane, and one that the thread holds already: it keeps what it had."""
    for place in itertools.count(1):
        lane = manager.lane("key", timeout=20)
        if holds:
            lane.acquire()
        interrupt = interrupted(lambda lane=lane: enter(lane), place)  # type: ignore[misc]
        held = is_held(lane) + is_held(lane)
        assert held == holds or (interrupt.is_leaving and held == holds + 1), place
        said: list[str] = []
        in_thread(lambda lane=lane, said=said: said.append(refusal(lane))).join()
        assert said == ["taken"], place
        if not interrupt.came:
            break
    assert place > 10


@pytest.mark.parametrize("timeout", [None, 60])
def test_an_interrupted_wait_leaves_nothing_held(manager: NonceManager, timeout: float | None) -> None:
    """Nor does it stay in the queue, whether the turn has come or not."""
    lane, mine = manager.lane("key"), manager.lane("key", timeout)
    for place in itertools.count(1):
        inside, over = threading.Event(), threading.Event()

        def hold(inside: threading.Event = inside, over: threading.Event = over) -> None:
            with lane:
                inside.set()
                while not waiting(lane) and not over.wait(0.001):
                    pass

        thread = in_thread(hold)
        inside.wait()
        interrupt = interrupted(lambda: enter(mine), place)
        over.set()
        thread.join()
        assert not is_held(lane) or interrupt.is_leaving, place
        assert not waiting(lane), place
        in_thread(refusal, manager.lane("key", timeout=20)).join()
        assert refusal(manager.lane("key", timeout=20)) == "taken", place
        if not interrupt.came:
            break
    assert place > 20


@pytest.mark.parametrize("timeouts", [(None, 60), (60, None)], ids=["a thread waits", "a helper waits"])
def test_an_interrupted_release_lets_the_next_caller_in(
    manager: NonceManager, timeouts: tuple[float | None, float | None]
) -> None:
    """Where it has begun to give the turn back, the others get it; else the thread can do it again."""
    lane = manager.lane("key", timeout=20)
    for place in itertools.count(1):
        lane.acquire()
        said: list[str] = []
        threads = []
        for count, timeout in enumerate(timeouts, 1):
            other = manager.lane("key", timeout)
            threads.append(in_thread(lambda other=other, said=said: said.append(refusal(other))))
            until_waiting(lane, count)
        interrupt = interrupted(lane.release, place)
        is_held(lane)
        join(threads)
        assert said == ["taken"] * 2, place
        assert refusal(lane) == "taken", place
        if not interrupt.came:
            break
    assert place > 10
