"""How many clients were guarded and how many calls had their turn, in all processes of a run.

Each process has a small file for each kind of client, in a directory of the run. The numbers are in mapped memory, so
that they are there however the process ends.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import uuid
from pathlib import Path
from typing import NamedTuple

from krakenonce.native import allocate_lock

_NUMBERS = struct.Struct("=QQ")  # clients, calls
_PYTHON = "python"  # the kind of the file that each new interpreter makes


class Tally:
    """The numbers of this process and of those forked from it.

    Args:
        folder: The directory of the run.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._counts: dict[tuple[str, int], _Count] = {}

    def begin(self) -> None:
        """Note that a Python process has begun."""
        self.add(_PYTHON)

    def add(self, kind: str, clients: int = 0, calls: int = 0) -> None:
        """Add to the numbers of a kind of client."""
        key = kind, os.getpid()  # a forked child begins at zero
        count = self._counts.get(key) or self._counts.setdefault(key, _Count(self._folder, *key))
        count.add(clients, calls)


class _Count:
    """The numbers of one kind of client in one process; if no file can be made, they are not reported."""

    def __init__(self, folder: Path, kind: str, pid: int) -> None:
        self._lock = allocate_lock()
        self._clients = self._calls = 0
        self._page: mmap.mmap | None = None
        # The directory is gone if the command has ended and left this process behind.
        with contextlib.suppress(OSError), (folder / f"{kind}.{pid}.{uuid.uuid4().hex}").open("x+b") as file:
            file.write(bytes(_NUMBERS.size))
            file.flush()
            self._page = mmap.mmap(file.fileno(), _NUMBERS.size)

    def add(self, clients: int, calls: int) -> None:
        with self._lock:
            self._clients += clients
            self._calls += calls
            if self._page is not None:
                _NUMBERS.pack_into(self._page, 0, self._clients, self._calls)


class Total(NamedTuple):
    """The numbers of a run.

    Args:
        interpreters: How many Python processes have begun, without forks.
        processes: How many processes have made private calls.
        clients: How many clients of each kind were guarded.
        calls: How many private calls had their turn.
    """

    interpreters: int
    processes: int
    clients: dict[str, int]
    calls: int


def add_up(folder: Path) -> Total:
    """Return the numbers of all processes of a run, also of those that were killed."""
    interpreters, calls = 0, 0
    callers: set[str] = set()
    kinds: dict[str, int] = {}
    for path in sorted(folder.iterdir()):
        kind, pid, _ = path.name.split(".")
        if kind == _PYTHON:
            interpreters += 1
            continue
        content = path.read_bytes()
        clients, called = _NUMBERS.unpack(content) if len(content) == _NUMBERS.size else (0, 0)
        kinds[kind] = kinds.get(kind, 0) + clients
        calls += called
        callers |= {pid} if called else set()
    return Total(interpreters, len(callers), {kind: count for kind, count in kinds.items() if count}, calls)
