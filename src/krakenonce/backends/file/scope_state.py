"""What a process knows about a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.protocol import ScopeStats
from krakenonce.rule import Anchor, in_range, judge_clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from krakenonce.clock import Clock


_NEWS = {
    "back": "the clock stepped back; nonces continue from the last one",
    "forward": "the clock jumped forward to {} ns; ignored until it has lasted for a minute",
    "absurd": "the clock is at {} ns, which is before 2020 or after 2200; ignored",
    "accepted": "the clock's jump forward has lasted for a minute and is trusted now",
}


class OwnMark:
    """What this process itself has put into one mark file, and may therefore trust (promise 3)."""

    __slots__ = ("file", "mark")

    def __init__(self) -> None:
        self.file = (0, 0)  # which one: its inode, which a new file may get again, and its id, which a copy has, too
        self.mark = -1  # no nonce above it is issued until it is raised


class ScopeState:
    """What this process knows about a counter, shared by its open files and changed only under the kernel's lock."""

    __slots__ = (
        "anchor",
        "clock_back",
        "clock_event",
        "clock_forward",
        "extended",
        "extending_ns",
        "generation",
        "issued",
        "last",
        "mark_path",
        "now",
        "own",
        "recovered",
        "scope",
        "tell",
        "text_path",
    )

    def __init__(self, directory: Path, scope: str, tell: Callable[[str, str], None] | None = None) -> None:
        self.scope = scope
        self.tell = tell  # notes in the journal what kind of thing has happened, and what
        self.text_path = directory / f"kraken_{scope}_nonce.txt"
        self.mark_path = directory / f"kraken_{scope}_nonce.mark"
        self.last = -1  # the largest nonce that this process has issued
        self.own = OwnMark()  # in the mark file that it has written to last
        self.now = 0  # the wall clock when it was last read
        self.anchor = Anchor(0, 0)  # the last readings that were trusted; none yet
        self.clock_event = "steady"
        self.generation = 0  # goes up when a write has failed: descriptors from before are not used again
        self.issued = self.extended = self.recovered = self.clock_back = self.clock_forward = self.extending_ns = 0

    def judge(self, clock: Clock, theirs: Anchor | None) -> tuple[int, str]:
        """Return the time to use now (promise 5), and what to log, if anything; remember both clocks.

        Args:
            clock: Both readings are taken now, at one moment: the caller may have hung since it read the time.
            theirs: The last readings in this boot by any process, if they are known.
        """
        now_ns, boot_ns = clock.now_ns(), clock.boot_ns()
        last = self.anchor
        if theirs and in_range(theirs.wall_ns) and not (in_range(last.wall_ns) and last.boot_ns >= theirs.boot_ns):
            last = theirs
        verdict = judge_clock(last, now_ns, boot_ns)
        is_news = verdict.event in ("back", "accepted") or verdict.event != self.clock_event
        self.clock_event, self.anchor, self.now = verdict.event, verdict.anchor, now_ns
        if not is_news or verdict.event == "steady":
            return verdict.now_ns, ""
        self.clock_back += verdict.event == "back"
        self.clock_forward += verdict.event in ("forward", "absurd")
        return verdict.now_ns, _NEWS[verdict.event].format(now_ns)

    def stats(self, last: int | None, mark: int | None) -> ScopeStats:
        """Return the counts so far, with the *last* nonce and the *mark* of the disk."""
        counts = (self.issued, self.extended, self.recovered, self.clock_back, self.clock_forward)
        return ScopeStats(self.scope, last, mark, *counts, self.extending_ns)
