"""Reads the state of a counter without changing anything."""

from __future__ import annotations

import os
from fcntl import LOCK_SH, LOCK_UN, flock
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import open_regular, opening
from krakenonce.backends.file.mark_file import read_end, read_mark
from krakenonce.backends.file.open_files import identity
from krakenonce.backends.file.recovery import READ, last_issued, newest, of_this_boot
from krakenonce.process import call_in_children

if TYPE_CHECKING:
    from krakenonce.backends.file.recovery import Records
    from krakenonce.backends.file.scope_state import ScopeState
    from krakenonce.clock import Clock


def look(state: ScopeState, clock: Clock) -> tuple[int | None, int | None]:
    """Return the last nonce and the mark that are on the disk, without writing or creating anything."""
    try:
        records, text, ended = _read(state)
        mark_is_new = False
    except FileNotFoundError:
        records, text, ended, mark_is_new = (None, None), _read_text(state), None, True
    record = newest(records)
    same_boot = state.last >= 0 or of_this_boot(record, clock)
    found = last_issued(text, records, same_boot=same_boot, mark_is_new=mark_is_new, ended=ended)
    return found.last, record.mark if record else None


def _read(state: ScopeState) -> tuple[Records, bytes, int | None]:
    """Read both files while no process writes."""
    with opening.lock:
        fd = open_regular(state.mark_path, os.O_RDONLY)
        _reads.files[fd] = identity(fd)
    try:
        flock(fd, LOCK_SH)
        records = read_mark(fd, state.mark_path)
        return records, _read_text(state), read_end(fd, records)
    finally:
        flock(fd, LOCK_UN)  # first of all, for an interrupt may come before the closing
        _reads.files.pop(fd, None)
        os.close(fd)


def _read_text(state: ScopeState) -> bytes:
    with opening.lock:
        try:
            fd = open_regular(state.text_path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, READ, 0)
        finally:
            os.close(fd)


class _Reads:
    """The files of all reads in progress, by their descriptors.

    A child's copy would keep the lock of a parent that is killed while it reads.
    """

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int] | None] = {}
        call_in_children(self)

    def _after_fork(self) -> None:
        while self.files:
            fd, file = self.files.popitem()
            if identity(fd) == file:
                os.close(fd)


_reads = _Reads()
