"""Makes calls with the first key until it is asked to end, and prints how many it has made."""

from __future__ import annotations

import signal

from tests.runtimes.programs.given import KEYS, guarded, query

if __name__ == "__main__":
    running, calls = [True], 0
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    api = guarded(*KEYS[0])
    while running:
        query(api)
        calls += 1
    print(calls)
