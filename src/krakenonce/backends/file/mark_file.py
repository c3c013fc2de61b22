"""The mark file: read, and raised so that a crash at any moment leaves a valid mark."""

from __future__ import annotations

import os
from os import fstat
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import sync, write_whole
from krakenonce.backends.file.mark import (
    END_OFFSET,
    END_SIZE,
    FILE_SIZE,
    FIRST,
    NOT_WRITTEN,
    SECOND,
    MarkRecord,
    OtherVersion,
    pack,
    pack_end,
    slot_offset,
    slots_in_writing_order,
    unpack_file,
)
from krakenonce.backends.file.recovery import in_force, last_at_end, newest
from krakenonce.backends.file.scope_state import OwnMark
from krakenonce.errors import NonceStoreError
from krakenonce.rule import mark_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.backends.file.recovery import Records
    from krakenonce.backends.file.scope_state import ScopeState


def read_mark(fd: int, path: Path) -> Records:
    """Return both slots' records. Raises NonceStoreError if another version has written one."""
    try:
        return unpack_file(os.pread(fd, FILE_SIZE, 0))
    except OtherVersion as version:
        raise NonceStoreError(
            f"{path} has format version {version}, which this krakenonce does not know: "
            "use the version that wrote it, or a newer one"
        ) from None


def read_end(fd: int, records: Records) -> int | None:
    """Return the last nonce, if the last process has noted it at its end."""
    return last_at_end(records, os.pread(fd, END_SIZE, END_OFFSET))


class MarkFile:
    """The mark file of a counter, open. Used with the counter's lock.

    Args:
        fd: Its descriptor, which is closed elsewhere.
        state: What this process knows of the counter.
    """

    __slots__ = ("_fd", "_inode", "_state", "ended", "own")

    def __init__(self, fd: int, state: ScopeState) -> None:
        self._fd = fd
        self._state = state
        self._inode = fstat(fd).st_ino
        self.own = OwnMark()  # nothing in the file is trusted before it has been read with the lock
        self.ended: int | None = None  # the last nonce, if the last process has noted it

    def read(self) -> Records:
        """Return both slots' records, and see whether the mark is the one that this process knows."""
        records = read_mark(self._fd, self._state.mark_path)
        record, own = newest(records), self._state.own
        self.ended = read_end(self._fd, records)
        if self.ended is not None:  # to raise the mark takes that back, before the next nonce
            self.own = OwnMark()
        elif record and own.file == (self._inode, record.file_id) and record.mark >= own.mark:
            self.own = own
        elif self.own is own:  # overwritten
            self.own = OwnMark()
        return records

    def is_empty(self) -> bool:
        """Whether it has never been written."""
        return fstat(self._fd).st_size == 0

    def raise_above(
        self, nonce: int, last: int | None, records: Records, boot_id: str, write_nonce: Callable[[bytes], None]
    ) -> None:
        """Write a mark one ten-second step above *nonce* to both slots, durably, before *nonce* is used.

        The nonce file is written in between: until the second slot is written it may contain *last*, or what others
        have issued since below the mark in force, so that a crash leaves no doubt about the last nonce. It may not
        contain less, as it may after a power cut.

        Args:
            nonce: The nonce or floor that needs the mark.
            last: The last nonce; None if there is none.
            records: What both slots hold now.
            boot_id: The present boot.
            write_nonce: Writes the nonce file.

        Raises:
            OSError: It is not known what the disk has now.
        """
        before = newest(records)
        record = MarkRecord(
            file_id=before.file_id if before else int.from_bytes(os.urandom(8), "little"),
            sequence=before.sequence + 1 if before else 1,
            which=FIRST,
            base=nonce,
            mark=max(mark_for(nonce), before.mark if before else 0),  # promise 2
            old_base=last or 0,
            old_mark=max(in_force(records)[1], last or 0),
            boot_id=boot_id,
            anchor=self._state.anchor,
        )
        slots = slots_in_writing_order(records)
        first, second, not_written = (pack(record._replace(which=which)) for which in (FIRST, SECOND, NOT_WRITTEN))
        if not before:  # the whole file at once: the disk has space for both slots, or for none
            first = first.ljust(FILE_SIZE, b"\0")
        offset = slot_offset(slots[0])
        self._write_durably(first, offset, os.pread(self._fd, len(first), offset))
        write_nonce(b"%d" % nonce)
        self._write_durably(second, slot_offset(slots[1]), not_written)
        self.own.file, self.own.mark = (self._inode, record.file_id), record.mark
        self._state.own = self.own

    def note_end(self, last: int, records: Records) -> None:
        """Note that *last* is the last nonce. Need not be durable: without the note, more nonces are skipped.

        No process may have the counter open meanwhile. Raises OSError.
        """
        record = newest(records)
        if record is not None and in_force(records) == (record.base, record.mark):
            write_whole(self._fd, pack_end(record, last), END_OFFSET)

    def _write_durably(self, data: bytes, offset: int, instead: bytes) -> None:
        """Write and sync; if that fails, write *instead*, because it is not known what the disk has now."""
        try:
            write_whole(self._fd, data, offset)
            sync(self._fd)
        except OSError:
            os.pwrite(self._fd, instead, offset)
            if len(instead) < len(data):
                os.ftruncate(self._fd, offset + len(instead))
            raise
