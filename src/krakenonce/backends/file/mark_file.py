"""The mark on the disk: read, and moved up in such a way that a crash at any moment leaves a good one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import sync, write_whole
from krakenonce.backends.file.mark import (
    FILE_SIZE,
    NOT_WRITTEN,
    SECOND,
    OtherVersion,
    pack,
    slot_offset,
    slots_in_writing_order,
    unpack_file,
)
from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.backends.file.mark import MarkRecord
    from krakenonce.backends.file.recovery import Records

__all__ = ["MarkFile"]


class MarkFile:
    """The mark file, open. Used with the scope's lock.

    Args:
        fd: Its descriptor, which is closed elsewhere.
        path: For messages.
    """

    __slots__ = ("_fd", "_path")

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def read(self) -> Records:
        """Return both slots' records. Raises NonceStoreError if another version wrote one."""
        try:
            return unpack_file(os.pread(self._fd, FILE_SIZE, 0))
        except OtherVersion as version:
            raise NonceStoreError(
                f"{self._path} has format version {version}, which this krakenonce does not know: "
                "use the version that wrote it, or a newer one"
            ) from None

    def write_first(self, record: MarkRecord, before: Records) -> None:
        """Put *record* on the disk in the slot that may be lost; *before* is what both hold. Raises OSError."""
        slot, offset = pack(record), slot_offset(slots_in_writing_order(before)[0])
        if not any(before):  # the whole file at once: there is room for both slots, or for none
            slot = slot.ljust(FILE_SIZE, b"\0")
        self._write_durably(slot, offset, os.pread(self._fd, len(slot), offset))

    def write_second(self, record: MarkRecord, before: Records) -> None:
        """Put *record* in the other slot, too, after which it is in force. Raises OSError."""
        slot, instead = (pack(record._replace(which=which)) for which in (SECOND, NOT_WRITTEN))
        self._write_durably(slot, slot_offset(slots_in_writing_order(before)[1]), instead)

    def _write_durably(self, data: bytes, offset: int, instead: bytes) -> None:
        """Write and sync; if that fails, put something else there, as nobody knows what the disk has now."""
        try:
            write_whole(self._fd, data, offset)
            sync(self._fd)
        except OSError:
            os.pwrite(self._fd, instead, offset)
            if len(instead) < len(data):
                os.ftruncate(self._fd, offset + len(instead))
            raise
