"""A process that has used everything, and is then forked by the C library, which calls none of Python's callbacks."""

from __future__ import annotations

import ctypes
import json
import os
import time
import traceback
from pathlib import Path

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS, guarded, krakens, meet, query

CHILDREN = 3
METHODS = ("Balance", "BalanceEx", "OpenOrders", "OpenPositions")  # of the parent, and of each child
NONCES, TURNS, CALLS = 200, 15, 2


def work(number: int, folder: Path) -> None:
    """Take nonces, hold turns and make calls at the same time as the others; write down what came of it."""
    said: dict[str, object] = {"nonces": [], "turns": [], "error": ""}
    try:
        meet(1 + CHILDREN)
        said["nonces"] = [MANAGER.next() for _ in range(NONCES)]
        turns: list[tuple[float, float]] = []
        for _ in range(TURNS):
            with MANAGER.lane(KEYS[1][0]):
                began = time.monotonic()
                time.sleep(0.001)
                turns.append((began, time.monotonic()))
        said["turns"] = turns
        meet(1 + CHILDREN, "calls")
        for _ in range(CALLS):
            query(API, METHODS[number])
            query(CLIENT, METHODS[number])
    except Exception:
        said["error"] = traceback.format_exc()
    (folder / f"said-{number}").write_text(json.dumps(said))


def main() -> None:
    """Use everything, fork three times, work in all four processes, and print what each said."""
    query(API)
    query(CLIENT)
    MANAGER.next()
    with MANAGER.lane(KEYS[1][0]):
        pass
    folder = Path(os.environ["TEST_MEETING"]).parent
    children = []
    for number in range(1, 1 + CHILDREN):
        child = ctypes.CDLL(None).fork()
        if not child:
            work(number, folder)
            os._exit(0)
        children.append(child)
    work(0, folder)
    for child in children:
        os.waitpid(child, 0)
    print(json.dumps([json.loads((folder / f"said-{number}").read_text()) for number in range(1 + CHILDREN)]))


MANAGER = NonceManager()
API = guarded(*KEYS[0])
CLIENT = krakens(*KEYS[0], tier="pro")
if __name__ == "__main__":
    main()
