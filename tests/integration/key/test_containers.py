"""Limits that containers share whose clocks differ, and that outlive a reboot."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file.locked_files import LockedFile
from krakenonce.key.limiter import Limiter
from krakenonce.testing.clock import ManualClock
from tests.integration.key.test_limiter import KEY, NOW, ORDER, STARTER, at_once, book, path_in

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
HOUR, YEAR = 3600.0, 3600.0 * 24 * 365


class Machine:
    """The host and a container: one wall clock, two times since boot."""

    def __init__(self, directory: Path, box: ManualClock) -> None:
        self._clocks = (ManualClock(), box)
        self.host, self.box = (Limiter(FileStore(directory).rate_limits, clock=clock) for clock in self._clocks)

    def pass_time(self, seconds: float) -> None:
        """Let time pass for both."""
        for clock in self._clocks:
            clock.pass_time(seconds)

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        for clock in self._clocks:
            clock.step(seconds)

    def now(self) -> int:
        """The wall clock."""
        return self._clocks[0].now_ns()

    def set_wall(self, now_ns: int) -> None:
        """Set the wall clock to a time."""
        for clock in self._clocks:
            clock.set_wall(now_ns)


def another_boot(boot_id: str, seconds: float) -> ManualClock:
    """The clock of a container that was started so many seconds ago, by its own account."""
    clock = ManualClock()
    clock.reboot(boot_id)
    clock.pass_time(seconds)
    clock.step(-seconds)
    return clock


@pytest.fixture(params=[("boot 2", 0), ("boot 2", 1e6), ("", 0), ("", 1e6)], ids=str)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """Containers whose time since boot is before or after the host's, with a boot id of their own or none."""
    return Machine(tmp_path, another_boot(*request.param))


def test_a_lockout_is_seen_in_every_container(machine: Machine) -> None:
    """Whoever has noted it; a look from another container does not change it, and it ends for all."""
    machine.host.lock_out(KEY, 900)
    machine.pass_time(100)
    for limiter in (machine.box, machine.host) * 2:
        assert limiter.locked_out(KEY) == pytest.approx(800, abs=0.001)
        assert book(limiter, STARTER, "Balance", {}, 1e9).locked_out == pytest.approx(800, abs=0.001)
    machine.box.lock_out(KEY, 1000)
    machine.host.lock_out(KEY, 60)
    assert machine.host.locked_out(KEY) == pytest.approx(1000, abs=0.001)
    machine.pass_time(1000.001)
    assert machine.box.locked_out(KEY) == machine.host.locked_out(KEY) == 0


