"""Greenlets of gevent or eventlet: started, waited for, and watched for how long they were kept from running."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TICK = 0.02


class Greenlets:
    """The greenlets of a runtime, which is ``gevent`` or ``eventlet``.

    ``gap`` is the longest time for which none of them could run, in seconds, while :meth:`run` ran.
    """

    def __init__(self, name: str) -> None:
        self.gap = 0.0
        if name.startswith("gevent"):
            import gevent

            self._spawn, self.sleep = gevent.spawn, gevent.sleep
            self._join: Callable[[Any], Any] = lambda each: each.get()
        else:
            import eventlet

            self._spawn, self.sleep = eventlet.spawn, eventlet.sleep
            self._join = lambda each: each.wait()

    def run(self, *works: Callable[[], Any]) -> list[Any]:
        """Run each of *works* in a greenlet of its own, and return what they returned."""
        done: list[bool] = []
        ticker = self._spawn(self._tick, done)
        self.sleep(0)
        started = [self._spawn(work) for work in works]
        results = [self._join(each) for each in started]
        done.append(True)
        self._join(ticker)
        return results

    def _tick(self, done: list[bool]) -> None:
        while not done:
            before = time.monotonic()
            self.sleep(_TICK)
            self.gap = max(self.gap, time.monotonic() - before - _TICK)
