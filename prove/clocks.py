"""Whole processes with wrong clocks, each with another one: nonces stay in order and near the real time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Self

from krakenonce.clock import SystemClock
from krakenonce.manager import NonceManager
from krakenonce.rule import MARK_STEP, SECOND, STEP_LASTS, STEP_LIMIT
from prove.campaign import MAX_WAIT, Broken, Campaign, check_order
from prove.pipe import Listener, Reporter
from prove.rounds import Rounds
from prove.wrong_clock import HOUR, WrongClock, require_libfaketime

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from krakenonce.testing.checker import Issue
    from prove.campaign import Figures, Trial
    from prove.fork_server import Worker
    from prove.pipe import Reported
    from prove.rounds import Maker

__all__ = ["CLOCKS", "Boot", "Lasting"]

_CLOCKS = 4
_ROUND = 4.0  # seconds that a boot lasts
_TICK = 0.003  # seconds
_TICKS = 100  # at least, in a boot
_LASTS = STEP_LASTS / SECOND
_SOON = 20.0  # seconds after the minute in which a clock that stayed ahead must be trusted, on a busy machine


class Boot:
    """The clocks of this process, in a boot of another name: what a reboot looks like to a backend.

    Args:
        name: The boot's id.
        began: When it began, by the real time since boot.
    """

    now_ns = staticmethod(time.time_ns)

    def __init__(self, name: str, began: int) -> None:
        self._name = name
        self._began = began

    def boot_ns(self) -> int:
        """Nanoseconds since this boot began."""
        return SystemClock.boot_ns() - self._began

    def boot_id(self) -> str:
        """The name of this boot."""
        return self._name


def run(trial: Trial, maker: Maker = NonceManager) -> Figures:
    """Boots of a few seconds, every second one an hour behind; in each, four clocks that step and strobe.

    No clock stays ahead for a minute, and none is ahead by more than one minute and less than two: from any clock that
    may be trusted, each that is further ahead is a step of more than a minute. So by invariant 5 no nonce is ever
    ahead of the real time by more than a minute, and the ten seconds that each reboot skips. A long run also has a
    clock that stays an hour ahead: it is trusted after a minute, and not before.
    """
    require_libfaketime(trial.directory)
    state = trial.directory / "state"
    figures = dict.fromkeys(("boots", "processes", "clock steps", "nonces"), 0)
    rounds = Rounds(state)
    with contextlib.ExitStack() as stack:
        lasting = stack.enter_context(Lasting(trial, maker)) if trial.seconds > _LASTS + _SOON else None
        while not trial.over or not figures["boots"]:
            figures["boots"] += 1
            boot = Boot(f"boot {figures['boots']}", SystemClock.boot_ns())
            reported, steps = _boot(
                trial, partial(lives, state, partial(maker, clock=boot)), behind=figures["boots"] % 2 == 0
            )
            last = rounds.check(reported, partial(maker, clock=boot))
            check_lead([*reported.issues, last], STEP_LIMIT + MARK_STEP * figures["boots"])
            figures["clock steps"] += steps
            figures["nonces"] = rounds.nonces
            figures["processes"] += reported.count("life")
        if lasting:
            figures["seconds until an hour was trusted"] = lasting.trusted_after()
    return figures


def _boot(trial: Trial, work: Callable[[Reporter, random.Random], None], *, behind: bool) -> tuple[Reported, int]:
    """One boot: begin with clocks that are right, or an hour behind; then let them go wrong."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(trial.directory / "alive"))
        clocks = []
        for i in range(_CLOCKS):
            clocks.append(WrongClock(trial.directory / f"clock-{i}", listener, -HOUR if behind else 0))
            stack.enter_context(clocks[-1].fork_server)
        workers = [clock.fork_server.start(work, trial.rng.getrandbits(32)) for clock in clocks]
        stack.callback(_end, workers)
        listener.until_reported("some processes report nothing", by=_CLOCKS)
        end, ticks = time.monotonic() + _ROUND, 0
        while ticks < _TICKS or not (trial.over or time.monotonic() > end):
            time.sleep(_TICK)
            ticks += 1
            for clock in clocks:
                clock.stir(trial.rng)
        _end(workers)
        return listener.hear(), sum(clock.steps for clock in clocks)


def _end(workers: list[Worker]) -> None:
    while workers:
        os.kill(workers[-1].pid, signal.SIGKILL)
        workers.pop().reap()


def lives(state: Path, maker: Maker, reporter: Reporter, rng: random.Random) -> None:
    """One process after the other that opens the state, takes some nonces, and ends."""
    while True:
        count = rng.choice([1, 10, 300])
        pid = os.fork()
        if not pid:
            _life(maker(state), Reporter(reporter.pipe), count)
        reporter.reap(pid)
        reporter.note("life")


def _life(manager: NonceManager, reporter: Reporter, count: int) -> None:
    signal.alarm(round(2 * MAX_WAIT))  # if it hangs, that is found before
    try:
        for _ in range(count):
            reporter.nonce(manager.next)
    except BaseException as error:
        reporter.note("failed", repr(error))
    os._exit(0)


def check_lead(issues: Sequence[Issue], limit: int) -> None:
    """Raise Broken if a nonce is ahead of the real clock by more than *limit* nanoseconds."""
    far = max(issues, key=lambda issue: issue.nonce - issue.answered)
    lead = _lead(far)
    if lead > limit:
        raise Broken(f"{far} is {lead / SECOND:.1f} s ahead of the clock; {limit / SECOND:.0f} s are allowed")


def _lead(issue: Issue) -> int:
    return issue.nonce - issue.answered - (time.time_ns() - time.monotonic_ns())


class Lasting:
    """A clock that steps an hour forward and stays there, on a state of its own."""

    def __init__(self, trial: Trial, maker: Maker) -> None:
        self._directory = trial.directory / "lasting"
        self._work = partial(slowly, self._directory / "state", maker)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._directory.mkdir()
        self._listener = self._running.enter_context(Listener(self._directory / "alive"))
        clock = WrongClock(self._directory / "clock", self._listener, 0)
        self._running.enter_context(clock.fork_server)
        self._workers = [clock.fork_server.start(self._work, 0)]
        self._running.callback(_end, self._workers)
        self._listener.until_reported("the process with the clock ahead reports nothing")
        self._stepped = time.monotonic_ns()
        clock.set(HOUR)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def until_it_has_gone_on(self) -> None:
        """Wait until a nonce was taken with the clock ahead."""
        self._listener.until_reported("the process with the clock ahead reports nothing")

    def trusted_after(self) -> int:
        """Return after how many seconds the step was trusted; raise Broken if too early or not at all."""
        _end(self._workers)
        issues = self._listener.hear().issues
        check_order(issues)
        trusted = [issue.answered for issue in issues if _lead(issue) > STEP_LIMIT]
        seconds = (min(trusted) - self._stepped) / SECOND if trusted else -1
        if not _LASTS <= seconds <= _LASTS + _SOON:
            raise Broken(f"a clock that stays an hour ahead was trusted after {seconds:.1f} s (-1: never)")
        return round(seconds)


def slowly(state: Path, maker: Maker, reporter: Reporter, _rng: random.Random) -> None:
    """Take a hundred nonces a second."""
    manager = maker(state)
    while True:
        reporter.nonce(manager.next)
        time.sleep(0.01)


CLOCKS = Campaign("clocks", "processes whose clocks step and strobe by up to an hour, over reboots", run, 90, 10)
