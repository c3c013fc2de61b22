"""Which running processes use a state, as Linux's ``/proc`` shows it.

Of a process's environment only the variables whose names begin with ``KRAKENONCE_`` are looked at. No other one is kept
or shown, and of these only the names, and which state is named.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.state_name import VARIABLE, read_state
from krakenonce.doctor.facts import Process
from krakenonce.errors import KrakenonceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


PROC = Path("/proc")
_OURS = b"KRAKENONCE_"
_FILE = re.compile(
    r"(?P<state>/.*?)/(?:kraken_[\w-]+_nonce\.(?:txt|mark)"
    r"|lanes/(?P<lane>[\w-]+)\.(?:lock|line|urgent)|lanes/kraken_limits_[\w-]+\.bin)"
)
_RUNS_PYTHON = ("python", "pypy", "gunicorn", "uwsgi", "celery", "krakenonce")
_LOCK = re.compile(r"\d+: (?P<waits>-> )?FLOCK +ADVISORY +WRITE +(?P<pid>-?\d+) (?P<file>[0-9a-f]+:[0-9a-f]+:\d+) ")


class Lock(NamedTuple):
    """A lock of the kernel's on one file.

    Args:
        pid: The process that holds it; 0: nobody that can be seen.
        waiting: How many processes wait for it.
    """

    pid: int
    waiting: int


def variables_of(pid: int, proc: Path = PROC) -> dict[str, str]:
    """Return the variables of a process whose names begin with ``KRAKENONCE_``; none if it may not be looked at."""
    try:
        pairs = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    ours = (pair.partition(b"=") for pair in pairs if pair.startswith(_OURS))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in ours}


def lanes_of(pid: int, proc: Path = PROC) -> dict[str, frozenset[str]]:
    """Return the state directories of which a process has files open, each with its lanes among them."""
    found: dict[str, set[str]] = {}
    for target in _links(proc / str(pid) / "fd"):
        match = _FILE.fullmatch(target)
        if match is not None:
            lanes = found.setdefault(match["state"], set())
            if match["lane"]:
                lanes.add(match["lane"])
    return {state: frozenset(lanes) for state, lanes in sorted(found.items())}


def running(proc: Path = PROC) -> tuple[Process, ...]:
    """Return the processes that use a state, as far as this user may look at them; without this one."""
    found, booted = [], _boot_time(proc)
    for pid in _pids(proc):
        if pid == os.getpid():
            continue
        variables, lanes = variables_of(pid, proc), lanes_of(pid, proc)
        name, is_stopped = _name_and_stopped(pid, proc)
        # A shell passes its variables on, and uses no state itself.
        if not name or not (lanes or (VARIABLE in variables and name.startswith(_RUNS_PYTHON))):
            continue
        named = _place_of(variables.get(VARIABLE, ""), pid, proc)
        begun = 0.0 if booted is None else booted + (_begun(pid, proc) or 0.0)
        program = _program(pid, name, proc)
        found.append(Process(pid, program, named, tuple(sorted(variables)), lanes, is_stopped, begun))
    return tuple(found)


def locks(proc: Path = PROC) -> dict[tuple[int, int], Lock]:
    """Return who has locked which file, by device and inode; none if the system does not show it.

    It is read from the kernel's list: to try the locks would make calls wait.
    """
    found: dict[tuple[int, int], Lock] = {}
    try:
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        match = _LOCK.match(line)
        if match is None:
            continue
        major, minor, inode = match["file"].split(":")
        file = os.makedev(int(major, 16), int(minor, 16)), int(inode)
        before = found.get(file, Lock(0, 0))
        if match["waits"]:
            found[file] = before._replace(waiting=before.waiting + 1)
        else:
            found[file] = before._replace(pid=max(0, int(match["pid"])))
    return found


def alive(asked: Iterable[tuple[int, float]], proc: Path = PROC) -> frozenset[int]:
    """Return which processes still run.

    Args:
        asked: Process ids, each with a time at which it ran, in seconds since 1970: a process that began later is
            another one that has got the id.
        proc: Where the system shows its processes.
    """
    booted = _boot_time(proc)
    found = set()
    for pid, at in asked:
        begun = _begun(pid, proc)
        if begun is not None and (booted is None or booted + begun <= at + 2.0):
            found.add(pid)
    return frozenset(found)


def can_look(proc: Path = PROC) -> bool:
    """Whether the system shows its processes."""
    return (proc / "self" / "fd").exists()


def _pids(proc: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except OSError:
        return []


def _links(directory: Path) -> Iterator[str]:
    try:
        names = os.listdir(directory)
    except OSError:  # another user's, or it has ended
        return
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")
        except OSError:  # closed meanwhile
            continue


def _name_and_stopped(pid: int, proc: Path) -> tuple[str, bool]:
    try:
        before, _, after = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return "", False
    state = after.split()[0]
    return ("", False) if state == "Z" else (before.partition("(")[2], state in "Tt")


def _program(pid: int, name: str, proc: Path) -> str:
    """Return the name of a program: of Python's, that of the script; no other argument, which may be a secret."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")[1:4]
    except OSError:
        return name
    return next((os.path.basename(os.fsdecode(word)) for word in words if word.endswith(b".py")), name)


def _place_of(text: str, pid: int, proc: Path) -> str:
    """Return the state that a variable names: a path, or a URL without its password."""
    if not text.strip():
        return ""
    try:
        named = read_state(
            text if not _is_relative(text) else f"{os.readlink(proc / str(pid) / 'cwd')}/{text}", VARIABLE
        )
    except (KrakenonceError, OSError, ImportError):
        return "a state that cannot be read"
    if named.server is not None:
        return named.server.url
    return str(named.directory) if named.directory is not None else "memory:"


def _is_relative(text: str) -> bool:
    return ":" not in text and not text.strip().startswith(("/", "~"))


def _begun(pid: int, proc: Path) -> float | None:
    """Return when a process began, in seconds since boot; None: there is no such one."""
    try:
        fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def _boot_time(proc: Path) -> float | None:
    """Return when the machine was started, in seconds since 1970."""
    try:
        for line in (proc / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    except (OSError, ValueError):
        pass
    return None
