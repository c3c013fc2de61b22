"""The mark on the disk: read, and moved up in such a way that a crash at any moment leaves a good one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import NonceStoreError
from .filesystem import sync, write_whole
from .mark import FILE_SIZE, OtherVersion, pack, slot_offset, slots_in_writing_order, unpack_file

if TYPE_CHECKING:
    from pathlib import Path

    from .mark import MarkRecord
    from .recovery import Records

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

    def write(self, record: MarkRecord, before: Records, *, known: bool) -> None:
        """Put *record* on the disk in both slots, or raise OSError.

        One slot after the other, so that a torn write never touches the only good one.

        Args:
            record: What both slots shall hold.
            before: What they hold.
            known: Whether this process has itself synced that.
        """
        slot = pack(record)
        if not any(before):  # nothing valid to protect: the whole file at once, so that it has all its blocks
            self._write_durably(slot.ljust(slot_offset(1), b"\0") + slot, 0)
            return
        if not known:
            sync(self._fd)  # a slot that was only read may be torn by a power cut as well (invariant 3)
        for number in slots_in_writing_order(before):
            self._write_durably(slot, slot_offset(number))

    def _write_durably(self, data: bytes, offset: int) -> None:
        """Write and sync, or leave the file as it was."""
        before = os.pread(self._fd, len(data), offset)
        try:
            write_whole(self._fd, data, offset)
            sync(self._fd)
        except OSError:
            # An unproven mark left in the page cache would let each further try climb by one window.
            os.pwrite(self._fd, before, offset)
            if len(before) < len(data):
                os.ftruncate(self._fd, offset + len(before))
            raise
