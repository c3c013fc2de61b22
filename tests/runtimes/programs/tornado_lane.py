"""Two generators of Tornado in one thread that hold the lane of the key A while they wait."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from tornado.gen import coroutine, sleep
from tornado.ioloop import IOLoop

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS
from tests.runtimes.programs.holders import Holders

if TYPE_CHECKING:
    from collections.abc import Generator

TURNS, HELD = 5, 0.03
HOLDERS, MANAGER = Holders(), NonceManager()


def hold() -> Generator[Any, Any, None]:
    """Hold the lane some times."""
    for _ in range(TURNS):
        with HOLDERS.noting_errors(), MANAGER.lane(KEYS[0][0]), HOLDERS.inside():
            yield sleep(HELD)
        yield sleep(0)


def main() -> None:
    """Run it twice at the same time, and print what became of it."""
    hold_it = coroutine(hold)
    failures: list[str] = []

    def both() -> Generator[Any, Any, None]:
        try:
            yield [hold_it(), hold_it()]
        except Exception:
            failures.append(traceback.format_exc())

    IOLoop.current().run_sync(coroutine(both))
    HOLDERS.print(failures=failures)


if __name__ == "__main__":
    main()
