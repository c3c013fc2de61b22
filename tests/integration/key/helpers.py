"""Other processes, children, threads, and waiting for a condition that gives no event."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.errors import LaneTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krakenonce.key.lane import Lane

PATIENCE = 20.0  # seconds until a condition that must come true counts as broken


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


def waiting(lane: Lane) -> int:
    """How many threads and tasks of this process wait for the lane, urgent ones and others."""
    return sum(len(turn.waiting) for turn in lane._queue._turns())


def until_waiting(lane: Lane, count: int) -> None:
    """Wait until *count* threads and tasks of this process are in the queue."""
    until(lambda: waiting(lane) == count)


def is_waiting(pid: int, threads: int = 1) -> bool:
    """Whether so many threads of a process wait for a file lock; true where the kernel does not show it."""
    if sys.platform != "linux":
        return True
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and str(pid) in line.split() for line in lines) >= threads


def has_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal; true where the kernel does not show it."""
    return sys.platform != "linux" or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def open_files(directory: Path) -> list[str]:
    """The names of the files below *directory* that this process has open, once for each descriptor; sorted."""
    names = {_identity(path.stat()): path.name for path in directory.rglob("*") if path.is_file()}
    found = []
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError, KeyError):  # the listing's own, and other files
            found.append(names[_identity(os.fstat(fd))])
    return sorted(found)


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino  # a pipe may have the number of a file on another device


def in_thread(work: Callable[..., object], *arguments: object) -> threading.Thread:
    """Start a thread that does *work*."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def join(threads: Iterable[threading.Thread]) -> None:
    """Wait until all *threads* have ended."""
    for thread in threads:
        thread.join()


def start_child(work: Callable[[], object]) -> Callable[[], str]:
    """Fork; return what waits for the child and returns what *work* returned there, as text, or its traceback.

    What is done in every forked child may not fail either: Python prints such an error, and goes on.
    """
    reader, writer = os.pipe()
    failed: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, failed.append
    pid = os.fork()
    sys.unraisablehook = hook
    if not pid:
        try:
            answer = f"after the fork: {failed}" if failed else str(work())
        except BaseException:
            answer = traceback.format_exc()
        os.write(writer, answer.encode()[:60_000])
        os._exit(0)
    os.close(writer)

    def result() -> str:
        with open(reader) as answers:
            said = answers.read()
        os.waitpid(pid, 0)
        return said

    return result


def in_child(work: Callable[[], object]) -> str:
    """Fork; return what *work* returned in the child, as text, or its traceback."""
    return start_child(work)()


def refusal(lane: Lane) -> str:
    """Try to take *lane*; return why that timed out, or ``taken``."""
    try:
        lane.acquire()
    except LaneTimeout as error:
        return str(error)
    lane.release()
    return "taken"


class Peer:
    """Another process at the lane ``key``, run by ``peer.py``."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(Path(__file__).with_name("peer.py")), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def tell(self, order: str) -> None:
        """Give an order; its answer comes with :meth:`answer`."""
        assert self._process.stdin
        print(order, file=self._process.stdin, flush=True)

    def answer(self) -> str:
        """Wait for the answer to the oldest order; empty if the process has ended."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def ask(self, order: str) -> str:
        """Give an order and wait for its answer."""
        self.tell(order)
        return self.answer()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Have done with it, in whatever state it is."""
        self.kill()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
