"""``PATCH CLIENT PROCESSES GREENLETS CALLS``: greenlets that call with two keys in turn, one of several processes."""

from __future__ import annotations

import json
import sys
import traceback
from functools import partial

from tests.runtimes.programs.patches import patch


def main(patched: str, client: str, processes: int, greenlets: int, calls: int) -> None:
    """Print what went wrong, how many calls went well, and for how long no greenlet could run."""
    patch(patched)
    from tests.runtimes.programs.given import CLIENTS, KEYS, meet, query
    from tests.runtimes.programs.greenlets import Greenlets

    apis = [CLIENTS[client](*key) for key in KEYS]
    errors, made = [], 0

    def work(first: int) -> None:
        nonlocal made
        for turn in range(calls):
            try:
                query(apis[(first + turn) % 2])
                made += 1
            except Exception:
                errors.append(traceback.format_exc())

    meet(processes)
    runtime = Greenlets(patched)
    runtime.run(*(partial(work, number) for number in range(greenlets)))
    print(json.dumps({"made": made, "errors": errors, "gap": runtime.gap}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
