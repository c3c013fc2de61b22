"""How many clients were guarded and how many calls had their turn, in all processes of a run.

Each process has a small file for each kind of client, in a directory of the run. The numbers are in mapped memory, so
that they are there however the process ends.
"""

from __future__ import annotations

import mmap
import os
import struct
from _thread import allocate_lock  # before gevent, for one, has replaced it

NUMBERS = struct.Struct("=QQ")  # clients, calls
PYTHON = "python"  # the kind of the file that each new interpreter makes


class Tally:
    """The numbers of this process and of those forked from it.

    Args:
        folder: The directory of the run.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._counts: dict[tuple[str, int], _Count] = {}

    def begin(self) -> None:
        """Note that a Python process has begun."""
        self.add(PYTHON)

    def add(self, kind: str, clients: int = 0, calls: int = 0) -> None:
        """Add to the numbers of a kind of client."""
        key = kind, os.getpid()  # a forked child begins at zero
        count = self._counts.get(key) or self._counts.setdefault(key, _Count(self._folder, *key))
        count.add(clients, calls)


class _Count:
    """The numbers of one kind of client in one process; if no file can be made, they are not reported."""

    def __init__(self, folder: str, kind: str, pid: int) -> None:
        self._lock = allocate_lock()
        self._clients = self._calls = 0
        self._page: mmap.mmap | None = None
        try:
            with open(os.path.join(folder, f"{kind}.{pid}.{os.urandom(8).hex()}"), "x+b") as file:
                file.write(bytes(NUMBERS.size))
                file.flush()
                self._page = mmap.mmap(file.fileno(), NUMBERS.size)
        except OSError:
            return  # the directory is gone if the command has ended and left this process behind

    def add(self, clients: int, calls: int) -> None:
        with self._lock:
            self._clients += clients
            self._calls += calls
            if self._page is not None:
                NUMBERS.pack_into(self._page, 0, self._clients, self._calls)
