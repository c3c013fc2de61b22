"""Reads the state of a counter without changing anything."""

from __future__ import annotations

import os
from fcntl import LOCK_SH, LOCK_UN, flock
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import open_regular, opening
from krakenonce.backends.file.mark_file import read_mark
from krakenonce.backends.file.recovery import READ, last_issued, newest, of_this_boot

if TYPE_CHECKING:
    from krakenonce.backends.file.recovery import Records
    from krakenonce.backends.file.scope_state import ScopeState
    from krakenonce.clock import Clock


def look(state: ScopeState, clock: Clock) -> tuple[int | None, int | None]:
    """Return the last nonce and the mark that are on the disk, without writing or creating anything."""
    try:
        records, text = _read(state)
        mark_is_new = False
    except FileNotFoundError:
        records, text, mark_is_new = (None, None), _read_text(state), True
    record = newest(records)
    found = last_issued(text, records, same_boot=of_this_boot(record, clock), mark_is_new=mark_is_new)
    return found.last, record.mark if record else None


def _read(state: ScopeState) -> tuple[Records, bytes]:
    """Read both files while no process writes."""
    with opening:
        fd = open_regular(state.mark_path, os.O_RDONLY)
        _looking.add(fd)
    try:
        flock(fd, LOCK_SH)
        return read_mark(fd, state.mark_path), _read_text(state)
    finally:
        flock(fd, LOCK_UN)  # first of all, for an interrupt may come before the closing
        _looking.discard(fd)
        os.close(fd)


def _read_text(state: ScopeState) -> bytes:
    with opening:
        try:
            fd = open_regular(state.text_path, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, READ, 0)
        finally:
            os.close(fd)


def _after_fork_in_child() -> None:
    """A child's copy of a descriptor would keep the lock of a parent that is killed while it reads."""
    while _looking:
        os.close(_looking.pop())


_looking: set[int] = set()  # the descriptors of all reads in progress
os.register_at_fork(after_in_child=_after_fork_in_child)
