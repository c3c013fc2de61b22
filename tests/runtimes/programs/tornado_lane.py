"""``FROM``: two generators of Tornado in one thread that hold the lane of the key A while they wait.

They are called from a ``callback`` of the loop, or from a ``task``, which runs them until their first ``yield``.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from functools import partial
from typing import Any

from tornado.gen import coroutine, multi, sleep
from tornado.ioloop import IOLoop

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS
from tests.runtimes.programs.holders import Holders

HOLDERS, MANAGER = Holders(), NonceManager()


def main(called_from: str) -> None:
    """Run it twice at the same time, and print what became of it."""
    hold_it = partial(coroutine(HOLDERS.hold), partial(MANAGER.lane, KEYS[0][0]), sleep)
    failures: list[str] = []

    async def both() -> None:
        await multi([hold_it(), hold_it()])

    def both_at_once() -> Any:
        return multi([hold_it(), hold_it()])

    try:
        if called_from == "task":
            asyncio.run(both())
        else:
            IOLoop.current().run_sync(both_at_once)
    except Exception:
        failures.append(traceback.format_exc())
    HOLDERS.print(failures=failures)


if __name__ == "__main__":
    main(sys.argv[1])
