"""What workers tell: one line for each number, in a file of each process's own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.testing.checker import Issue

from .campaign import Broken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Note", "Teller", "Told", "hear"]


class Note(NamedTuple):
    """Something other than a number that a process told.

    Args:
        who: The process, by a name for this life of it.
        at: When, by the monotonic clock.
        what: One word.
        words: The rest.
    """

    who: str
    at: int
    what: str
    words: str = ""


class Told(NamedTuple):
    """What was told, by all processes."""

    issues: list[Issue]
    notes: list[Note]

    def count(self, what: str) -> int:
        """How many notes are of this kind."""
        return sum(note.what == what for note in self.notes)


class Teller:
    """Tells what this process does; for all its threads, and not for its forks.

    A file is told to and not a pipe: nobody has to read fast enough, so a process that is killed is killed in its
    step and not while it waits for a reader. Each line is one write to the end of the file, so only the last one can
    be cut by a kill, and that one does not count.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.who = f"{os.getpid()}-{time.monotonic_ns()}"  # a process id alone may come again
        self._fd = os.open(directory / self.who, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def number(self, take: Callable[[], int]) -> int:
        """Take a number and tell it; only then is it used."""
        asked = time.monotonic_ns()
        number = take()
        os.write(self._fd, b"number %d %d %d\n" % (asked, time.monotonic_ns(), number))
        return number

    def note(self, what: str, words: str = "") -> None:
        """Tell something else."""
        line = " ".join(words.split())[:2000]  # a line, and well below what one write takes
        os.write(self._fd, f"{what} {time.monotonic_ns()} {line}\n".encode())


def hear(directory: Path) -> Told:
    """Read what processes that are gone have told, and forget it.

    Raises:
        Broken: One of them failed.
    """
    told = Told([], [])
    for path in directory.iterdir():
        who = path.name
        for line in path.read_text().split("\n")[:-1]:
            what, at, words = line.split(" ", 2)
            if what == "number":
                answered, _, number = words.partition(" ")
                told.issues.append(Issue(int(at), int(answered), int(number), who))
            else:
                told.notes.append(Note(who, int(at), what, words))
        path.unlink()
    for note in told.notes:
        if note.what == "failed":
            raise Broken(f"process {note.who} failed: {note.words}")
    return told
