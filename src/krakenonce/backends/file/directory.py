"""The state directory: found, made and checked once, and the counters in it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from krakenonce.backends.file.filesystem import check_filesystem, make_directory, store_error
from krakenonce.backends.file.moved import refuse_moved
from krakenonce.errors import NonceStoreError

_PREFIX, _SUFFIXES = "kraken_", ("_nonce.txt", "_nonce.mark")


class StateDirectory:
    """The directory in which counters are kept.

    Args:
        path: Where it is. Links are followed once, so that nonces and lanes stay in one directory if a link changes.
        allow_network: Whether it may be on a network file system.

    Raises:
        NonceStoreError: The path is relative to a directory that is gone, or it is a link to itself.
    """

    def __init__(self, path: str | os.PathLike[str], *, allow_network: bool) -> None:
        try:
            self.path = Path(path).resolve()
        except OSError as error:  # this process's own directory is gone, for example
            raise store_error("find the state directory", Path(path), error) from error
        except RuntimeError as error:
            raise NonceStoreError(f"the state directory {path} is a symbolic link to itself") from error
        self.allow_network = allow_network
        self._checked = (0, 0)  # the directory that nonces can be kept in, as far as is known

    def prepare(self) -> None:
        """Make the directory, and check that nonces can be kept in it. Raises NonceStoreError."""
        refuse_moved(self.path)
        self.check()

    def check(self) -> None:
        """Do the same, also if the state was moved away."""
        with contextlib.suppress(OSError):
            if self._checked == self._identity():
                return
        try:
            make_directory(self.path, for_nonces=True)
            found = self._identity()
        except OSError as error:
            raise store_error("make the state directory", self.path, error) from error
        check_filesystem(self.path, allow_network=self.allow_network)
        self._checked = found

    def counters(self) -> list[str]:
        """Return the names of the counters that have files here, sorted. Raises NonceStoreError."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise store_error("read the state directory", self.path, error) from error
        return sorted(
            {
                name[len(_PREFIX) : -len(suffix)]
                for name in names
                for suffix in _SUFFIXES  # one of the two files may have been deleted
                if name.startswith(_PREFIX) and name.endswith(suffix)
            }
        )

    def files(self) -> list[tuple[str, str]]:
        """Return the names of each counter's files: that of the mark, which is locked in each step, and the other."""
        text, mark = _SUFFIXES
        return [(f"{_PREFIX}{scope}{mark}", f"{_PREFIX}{scope}{text}") for scope in self.counters()]

    def _identity(self) -> tuple[int, int]:
        seen = self.path.stat()
        return seen.st_dev, seen.st_ino
