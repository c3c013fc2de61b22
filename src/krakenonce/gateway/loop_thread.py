"""An event loop in a thread of its own, for what must go on while the first one waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine


_T = TypeVar("_T")


async def run_in(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run *coroutine* in *loop*, which may be another thread's, and return its result."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


class LoopThread:
    """An event loop that runs from ``with`` until its end, which cancels what it still runs.

    Attributes:
        loop: The event loop.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="krakenonce-second-loop", daemon=True)
        self._runs = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._runs.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._until_the_end())

    async def _until_the_end(self) -> None:
        self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._runs.set()
        await self._end.wait()
