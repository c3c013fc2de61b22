"""One machine in a simulation: a disk, a clock, processes with backends of their own, and a check of their nonces."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from krakenonce.backends import FileStore
from krakenonce.backends.file.mark import unpack_file
from krakenonce.errors import KrakenonceError
from krakenonce.testing.checker import Issue
from krakenonce.testing.clock import ManualClock
from prove.campaign import Broken, check_order
from prove.simulated_disk import Misuse, SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prove.simulated_disk import Image

__all__ = ["MARK", "SCOPE", "STATE", "TEXT", "Host", "located", "marks_in"]

SCOPE = "global"
STATE = "state"
TEXT = f"{STATE}/kraken_{SCOPE}_nonce.txt"
MARK = f"{STATE}/kraken_{SCOPE}_nonce.mark"

logging.getLogger("krakenonce").addHandler(logging.NullHandler())  # each crash has its warning, and there are thousands


class Host:
    """A machine and its processes, each of which is a backend that shares only the disk with the others.

    Args:
        root: An existing directory; it is emptied.
        image: What is on the disk.
        clock: The machine's clocks.
        highest: The largest nonce issued, or floor set, before this run.
    """

    def __init__(
        self, root: Path, image: Image | None = None, clock: ManualClock | None = None, highest: int | None = None
    ) -> None:
        self.disk = SimulatedDisk(root, image, self._check_sync)
        self.clock = clock or ManualClock()
        self.processes: list[FileStore] = []
        self.slot_lost = False  # damaged from outside, or by a sync that failed, and not yet written again
        self._issues: list[Issue] = []
        self._boots = 1
        self._container = ""
        self.has_containers = False  # since the machine booted
        if highest is not None:
            self._note(highest, "before")

    @property
    def highest(self) -> int | None:
        """The largest nonce issued so far, or floor set."""
        return max((issue.nonce for issue in self._issues), default=None)

    def start(self) -> FileStore:
        """Start a process; the last one in the list is the one that acts."""
        process = FileStore(self.disk.root / STATE, clock=_Inside(self.clock, self._container))
        process.journal = (
            ""  # its lines are no part of what is promised of nonces, and depend on what was written before
        )
        self.processes.append(process)
        return process

    def kill(self, process: FileStore) -> None:
        """A process is killed: the kernel closes its files."""
        self.processes.remove(process)
        with self.disk.mounted():
            process._after_fork()  # which closes them, too, and writes nothing

    def exit(self, process: FileStore) -> None:
        """A process exits: it may note the last nonce, and closes its files."""
        with self.disk.mounted():
            process.close()
        self.processes.remove(process)

    def next(self, process: FileStore) -> int:
        """Take a nonce, and check invariants 1, 2 and 4."""
        with self.disk.mounted():
            nonce = process.advance(SCOPE)
        self._note(nonce, "a process")
        self._check_slots(nonce)
        return nonce

    def raise_floor(self, process: FileStore, floor: int) -> None:
        """Set a floor, which counts as an issued nonce."""
        with self.disk.mounted():
            process.raise_floor(SCOPE, floor)
        if floor > (-1 if self.highest is None else self.highest):
            self._note(floor, "a floor")
            self._check_slots(floor)

    def peek(self, process: FileStore) -> int | None:
        """Look at the last nonce."""
        with self.disk.mounted():
            return process.peek(SCOPE)

    def cut_power(self, image: Image, step: float = 0) -> None:
        """Every process ends, the disk has *image*, and the machine boots with its clock off by *step* seconds."""
        while self.processes:
            self.kill(self.processes[-1])
        self.disk.put(image)
        self._boots += 1
        self._container, self.has_containers = "", False
        self.clock.reboot(f"boot {self._boots}")
        self.clock.step(step)

    def enter(self, container: str) -> None:
        """From now on processes start in this container, with a boot id of its own; empty: outside."""
        self._container, self.has_containers = container, True

    def check(self) -> None:
        """Whatever a power cut leaves now, there is a mark above all issued nonces (invariant 1)."""
        for content in self.disk.possible(MARK):
            marks = marks_in(content)
            if self.highest is not None and self.highest > max(marks, default=-1):
                raise Broken(f"{self.highest} was issued, and a power cut may leave the marks {marks}")

    def _note(self, nonce: int, who: str) -> None:
        moment = 2 * len(self._issues)
        self._issues.append(Issue(moment, moment + 1, nonce, who))
        check_order(self._issues)

    def _check_slots(self, nonce: int) -> None:
        """Both slots on the disk cover the nonce, so that one may be lost."""
        self.check()
        marks = marks_in(self.disk.image().get(MARK))
        self.slot_lost &= min(len(marks), len(marks_in(self.disk.seen(MARK)))) < 2
        if nonce > min(marks) or len(marks) < 2 - self.slot_lost:
            raise Broken(f"{nonce} was issued, and not both slots on the disk cover it: {marks}")

    def _check_sync(self, name: str, before: bytes, after: bytes) -> None:
        """A mark that has been synced never goes down, whether or not a nonce was issued under it (invariant 2)."""
        highest, now = (max(marks_in(content), default=0) for content in (before, after))
        if name == MARK and now < highest and not self.slot_lost:
            raise Broken(f"the mark on the disk went down from {highest} to {now}")


def marks_in(content: bytes | None) -> list[int]:
    """The marks of the slots that are whole."""
    return [slot.mark for slot in unpack_file(content or b"") if slot]


@contextlib.contextmanager
def located(where: str) -> Iterator[None]:
    """Say where a promise was broken. An error of the backend breaks one, if nothing failed."""
    try:
        yield
    except (Broken, KrakenonceError, Misuse) as error:
        name = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
        raise Broken(f"{where}: {name}{error}") from error


class _Inside:
    """The machine's clock as processes in a container see it."""

    def __init__(self, clock: ManualClock, container: str) -> None:
        self.now_ns, self.boot_ns = clock.now_ns, clock.boot_ns
        self._boot_id = clock.boot_id() + container

    def boot_id(self) -> str:
        """Return the boot id that was there when the process started."""
        return self._boot_id
