"""``WHAT``: two trio tasks of one thread that want the lane of the key A."""

from __future__ import annotations

import sys
import time

import trio
import trio.lowlevel

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS, meet
from tests.runtimes.programs.holders import Holders

TURNS, HELD, TICK = 5, 0.03, 0.02


class Tasks:
    """The tasks, and for how long none of them could run, in seconds."""

    def __init__(self, seconds: float | None = None) -> None:
        self.holders = Holders()
        self.gap = 0.0
        self._manager = NonceManager()
        self._seconds = seconds

    async def hold(self) -> None:
        """Hold the lane some times, with ``async with``."""
        for _ in range(TURNS):
            with self.holders.noting_errors():
                async with self._manager.lane(KEYS[0][0], timeout=self._seconds):
                    with self.holders.inside():
                        await trio.sleep(HELD)

    async def hold_sync(self) -> None:
        """Hold the lane some times, with ``with``."""
        for _ in range(TURNS):
            with self.holders.noting_errors(), self._manager.lane(KEYS[0][0]), self.holders.inside():
                await trio.sleep(HELD)
            await trio.lowlevel.checkpoint()

    async def hold_twice(self) -> None:
        """Enter the lane again while holding it."""
        for _ in range(TURNS):
            with self.holders.noting_errors():
                async with self._manager.lane(KEYS[0][0]):
                    async with self._manager.lane(KEYS[0][0]):
                        await trio.sleep(HELD / 2)
                    with self.holders.inside():
                        await trio.sleep(HELD / 2)

    async def tick(self) -> None:
        """See how long each short sleep takes."""
        while True:
            before = time.monotonic()
            await trio.sleep(TICK)
            self.gap = max(self.gap, time.monotonic() - before - TICK)


async def main(what: str) -> None:
    """Run two tasks of a kind, and print what became of them."""
    tasks = Tasks(seconds=0.5 if what == "timeout" else None)
    work = {"sync": tasks.hold_sync, "again": tasks.hold_twice}.get(what, tasks.hold)
    if what in ("wait", "timeout"):
        meet(2, "held")
    async with trio.open_nursery() as every:
        every.start_soon(tasks.tick)
        async with trio.open_nursery() as two:
            two.start_soon(work)
            two.start_soon(work)
        every.cancel_scope.cancel()
    tasks.holders.print(gap=tasks.gap)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
