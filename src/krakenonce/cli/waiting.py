"""What is printed while a command takes long: who holds the turn, or a progress bar."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from krakenonce.cli.output import complain
from krakenonce.errors import KrakenonceError, LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.brokers.credentials import Account
    from krakenonce.manager import NonceManager


_SILENCE = 2.0  # seconds


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def terminable() -> Iterator[Callable[[], None]]:
    """Let SIGTERM, as `timeout` sends it, end the block as Ctrl-C does, so that the outcomes are still printed.

    After the first signal, others are ignored until the block has ended, or has called the function that it gets.
    """
    here = threading.current_thread() is threading.main_thread()  # others have no signals
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if here}
    handled = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def end(number: int, _: object) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def handle_signals() -> None:
        for number in handled:
            signal.signal(number, end)

    try:
        handle_signals()
        yield handle_signals
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def report_long_wait(who: Account, manager: NonceManager) -> Iterator[None]:
    """Print on stderr what *who* is waiting for, if the block takes more than two seconds."""
    timer = threading.Timer(_SILENCE, _explain, (who, manager))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _explain(who: Account, manager: NonceManager) -> None:
    lane = manager.lane(who.key, timeout=0)
    try:
        with lane:
            return
    except LaneTimeout as error:
        is_ours = f"process {os.getpid()} " in str(error)
        what = "Kraken's answer" if is_ours else f"its turn: {lane.holder()}"
        complain(f"{who.name} is still waiting for {what}; press Ctrl-C to stop waiting")
    except KrakenonceError:
        return  # the command itself gets this error, too


@contextlib.contextmanager
def progress(title: str, total: int, *, transient: bool = True) -> Iterator[Callable[[object], None]]:
    """Show a progress bar on stderr, if that is a terminal. Yields a function to call once for each step."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=transient) as bar:
        task = bar.add_task(title, total=total)
        yield lambda _: bar.advance(task)
