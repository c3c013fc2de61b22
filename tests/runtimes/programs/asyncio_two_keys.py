"""``FIRST SECOND CALLS``: one loop with AsyncKraken on a key and a guarded synchronous client on the other one."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from krakenonce.errors import LaneError
from krakenonce.kraken import AsyncKraken
from tests.runtimes.programs.given import KEYS, URL, guarded, meet, query


async def main(first: str, second: str, calls: int) -> None:
    """Make the calls, and print how many were made, and what was refused after how many seconds."""
    key, other = (KEYS["AB".index(name)] for name in (first, second))
    made, refused, longest = 0, [], 0.0

    async def call(client: AsyncKraken) -> None:
        nonlocal made
        for _ in range(calls):
            await client.private("Balance")
            made += 1

    async def call_blocking() -> None:
        nonlocal made, longest
        api = guarded(*other)
        for _ in range(calls):
            began = time.monotonic()
            try:
                query(api)
                made += 1
            except LaneError as error:
                refused.append(f"{type(error).__name__}: {error}")
                longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.001)

    async with AsyncKraken(*key, tier="none", base_url=URL) as client:
        meet(2)
        await asyncio.gather(call(client), call(client), call_blocking())
    print(json.dumps({"made": made, "refused": refused, "longest": longest}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
