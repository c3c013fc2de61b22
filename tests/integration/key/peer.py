"""Another process at the lane ``key``: reads orders from its standard input, answers each with one line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from krakenonce.errors import LaneTimeout
from krakenonce.key.waiting import LaneQueue
from krakenonce.manager import NonceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


def add(directory: str, turns: int) -> None:
    """Add one to the number in a file, *turns* times, as if no other process did."""
    manager, path = NonceManager(directory), f"{directory}/count"
    for _ in range(turns):
        with manager.lane("key"):
            with open(path) as file:
                number = int(file.read())
            with open(path, "w") as file:
                file.write(str(number + 1))


class Peer:
    """One method per order.

    Args:
        directory: The state directory.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.manager = NonceManager(directory)
        self.turns = 0

    def take(self, timeout: str = "") -> str:
        """Take the lane; with a timeout that may fail."""
        try:
            self.manager.lane("key", float(timeout) if timeout else None).acquire()
        except LaneTimeout as error:
            return str(error)
        return "held"

    def take_urgently(self) -> str:
        """Take the lane, before calls that are not urgent."""
        self.manager.lane("key", urgent=True).acquire()
        return "held"

    def leave(self) -> str:
        """Give the lane back."""
        self.manager.lane("key").release()
        return "free"

    def fork(self) -> str:
        """Leave behind a child that lives until it is killed; return its pid."""
        pid = os.fork()
        if not pid:
            os.close(0)
            os.close(1)
            while True:
                signal.pause()
        return str(pid)

    def hog(self) -> str:
        """Take a thousand turns a second, from now on, with no pause between them."""
        threading.Thread(target=self._hog, daemon=True).start()
        return "hogging"

    def _hog(self) -> None:
        while True:
            with self.manager.lane("key"):
                time.sleep(0.001)

    def use_many(self, how: str) -> str:
        """Use 500 lanes with 256 descriptors, while each is remembered or not."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        kept = []
        for _ in range(2):
            for number in range(500):
                lane = self.manager.lane(f"key {number}")
                with lane:
                    kept += [lane] if how == "remembered" else []
        return "done"

    def interrupted(self, seed: str) -> str:
        """Wait for the lane again and again and be interrupted at any moment; never hold it after that."""
        lane, random_ = self.manager.lane("key"), random.Random(int(seed))
        queue, me = lane._queue, threading.get_ident()
        threading.Thread(target=self._hog, daemon=True).start()
        signal.signal(signal.SIGALRM, _interrupt_waiting)
        interruptions = 0
        for _ in range(400):
            lane = self.manager.lane("key", random_.choice([None, 5.0, 0.0005]))
            signal.setitimer(signal.ITIMER_REAL, random_.uniform(0.000_01, 0.001_5))
            try:
                lane.acquire()
            except LaneTimeout:
                pass
            except KeyboardInterrupt:
                interruptions += 1
            else:
                lane.release()
            signal.setitimer(signal.ITIMER_REAL, 0)
            if queue._turn.holder is not None and queue._turn.holder.owner == me:
                return "interrupted, yet it holds the lane"
        with self.manager.lane("key", timeout=20):
            return "interrupted" if interruptions else "never interrupted"

    def storm(self, seed: str) -> str:
        """Threads and tasks take, time out, cancel and enter twice at random; return how many turns they had."""
        threads = [threading.Thread(target=self._stormy_thread, args=(f"{seed}{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        asyncio.run(self._stormy_tasks(seed))
        for thread in threads:
            thread.join()
        return f"{self.turns} turns"

    def _stormy_thread(self, seed: str) -> None:
        random_ = random.Random(seed)
        for _ in range(30):
            lane = self.manager.lane("key", random_.choice([None, 0, -1, 0.001, 0.01]))
            with contextlib.suppress(LaneTimeout), lane, self._alone(), lane:
                time.sleep(random_.choice([0, 0, 0.001]))

    async def _stormy_tasks(self, seed: str) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(self._stormy_task(f"{seed}{number}"))

    async def _stormy_task(self, seed: str) -> None:
        random_ = random.Random(seed)
        for _ in range(20):
            with contextlib.suppress(TimeoutError):  # ours, or the lane's
                async with asyncio.timeout(random_.choice([None, 0, 0.001, 0.005])):
                    async with self.manager.lane("key", random_.choice([None, 0, 0.002])) as lane:
                        with self._alone():
                            async with lane:
                                await asyncio.sleep(random_.choice([0, 0, 0.001]))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        path = os.path.join(self.directory, "inside")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))  # fails if anybody else is inside
        self.turns += 1
        try:
            yield
        finally:
            os.unlink(path)


def _interrupt_waiting(_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt if the lane is being waited for."""
    codes: list[object] = []
    while frame is not None:
        codes.append(frame.f_code)
        frame = frame.f_back
    if LaneQueue.acquire.__code__ in codes and LaneQueue.give_up.__code__ not in codes:
        raise KeyboardInterrupt


def main(directory: str) -> None:
    """Carry out orders until they end."""
    peer = Peer(directory)
    for order in sys.stdin:
        name, *arguments = order.split()
        sys.stdout.write(getattr(peer, name)(*arguments) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
