"""What is done for forked children and against signal handlers that interrupt their own thread."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from krakenonce.errors import LaneError
from krakenonce.process import ForkCheck, Section, call_in_children
from tests.integration.key.helpers import in_child, in_thread

REFUSAL = "a lane was asked for by a signal handler that has interrupted this thread while it did the same; "


def test_a_section_refuses_only_who_is_in_it() -> None:
    """The thread that is in it, which a signal handler must have interrupted; no other, and none afterwards."""
    section, others = Section(LaneError, "a lane was asked for"), list[str]()

    def ask() -> None:
        section.refuse_interrupter()
        others.append("let in")

    ask()
    with section.lock:
        with pytest.raises(LaneError, match=REFUSAL):
            section.refuse_interrupter()
        in_thread(ask).join()
    ask()
    assert others == ["let in"] * 3


def test_a_section_is_free_in_a_forked_child() -> None:
    """Whichever thread of the parent was in it; and it is one of the child's own from then on."""
    section = Section(LaneError, "a lane was asked for")
    inside, forked = threading.Event(), threading.Event()

    def stay() -> None:
        with section.lock:
            inside.set()
            forked.wait()

    def enter() -> str:
        section.refuse_interrupter()
        return str(section.lock.acquire(blocking=False))

    thread = in_thread(stay)
    inside.wait()
    assert in_child(enter) == "True"
    forked.set()
    thread.join()
    with section.lock:
        assert in_child(enter) == "True"


def test_an_interrupted_section_is_left_in_a_child_forked_there() -> None:
    """The child of a signal handler goes on where the parent was, and leaves the lock that it had entered."""
    section = Section(LaneError, "a lane was asked for")

    def leave() -> str:
        section.lock.acquire()
        section.lock.release()
        return "free"

    with section.lock:
        pid = os.fork()
    if not pid:
        os._exit(leave() != "free")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Counter:
    """Counts the forks that it is told of."""

    def __init__(self) -> None:
        self.forks = 0
        call_in_children(self)

    def _after_fork(self) -> None:
        self.forks += 1


def test_living_objects_are_called_in_each_child() -> None:
    """Once in each, and never in the parent; those that nobody has any more are forgotten."""
    counter, others = Counter(), [Counter()]
    assert in_child(lambda: (counter.forks, others[0].forks, in_child(lambda: counter.forks))) == "(1, 1, '2')"
    assert counter.forks == 0
    others.clear()
    gc.collect()
    assert in_child(lambda: sum(isinstance(each, Counter) for each in gc.get_objects())) == "1"


def test_a_check_does_it_once_in_a_child() -> None:
    """Not in the parent, and not again."""
    check, done = ForkCheck(), list[int]()

    def use() -> list[int]:
        for number in range(3):
            check(lambda number=number: done.append(number))  # type: ignore[misc]
        return done

    assert use() == []
    assert in_child(use) == "[0]"
    assert use() == []


def test_no_thread_of_a_child_goes_on_before_it_is_done() -> None:
    """Two that come at once may both do it."""
    check = ForkCheck()

    def use() -> list[str]:
        log: list[str] = []
        begun, end = threading.Event(), threading.Event()

        def slowly() -> None:
            begun.set()
            end.wait()
            log.append("done")

        first = in_thread(check, slowly)
        begun.wait()
        check(lambda: log.append("done by the second"))
        log.append("the second goes on")
        end.set()
        first.join()
        return log

    assert in_child(use) == "['done by the second', 'the second goes on', 'done']"
