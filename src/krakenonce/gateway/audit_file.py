"""The files of an audit log: lines are added whole, and the oldest file is deleted when there are too many."""

from __future__ import annotations

import contextlib
import logging
import os
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from krakenonce.backends.file.filesystem import make_directory, open_regular
from krakenonce.backends.state_name import usual_directory
from krakenonce.errors import ConfigError, NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends import Backend
    from krakenonce.gateway.settings import Settings


logger = logging.getLogger("krakenonce")

FILE_NAME = "gateway_audit.jsonl"
FILES, SIZE = 5, 20_000_000  # files at most, the present one among them, and bytes of each
_GATEWAYS = 9  # of one state on one host, each with files of its own
_TAIL = 100_000  # bytes in which the last calls are looked for


class Sink(Protocol):
    """Where the lines of an audit log go.

    Attributes:
        name: What it is called in messages.
    """

    name: str

    def add(self, lines: bytes) -> None:
        """Add whole lines. Raises OSError or NonceStoreError; then none of them is there."""

    def tail(self) -> list[bytes]:
        """Return the last lines, the oldest first."""

    def close(self) -> None:
        """Close it."""


class Stdout:
    """The process' standard output."""

    name = "stdout"

    def add(self, lines: bytes) -> None:
        """Write the lines."""
        while lines:
            lines = lines[os.write(1, lines) :]

    def tail(self) -> list[bytes]:
        """Return nothing: what was written is not here any more."""
        return []

    def close(self) -> None:
        """Leave it open."""


class AuditFile:
    """A file that only its owner may read, and the older ones beside it: ``.1`` is the youngest of them.

    Args:
        path: The file. Made (0600) with its directory; one process at a time writes it.
        files: How many files there are at most.
        size: How large each becomes at most, in bytes; only a line that is longer is in a larger one.
    """

    def __init__(self, path: Path, files: int = FILES, size: int = SIZE) -> None:
        self.path = path
        self.name = str(path)
        self._files, self._most = files, size

    def open(self) -> Self:
        """Open the file, and return it.

        Raises:
            ConfigError: It cannot be opened, or another process writes it.
        """
        path = self.path
        try:
            make_directory(path.parent)
            self._lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, NonceStoreError) as error:
            raise self._refused(error) from error
        try:
            flock(self._lock, LOCK_EX | LOCK_NB)
            self._open()
        except BlockingIOError as error:
            os.close(self._lock)
            raise AuditTaken(f"another gateway writes the audit log {path}: give --audit another path") from error
        except (OSError, NonceStoreError) as error:
            os.close(self._lock)
            raise self._refused(error) from error
        return self

    def add(self, lines: bytes) -> None:
        """Add whole lines, in the next file if this one is full. Raises OSError or NonceStoreError."""
        if self._size and self._size + len(lines) > self._most:
            self._rotate()
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            with contextlib.suppress(OSError):  # no half line, after which the next one could not be read
                os.ftruncate(self._fd, self._size)
            raise
        self._size += written

    def tail(self) -> list[bytes]:
        """Return the last lines of the file and of the one before it, the oldest first."""
        found: list[bytes] = []
        for path in (self._older(1), self.path):
            with (
                contextlib.suppress(OSError, NonceStoreError),
                os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file,
            ):
                start = max(0, os.fstat(file.fileno()).st_size - _TAIL)
                file.seek(start)
                lines = file.read().split(b"\n")
                found += lines[1:] if start else lines
        return [line for line in found if line]

    def close(self) -> None:
        """Close the file; another process may write it then."""
        os.close(self._fd)
        os.close(self._lock)

    def _open(self) -> None:
        self._fd = open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":  # the writer was killed within a line
            self._size += os.write(self._fd, b"\n")

    def _rotate(self) -> None:
        is_moved = not self.path.exists()  # by a try before, which could not begin a new file
        for number in () if is_moved else range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._older(number - 1), self._older(number))
        before = self._fd
        self._open()
        os.close(before)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _refused(self, error: OSError | NonceStoreError) -> ConfigError:
        return ConfigError(f"cannot write the audit log {self.path} ({getattr(error, 'strerror', None) or error})")


class AuditTaken(ConfigError):
    """Another process writes this file."""


def open_own(directory: Path) -> AuditFile:
    """Return the audit log of this gateway in a directory: the first that no other gateway writes.

    Raises:
        ConfigError: It cannot be opened.
    """
    for number in range(1, _GATEWAYS + 1):
        name = FILE_NAME if number == 1 else FILE_NAME.replace(".", f"-{number}.", 1)
        with contextlib.suppress(AuditTaken):
            return AuditFile(directory / name).open()
    raise ConfigError(f"{_GATEWAYS} gateways write audit logs in {directory} already: give --audit another path")


def audit_sink(settings: Settings, store: Backend) -> Sink | None:
    """Return where the audit log of a gateway goes; None: nowhere.

    By default it is in the state directory; if the state is a database, in this user's on this host. A gateway whose
    log cannot be opened there runs without one, and that is logged.

    Args:
        settings: How the gateway runs.
        store: Its state.

    Raises:
        ConfigError: The file that the settings name cannot be opened.
    """
    if settings.no_audit:
        return None
    if settings.audit == "-":
        return Stdout()
    if settings.audit is not None:
        return AuditFile(Path(settings.audit)).open()
    try:
        directory = getattr(store, "directory", None) or usual_directory().directory
        return open_own(Path(directory)) if directory is not None else None
    except ConfigError as error:
        logger.error("there is no audit log: %s; calls are made all the same. Give --audit another path", error)
        return None
