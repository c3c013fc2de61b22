"""Every system call of the file backend as the last one before a crash, and every state that the disk may then have."""

from __future__ import annotations

import contextlib
import copy
import itertools
from typing import TYPE_CHECKING

from krakenonce.errors import NonceStoreError
from prove.campaign import Broken, Campaign
from prove.crash_scenarios import SCENARIOS
from prove.host import MARK, STATE, TEXT, Host, located, marks_in
from prove.simulated_disk import Killed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prove.campaign import Figures, Trial
    from prove.crash_scenarios import Scenario
    from prove.simulated_disk import Fault, Image

__all__ = ["CRASH_POINTS"]

_CLOCKS = (0, -3600)  # right, and an hour behind
_NEVER = 10**9
_FOR_TWO_CRASHES = 60  # seconds of a trial that is not a short one; all is tried, however long it takes
_FAULTS: tuple[Fault, ...] = ("full", "broken", "broken but stored", "broken and torn")


def run(trial: Trial, scenarios: Sequence[Scenario] = SCENARIOS, first: int = 1) -> Figures:
    """Go through all scenarios; nothing is random. In a long run, another crash follows each crash.

    Args:
        trial: Where, and whether it is a short run.
        scenarios: Those to go through.
        first: The system call to begin with, for a test that knows where it finds something.
    """
    figures = dict.fromkeys(("scenarios", "crash points", "disk states", "failing calls"), 0)
    for scenario in scenarios:
        _Search(trial.directory, scenario, figures, twice=trial.seconds >= _FOR_TWO_CRASHES).run(first)
    return figures


CRASH_POINTS = Campaign(
    name="crash-points",
    what="a kill or a power cut at each system call of the file backend, and each state that the disk may then have",
    run=run,
    seconds=_FOR_TWO_CRASHES,
    short=20,
)


class _Search:
    """All crashes of one scenario."""

    def __init__(self, directory: Path, scenario: Scenario, figures: Figures, *, twice: bool) -> None:
        self._roots = [directory / name for name in ("played", "cut once", "cut twice")][: 3 if twice else 2]
        self._twice = twice
        for root in self._roots:
            root.mkdir(exist_ok=True)
        self._scenario = scenario
        self._figures = figures
        self._seen: set[object] = set()

    def run(self, first: int) -> None:
        self._figures["scenarios"] += 1
        for call in itertools.count(first if self._scenario.inside else _NEVER):
            if not self._crash(call):
                return
            for fault in _FAULTS:
                self._fail(call, fault)

    def _play(self, call: int, fault: Fault) -> tuple[Host, bool]:
        """Play the scenario, with its *call*-th system call failing; return whether an error was raised."""
        host = Host(self._roots[0])
        self._scenario.before(host)
        host.disk.fail(call, fault)
        refused = False
        try:
            self._scenario.act(host)
        except Killed:
            host.kill(host.processes[-1])
        except NonceStoreError:
            refused = host.slot_lost = True
        return host, refused

    def _crash(self, call: int) -> bool:
        """Let everything end before the *call*-th call; return whether that call was made."""
        where = f"{self._scenario.name}, crashed before call {call}"
        self._figures["crash points"] += 1
        with located(where):
            host, _ = self._play(call, "killed")
        crashed = host.disk.fired
        if crashed and (host.disk.state, host.highest) in self._seen:
            return True  # the last call has changed nothing
        self._seen.add((host.disk.state, host.highest))
        self._cut(host, where)
        for survivor in range(len(host.processes)):
            with located(f"{where}, others went on"):
                host, _ = self._play(call, "killed")
                host.disk.heal()
                host.next(host.processes[survivor])
                host.next(host.start())
            self._cut(host, f"{where}, others went on")
        for step in _CLOCKS if self._scenario.inside and self._twice else ():
            for again in itertools.count(1):
                if not self._crash_again(call, again, step, where):
                    break
        return crashed

    def _crash_again(self, call: int, again: int, step: float, where: str) -> bool:
        """After a kill another process tries the same, and is killed in its turn."""
        where += f", killed again before call {again} of the next try"
        with located(where):
            host, _ = self._play(call, "killed")
            host.clock.step(step)
            host.disk.fail(again, "killed")
            host.start()
            with contextlib.suppress(Killed):
                self._scenario.act(host)
            crashed = host.disk.fired
            host.kill(host.processes[-1])
            host.disk.heal()
            self._cut(host, where)
            host.next(host.start())
        self._cut(host, where)
        return crashed

    def _fail(self, call: int, fault: Fault) -> None:
        """Let one call fail, which must raise an error, and let each process continue."""
        self._figures["failing calls"] += 1
        where = f"{self._scenario.name}, call {call} failed ({fault})"
        with located(where):
            host, refused = self._play(call, fault)
            if not refused and self._scenario.reports:
                raise Broken("the failure was not reported as an error")
        self._cut(host, where)
        for one in range(len(host.processes)):
            with located(f"{where}, and it went on"):
                host, _ = self._play(call, fault)
                host.disk.heal()
                host.next(host.processes[one])
                host.next(host.start())
            self._cut(host, f"{where}, and it went on")

    def _cut(self, host: Host, where: str, depth: int = 1) -> None:
        """Cut the power: whatever the disk has then, the next nonce is above all before, also after another cut."""
        for image in host.disk.images():
            for step in _CLOCKS:
                self._boot(image, host, step, f"{where}, power cut", depth)

    def _boot(self, image: Image, before: Host, step: float, where: str, depth: int) -> None:
        clock = copy.copy(before.clock)
        clock.reboot(f"{clock.boot_id()}'")
        clock.step(step)
        state = (tuple(image.items()), before.highest, clock.now_ns(), clock.boot_id())
        if state in self._seen:
            return
        self._seen.add(state)
        self._figures["disk states"] += 1
        with located(f"{where} leaving {_described(image)}"):
            host = Host(self._roots[depth], image, clock, before.highest)
            host.next(host.start())
        if depth + 1 < len(self._roots):
            self._cut(host, where, depth + 1)


def _described(image: Image) -> str:
    if image.get(STATE, b"") is not None:
        return "nothing"
    return f"the nonce file {image.get(TEXT)!r} and the marks {marks_in(image.get(MARK))}"
