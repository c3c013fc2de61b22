"""One counter's two files: taking the next nonce, under the kernel's lock.

Promises 1 to 8 of docs/explanation/guarantees.md are kept here.
"""

from __future__ import annotations

import contextlib
import logging
import os
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from time import monotonic_ns
from typing import TYPE_CHECKING

from krakenonce.backends.file.filesystem import cut_short, store_error, write_whole
from krakenonce.backends.file.mark_file import MarkFile
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.backends.file.recovery import READ, Found, Records, last_issued, newest, of_this_boot
from krakenonce.errors import NonceStoreError
from krakenonce.rule import MARK_STEP, SECOND, next_nonce

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.backends.file.scope_state import ScopeState
    from krakenonce.clock import Clock


logger = logging.getLogger("krakenonce")

_DIGITS = 19  # every nonce from 2001 to 2^63 - 1 has 19 digits
_NO_NONCE = -2  # less than the last nonce of a process that has issued none
_TRIES = range(8)


class _NotInPlace(Exception):
    """The open files are not the counter's any more: deleted, or closed by other code."""


class ScopeFiles:
    """Both files, open. Used by one thread at a time; the lock between all users is the kernel's."""

    __slots__ = (
        "_clock",
        "_files",
        "_mark",
        "_mark_fd",
        "_mark_is_new",
        "_notes",
        "_now_ns",
        "_text_fd",
        "generation",
        "state",
    )

    def __init__(self, state: ScopeState, clock: Clock) -> None:
        self.state = state
        self._clock = clock
        self._now_ns = clock.now_ns
        self.generation = state.generation
        self._files = OpenFiles()
        self._notes: list[tuple[int, str, str]] = []
        try:
            self._mark_is_new = not state.mark_path.exists()
            self._files.open_directory(state.mark_path.parent)
            self._mark_fd = self._files.open(state.mark_path)
            self._text_fd = self._files.open(state.text_path)
            flock(self._text_fd, LOCK_SH)  # nobody notes the end of the counter's use meanwhile
            self._mark = MarkFile(self._mark_fd, state)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise store_error("open", state.mark_path, error) from error
            raise

    def step(self, floor: int | None = None) -> int | None:
        """Issue the next nonce; or, with *floor*, make all later nonces larger than *floor*. Return the last nonce.

        None: the files were deleted, or closed by other code; open them again and call again.
        """
        state, mark_fd = self.state, self._mark_fd
        try:
            _lock(mark_fd)
            text = os.pread(self._text_fd, READ, 0)
            last = self._advance(text, self._now_ns()) if floor is None else self._raise_floor(text, floor)
            if last > state.last:  # another thread may know more, in files that are new
                state.last = last
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
                except OSError:  # closed by other code, and so unlocked
                    pass
            if self._notes:
                self._log_notes()
        # Asked after the write: files in place now were in place then, so no process can have begun new ones.
        return last if self._files.are_in_place() else None

    def end(self) -> None:
        """Note the last nonce in the mark file if nobody else has the counter open, and close the files.

        So a start in another boot need not skip any: containers on one machine may each have a boot id of their own.
        """
        if self._files.are_open():
            with contextlib.suppress(OSError, NonceStoreError, _NotInPlace):
                flock(self._mark_fd, LOCK_EX | LOCK_NB)
                try:
                    self._note_end()
                finally:
                    flock(self._mark_fd, LOCK_UN)
        self.close()

    def close(self) -> None:
        """Close the descriptors. Never unlocks: after a fork the lock may be the parent's."""
        self._files.close()
        self._mark_fd = self._text_fd = -1

    def _note_end(self) -> None:
        flock(self._text_fd, LOCK_EX | LOCK_NB)  # fails if anybody else has the counter open
        records = self._read_mark()
        found = self._find(os.pread(self._text_fd, READ, 0), records)
        if found.last is not None and not found.doubt:
            self._mark.note_end(found.last, records)

    def _advance(self, text: bytes, now_ns: int) -> int:
        """Write the next nonce and return it."""
        state = self.state
        last = int(text) if len(text) == _DIGITS and text.isdigit() else _NO_NONCE
        nonce = now_ns if now_ns > last else last + 1
        # The clock and the paths are checked in each ten-second step, even if the mark is far ahead.
        if last < state.last or nonce > self._mark.own.mark or now_ns - state.anchor.wall_ns > MARK_STEP:
            nonce = self._advance_slowly(text)
        elif last != state.last and not self._files.are_in_place():  # other processes use it, maybe with another mark
            raise _NotInPlace
        elif now_ns < state.now - SECOND:
            self._judge((None, None))
        else:
            state.now = now_ns
        if os.pwrite(self._text_fd, b"%d" % nonce, 0) != _DIGITS:
            raise cut_short(_DIGITS)
        state.issued += 1
        return nonce

    def _advance_slowly(self, text: bytes) -> int:
        """Return the next nonce when the nonce file may not have the last one, or the mark has to be raised."""
        records = self._read_mark()
        found = self._find(text, records)
        nonce = next_nonce(found.last, self._judge(records))
        self._note_doubt(found, nonce)
        if nonce > self._mark.own.mark:
            self._raise_mark(records, nonce, found.last)
        elif len(text) != _DIGITS:
            self._write_text(b"%d" % nonce)
        return nonce

    def _raise_floor(self, text: bytes, floor: int) -> int:
        """Write the floor, unless the last nonce is larger; return what is in the nonce file then."""
        records = self._read_mark()
        found = self._find(text, records)
        last = floor if found.last is None else max(floor, found.last)
        # Also if the mark is there already: that was only read, or remembered (promise 3).
        if floor > self._mark.own.mark:
            self._judge(records)
            self._raise_mark(records, last, found.last)
        elif text != b"%d" % last:
            self._write_text(b"%d" % last)
        self._note_doubt(found, last)
        return last

    def _read_mark(self) -> Records:
        """Read the mark file. Raises _NotInPlace if these are not the counter's files any more.

        The nonce file may be the counter's and the mark file a deleted one. And after a failed sync of another thread
        no descriptor from before is used.
        """
        if self.generation != self.state.generation or not self._files.are_surely_in_place():
            raise _NotInPlace
        return self._mark.read()

    def _find(self, text: bytes, records: Records) -> Found:
        """Return the last nonce, from the files and from this process's own memory."""
        known = self.state.last
        record = newest(records)
        found = last_issued(
            text,
            records,
            same_boot=known >= 0 or of_this_boot(record, self._clock),
            mark_is_new=self._mark_is_new or (not text and self._mark.is_empty()),
            ended=self._mark.ended,
        )
        if known < 0 or (found.last is not None and found.last >= known):
            return found
        # The files went back under a running process: deleted, or restored from a backup.
        last = max(known, record.mark if record else 0)
        return Found(last, "the state files are older than the last nonce issued", damaged=True)

    def _judge(self, records: Records) -> int:
        """Return the time to use now, compared with the last readings of this boot, by whichever process."""
        record = newest(records)
        theirs = record.anchor if of_this_boot(record, self._clock) and record else None
        now_ns, note = self.state.judge(self._clock, theirs)
        if note:
            self._notes.append((logging.WARNING, "clock_step", note))
        return now_ns

    def _note_doubt(self, found: Found, nonce: int) -> None:
        if found.doubt:
            self.state.recovered += found.damaged
            level = logging.WARNING if found.damaged else logging.INFO
            self._notes.append((level, "recovered", f"{found.doubt}; continuing with nonce {nonce}"))

    def _log_notes(self) -> None:
        """Log what was noticed, after unlocking: a log that blocks must not stop other processes."""
        notes, self._notes = self._notes, []
        for level, what, note in notes:
            logger.log(level, "%s: %s", self.state.text_path, note)
            if level >= logging.WARNING and self.state.tell is not None:
                self.state.tell(what, f"counter {self.state.scope}: {note}")

    def _raise_mark(self, records: Records, nonce: int, last: int | None) -> None:
        """Raise the mark above *nonce*, which is in the nonce file then; if the disk fails, *last* is."""
        state, began = self.state, monotonic_ns()
        try:
            if self._mark.own.mark < 0:
                self._files.sync_names()
            self._mark.raise_above(nonce, last, records, self._clock.boot_id(), self._write_text)
        except OSError as error:
            with contextlib.suppress(OSError):  # an error is being raised already
                self._write_text(b"" if last is None else b"%d" % last)
            raise self._failed("make durable", state.mark_path, error) from error
        state.extended += 1
        state.extending_ns += monotonic_ns() - began
        self._mark_is_new = False

    def _write_text(self, text: bytes) -> None:
        write_whole(self._text_fd, text, 0)
        os.ftruncate(self._text_fd, len(text))

    def _failed(self, doing: str, path: Path, error: OSError) -> NonceStoreError:
        # Promise 6: after a failed sync the kernel may call lost pages clean, so no descriptor from before is used.
        self.state.generation += 1
        return store_error(doing, path, error)

    def _still_locked(self, mark_fd: int) -> int:
        """Return the descriptor to unlock; -1 if other code has closed ours.

        The lock is then that of another program's file, unless another object of ours has got the number: the lock may
        be its own.
        """
        if self._files.are_open():
            return mark_fd
        if self._files.was_last_at(mark_fd):
            with contextlib.suppress(OSError):  # it is closed
                flock(mark_fd, LOCK_UN)
        return -1


def _lock(fd: int) -> None:
    """Take the kernel's lock. Try a few times before sleeping for it: a step is shorter than a sleep."""
    for _ in _TRIES:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            continue
        return
    flock(fd, LOCK_EX)
