"""Anything that can happen to the file backend, in any order: hypothesis looks for the order that breaks a promise."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from krakenonce.errors import ClockError, NonceExhausted, NonceStoreError
from krakenonce.rule import EARLIEST, LATEST, MARK_STEP, NONCE_MAX, STEP_LIMIT, in_range
from prove.campaign import Broken, Campaign
from prove.host import MARK, SCOPE, TEXT, Host, located, marks_in
from prove.simulated_disk import Killed, dropped, kept

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from krakenonce.backends import FileStore
    from prove.campaign import Figures, Trial
    from prove.simulated_disk import Fault

__all__ = ["STATE_MACHINE", "StoreMachine", "search"]

SECOND = 1_000_000_000
_PROCESSES = 3
_AT_THE_END = NONCE_MAX - 10**12  # from here on a few crashes may use up the rest

which = st.integers(0, _PROCESSES - 1)
calls = st.integers(1, 25)
seconds = st.sampled_from([0.000001, 1, 9, 11, 61, 4000])
steps = st.sampled_from([0, -1, -30, -3600, 5, 59, 61, 288, -288, 3600, 10**6])
impossible_clocks = st.sampled_from([0, -5, EARLIEST - 1, LATEST, 2**63, 2**64 + 5])
faults = st.sampled_from(["full", "broken", "broken but stored", "broken and torn"])
floors = st.sampled_from(
    [1, SECOND, 5 * SECOND, MARK_STEP, MARK_STEP + 1, 10**15, -SECOND, -(2**62)]
)  # from the last nonce
garbage = st.sampled_from([b"", b"see backup", b"-1", b"\0" * 19, b"9" * 19, b"17", b"x" * 64])


class StoreMachine(RuleBasedStateMachine):
    """One host, and what may happen to it.

    Args:
        directory: Existing; it is emptied.
        figures: What is counted.
    """

    def __init__(self, directory: Path, figures: Figures) -> None:
        super().__init__()
        self.host = Host(directory)
        self.figures = figures
        self.right = self.host.clock.now_ns()  # what the wall clock should say
        self.knowing: FileStore | None = None  # the process that has issued the highest nonce
        figures["examples"] += 1

    def teardown(self) -> None:
        """Every process ends."""
        while self.host.processes:
            self.host.kill(self.host.processes[-1])

    # Nonces, and what may happen while one is taken.

    @rule(which=which, by=st.sampled_from([1, -1]))
    def another_thread(self, which: int, by: int) -> None:
        """The next nonce of a process is taken by another of its threads, which has the files open for itself."""
        self.process(which)._free.rotate(by)

    @rule(which=which)
    def next(self, which: int) -> None:
        """Take a nonce. An error is right after the largest nonce, and before the first if the clock is impossible."""
        self.take(self.process(which))

    @rule(which=which, call=calls, floor=st.booleans())
    def killed(self, which: int, call: int, floor: bool) -> None:
        """A process is killed before one of its system calls."""
        process = self.process(which)
        self.host.disk.fail(call, "killed")
        try:
            self.set_floor(process, 3 * MARK_STEP) if floor else self.take(process)
        except Killed:
            self.host.kill(process)
        self.host.disk.heal()

    @rule(which=which, call=calls, floor=st.booleans(), fault=faults, lasting=st.booleans())
    def disk_fails(self, which: int, call: int, floor: bool, fault: Fault, lasting: bool) -> None:
        """A system call fails, or all from it on: that is an error, and the last nonce stays or rises (invariant 6)."""
        process = self.process(which)
        self.host.disk.fail(call, fault, lasting=lasting)
        try:
            self.set_floor(process, 3 * MARK_STEP) if floor else self.take(process)
        except NonceStoreError as error:
            if not self.host.disk.fired:
                raise Broken(f"an error where nothing failed: {error}") from error
            self.host.slot_lost = True
        else:
            if self.host.disk.fired:
                raise Broken(f"call {call} failed ({fault}), and there was no error")
        self.host.disk.heal()

    @rule(which=which, more=floors)
    def raise_floor(self, which: int, more: int) -> None:
        """Set a floor, above or below the last nonce."""
        self.set_floor(self.process(which), more)

    @rule(which=which, left=st.sampled_from([1, 2, MARK_STEP, 3 * MARK_STEP]), seldom=st.integers(0, 9))
    def nearly_exhaust(self, which: int, left: int, seldom: int) -> None:
        """Set a floor near the largest nonce (invariant 8); seldom, because little can happen afterwards."""
        if seldom == 5:
            self.set_floor(self.process(which), NONCE_MAX - left - (self.host.highest or self.right))

    # Processes and machines end.

    @rule(which=which)
    def killed_between(self, which: int) -> None:
        """A process is killed between two calls."""
        self.host.kill(self.process(which))

    @rule(which=which)
    def exits(self, which: int) -> None:
        """A process exits, and may note the last nonce."""
        self.host.exit(self.process(which))

    @rule(container=st.sampled_from(["", " in a container", " in another container"]))
    def boot_id_is_another(self, container: str) -> None:
        """Containers on one machine may each have a boot id of their own."""
        self.host.enter(container)

    @rule(chance=st.sampled_from([dropped, kept]) | st.randoms(use_true_random=False), step=steps)
    def power_cut(self, chance: Any, step: float) -> None:
        """The machine boots again; of what was not synced the disk has nothing, all, or some, and some torn."""
        pick = chance if chance in (dropped, kept) else functools.partial(_any, chance)
        self.host.cut_power(self.host.disk.image(pick), step)
        self.knowing = None

    # Clocks.

    @rule(seconds=seconds)
    def time_passes(self, seconds: float) -> None:
        """It goes on."""
        self.host.clock.pass_time(seconds)
        self.right += round(seconds * SECOND)

    @rule(step=steps)
    def clock_steps(self, step: float) -> None:
        """The wall clock is set."""
        self.host.clock.step(step)

    @rule(now_ns=impossible_clocks)
    def clock_is_impossible(self, now_ns: int) -> None:
        """The wall clock shows a time before 2020 or after 2200."""
        self.host.clock.set_wall(now_ns)

    @rule()
    def clock_is_set_right(self) -> None:
        """The clock is corrected."""
        self.host.clock.set_wall(self.right)

    @precondition(lambda self: max(self.host.highest or 0, EARLIEST) < self.host.clock.now_ns() < LATEST - 10**16)
    @rule(which=which, step=st.sampled_from([71, 3600, 10**6]))
    def clock_jumps(self, which: int, step: float) -> None:
        """A step forward that is taken back within a minute raises no nonce (invariant 5)."""
        process = self.process(which)
        self.take(process)
        self.time_passes(11)  # so that the mark is moved up, and the clock looked at, when it is possible again
        self.take(process)
        now_ns, last = self.host.clock.now_ns(), self.host.highest or 0
        self.host.clock.step(step)
        self.take(process)
        self.host.clock.step(-step)
        if (self.host.highest or 0) > max(last + 1, now_ns + STEP_LIMIT):
            raise Broken(f"a clock that jumped by {step} s at {now_ns} raised the nonces to {self.host.highest}")

    # What others do to the files.

    @rule()
    def nonce_file_is_deleted(self) -> None:
        """Nonces continue above the mark."""
        self.host.disk.delete(TEXT)

    @rule(text=garbage)
    def nonce_file_is_changed(self, text: bytes) -> None:
        """It is no nonce, or none that fits the mark."""
        if self.host.disk.seen(TEXT) is not None and marks_in(self.host.disk.seen(MARK)):
            self.host.disk.damage(TEXT, text)

    @rule(slot=st.sampled_from([0, 4096]), data=st.sampled_from([b"\0" * 512, b"\xff" * 512, b"k"]))
    def slot_is_damaged(self, slot: int, data: bytes) -> None:
        """A bad sector; not while the other slot is in doubt, or damaged as well."""
        contents = {*self.host.disk.possible(MARK), self.host.disk.seen(MARK)}
        if len(contents) == 1 and len(marks_in(next(iter(contents)))) == 2:
            self.host.disk.damage(MARK, data, slot)
            self.host.slot_lost = True

    @precondition(lambda self: self.knowing in self.host.processes and EARLIEST <= self.host.highest < _AT_THE_END)
    @rule(both=st.booleans())
    def mark_is_deleted(self, both: bool) -> None:
        """Promised is no more than that a running process notices, and continues above its own nonces."""
        self.host.disk.delete(MARK)
        if both:
            self.host.disk.delete(TEXT)
        self.host.slot_lost = False
        if self.knowing is not None:
            self.take(self.knowing)

    # What must hold.

    @invariant()
    def a_mark_is_above_all_nonces(self) -> None:
        """Whatever a power cut leaves, and whichever process asks, nothing is below what was issued."""
        self.figures["steps"] += 1
        self.host.check()
        last = self.host.peek(self.host.processes[0] if self.host.processes else self.host.start())
        if (-1 if last is None else last) < (self.host.highest or -1):
            raise Broken(f"peek says {last}, and {self.host.highest} was issued")

    def process(self, which: int) -> FileStore:
        """One of the processes, started if need be."""
        return self.host.processes[which] if which < len(self.host.processes) else self.host.start()

    def take(self, process: FileStore) -> None:
        """Take a nonce."""
        before = self.host.disk.seen(TEXT)
        try:
            nonce = self.host.next(process)
        except (ClockError, NonceExhausted) as error:
            if not self.may_refuse(error):
                raise
            after = self.host.disk.seen(TEXT)
            if (after or b"") not in (before or b"", b"%d" % NONCE_MAX):  # the last one may be lost to deleted files
                raise Broken(f"the nonce file was changed, and then: {error}") from error
            return
        self.knowing = process
        self.figures["nonces"] += 1
        if nonce > NONCE_MAX:
            raise Broken(f"{nonce} is beyond 2^63 - 1")
        # A raise of the mark that was killed in another container leaves others in doubt about the nonce file.
        in_doubt = self.host.disk.fired or self.host.slot_lost or self.host.has_containers
        if not in_doubt and self.host.peek(process) != nonce:
            raise Broken(f"peek says {self.host.peek(process)} after {nonce} was issued")

    def may_refuse(self, error: Exception) -> bool:
        """Whether it is right that no nonce is issued."""
        highest = self.host.highest or 0
        if isinstance(error, ClockError):
            return highest < EARLIEST and not in_range(self.host.clock.now_ns())
        return highest >= _AT_THE_END

    def set_floor(self, process: FileStore, more: int) -> None:
        """Set a floor relative to the last nonce."""
        last = self.host.highest or self.right
        before = self.host.highest
        self.host.raise_floor(process, min(max(last + more, 0), NONCE_MAX - 1))
        if self.host.highest != before:
            self.knowing = process


def _any(chance: random.Random, versions: Any) -> Any:
    return chance.choice(versions)


def search(directory: Path, seed: int, examples: int, figures: Figures, *, shrink: bool = True) -> None:
    """Let hypothesis try so many *examples*; Broken says the shortest way to a broken promise that it found."""
    machine = hypothesis.seed(seed)(functools.partial(StoreMachine, directory, figures))
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=30,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    try:
        with located("a sequence of steps"):
            run_state_machine_as_test(machine, settings=settings)  # type: ignore[arg-type] # it is called and no more
    except Broken as error:
        notes = "\n".join(getattr(error.__cause__, "__notes__", []))
        raise Broken(f"{error}\n{notes}") from error


def run(trial: Trial) -> Figures:
    """Run batches, each with a seed of its own, until the time is up."""
    figures = dict.fromkeys(("examples", "steps", "nonces"), 0)
    root = trial.directory / SCOPE
    root.mkdir()
    while True:
        search(root, trial.rng.randrange(2**32), 100, figures)
        if trial.over:
            return figures


STATE_MACHINE = Campaign(
    name="state-machine",
    what="nonces, floors, kills, power cuts, full and failing disks, clocks and deletions in any order",
    run=run,
    seconds=180,
    short=20,
)
