"""The numbers of a run, of all its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from krakenonce.running.tally import NUMBERS, PYTHON

if TYPE_CHECKING:
    from pathlib import Path


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
        if kind == PYTHON:
            interpreters += 1
            continue
        content = path.read_bytes()
        clients, called = NUMBERS.unpack(content) if len(content) == NUMBERS.size else (0, 0)
        kinds[kind] = kinds.get(kind, 0) + clients
        calls += called
        callers |= {pid} if called else set()
    return Total(interpreters, len(callers), {kind: count for kind, count in kinds.items() if count}, calls)
