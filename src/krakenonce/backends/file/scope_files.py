"""One scope's two files: the step that takes the next number, under the kernel's lock.

Invariants 1 to 8 of docs/explanation/guarantees.md are kept here.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from os import fstat
from time import monotonic_ns
from typing import TYPE_CHECKING

from krakenonce.backends.file.descriptors import Held
from krakenonce.backends.file.filesystem import open_regular, store_error, write_whole
from krakenonce.backends.file.mark import FIRST, MarkRecord
from krakenonce.backends.file.mark_file import MarkFile
from krakenonce.backends.file.place import Place
from krakenonce.backends.file.recovery import READ, Found, Records, in_force, last_issued, newest, of_this_boot
from krakenonce.backends.file.scope_state import OwnMark
from krakenonce.rule import SECOND, WINDOW, mark_for, next_nonce

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.backends.file.scope_state import ScopeState
    from krakenonce.clock import Clock
    from krakenonce.errors import NonceStoreError

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
        "_inode",
        "_mark_fd",
        "_mark_file",
        "_mark_is_new",
        "_notes",
        "_now_ns",
        "_own",
        "_place",
        "_text_fd",
        "generation",
        "state",
    )

    def __init__(self, state: ScopeState, clock: Clock) -> None:
        self.state = state
        self._clock = clock
        self._now_ns = clock.now_ns
        self.generation = state.generation
        self._mark_fd = self._text_fd = -1
        self._held = Held()
        self._own = OwnMark()  # nothing in these files is believed before they have been read with the lock
        self._notes: list[tuple[int, str]] = []
        try:
            self._mark_is_new = not state.mark_path.exists()
            place = state.mark_path.parent
            directory = self._held.keep(os.open(place, os.O_RDONLY | os.O_DIRECTORY))
            self._mark_fd = self._held.keep(open_regular(state.mark_path, os.O_RDWR | os.O_CREAT))
            self._text_fd = self._held.keep(open_regular(state.text_path, os.O_RDWR | os.O_CREAT))
            self._place = Place(directory, place, ((self._text_fd, state.text_path), (self._mark_fd, state.mark_path)))
            self._mark_file = MarkFile(self._mark_fd, state.mark_path)
            self._inode = fstat(self._mark_fd).st_ino
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise store_error("open", state.mark_path, error) from error
            raise

    def advance(self) -> int | None:  # noqa: C901 - the whole step, to be read in one go
        """Issue the next number. None: the files were deleted, or closed under us; open them anew, and ask again."""
        state, mark_fd, text_fd = self.state, self._mark_fd, self._text_fd
        try:
            _lock(mark_fd)
            text = os.pread(text_fd, READ, 0)
            now_ns = self._now_ns()
            last = int(text) if len(text) == _DIGITS and text.isdigit() else _NO_NUMBER
            nonce = now_ns if now_ns > last else last + 1
            # The clock and the place are looked at each window, also where a mark that is far ahead need not move.
            if last < state.last or nonce > self._own.mark or now_ns - state.anchor.wall_ns > WINDOW:
                nonce = self._advance_slowly(text)
            elif last != state.last and not self._place.is_held():  # others go on with it, maybe by another mark
                raise _NotInPlace
            elif now_ns < state.now - SECOND:
                self._judge((None, None))
            else:
                state.now = now_ns
            if os.pwrite(text_fd, b"%d" % nonce, 0) != _DIGITS:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if nonce > state.last:  # another thread may know more, in files that are new
                state.last = nonce
            state.issued += 1
        except _NotInPlace:
            mark_fd = self._still_locked(mark_fd)
            return None
        except OSError as error:
            mark_fd = self._still_locked(mark_fd)
            if mark_fd < 0:
                return None
            raise self._failed("write", state.text_path, error) from error
        finally:
            if mark_fd >= 0:
                try:  # noqa: SIM105 - an interrupt in suppress() would leave it locked
                    flock(mark_fd, LOCK_UN)
                except OSError:  # closed under us, and so unlocked
                    pass
            if self._notes:
                self._log_notes()
        # Asked after the fact: files in place now were in place at the write, so nobody can have begun new ones.
        return nonce if self._place.is_held() else None

    def raise_floor(self, floor: int) -> int | None:
        """Make the next number larger than *floor*; return the last number now. None: as for advance."""
        state, mark_fd = self.state, self._mark_fd
        try:
            _lock(mark_fd)
            text = os.pread(self._text_fd, READ, 0)
            records = self._read_mark()
            found = self._find(text, records)
            last = floor if found.last is None else max(floor, found.last)
            # Also where it is there already: that was only read, or remembered (invariant 3).
            if floor > self._own.mark:
                self._judge(records)
                self._extend(records, last, found.last)
            elif text != b"%d" % last:
                self._write_text(b"%d" % last)
            state.last = max(last, state.last)
            self._note_doubt(found, last)
        except _NotInPlace:
            mark_fd = self._still_locked(mark_fd)
            return None
        except OSError as error:
            mark_fd = self._still_locked(mark_fd)
            if mark_fd < 0:
                return None
            raise self._failed("write", state.text_path, error) from error
        finally:
            if mark_fd >= 0:
                try:  # noqa: SIM105 - an interrupt in suppress() would leave it locked
                    flock(mark_fd, LOCK_UN)
                except OSError:  # closed under us, and so unlocked
                    pass
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
        return store_error(doing, path, error)

    def _still_locked(self, mark_fd: int) -> int:
        """Return the descriptor to unlock; -1 if ours were closed under us.

        The lock is then somebody else's file's, unless another one of ours has got the number: the lock may be its own.
        """
        if self._held.are_ours():
            return mark_fd
        if self._held.was_last_at(mark_fd):
            with contextlib.suppress(OSError):  # nobody has got it
                flock(mark_fd, LOCK_UN)
        return -1

    def _advance_slowly(self, text: bytes) -> int:
        """Take the next number when the text is not plainly the last one, or when the mark has to move."""
        records = self._read_mark()
        found = self._find(text, records)
        nonce = next_nonce(found.last, self._judge(records))
        self._note_doubt(found, nonce)
        if nonce > self._own.mark:
            self._extend(records, nonce, found.last)
        elif len(text) != _DIGITS:
            self._write_text(b"%d" % nonce)
        return nonce

    def _read_mark(self) -> Records:
        """Read the mark, and see whether it is the one that this process knows.

        Raises _NotInPlace if these are not the scope's files any more, as the text may be the scope's and the mark a
        deleted one; and after a failed sync of another thread.
        """
        own = self.state.own
        if self.generation != self.state.generation or not (self._held.are_ours() and self._place.is_surely_held()):
            raise _NotInPlace
        records = self._mark_file.read()
        record = newest(records)
        if record and own.file == (self._inode, record.file_id) and record.mark >= own.mark:
            self._own = own
        elif self._own is own:  # overwritten
            self._own = OwnMark()
        return records

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

    def _judge(self, records: Records) -> int:
        """Return what to take for now, held against the last readings of this boot, by whichever process."""
        record = newest(records)
        theirs = record.anchor if of_this_boot(record, self._clock) and record else None
        believed, note = self.state.judge(self._clock, theirs)
        if note:
            self._notes.append((logging.WARNING, note))
        return believed

    def _note_doubt(self, found: Found, number: int) -> None:
        if found.doubt:
            self.state.recovered += found.damaged
            level = logging.WARNING if found.damaged else logging.INFO
            self._notes.append((level, f"{found.doubt}; going on with {number}"))

    def _log_notes(self) -> None:
        """Say what was noticed, with the lock free: a log that blocks must not stop other processes."""
        notes, self._notes = self._notes, []
        for level, note in notes:
            logger.log(level, "%s: %s", self.state.text_path, note)

    def _extend(self, records: Records, nonce: int, last: int | None) -> None:
        """Put a mark one window above *nonce* on the disk, in both slots, before *nonce* is used.

        The text is written in between: as long as the second slot is not written it may say *last*, or what others have
        issued since under the mark in force, so that whoever is killed here leaves nothing in doubt. It may not say
        less, as it may after a power cut; if the disk fails it is made to say *last*.
        """
        state, own, began = self.state, self._own, monotonic_ns()
        before = newest(records)
        record = MarkRecord(
            file_id=before.file_id if before else int.from_bytes(os.urandom(8), "little"),
            sequence=before.sequence + 1 if before else 1,
            which=FIRST,
            base=nonce,
            mark=max(mark_for(nonce), before.mark if before else 0),  # invariant 2
            old_base=last or 0,
            old_mark=max(in_force(records)[1], last or 0),
            boot_id=self._clock.boot_id(),
            anchor=state.anchor,
        )
        try:
            if own.mark < 0:
                self._place.keep_names()
            self._mark_file.write_first(record, records)
            self._write_text(b"%d" % nonce)
            self._mark_file.write_second(record, records)
        except OSError as error:
            with contextlib.suppress(OSError):  # there is an error to tell already
                self._write_text(b"" if last is None else b"%d" % last)
            raise self._failed("make durable", state.mark_path, error) from error
        own.file, own.mark = (self._inode, record.file_id), record.mark
        state.own = own
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
