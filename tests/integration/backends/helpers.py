"""What the tests of backends share: a state directory seen from outside, and processes that take nonces."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from krakenonce.backends import FileStore
from krakenonce.backends.file.mark import FILE_SIZE, MarkRecord, pack, slot_offset, unpack_file
from krakenonce.testing.clock import ManualClock

SECOND = 1_000_000_000


def text_path(state: Path, scope: str = "global") -> Path:
    """The nonce file."""
    return state / f"kraken_{scope}_nonce.txt"


def mark_path(state: Path, scope: str = "global") -> Path:
    """The file with the durable mark."""
    return state / f"kraken_{scope}_nonce.mark"


def read_slots(state: Path) -> tuple[MarkRecord | None, MarkRecord | None]:
    """Both slots of the mark file."""
    return unpack_file(mark_path(state).read_bytes())


def write_slot(state: Path, slot: int, data: bytes | MarkRecord) -> None:
    """Overwrite the beginning of one slot."""
    with mark_path(state).open("r+b") as file:
        file.seek(slot_offset(slot))
        file.write(data if isinstance(data, bytes) else pack(data))


def take(state: Path, clock: ManualClock, count: int = 1) -> list[int]:
    """Nonces from a process that has just been started, and is killed afterwards."""
    store = FileStore(state, clock=clock)
    try:
        return [store.advance("global") for _ in range(count)]
    finally:
        store._after_fork()  # closes the files and writes nothing, as the kernel does


def rising(nonces: Iterable[int]) -> bool:
    """Whether each nonce is larger than the one before."""
    return all(a < b for a, b in itertools.pairwise(nonces))


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a real process that runs *code*, talking through pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )


def finish(worker: subprocess.Popen[str]) -> str:
    """The rest of what a worker says; it must end without complaint, unless it was killed."""
    assert worker.stdout is not None
    assert worker.stderr is not None
    output = worker.stdout.read()
    errors = worker.stderr.read()
    code = worker.wait()
    for pipe in (worker.stdin, worker.stdout, worker.stderr):
        if pipe is not None:
            pipe.close()
    assert not errors, errors
    assert code in (0, -signal.SIGKILL)
    return output


def say(worker: subprocess.Popen[str], line: str) -> None:
    """Send a line to a worker."""
    assert worker.stdin is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()


def hear(worker: subprocess.Popen[str]) -> str:
    """Return a line from a worker."""
    assert worker.stdout is not None
    return worker.stdout.readline()


__all__ = [
    "FILE_SIZE",
    "SECOND",
    "finish",
    "hear",
    "mark_path",
    "read_slots",
    "rising",
    "say",
    "start_python",
    "take",
    "text_path",
    "write_slot",
]
