"""The journal in a directory: two files of lines, the newer of which is appended to by any number of processes."""

from __future__ import annotations

import errno
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path

from krakenonce.backends.file.filesystem import cut_short, make_directory, open_regular, opening
from krakenonce.shown import whole

NAME, OLD, LOCK = "events.jsonl", "events.old.jsonl", "events.lock"
LIMIT = 16 * 1024 * 1024  # bytes of a file, of which there are two
_TRIES = 100  # a journal that is moved away this often within one line is moved away by a program


class JournalFile:
    """Appends lines. Nothing is opened before the first one, and nothing stays open after it.

    Args:
        directory: Where the files are; made (0700) with the first line.
        limit: Bytes after which a new file is begun. The one before the last is dropped then.
    """

    def __init__(self, directory: str | os.PathLike[str], *, limit: int = LIMIT) -> None:
        self.place = Path(directory)
        self._path = self.place / NAME
        self._limit = limit

    @whole
    def __repr__(self) -> str:
        return f"JournalFile({str(self.place)!r})"

    def append(self, lines: bytes) -> None:
        """Append whole lines in one step, for other processes append, too.

        Raises:
            OSError: They were not written, or only a part of them, which readers skip.
            NonceStoreError: There is something else than a file of ours.
        """
        for _ in range(_TRIES):
            fd = self._open()
            try:
                size = os.fstat(fd).st_size
                if size + len(lines) > self._limit and size and self._rotate(fd):
                    continue
                if size and size + len(lines) > 2 * self._limit:  # the process that moves the file away is stopped
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                _write(fd, lines, size)
                if os.fstat(fd).st_nlink:  # else it was dropped meanwhile, with what was written to it
                    return
            finally:
                os.close(fd)
        raise OSError(errno.EBUSY, "the file is moved away again and again")

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            return open_regular(self._path, flags)
        except FileNotFoundError:
            make_directory(self.place.parent)
            make_directory(self.place, durable=False)  # a sync may take long, and events need not outlive the power
            return open_regular(self._path, flags)

    def _rotate(self, fd: int) -> bool:
        """Begin a new file, unless another process has done so or is about to; return whether to open it anew.

        Nobody waits for the lock: a process that is stopped with it must stop no call.
        """
        with opening.lock:  # a child that is forked now would keep the lock
            lock = open_regular(self.place / LOCK, os.O_RDWR | os.O_CREAT)
            try:
                flock(lock, LOCK_EX | LOCK_NB)
                if _is_at(fd, self._path):
                    os.rename(self._path, self.place / OLD)
                flock(lock, LOCK_UN)  # and not by closing: a child of C code may have it open, too
            except BlockingIOError:
                return not _is_at(fd, self._path)
            finally:
                os.close(lock)
        return True


def _write(fd: int, lines: bytes, size: int) -> None:
    if size and os.pread(fd, 1, size - 1) != b"\n":  # of a process that was killed, or a disk that was full
        lines = b"\n" + lines
    if os.write(fd, lines) != len(lines):
        raise cut_short(size + len(lines))


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at *path*."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
