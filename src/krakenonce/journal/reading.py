"""Reading a journal: the events since a time, over both files in order, and those that come."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from krakenonce.backends.file.filesystem import open_regular, store_error
from krakenonce.journal.event import at_of, from_line
from krakenonce.journal.file import NAME, OLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from krakenonce.journal.event import Event


_PAUSE = 0.5  # seconds between two looks whether there is more
_PIECE = 1 << 20  # bytes


class Reader:
    """Reads the journal in a directory. Makes and changes nothing.

    Args:
        directory: Where its files are; there need be none.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.place = Path(directory)

    def events(self, since: float = 0.0, account: str = "") -> Iterator[Event]:
        """Yield the events, the oldest first. A line that is not whole is skipped.

        Args:
            since: Seconds since 1970; events before it are left out, without a closer look.
            account: Only those of this account, or of the key with this fingerprint. Empty: all.

        Raises:
            NonceStoreError: It cannot be read.
        """
        for file in self._files():
            with file:
                yield from chosen(file, since, account)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines as they are, the oldest first: for a reader that needs to understand few of them.

        Raises:
            NonceStoreError: They cannot be read.
        """
        for file in self._files():
            with file:
                yield from file

    def follow(
        self, since: float = 0.0, account: str = "", *, pause: Callable[[float], object] = time.sleep
    ) -> Iterator[Event]:
        """Yield the events, and then each one that comes, without an end.

        Args:
            since: As for :meth:`events`.
            account: As for :meth:`events`.
            pause: Called with the seconds to wait before each look.
        """
        files = self._files()
        for older in files[:-1]:
            with older:
                yield from chosen(older, since, account)
        file: BinaryIO | None = files[-1] if files else None
        begun = b""
        try:
            while True:
                if file is not None:
                    begun += file.read(_PIECE)
                    *lines, begun = begun.split(b"\n")
                    yield from chosen(lines, since, account)
                    if lines:
                        continue
                newer = self._newer(file)
                if newer is None:
                    pause(_PAUSE)
                    continue
                if file is not None:
                    yield from chosen((begun + file.read()).split(b"\n"), since, account)
                    file.close()
                file, begun = newer, b""
        finally:
            if file is not None:
                file.close()

    def _files(self) -> list[BinaryIO]:
        """Return the files, opened, the older one first: those of one moment, though one may be moved meanwhile."""
        while True:
            found = [file for name in (OLD, NAME) if (file := self._open(name)) is not None]
            if [_identity(file) for file in found] == [each for name in (OLD, NAME) if (each := self._at(name))]:
                return found
            for file in found:
                file.close()

    def _newer(self, file: BinaryIO | None) -> BinaryIO | None:
        """Return the file that has taken the place of this one; None: it is still there, or there is none yet."""
        there = self._at(NAME)
        if there is None or (file is not None and _identity(file) == there):
            return None
        return self._open(NAME)

    def _open(self, name: str) -> BinaryIO | None:
        path = self.place / name
        try:
            return open(open_regular(path, os.O_RDONLY), "rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("read the journal", path, error) from error

    def _at(self, name: str) -> tuple[int, int] | None:
        try:
            seen = (self.place / name).stat()
        except OSError:
            return None
        return seen.st_dev, seen.st_ino


def chosen(lines: Iterable[bytes], since: float = 0.0, account: str = "") -> Iterator[Event]:
    """Yield the events in lines that are wanted; arguments as for :meth:`Reader.events`. No I/O."""
    user = f"USER:{account}"
    words = [json.dumps(each).encode() for each in (account, user)] if account else []
    for line in lines:
        if words and not any(word in line for word in words):
            continue
        if since and ((at := at_of(line)) is None or at < since):
            continue
        event = from_line(line)
        if event is not None and (not account or account in (event.account, event.key) or user == event.account):
            yield event


def _identity(file: BinaryIO) -> tuple[int, int]:
    seen = os.fstat(file.fileno())
    return seen.st_dev, seen.st_ino
