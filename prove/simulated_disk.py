"""A disk whose power can be cut: the backend's own system calls on real files, and beside them what of it is stored.

The real files are the page cache: they show what a process sees, and outlive it. What a power cut leaves is counted
beside them, from the calls that were made. Nothing is really synced, so a crash costs a millisecond.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from krakenonce.backends.file import filesystem, mark_file
from prove.disk_file import DiskFile, with_torn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Fault", "Image", "Killed", "Misuse", "SimulatedDisk", "dropped", "kept"]

Fault = Literal[
    "killed", "full", "broken", "broken but stored", "broken and torn"
]  # these three differ for a sync only
Image = dict[str, bytes | None]  # by path below the root; None: a directory

_DIRECTORY = DiskFile()  # stands for every directory


class Killed(BaseException):
    """The process ends here; nothing in it can catch that."""


class Misuse(Exception):
    """The backend used the disk as no disk may be used, or in a way that this one does not see."""


def dropped(versions: Sequence[Any]) -> Any:
    """Of the versions of a thing, the one that surely is on the disk."""
    return versions[0]


def kept(versions: Sequence[Any]) -> Any:
    """The one that was written last, as if all had been synced."""
    return versions[-1]


def _torn(versions: Sequence[bytes]) -> bytes:
    """The sector as it is if the power, or the disk, fails in the midst of its last write."""
    return with_torn(list(versions))[-2:][0]


_AFTER_FAILING = {"broken but stored": kept, "broken and torn": _torn}


class SimulatedDisk:
    """One directory on a disk of its own.

    Args:
        root: An existing directory; it is emptied.
        image: What is on the disk, safely stored.
        watch: Called at each sync of a file with its name, and its content at the last sync and now.
    """

    def __init__(
        self, root: Path, image: Image | None = None, watch: Callable[[str, bytes, bytes], None] | None = None
    ) -> None:
        self.root = root
        self._watch = watch
        self._prefix = f"{root}/"
        self.calls = 0
        self.fired = False
        self._faulty_call = 0
        self._fault: Fault = "killed"
        self._lasting = False
        self._drawn = 0
        self._open: dict[int, str] = {}  # paths by descriptor
        self._files: dict[int, DiskFile] = {}  # by descriptor
        self._failed: set[int] = set()  # descriptors whose sync has failed
        self._names: dict[str, list[DiskFile | None]] = {}  # versions, as those of a sector
        self.put(image or {})

    # What happens to it.

    def put(self, image: Image) -> None:
        """Begin again with this on the disk, as after a boot; every process must have ended."""
        for path in sorted(self.root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self._names.clear()
        for name, content in sorted(image.items()):
            self._names[name] = [_DIRECTORY if content is None else DiskFile(content, self._free_inode())]
            if content is None:
                (self.root / name).mkdir()
            else:
                (self.root / name).write_bytes(content)

    def fail(self, call: int, fault: Fault, *, lasting: bool = False) -> None:
        """Let something happen in place of the *call*-th system call from now on; *lasting*: and of all from it on."""
        self.calls, self._faulty_call, self._fault, self._lasting, self.fired = 0, call, fault, lasting, False

    def heal(self) -> None:
        """Let all calls work, also those of a process that follows one that was killed."""
        self.calls, self._faulty_call, self.fired = 0, 0, False

    def delete(self, name: str) -> None:
        """Delete a file from outside."""
        if self._current(name) is not None:
            (self.root / name).unlink()
            self._names[name].append(None)

    def damage(self, name: str, data: bytes, offset: int | None = None) -> None:
        """Overwrite part of a file from outside, or all of it if no *offset* is given; at once on the disk as well."""
        file = self._current(name)
        if file is None:
            raise Misuse(f"there is no {name} to damage")
        if offset is None:
            file.truncate(0)
        file.write(data, offset or 0)
        file.sync()
        (self.root / name).write_bytes(file.content)

    # What it shows.

    def seen(self, name: str) -> bytes | None:
        """What processes see of a file, whatever is on the disk; None: it is not there."""
        file = self._current(name)
        return None if file is None else bytes(file.content)

    def possible(self, name: str) -> set[bytes | None]:
        """Every content that a file may have after a power cut now; None: it is not there."""
        safe = all(self._names.get(each) == [_DIRECTORY] for each in _parents(name))
        found: set[bytes | None] = set() if safe else {None}
        for file in self._names.get(name, [None]):
            found |= {None} if file is None else file.images()
        return found

    @property
    def state(self) -> object:
        """What distinguishes it from another one, in all that can make a difference later."""
        return tuple((name, tuple(file and file.state for file in files)) for name, files in self._names.items())

    def images(self) -> Iterator[Image]:
        """Every state that a power cut may leave now, each once: any of the unsynced writes kept, dropped or torn."""
        self.check()
        seen = set()
        for chosen in itertools.product(*(dict.fromkeys(versions) for versions in self._names.values())):
            there = dict(zip(self._names, chosen, strict=True))
            names = [name for name in sorted(there) if self._reachable(name, there)]
            contents = [[None] if there[name] is _DIRECTORY else sorted(_file(there[name]).images()) for name in names]
            for content in itertools.product(*contents):
                image = tuple(zip(names, content, strict=True))
                if image not in seen:
                    seen.add(image)
                    yield dict(image)

    def image(self, pick: Callable[[Sequence[Any]], Any] = dropped) -> Image:
        """One of them: *pick* says for each sector, size and name which version of it the disk has."""
        self.check()
        there = {name: pick(versions) for name, versions in self._names.items()}
        names = [name for name in sorted(there) if self._reachable(name, there)]
        return {name: None if there[name] is _DIRECTORY else _file(there[name]).image(pick, pick) for name in names}

    def check(self) -> None:
        """Raise Misuse unless all that the backend did to its files was seen here."""
        there = set()
        for folder, folders, files in os.walk(self.root):
            there |= {self._name(os.path.join(folder, each)) for each in (*folders, *files)}
        for name in self._names:
            file = self._current(name)
            if (file is not None) != (name in there):
                raise Misuse(f"{name} was made or deleted in a way that the simulated disk does not see")
            if file not in (None, _DIRECTORY) and (self.root / name).read_bytes() != _file(file).content:
                raise Misuse(f"{name} was written in a way that the simulated disk does not see")
        if not there <= self._names.keys():
            raise Misuse(f"{there - self._names.keys()} were made in a way that the simulated disk does not see")

    # The system calls.

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        """See the system calls of this process that are about this disk; let all others pass."""
        calls: list[tuple[Any, str, Any]] = [
            (os, "open", self._os_open),
            (os, "close", self._os_close),
            (os, "mkdir", self._os_mkdir),
            (os, "ftruncate", self._os_ftruncate),
            (os, "fsync", self._os_sync),
            (os, "urandom", self._os_urandom),
            # Only this module's fstat: whose a descriptor is, and which file is at a path, is seen by real inodes.
            (mark_file, "fstat", self._os_fstat),
            (os, "pread", self._os_pread),
            (os, "pwrite", self._os_pwrite),
            (time, "sleep", lambda _: None),  # the backend waits for other threads, which there are none of here
            (filesystem, "_mounts", lambda: "1 0 0:1 / / rw - ext4 disk rw"),  # the same one all the time
        ]
        calls.append((fcntl, "fcntl", self._fcntl) if sys.platform == "darwin" else (os, "fdatasync", self._os_sync))
        real = [(module, name, getattr(module, name)) for module, name, _ in calls]
        for module, name, ours in calls:
            setattr(module, name, ours)
        try:
            yield
        finally:
            for module, name, theirs in real:
                setattr(module, name, theirs)

    def _os_urandom(self, size: int) -> bytes:
        """Another one each time, and the same in each run."""
        self._drawn += 1
        return self._drawn.to_bytes(size, "little")

    def _os_open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        name = self._name(path)
        if name is None:
            return _open(path, flags, mode)
        self._call()
        fd = _open(path, flags, mode)
        if self._current(name) is None:
            self._names.setdefault(name, [None]).append(DiskFile(inode=self._free_inode()))
        self._open[fd] = name
        self._files[fd] = _file(self._current(name))
        return fd

    def _os_close(self, fd: int) -> None:
        for mine in (self._open, self._files):
            mine.pop(fd, None)
        self._failed.discard(fd)
        _close(fd)

    def _os_mkdir(self, path: Any, *words: Any, **named: Any) -> None:
        name = self._name(path)
        if name is not None:
            self._call()
        _mkdir(path, *words, **named)
        if name is not None:
            self._names.setdefault(name, [None]).append(_DIRECTORY)

    def _os_fstat(self, fd: int) -> Any:
        real, file = _fstat(fd), self._files.get(fd)
        return real if file is None else SimpleNamespace(st_ino=file.inode, st_size=real.st_size)

    def _os_pread(self, fd: int, size: int, offset: int) -> bytes:
        self._call()
        return _pread(fd, size, offset)

    def _os_pwrite(self, fd: int, data: bytes, offset: int) -> int:
        try:
            self._call()
        except OSError as error:
            if error.errno != errno.ENOSPC or len(data) < 2:
                raise
            data = data[: len(data) // 2]  # a full disk takes what there is space for
        self._files[fd].write(data, offset)
        return _pwrite(fd, data, offset)

    def _os_ftruncate(self, fd: int, size: int) -> None:
        if fd in self._files:
            self._call()
            self._files[fd].truncate(size)
        _ftruncate(fd, size)

    def _os_sync(self, fd: int) -> None:
        if fd not in self._files:
            _fsync(fd)
            return
        if fd in self._failed:
            raise Misuse("a descriptor whose sync has failed is synced again: the kernel may call lost pages clean")
        file, name = self._files[fd], self._open[fd]
        try:
            self._call()
        except OSError:
            self._failed.add(fd)
            if file is not _DIRECTORY:
                file.forget(
                    _AFTER_FAILING.get(self._fault, dropped), kept if self._fault == "broken but stored" else dropped
                )
            raise
        before = file.synced
        file.sync()
        if self._watch:
            self._watch(name, before, file.synced)
        if file is _DIRECTORY:
            for each, versions in self._names.items():
                if next(_parents(each), "") == name:
                    del versions[:-1]

    def _fcntl(self, fd: int, command: int, *words: Any) -> Any:
        if command == getattr(fcntl, "F_FULLFSYNC", None) and fd in self._files:
            return self._os_sync(fd)
        return _fcntl(fd, command, *words)

    def _call(self) -> None:
        """Count a system call, and let happen in its place what is to happen."""
        self.calls += 1
        if self.fired and self._fault == "killed":
            raise Killed
        if self.calls == self._faulty_call or (self._lasting and self.fired):
            self.fired = True
            if self._fault == "killed":
                raise Killed
            code = errno.ENOSPC if self._fault == "full" else errno.EIO
            raise OSError(code, os.strerror(code))

    def _name(self, path: Any) -> str | None:
        whole = os.fspath(path)
        return whole[len(self._prefix) :] if whole.startswith(self._prefix) else "" if whole == str(self.root) else None

    def _free_inode(self) -> int:
        """The smallest inode that no file has: some file systems give those of deleted files again, others do not."""
        used = {file.inode for file in (*self._files.values(), *map(self._current, self._names)) if file}
        return next(number for number in itertools.count(1) if number not in used)

    def _current(self, name: str) -> DiskFile | None:
        return _DIRECTORY if name == "" else self._names.get(name, [None])[-1]

    def _reachable(self, name: str, there: dict[str, DiskFile | None]) -> bool:
        return there[name] is not None and all(there[parent] is _DIRECTORY for parent in _parents(name))


def _parents(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _file(file: DiskFile | None) -> DiskFile:
    if file is None:
        raise Misuse("there is no such file")
    return file


_open, _close, _mkdir, _pread, _pwrite = os.open, os.close, os.mkdir, os.pread, os.pwrite
_ftruncate, _fsync, _fcntl, _fstat = os.ftruncate, os.fsync, fcntl.fcntl, os.fstat
