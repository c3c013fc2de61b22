"""An event loop in which a task holds the turn of the key A while another one calls with the key B, blocking the loop.

Another process holds the turn of the key B.
"""

from __future__ import annotations

import asyncio
import json
import time

from krakenonce import NonceManager
from krakenonce.errors import LaneError
from tests.runtimes.programs.given import KEYS, guarded, meet, query


async def main() -> None:
    """Print what the blocking call got, and after how many seconds."""
    api, refusal, manager = guarded(*KEYS[1]), "", NonceManager()
    held, called = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with manager.lane(KEYS[0][0]):
            held.set()
            await called.wait()

    meet(2, "held")
    holding = asyncio.create_task(hold())
    await held.wait()
    began = time.monotonic()
    try:
        query(api)
    except LaneError as error:
        refusal = f"{type(error).__name__}: {error}"
    took = time.monotonic() - began
    called.set()
    await holding
    print(json.dumps({"refusal": refusal, "took": took}))


if __name__ == "__main__":
    asyncio.run(main())
