"""What is known of a scope: this process's memory of it, and a look at the disk that changes nothing."""

from __future__ import annotations

import copy
import os
from fcntl import LOCK_SH, flock
from typing import TYPE_CHECKING

from ..rule import Anchor
from .filesystem import open_regular, opening
from .mark_file import MarkFile
from .protocol import ScopeStats
from .recovery import Records, last_issued, newest

if TYPE_CHECKING:
    from pathlib import Path

    from ..clock import Clock
    from .mark import MarkRecord

__all__ = ["READ", "ScopeState", "look", "of_this_boot"]

READ = 64  # bytes of the text to read: enough to see that it is longer than a number


class ScopeState:
    """What this process knows of a scope, shared by all its descriptors and changed only under the kernel's lock."""

    __slots__ = (
        "anchor",
        "clock_back",
        "clock_event",
        "clock_forward",
        "extended",
        "extending_ns",
        "generation",
        "inode",
        "issued",
        "last",
        "mark",
        "mark_path",
        "now",
        "recovered",
        "scope",
        "seen_in_place",
        "synced",
        "text_path",
    )

    def __init__(self, directory: Path, scope: str) -> None:
        self.scope = scope
        self.text_path = directory / f"kraken_{scope}_nonce.txt"
        self.mark_path = directory / f"kraken_{scope}_nonce.mark"
        self.last = -1  # the largest number this process has issued
        self.mark = -1  # the mark that this process itself has put on the disk; one it has only read does not count
        self.synced: MarkRecord | None = None  # what it has last put into both slots
        self.now = 0  # the wall clock when it was last looked at
        self.anchor = Anchor(0, 0)  # the last readings that were believed; none yet
        self.clock_event = "steady"
        self.inode = 0  # the mark file that this is about
        self.seen_in_place = (0, 0)  # the directory's change time when the files were last seen there, and how long
        # that holds, by the monotonic clock
        self.generation = 0  # goes up when a write has failed: descriptors from before are not used again
        self.issued = self.extended = self.recovered = self.clock_back = self.clock_forward = self.extending_ns = 0

    def of_file(self, inode: int, mark: int) -> ScopeState:
        """This state, if it is about the mark file *inode*; else one that takes nothing in that file for durable.

        A new file may get the inode of one that was deleted. But what a process has synced does not go down, so a
        file with a lower *mark* is another one.
        """
        if self.inode in (0, inode) and mark >= self.mark:
            self.inode = inode
            return self
        renewed = copy.copy(self)
        renewed.inode = inode
        renewed.mark = -1
        renewed.synced = None
        return renewed

    def stats(self, last: int | None, mark: int | None) -> ScopeStats:
        """The counts so far, with the *last* number and *mark* given."""
        counts = (self.issued, self.extended, self.recovered, self.clock_back, self.clock_forward)
        return ScopeStats(self.scope, last, mark, *counts, self.extending_ns)


def look(state: ScopeState, clock: Clock) -> tuple[int | None, int | None]:
    """Return the last number and the mark as they stand on disk, without writing or creating anything."""
    mark_is_new = False
    with opening:  # until they are closed again
        try:
            fd = open_regular(state.mark_path, os.O_RDONLY)
        except FileNotFoundError:
            records: Records = (None, None)
            mark_is_new = True
            text = _read_text(state)
        else:
            try:
                flock(fd, LOCK_SH)
                records = MarkFile(fd, state.mark_path).read()
                text = _read_text(state)
            finally:
                os.close(fd)
    record = newest(records)
    found = last_issued(text, records, same_boot=of_this_boot(record, clock), mark_is_new=mark_is_new)
    return found.last, record.mark if record else None


def of_this_boot(record: MarkRecord | None, clock: Clock) -> bool:
    """Whether *record* was written since the machine started; no if that is unknown."""
    return bool(record and record.boot_id and record.boot_id == clock.boot_id())


def _read_text(state: ScopeState) -> bytes:
    try:
        fd = open_regular(state.text_path, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, READ, 0)
    finally:
        os.close(fd)
