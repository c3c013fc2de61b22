"""What a program is given by its test: keys, addresses, and a place to meet the other programs."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

PATIENCE = 15.0
KEYS: list[tuple[str, str]] = [(key, secret) for key, secret in json.loads(os.environ["TEST_KEYS"])]
URL = os.environ["TEST_URL"]
_MEETING = Path(os.environ["TEST_MEETING"])


def meet(count: int, name: str = "all") -> None:
    """Wait until *count* callers, in any processes, are here together. Sleeps as the runtime's patches have it."""
    (_MEETING / f"{name}-{uuid.uuid4().hex}").touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(_MEETING.glob(f"{name}-*"))) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all {count} came to {name}")
        time.sleep(0.01)


def guarded(key: str, secret: str) -> Any:
    """Return a guarded krakenex client of the fake Kraken."""
    import krakenex

    from krakenonce import guard

    api = guard(krakenex.API(key, secret))
    api.uri = URL
    return api


def krakens(key: str, secret: str, tier: str = "none") -> Any:
    """Return our client of the fake Kraken, with the function of krakenex's name."""
    from krakenonce.kraken import Kraken

    return Kraken(key, secret, tier=tier, base_url=URL)


CLIENTS = {"krakenex": guarded, "Kraken": krakens}


def query(client: Any, method: str = "Balance") -> None:
    """Make one private call; raises what went wrong."""
    answer = client.query_private(method)
    if answer["error"]:
        raise RuntimeError(str(answer["error"]))
