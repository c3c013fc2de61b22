"""Two generators of Twisted in one thread that hold the lane of the key A while they wait."""

from __future__ import annotations

from functools import partial

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.internet.task import deferLater

from krakenonce import NonceManager
from tests.runtimes.programs.given import KEYS
from tests.runtimes.programs.holders import Holders

HOLDERS, MANAGER = Holders(), NonceManager()


def main() -> None:
    """Run it twice at the same time, and print what became of it."""
    hold_it = partial(inlineCallbacks(HOLDERS.hold), partial(MANAGER.lane, KEYS[0][0]), partial(deferLater, reactor))
    failures: list[str] = []

    def start() -> None:
        done = gatherResults([hold_it(), hold_it()])
        done.addErrback(lambda failure: failures.append(failure.getTraceback()))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run()
    HOLDERS.print(failures=failures)


if __name__ == "__main__":
    main()
