"""Signal handlers that take the lane, or a nonce, which they have interrupted: no thread waits for itself."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import krakenonce
from krakenonce.errors import LaneError, NonceStoreError
from krakenonce.global_manager import GlobalKrakenNonceManager
from tests.integration.key.helpers import in_thread, until_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.manager import NonceManager
    from tests.integration.key.helpers import Peer

REFUSAL = (
    "a {} by a signal handler that has interrupted this thread while it did the same; "
    "let the handler set a flag instead"
)
PACKAGE = str(Path(krakenonce.__file__).parent)


def interrupt(work: Callable[[], object], line: int, handler: Callable[[], object]) -> str | None:
    """Do *work*, and at its nth line within the package what a signal handler does; return how that ended, if it came.

    The handler runs with tracing off, as in the middle of that line.
    """
    ended: list[str] = []
    left = line

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        left -= event == "line"
        if not left and not ended:
            try:
                handler()
                ended.append("done")
            except (LaneError, NonceStoreError) as error:
                ended.append(str(error))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return ended[0] if ended else None


@pytest.mark.parametrize("what", ["lane", "API lock", "memory"])
def test_a_handler_at_any_line_gets_the_turn_or_an_error(manager: NonceManager, peer: Peer, what: str) -> None:
    """It never waits for the thread that it has interrupted, and leaves everything as it was."""
    memory = krakenonce.NonceManager("memory:")
    lock = GlobalKrakenNonceManager(manager).get_api_call_lock()

    def work() -> None:
        if what == "memory":
            memory.next()
        else:
            with lock if what == "API lock" else manager.lane("key"):
                pass

    outcomes = set()
    for line in itertools.count(1):
        outcome = interrupt(work, line, work)
        if outcome is None:
            break
        outcomes.add(outcome)
    asked = "nonce was asked for" if what == "memory" else "lane was asked for"
    assert outcomes == {"done", REFUSAL.format(asked)}
    assert peer.ask("take") == "held"


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_handler_of_a_waiting_thread_does_not_queue_behind_it(
    manager: NonceManager, peer: Peer, timeout: float | None
) -> None:
    """Its thread would have its turn before it, and go on only after it."""
    assert peer.ask("take") == "held"
    lane, errors, me = manager.lane("key", timeout), list[str](), os.getpid()
    refusal = (
        f"a signal handler has interrupted this thread while it waited for lane {lane.name}, "
        "so the handler cannot wait for it, too; let it set a flag instead"
    )

    def handler(*_: object) -> None:
        try:
            with manager.lane("key"):
                pass
        except LaneError as error:
            errors.append(str(error))

    def send() -> None:
        until_waiting(lane, 1)
        # One may come just before the waiting, and be seen after it, or in the lane's code.
        while refusal not in errors:
            os.kill(me, signal.SIGUSR1)
            time.sleep(0.05)
        peer.tell("leave")

    before = signal.signal(signal.SIGUSR1, handler)
    sender = in_thread(send)
    try:
        with lane:
            pass
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert set(errors) <= {refusal, REFUSAL.format("lane was asked for")}
