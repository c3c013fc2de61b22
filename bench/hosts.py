"""What a state costs that several hosts share: ``make bench-hosts``. Results in bench/results/hosts.md and hosts.json.

Servers of this machine, reached through a proxy that makes a round trip 4 ms long. Every figure is divided by a bare
round trip of the same moments. With ``ARGS=--short`` each row takes a second or two, and nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench import crowd, host_peers, lost_holders, one_caller
from bench.alternation import ALTERNATIONS, OPERATIONS, ratios, spread
from bench.delay import Delay
from bench.hosts_report import render
from bench.limits import within
from bench.machine import RESULTS, machine, say
from tests.hosts.engines import ENGINES
from tests.hosts.folders import folder_of_servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hosts.engines import Engine

_LIMIT = 120.0  # seconds for one row


class Size(NamedTuple):
    """How much is measured.

    Args:
        rounds: How often ours and the bare one are done by turns.
        operations: How many of each at a time, through the delay.
        on_loopback: The same without the delay.
        seconds: How long eight processes share a turn.
        holders: How many holders are killed, and how many are cut off.
    """

    rounds: int = ALTERNATIONS
    operations: int = OPERATIONS
    on_loopback: int = 100
    seconds: float = 5.0
    holders: tuple[int, int] = (5, 3)


SHORT = Size(rounds=4, operations=6, on_loopback=20, seconds=1.0, holders=(1, 1))


def main() -> int:
    """Measure on each kind of server, one after the other."""
    parser = argparse.ArgumentParser(prog="make bench-hosts", description="Measure states that several hosts share.")
    parser.add_argument("--short", action="store_true", help="measure little, print it, and write nothing")
    parser.add_argument("--servers", default=",".join(ENGINES), help="which: %(default)s")
    asked = parser.parse_args()
    size, kinds = SHORT if asked.short else Size(), asked.servers.split(",")
    began = time.monotonic()
    with folder_of_servers() as folder:
        measured: dict[str, Any] = {"machine": machine(folder), "servers": {}}
        for kind in kinds:
            with _running(kind, folder) as engine:
                measured["servers"][kind] = _measure(kind, engine, size)
    measured["seconds"] = round(time.monotonic() - began)
    report = render(measured)
    print(report)
    if not asked.short and kinds == list(ENGINES):
        (RESULTS / "hosts.json").write_text(json.dumps(measured, indent=1) + "\n")
        (RESULTS / "hosts.md").write_text(report)
    return 0


@contextlib.contextmanager
def _running(kind: str, folder: Path) -> Iterator[Engine]:
    engine = ENGINES[kind](folder / kind)
    engine.make()
    engine.start()
    try:
        yield engine
    finally:
        engine.kill()


def _measure(kind: str, engine: Engine, size: Size) -> dict[str, Any]:
    """Return all figures of one kind of server."""
    measured: dict[str, Any] = {"version": engine.version()}
    with contextlib.closing(Delay(engine.port)) as delay:
        url, port = engine.url_at(delay.port), delay.port
        for what in one_caller.OURS:
            say(f"{kind}: one caller, {what}")
            operations = size.operations if what != "call" else size.operations // 2
            measured[what] = _alone(kind, url, port, what, "trip", size.rounds, operations)
        say(f"{kind}: one nonce without the delay")
        measured["loopback"] = _alone(kind, engine.url, engine.port, "nonce", "write", size.rounds, size.on_loopback)
        say(f"{kind}: eight processes")
        measured["crowd"] = crowd.measure(kind, url, port, size.rounds, size.seconds)
        say(f"{kind}: holders that are killed and cut off")
        measured["lost"] = lost_holders.measure(engine, port, *size.holders)
        for which, peer in enumerate(host_peers.PEERS):
            if peer.kind == kind:
                say(f"{kind}: {peer.name}, three hosts")
                found = host_peers.measure(which, url, port, size.rounds, max(4, size.operations // 4))
                measured.setdefault("peers", []).append(found)
    return measured


def _alone(kind: str, url: str, port: int, what: str, base: str, rounds: int, operations: int) -> dict[str, Any]:
    timings = within(_LIMIT, one_caller.measure, kind, url, port, what, base, rounds, operations)
    return {
        "ratio": spread(ratios(timings))._asdict(),
        "giving back": spread(ratios(timings, 2))._asdict(),
        "ms": spread(each[1] for each in timings).p50 * 1000,
        "giving_back_ms": spread(each[2] for each in timings).p50 * 1000,
        "bare_ms": spread(each[0] for each in timings).p50 * 1000,
    }


if __name__ == "__main__":
    sys.exit(main())
