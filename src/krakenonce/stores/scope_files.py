"""One scope's two files: the step that takes the next number, under the kernel's lock.

Invariants 1 to 8 of docs/explanation/guarantees.md are kept here.
"""

from __future__ import annotations

import errno
import logging
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from os import fstat
from time import monotonic_ns
from typing import TYPE_CHECKING

from ..rule import SECOND, in_range, judge_clock, mark_for, next_nonce
from .descriptors import Held
from .filesystem import open_regular, store_error, sync_directory, write_whole
from .mark import MarkRecord
from .mark_file import MarkFile
from .place import Place
from .recovery import Found, Records, last_issued, newest
from .scope_state import READ, of_this_boot

if TYPE_CHECKING:
    from pathlib import Path

    from ..clock import Clock
    from ..errors import NonceStoreError
    from .scope_state import ScopeState

__all__ = ["ScopeFiles"]

logger = logging.getLogger("krakenonce")

_DIGITS = 19  # every number from 2001 to 2^63 - 1 has 19 digits
_NO_NUMBER = -2  # less than the last number of a process that has issued none
_LOOKS = range(8)


class _NotInPlace(Exception):
    """The open files are not the scope's any more: deleted, or closed by somebody else."""


class ScopeFiles:
    """Both files, open. Used by one thread at a time; the lock between all of them is the kernel's."""

    __slots__ = (
        "_clock",
        "_held",
        "_mark_fd",
        "_mark_file",
        "_mark_is_new",
        "_notes",
        "_place",
        "_text_fd",
        "generation",
        "inode",
        "mark",
        "state",
    )

    def __init__(self, state: ScopeState, clock: Clock) -> None:
        self.state = state
        self._clock = clock
        self.generation = state.generation
        self._mark_fd = self._text_fd = -1
        self._held = Held()
        self._notes: list[tuple[int, str]] = []
        try:
            self._mark_is_new = not state.mark_path.exists()
            directory = self._held.keep(os.open(state.mark_path.parent, os.O_RDONLY | os.O_DIRECTORY))
            self._mark_fd = self._held.keep(open_regular(state.mark_path, os.O_RDWR | os.O_CREAT))
            self._text_fd = self._held.keep(open_regular(state.text_path, os.O_RDWR | os.O_CREAT))
            self._place = Place(state, directory, ((self._text_fd, state.text_path), (self._mark_fd, state.mark_path)))
            self._mark_file = MarkFile(self._mark_fd, state.mark_path)
            self.inode = fstat(self._mark_fd).st_ino
            record = newest(self._mark_file.read())
            self.mark = record.mark if record else -1
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise store_error("open", state.mark_path, error) from error
            raise

    def advance(self, now_ns: int, crowded: bool = False) -> int | None:
        """Issue the next number. None: the files were deleted, or closed under us; nothing was issued, open them again.

        *crowded*: other threads of this process are at the files too; one check of the directory serves all of them.
        """
        state, mark_fd, text_fd = self.state, self._mark_fd, self._text_fd
        try:
            _lock(mark_fd)
            text = os.pread(text_fd, READ, 0)
            last = int(text) if len(text) == _DIGITS and text.isdigit() else _NO_NUMBER
            nonce = now_ns if now_ns > last else last + 1
            if last < state.last or nonce > state.mark:
                nonce = self._advance_slowly(text, now_ns)
            elif now_ns < state.now - SECOND:
                self._step_back(now_ns)
            if os.pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            state.last = nonce
            state.now = now_ns
            state.issued += 1
        except _NotInPlace:
            mark_fd = mark_fd if self._held.are_ours() else -1
            return None
        except OSError as error:
            if not self._held.are_ours():
                mark_fd = -1
                return None
            raise self._failed("write", state.text_path, error) from error
        finally:
            if mark_fd >= 0:
                flock(mark_fd, LOCK_UN)
            if self._notes:
                self._log_notes()
        # Asked after the fact: files in place now were in place at the write, so nobody can have begun new ones.
        return nonce if (self._place.was_held_just_now() if crowded else self._place.is_held()) else None

    def raise_floor(self, floor: int) -> int | None:
        """Make the next number larger than *floor*; return the last number now. None: as for advance."""
        state = self.state
        try:
            _lock(self._mark_fd)
            self._check_place()
            text = os.pread(self._text_fd, READ, 0)
            records = self._mark_file.read()
            found = self._find(text, records)
            last = floor if found.last is None else max(floor, found.last)
            if floor > state.mark:  # also where it is there already: that was only read, or remembered (invariant 3)
                self._believe(records, self._clock.now_ns())
                self._extend(records, last, found.last)
            elif text != b"%d" % last:
                self._write_text(b"%d" % last)
            state.last = last
            self._note_doubt(found, last)
        except _NotInPlace:
            return None
        except OSError as error:
            if not self._held.are_ours():
                return None
            raise self._failed("write", state.text_path, error) from error
        finally:
            if self._held.are_ours():
                flock(self._mark_fd, LOCK_UN)
            if self._notes:
                self._log_notes()
        return last if self._place.is_held() else None

    def close(self) -> None:
        """Close the descriptors. Never unlocks: after a fork the lock may be the parent's."""
        self._held.close()
        self._mark_fd = self._text_fd = -1

    def _failed(self, doing: str, path: Path, error: OSError) -> NonceStoreError:
        # Invariant 6: after a failed sync the kernel may call lost pages clean, so no descriptor from before is used.
        self.state.generation += 1
        self.state.synced = None
        return store_error(doing, path, error)

    def _advance_slowly(self, text: bytes, now_ns: int) -> int:
        """Take the next number when the text is not plainly the last one, or when the mark has to move."""
        self._check_place()
        state = self.state
        records = self._mark_file.read()
        found = self._find(text, records)
        nonce = next_nonce(found.last, self._believe(records, now_ns))
        self._note_doubt(found, nonce)
        if nonce > state.mark:
            self._extend(records, nonce, found.last)
        elif len(text) != _DIGITS:
            self._write_text(b"%d" % nonce)
        return nonce

    def _check_place(self) -> None:
        """Raise _NotInPlace if these are not the scope's files any more, before anything but the usual step is done.

        The text may be the scope's and the mark a deleted one: what is judged by that must not be written into it. (In
        the usual step a text of others is never plainly the last number.)
        """
        if not (self._held.are_ours() and self._place.is_held()):
            raise _NotInPlace

    def _find(self, text: bytes, records: Records) -> Found:
        """Judge the state on disk, and hold it against this process's own memory."""
        known = self.state.last
        record = newest(records)
        found = last_issued(
            text,
            records,
            same_boot=known >= 0 or of_this_boot(record, self._clock),
            mark_is_new=self._mark_is_new or (not text and not fstat(self._mark_fd).st_size),
        )
        if known < 0 or (found.last is not None and found.last >= known):
            return found
        # The files went back under a running process: deleted, or restored from a backup.
        return Found(max(known, record.mark if record else 0), "the state is older than what was issued", damaged=True)

    def _believe(self, records: Records, now_ns: int) -> int:
        """Return what to take for now, judged by the last readings of this boot, by whichever process (invariant 5)."""
        state, record = self.state, newest(records)
        theirs = record.anchor if record and of_this_boot(record, self._clock) else None
        known = (anchor for anchor in (state.anchor, theirs) if anchor and in_range(anchor.wall_ns))
        last = max(known, key=lambda anchor: anchor.boot_ns, default=None)
        verdict = judge_clock(last, now_ns, self._clock.boot_ns())
        if verdict.event in ("back", "accepted") or verdict.event != state.clock_event:
            self._note_clock(verdict.event, now_ns)
        state.clock_event, state.anchor, state.now = verdict.event, verdict.anchor, now_ns
        return verdict.now_ns

    def _note_doubt(self, found: Found, number: int) -> None:
        if found.doubt:
            self.state.recovered += found.damaged
            level = logging.WARNING if found.damaged else logging.INFO
            self._notes.append((level, f"{found.doubt}; going on with {number}"))

    def _step_back(self, now_ns: int) -> None:
        """The clock is behind what it was at the last number: what is projected later is projected from here."""
        self.state.anchor = judge_clock(self.state.anchor, now_ns, self._clock.boot_ns()).anchor  # invariant 5
        self._note_clock("back", now_ns)

    def _note_clock(self, event: str, now_ns: int) -> None:
        state = self.state
        if event == "back":
            state.clock_back += 1
            note = "the clock stepped back; numbers go on from the last one"
        elif event in ("forward", "absurd"):
            state.clock_forward += 1
            note = f"the clock jumped to {now_ns} ns; not believed until it lasts"
        elif event == "accepted":
            note = "the clock's jump has lasted and is taken as right"
        else:
            return
        self._notes.append((logging.WARNING, note))

    def _log_notes(self) -> None:
        """Say what was noticed, with the lock free: a log that blocks must not stop other processes."""
        notes, self._notes = self._notes, []
        for level, note in notes:
            logger.log(level, "%s: %s", self.state.text_path, note)

    def _extend(self, records: Records, nonce: int, last: int | None) -> None:
        """Put a mark one window above *nonce* on the disk, in both slots, before *nonce* is used.

        The text goes first, and back to *last* if the disk fails: a mark that rose without it would be taken for a
        sign of damage, and each further try would climb by one window. Not back to what it was, for after a power cut
        that misses the last numbers, and would look exact beside a mark of this boot (invariant 1).
        """
        state, began = self.state, monotonic_ns()
        self._write_text(b"%d" % nonce)
        before = newest(records)
        record = MarkRecord(
            sequence=before.sequence + 1 if before else 1,
            mark=max(mark_for(nonce), before.mark if before else 0),  # invariant 2
            boot_id=self._clock.boot_id(),
            anchor=state.anchor,
        )
        try:
            self._mark_file.write(record, records, known=records == (state.synced, state.synced))
            if state.mark < 0:
                sync_directory(state.mark_path.parent)  # the names, too, must outlive a power cut
        except OSError as error:
            self._write_text(b"" if last is None else b"%d" % last)
            raise self._failed("make durable", state.mark_path, error) from error
        self._place.let_others_look()
        state.mark, state.synced = record.mark, record
        state.extended += 1
        state.extending_ns += monotonic_ns() - began
        self._mark_is_new = False

    def _write_text(self, text: bytes) -> None:
        write_whole(self._text_fd, text, 0)
        os.ftruncate(self._text_fd, len(text))


def _lock(fd: int) -> None:
    """Take the kernel's lock. Look a few times before going to sleep for it: a step is shorter than a sleep."""
    for _ in _LOOKS:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            continue
        return
    flock(fd, LOCK_EX)
