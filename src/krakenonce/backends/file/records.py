"""The records in the state directory, a file each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import open_regular, store_error, sync, sync_directory, write_whole
from krakenonce.backends.file.locked_files import LockedFiles
from krakenonce.backends.records import check_record_name, check_unchanged, new_record

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Record

__all__ = ["FileRecords", "replace_file"]


class FileRecords:
    """The records in one directory. Each is replaced as a whole, while a file beside it is locked.

    Args:
        directory: Made (0700) when the first one is written.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._locks = LockedFiles(directory, "{}.lock", "lock the record with")
        self.close = self._locks.close

    def read(self, name: str) -> Record | None:
        """Return the record called *name*, None if there is none. Raises NonceStoreError."""
        path = self._path(name)
        try:
            with open(open_regular(path, os.O_RDONLY), "rb") as file:
                return new_record(file.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("read the record", path, error) from error

    def write(self, name: str, data: bytes, version: str | None) -> str:
        """Write the record called *name*, durably; return its new version.

        Args:
            name: 1 to 64 letters, digits, ``-`` or ``_``.
            data: What it is from now on.
            version: That of the record as it was read; None: there was none.

        Raises:
            RecordChanged: Somebody else has changed it since; nothing was written.
            NonceStoreError: It could not be written; it is what it was.
        """
        path, record = self._path(name), new_record(data)

        def replace(_: object) -> str:
            check_unchanged(name, self.read(name), version)
            try:
                replace_file(path, data)
            except OSError as error:
                raise store_error("write the record", path, error) from error
            return record.version

        return self._locks.step(name, replace)

    def _path(self, name: str) -> Path:
        check_record_name(name)
        return Path(self._directory, name)


def replace_file(path: Path, data: bytes) -> None:
    """Put *data* into a private file (0600), durably, and all or nothing. One process at a time may do so."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)  # what is left of one who was killed
    fd = open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_whole(fd, data, 0)
        sync(fd)
    finally:
        os.close(fd)
    os.replace(new, path)
    sync_directory(path.parent)
