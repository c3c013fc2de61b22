"""The records in the state directory, a file each."""

from __future__ import annotations

import os
from pathlib import Path

from krakenonce.backends.file.filesystem import open_regular, store_error, sync, sync_directory, write_whole
from krakenonce.backends.file.locked_files import LockedFiles, names_in
from krakenonce.backends.records import check_change, check_record_name


class FileRecords:
    """The records in one directory. Each is replaced as a whole, while a file beside it is locked.

    Args:
        directory: Made (0700) when the first one is written.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._locks = LockedFiles(directory, "{}.lock", "lock the record with")
        self.close = self._locks.close

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record. Raises NonceStoreError."""
        check_record_name(name)
        path = Path(self._directory, name)
        try:
            with open(open_regular(path, os.O_RDONLY), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("read the record", path, error) from error

    def names(self) -> list[str]:
        """Return the names of all records, sorted. Raises NonceStoreError."""
        return sorted(name for name in names_in(self._directory) if "." not in name)

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data *before* by *data*, durably. Errors: as for every backend."""
        check_record_name(name)

        def replace(_: object) -> None:
            check_change(name, data, before, self.read(name))
            path = Path(self._directory, name)
            try:
                replace_file(path, data)
            except OSError as error:
                raise store_error("write the record", path, error) from error

        self._locks.step(name, replace)


def replace_file(path: Path, data: bytes) -> None:
    """Put *data* into a private file (0600), durably, and all or nothing. One process at a time may do so."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)  # left by a process that was killed
    fd = open_regular(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_whole(fd, data, 0)
        sync(fd)
    finally:
        os.close(fd)
    os.replace(new, path)
    sync_directory(path.parent)
