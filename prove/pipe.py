"""What workers report: one line for each nonce, through one pipe for all of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from krakenonce.testing.checker import Issue
from prove.campaign import MAX_WAIT, Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

__all__ = ["Listener", "Note", "Reported", "Reporter"]

_REPORTED = re.compile(rb"^(\d+)-\d+ (\w+)\S* (\d+)", re.MULTILINE)
_PIPE_SIZE = 1 << 20  # bytes: what a pipe may hold at most, so that no worker waits until it is read
_LONGEST = 400  # bytes of a note's words: with the rest of the line less than any system writes to a pipe in one piece


class Note(NamedTuple):
    """Something other than a nonce that a process reported.

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


class Reported(NamedTuple):
    """What all processes have reported."""

    issues: list[Issue]
    notes: list[Note]

    def count(self, what: str) -> int:
        """How many notes are of this kind."""
        return sum(note.what == what for note in self.notes)


class Reporter:
    """Reports what this process does; for all its threads, and not for its forks.

    A line goes into the pipe as a whole or not at all, so a process that is killed has reported a nonce or has not.

    Args:
        pipe: The listener's.
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self._who = b"%d-%d" % (os.getpid(), time.monotonic_ns())  # a process id alone may come again

    def nonce(self, take: Callable[[], int], asked: int = 0) -> int:
        """Take a nonce and report it; only then is it used. It was asked for now, or at a moment before."""
        asked = asked or time.monotonic_ns()
        nonce = take()
        os.write(self.pipe, b"%s nonce %d %d %d\n" % (self._who, asked, time.monotonic_ns(), nonce))
        return nonce

    def note(self, what: str, words: str = "") -> None:
        """Report something else; of many words only the last ones."""
        line = " ".join(words.split()).encode()[-_LONGEST:]
        os.write(self.pipe, b"%s %s %d %s\n" % (self._who, what.encode(), time.monotonic_ns(), line))

    def reap(self, pid: int) -> None:
        """Wait for the end of a forked child; one that has crashed has failed."""
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            self.note("failed", f"a forked child has crashed: {signal.Signals(os.WTERMSIG(status)).name}")


class Listener:
    """The other end of the pipe, which is read all the time: a worker is killed in its step, not while it waits for us.

    Args:
        alive: A file to make, on which every worker and each of its forks has a shared lock as long as it lives.
    """

    def __init__(self, alive: Path) -> None:
        self.alive = alive
        self.pipe = -1
        self._heard = bytearray()
        self._more = threading.Condition()

    def __enter__(self) -> Self:
        self.alive.touch()
        reader, self.pipe = os.pipe()
        with contextlib.suppress(AttributeError, OSError):  # Linux alone has it, and not for all users
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self._thread = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.pipe)
        self._thread.join(MAX_WAIT)  # until all processes that could report are gone

    def until_reported(self, complaint: str, what: str = "", by: int = 1) -> None:
        """Wait until *by* processes report something that begins with *what*, and that they have begun after now.

        Raises:
            Broken: They do not; the message is *complaint*.
        """
        now, seen = time.monotonic_ns(), set[str]()
        with self._more:
            at = len(self._heard)

            def enough() -> bool:
                nonlocal at
                issues, notes = _read_lines(bytes(self._heard[at:]))
                at = len(self._heard)
                seen.update(issue.caller for issue in issues if "nonce".startswith(what) and issue.asked > now)
                seen.update(note.who for note in notes if note.what.startswith(what) and note.at > now)
                return len(seen) >= by

            if not self._more.wait_for(enough, MAX_WAIT):
                raise Broken(complaint)

    def until_all_report(self, pids: Iterable[int]) -> None:
        """Wait until each of these processes reports something that it has begun after now, or its exit.

        Raises:
            Broken: One of them hangs.
        """
        now, silent = time.monotonic_ns(), set(pids)
        with self._more:
            at = 0  # an exit may have been reported before

            def all_do() -> bool:
                nonlocal at
                for who, what, moment in _REPORTED.findall(self._heard, at):
                    if what == b"exit" or int(moment) > now:
                        silent.discard(int(who))
                at = len(self._heard)
                return not silent

            if not self._more.wait_for(all_do, MAX_WAIT):
                raise Broken(f"{len(silent)} processes hang")

    def hear(self) -> Reported:
        """Wait until no worker lives, and no fork of one; return what they have reported since the last time.

        Raises:
            Broken: One of them failed, or hangs.
        """
        self._wait_until_all_are_gone()
        os.write(self.pipe, b"\n")
        with self._more:
            if not self._more.wait_for(lambda: self._heard == b"\n" or self._heard.endswith(b"\n\n"), MAX_WAIT):
                raise Broken("what was reported does not arrive")
            reported = _read_lines(bytes(self._heard))
            self._heard.clear()
        for note in reported.notes:
            if note.what == "failed":
                raise Broken(f"process {note.who} failed: {note.words}")
        return reported

    def _read(self, reader: int) -> None:
        while lines := os.read(reader, _PIPE_SIZE):
            with self._more:
                self._heard += lines
                self._more.notify_all()
        os.close(reader)

    def _wait_until_all_are_gone(self) -> None:
        deadline = time.monotonic() + MAX_WAIT
        with self.alive.open() as file:
            while True:
                with contextlib.suppress(BlockingIOError):
                    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.monotonic() > deadline:
                    raise Broken("a forked child hangs")
                time.sleep(0.002)


def _read_lines(lines: bytes) -> Reported:
    """Read lines, the last of which may be one that is empty."""
    reported = Reported([], [])
    for line in lines.decode(errors="replace").splitlines():
        if not line:
            continue
        who, what, at, words = line.split(" ", 3)
        if what == "nonce":
            answered, _, nonce = words.partition(" ")
            reported.issues.append(Issue(int(at), int(answered), int(nonce), who))
        else:
            reported.notes.append(Note(who, int(at), what, words))
    return reported
