"""A process with several threads and a forked child, which all call one key through different clients."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from krakenonce.guards import guard
from krakenonce.testing import FakeAccount, FakeKraken
from tests.integration.guard.families import NAMED

CALLS = 10
CREW = ("krakenex", "ccxt", "sdk User", "ccxt")  # a client for each thread


def work(name: str, account: FakeAccount, url: str) -> None:
    """Make private calls, one after the other; the client raises, or krakenex answers, if one is refused."""
    family = NAMED[name]
    client = guard(family.make(account.key, account.secret, url))
    for _ in range(CALLS):
        answer = family.private(client, "Balance")
        assert not answer.get("error"), answer


def main(key: str, secret: str, url: str) -> None:
    """Fork, then run the threads in both processes."""
    account = FakeKraken().add_account("bot", key, secret)
    child = os.fork()
    with ThreadPoolExecutor(len(CREW)) as pool:
        for done in [pool.submit(work, name, account, url) for name in CREW]:
            done.result()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
