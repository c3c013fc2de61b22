"""``PATCH WHAT``: greenlets that want the lane of the key A."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.runtimes.programs.patches import patch

if TYPE_CHECKING:
    from krakenonce import NonceManager
    from tests.runtimes.programs.greenlets import Greenlets


def timeout(manager: NonceManager, key: str, runtime: Greenlets) -> dict[str, Any]:
    """Wait a second for a lane that another process holds for longer."""
    return {"outcome": runtime.run(lambda: outcome(manager, key, 1.0))[0]}


def wait(manager: NonceManager, key: str, runtime: Greenlets) -> dict[str, Any]:
    """Wait for a lane that another process holds."""
    return {"outcome": runtime.run(lambda: outcome(manager, key, None))[0]}


def reenter(manager: NonceManager, key: str, runtime: Greenlets) -> dict[str, Any]:
    """Enter a lane twice in one greenlet, and see meanwhile and afterwards whether another one can have it."""
    others: list[str] = []

    def other() -> None:
        others.append(outcome(manager, key, 0.2)[0])

    def twice() -> str:
        with manager.lane(key):
            with manager.lane(key):
                runtime.run(other)
            runtime.run(other)
        runtime.run(other)
        return "both left"

    return {"outcome": runtime.run(twice)[0], "others": others}


def outcome(manager: NonceManager, key: str, seconds: float | None) -> tuple[str, float]:
    """Return what became of waiting for the lane, and after how many seconds."""
    from krakenonce.errors import LaneError

    began = time.monotonic()
    try:
        with manager.lane(key, timeout=seconds):
            return "taken", time.monotonic() - began
    except LaneError as error:
        return type(error).__name__, time.monotonic() - began


def main(patched: str, what: str) -> None:
    """Print what became of it, and for how long no greenlet could run."""
    patch(patched)
    from krakenonce import NonceManager
    from tests.runtimes.programs.given import KEYS, meet
    from tests.runtimes.programs.greenlets import Greenlets

    manager, runtime = NonceManager(), Greenlets(patched)
    works = {"timeout": timeout, "wait": wait, "reenter": reenter}
    if what != "reenter":
        meet(2, "held")
    result = works[what](manager, KEYS[0][0], runtime)
    print(json.dumps({**result, "gap": runtime.gap}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
