"""Who holds a lane: what the lane's file says about it, and what may be said of that in another process.

Containers that share a directory may each have process ids and a time since boot of their own. So the file also names
the process namespace and the clock. Of what cannot be compared, nothing is said.
"""

from __future__ import annotations

import functools
import os
import sys
from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

from krakenonce.clock import SystemClock

_READ = 200  # bytes; what is written has fewer
_TURNS_AT = 32  # after the numbers of the process and of its time, and here()


def entry(turns: int) -> bytes:
    """Return what this process writes into the file of a lane that it has just got: always as many bytes.

    Args:
        turns: How many urgent turns in a row there are with this one, at most 9.
    """
    return b"%10d %20d %s%d\n" % (os.getpid(), SystemClock.boot_ns(), here(), turns)


def urgent_turns(fd: int) -> int:
    """Return how many urgent turns in a row the file of a lane counts; 0 if it does not say it."""
    digit = os.pread(fd, 1, _TURNS_AT + len(here()))
    return int(digit) if digit.isdigit() else 0


@functools.cache
def here() -> bytes:
    """Return the names of this process's clock and process namespace. One that is not known is no other process's."""
    nobody = f"?{os.urandom(8).hex()}"
    try:
        processes = os.readlink("/proc/self/ns/pid") if sys.platform == "linux" else "-"
    except OSError:  # of a kernel without such namespaces, or there is no /proc
        processes = "-" if os.path.exists("/proc/self") else nobody
    return f"{SystemClock.boot_id() or nobody:64} {processes:32}\n".encode()


def who(path: Path) -> str:
    """Return who holds the lane whose file is at *path*, and for how long, in words."""
    try:
        with path.open("rb", buffering=0) as file:
            return _in_words(file.read(_READ), file.fileno())
    except (OSError, ValueError, OverflowError):
        return "its holder is not known"


def _in_words(text: bytes, fd: int) -> str:
    pid, since, *place = text[: text.index(b"\n")].split()
    clock, processes = place
    our_clock, our_processes = here().split()
    seconds = (SystemClock.boot_ns() - int(since)) / 1e9
    holds = f"has held it for {seconds:.1f} s" if clock == our_clock and seconds >= 0 else "has it"
    if processes != our_processes:
        return f"a process in another container, or without /proc, {holds}"
    name = f"process {int(pid)}"
    if not _has_ended(int(pid)):
        return f"{name} {holds}"
    if _is_locked(fd):
        return (
            f"{name} had it and has ended, but a process that it started still has the lane's file open; end that one"
        )
    return f"{name} had it last, and has ended"


def _has_ended(pid: int) -> bool:
    if pid <= 0:
        raise ValueError
    try:
        os.kill(pid, 0)
        if os.readlink("/proc/self") != str(os.getpid()):  # it shows the processes of another container
            return False
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's; or there is no /proc
        return False
    return status.rpartition(b")")[2].split()[0] == b"Z"  # its parent has not asked yet how it has ended


def _is_locked(fd: int) -> bool:
    try:
        flock(fd, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    flock(fd, LOCK_UN)  # and not by closing: a child that was forked just now has the file open, too
    return False