def test_processes_whose_boot_is_not_known_have_a_clock_each(tmp_path: Path) -> None:
    """Their times since boot may differ, and so nothing is concluded from them."""
    machine = Machine(tmp_path, another_boot("", 0))
    machine.box.lock_out(KEY, 900)
    look = """
import sys
from krakenonce.backends import FileStore
from krakenonce.key.limiter import Limiter
from tests.integration.key.test_containers import another_boot
print(Limiter(FileStore(sys.argv[1]).rate_limits, clock=another_boot("", 1e6)).locked_out("a key"))
"""
    done = subprocess.run(
        [sys.executable, "-c", look, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(900, abs=0.001)


def test_the_counters_are_those_of_all_containers(machine: Machine) -> None:
    """What each sends counts for the others, and falls as time passes."""
    for limiter in (machine.host, machine.box) * 3:
        assert book(limiter, STARTER, "Balance", {}, 0) == NOW
        assert book(limiter, STARTER, "AddOrder", ORDER, 0) == NOW
    machine.pass_time(2)
    for limiter in (machine.host, machine.box):
        assert limiter.levels(KEY, STARTER) == pytest.approx((6 - 2 * 0.33, 6 - 2), abs=0.001)
    assert at_once(machine.box) + at_once(machine.host) == 9
    machine.pass_time(100)
    assert at_once(machine.host) == 14


def test_a_call_keeps_its_place_before_those_of_another_container(machine: Machine) -> None:
    """The queue is one."""
    assert at_once(machine.host) == 14
    waits = [book(limiter, STARTER, "Balance", {}, 1e9).wait for limiter in (machine.host, machine.box, machine.host)]
    assert waits == pytest.approx([waits[0] + number / 0.33 for number in range(3)], abs=0.01)


@pytest.mark.parametrize("seconds", [-YEAR, -HOUR, HOUR, YEAR])
def test_a_step_of_the_wall_clock_that_was_seen_changes_no_lockout(machine: Machine, seconds: float) -> None:
    """A process of the clock that the state follows has looked since."""
    machine.host.lock_out(KEY, 900)
    machine.step(seconds)
    for _ in range(2):
        for limiter in (machine.host, machine.box):
            assert limiter.locked_out(KEY) == pytest.approx(900, abs=0.001)


@pytest.mark.parametrize("seconds", [-YEAR, -HOUR, -200])
def test_a_step_back_makes_a_lockout_begin_again_at_most(machine: Machine, seconds: float) -> None:
    """Nobody has looked between the step and the other container's look."""
    machine.host.lock_out(KEY, 900)
    machine.pass_time(100)
    machine.step(seconds)
    left = machine.box.locked_out(KEY)
    assert left == pytest.approx(900)
    machine.pass_time(500)
    assert machine.host.locked_out(KEY) == pytest.approx(400, abs=0.001)
    machine.pass_time(400.001)
    assert machine.host.locked_out(KEY) == machine.box.locked_out(KEY) == 0


def test_after_a_step_back_counters_fall_again(machine: Machine) -> None:
    """A counter that was noted later than the clock shows is one of now: calls do not wait for a year."""
    machine.host.levels(KEY, STARTER)
    machine.pass_time(YEAR)
    for _ in range(59):
        book(machine.host, STARTER, "AddOrder", ORDER, 0)
    machine.step(-YEAR)
    assert machine.box.levels(KEY, STARTER).engine == 59
    machine.pass_time(30)
    assert machine.box.levels(KEY, STARTER).engine == 29


def test_a_lockout_outlives_a_reboot(tmp_path: Path) -> None:
    """Kraken's does, too. The counters have fallen by what has passed."""
    clock = ManualClock()
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    assert at_once(limiter) == 14
    limiter.lock_out(KEY, 900)
    clock.pass_time(20)
    clock.reboot()
    again = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    assert again.locked_out(KEY) == pytest.approx(880)
    assert again.levels(KEY, STARTER).rest == pytest.approx(14 - 20 * 0.33)
    clock.pass_time(880.001)
    assert at_once(again) == 14


def test_without_a_clock_that_runs_while_the_machine_is_off(tmp_path: Path) -> None:
    """It begins in 1970 with each boot: a lockout begins again, once, and ends whatever the clock is set to."""
    clock = ManualClock()
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    limiter.lock_out(KEY, 900)
    clock.pass_time(100)
    right = clock.now_ns()
    clock.set_wall(0)
    clock.reboot()
    assert limiter.locked_out(KEY) == 900
    clock.pass_time(300)
    clock.set_wall(right)
    assert limiter.locked_out(KEY) == 600


@pytest.mark.parametrize("wrong", [0, 20 * 10**18])
def test_a_wall_clock_that_is_set_right_after_the_boot_ends_no_lockout(machine: Machine, wrong: int) -> None:
    """Before 2020 or after 2200 it is not believed, neither then nor when it has been set."""
    machine.host.lock_out(KEY, 900)
    right = machine.now()
    machine.set_wall(wrong)
    assert machine.box.locked_out(KEY) == 900
    machine.set_wall(right)
    assert machine.host.locked_out(KEY) == 900


@pytest.mark.parametrize("damage", [math.nan, math.inf, -1e12, 1e12])
def test_damage_to_the_state_s_time_ends_no_lockout(machine: Machine, tmp_path: Path, damage: float) -> None:
    """Time goes on from when it was noted."""
    machine.host.lock_out(KEY, 900)
    with path_in(tmp_path).open("r+b") as file:
        file.seek(16)
        file.write(struct.pack("<dd", damage, damage))
    for limiter in (machine.box, machine.host):
        assert limiter.locked_out(KEY) == pytest.approx(900, abs=0.001)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where a state has been written to."""
    seen: list[int] = []
    write: Callable[[LockedFile, int, bytes], None] = LockedFile.write

    def note(file: LockedFile, offset: int, data: bytes) -> None:
        seen.append(offset)
        write(file, offset, data)

    monkeypatch.setattr(LockedFile, "write", note)
    return seen


def test_a_step_writes_nothing_for_the_clocks_alone(tmp_path: Path, writes: list[int]) -> None:
    """With one clock, and a wall clock that is corrected by a little."""
    clock = ManualClock()
    limiter = Limiter(FileStore(tmp_path).rate_limits, clock=clock)
    book(limiter, STARTER, "Balance", {}, 0)
    writes.clear()
    for _ in range(5):
        clock.pass_time(10)
        clock.step(0.005)
        limiter.locked_out(KEY)
    assert writes == []
    clock.step(1)
    limiter.locked_out(KEY)
    assert writes == [0]
