"""Where the local keys are kept: in one private file of a state directory, else in a record of the state."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from krakenonce.backends.file.filesystem import make_directory, open_regular
from krakenonce.backends.file.moved import refuse_moved
from krakenonce.backends.file.records import replace_file
from krakenonce.backends.moved import refuse_moved_state
from krakenonce.backends.records import MOST
from krakenonce.errors import ConfigError, NonceStoreError, RecordChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends import Backend
    from krakenonce.backends.protocol import Records


FILE_NAME = "gateway_keys.json"
RECORD = "gateway_keys"
TRUSTED = 1.0  # seconds for which a record that was read is not read again


class KeyStorage(Protocol):
    """One document, as bytes.

    Attributes:
        name: What it is called in messages.
    """

    name: str

    @property
    def is_at_hand(self) -> bool:
        """Whether :meth:`version` returns at once. It may take a round trip to a server otherwise."""

    def version(self) -> object:
        """Return what changes with the document. Raises ConfigError."""

    def read(self) -> bytes | None:
        """Return the document; None if there is none. Raises ConfigError."""

    def change(self, change: Callable[[bytes | None], bytes], *, even_moved: bool = False) -> None:
        """Replace the document by what *change* makes of it, durably, all or nothing, and one process at a time.

        Args:
            change: May be called again, if another process was faster. What it raises is passed on.
            even_moved: Whether to do so in a state that was moved away, because it is being moved back.

        Raises:
            ConfigError: It could not be written, or the state was moved to another one.
        """


def key_storage(store: Backend) -> KeyStorage:
    """Return where the local keys of a state are."""
    directory = getattr(store, "directory", None)
    if directory is not None:
        return KeyFile(Path(directory) / FILE_NAME)
    return KeyRecord(store.records, repr(store), lambda: refuse_moved_state(store))


class KeyFile:
    """A file that no other user may read. A change is seen at once.

    Args:
        path: The file; made (0600) with the first change.
    """

    is_at_hand = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def version(self) -> object:
        """Return what the file system says of the file."""
        try:
            found = os.stat(self.path)
        except OSError:
            return object()  # equal to no other: to read the file shows whether there is none
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode

    def read(self) -> bytes | None:
        """Return what is in the file; None if there is none. Raises ConfigError."""
        try:
            with open(open_regular(self.path, os.O_RDONLY), "rb") as file:
                mode, data = os.fstat(file.fileno()).st_mode, file.read()
        except FileNotFoundError:
            return None
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot read {self.path} ({getattr(error, 'strerror', None) or error})") from error
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"other users can read {self.path}; run: chmod 600 {self.path}")
        return data

    def change(self, change: Callable[[bytes | None], bytes], *, even_moved: bool = False) -> None:
        """Replace the file, while one beside it is locked."""
        try:
            if not even_moved:
                refuse_moved(self.path.parent)
            make_directory(self.path.parent)
            with open(open_regular(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT), "rb") as lock:
                flock(lock, LOCK_EX)
                replace_file(self.path, change(self.read()))
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot write {self.path} ({getattr(error, 'strerror', None) or error})") from error


class KeyRecord:
    """A record of a state. A change by another process is seen within a second.

    Args:
        records: The records of the state.
        state: What the state is called in messages.
        refuse_moved: Raises NonceStoreError if the state was moved to another one.
    """

    def __init__(self, records: Records, state: str, refuse_moved: Callable[[], None] = lambda: None) -> None:
        self.name = f"the record {RECORD} of {state}"
        self._records = records
        self._refuse_moved = refuse_moved
        self._read_at = float("-inf")
        self._data: bytes | None = None
        self._error: ConfigError | None = None  # of the last try to read it

    @property
    def is_at_hand(self) -> bool:
        """Whether it was read a moment ago."""
        return time.monotonic() < self._read_at + TRUSTED

    def version(self) -> object:
        """Return the document itself, at most a second old. If it could not be read, that is said for a second."""
        if not self.is_at_hand:
            asked = time.monotonic()
            try:
                self._data, self._error = self._records.read(RECORD), None
            except NonceStoreError as error:
                self._error = ConfigError(f"cannot read the local keys: {error}")
                asked = time.monotonic()  # it may have taken longer than it is trusted
            self._read_at = asked
        if self._error is not None:
            raise ConfigError(str(self._error))
        return self._data

    def read(self) -> bytes | None:
        """Return the document as it was when :meth:`version` was asked."""
        return self._data

    def change(self, change: Callable[[bytes | None], bytes], *, even_moved: bool = False) -> None:
        """Replace the record, unless another process was faster: then again."""
        while True:
            try:
                if not even_moved:
                    self._refuse_moved()
                before = self._records.read(RECORD)
                data = change(before)
                if len(data) > MOST:
                    raise ConfigError(f"there is no room for another local key in {self.name}: revoke one first")
                with contextlib.suppress(RecordChanged):
                    self._records.write(RECORD, data, before)
                    self._read_at = float("-inf")
                    return
            except NonceStoreError as error:
                raise ConfigError(f"cannot write the local keys: {error}") from error
