"""Time limits: what a benchmark starts runs in another process, and is killed if it does not end in time."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import select
import traceback
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_ENDING = 5.0  # seconds


class Late(Exception):
    """Something has not answered in time."""


class Worker:
    """A new process that calls a function with a pipe; it ends with this one, or when told to.

    Args:
        work: A function of a module. Its first argument is the pipe, by which it answers.
        more: Its other arguments.
    """

    def __init__(self, work: Callable[..., None], *more: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, its = context.Pipe()
        self._process = context.Process(target=_guarded, args=(its, work, *more), daemon=True)
        self._process.start()
        its.close()

    def tell(self, what: object) -> None:
        """Send it something."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send(what)

    def hear(self, limit: float) -> Any:
        """Return its next answer. Raises Late after *limit* seconds, and RuntimeError for what it has raised."""
        if not self._pipe.poll(limit):
            self.kill()
            raise Late(f"{self._process.name} has not answered within {limit:g} s")
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self._process.name} has ended") from None
        if isinstance(answer, _Raised):
            raise RuntimeError(answer.text)
        return answer

    def ask(self, what: object, limit: float) -> Any:
        """Send it something and return its answer."""
        self.tell(what)
        return self.hear(limit)

    def kill(self) -> None:
        """Kill it, by its own number, with SIGKILL."""
        self._process.kill()
        self._process.join(_ENDING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.kill()


class _Raised:
    """What a worker has raised, in words."""

    def __init__(self, text: str) -> None:
        self.text = text


def within(limit: float, work: Callable[..., None], *more: object) -> Any:
    """Call a function in a new process, and return what it sends. Arguments as for :class:`Worker`."""
    with Worker(work, *more) as worker:
        return worker.hear(limit)


def readable(stream: IO[bytes], limit: float) -> bool:
    """Wait until a stream has something to read, or has ended; return whether that is so within *limit* seconds."""
    return bool(select.select([stream], [], [], limit)[0])


def _guarded(pipe: Connection, work: Callable[..., None], *more: object) -> None:
    logging.getLogger("krakenonce").setLevel(logging.ERROR)  # each would warn of the old etcd
    try:
        work(pipe, *more)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # nobody listens any more
    except BaseException:
        with contextlib.suppress(OSError):
            pipe.send(_Raised(traceback.format_exc()))
