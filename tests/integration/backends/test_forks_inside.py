"""A signal handler that forks in the middle of a backend's work, and a child that continues it."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce import backends
from krakenonce.errors import NonceStoreError
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS = str(Path(backends.__file__).parent)


class ForkingAt:
    """At the nth line inside the backends this process forks, as a signal handler might."""

    def __init__(self, line: int) -> None:
        self.pid: int | None = None  # None: there are fewer lines
        self._lines = line

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        """The trace function."""
        if not frame.f_code.co_filename.startswith(BACKENDS):
            return None
        self._lines -= event == "line"
        if self._lines or self.pid is not None:
            return self
        sys.settrace(None)
        self.pid = os.fork()
        return None


def ask(question: Callable[[], int | None]) -> str:
    """What comes of it, with the error's class if it is one of Python's own."""
    try:
        return str(question())
    except NonceStoreError as error:
        return str(error)
    except Exception as error:
        return repr(error)


def fork_inside(question: Callable[[], int | None], manager: NonceManager, line: int) -> list[str] | None:
    """What the child gets and its next nonce, then the parent's; None: there is no such line."""
    reader, writer = os.pipe()
    with open(reader) as answers, open(writer, "w") as out:
        forking, before = ForkingAt(line), sys.gettrace()
        sys.settrace(forking)
        answer = ask(question)
        sys.settrace(before)
        if forking.pid == 0:
            signal.alarm(10)  # it could wait for a lock of its parent's
            os.write(writer, f"{answer}\n{ask(manager.next)}".encode())
            os._exit(0)
        if forking.pid is None:
            return None
        out.close()
        childs = answers.read().split("\n")
        os.waitpid(forking.pid, 0)
        return [*childs, answer, ask(manager.next)]


REFUSAL = "a signal handler forked while this thread was taking a nonce; no nonce was issued in the child; call again"


@pytest.mark.parametrize(("asked", "step"), [("next nonce", 1), ("first nonce", 11), ("floor", 7), ("look", 5)])
def test_a_child_forked_in_the_middle_gets_an_error_and_then_nonces_of_its_own(
    tmp_path: Path, asked: str, step: int
) -> None:
    """At each line, or at some of them: the child would continue its parent's work, to the same answer."""
    childs = []
    for line in itertools.count(2, step):  # the first one is before it
        manager = NonceManager(tmp_path / str(line) if asked == "first nonce" else tmp_path)
        last = 0 if asked == "first nonce" else manager.next()
        questions: dict[str, Callable[[], int | None]] = {
            "floor": partial(manager.raise_floor, last + 10**6),
            "look": manager.peek,
        }
        answers = fork_inside(questions.get(asked, manager.next), manager, line)
        if answers is None:
            break
        childs.append(answers[0])
        nonces = [int(answer) for answer in (answers[1::2] if asked in questions else answers[1:])]
        assert len(set(nonces)) == len(nonces), (line, answers)
        assert min(nonces) > last
    assert set(childs[2:]) == {REFUSAL}
    assert len(childs) > 20


def test_a_child_that_is_to_end_ends(tmp_path: Path) -> None:
    """A child that is forked in a handler, and exits there, does not continue its parent's program; at each line."""
    manager = NonceManager(tmp_path)
    manager.next()
    ends = []
    for line in itertools.count(2):
        forking, before = ForkingAt(line), sys.gettrace()

        def trace(frame: Any, event: str, argument: object, forking: ForkingAt = forking) -> Any:
            forking(frame, event, argument)
            if forking.pid == 0:
                raise SystemExit(7)
            return trace

        sys.settrace(trace)
        try:
            manager.next()
        except SystemExit:
            os._exit(7)  # the child
        except Exception:
            assert forking.pid == 0
        finally:
            sys.settrace(before)
        if forking.pid == 0:
            os._exit(1)  # it went on
        if forking.pid is None:
            break
        ends.append(os.waitstatus_to_exitcode(os.waitpid(forking.pid, 0)[1]))
    assert set(ends) == {7}
    assert len(ends) > 20
