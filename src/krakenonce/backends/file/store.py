"""The file backend: two small files per counter in one directory, shared by all processes of this host."""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import weakref
from collections import deque
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Self

from krakenonce.backends.file.directory import StateDirectory
from krakenonce.backends.file.filesystem import opening, store_error
from krakenonce.backends.file.gate import FileGate, gate_at
from krakenonce.backends.file.locked_files import LockedFiles, names_in
from krakenonce.backends.file.look import look
from krakenonce.backends.file.moved import FOLDER, move_away, move_back, moved_to
from krakenonce.backends.file.open_files import when_lost
from krakenonce.backends.file.records import FileRecords
from krakenonce.backends.file.scope_files import ScopeFiles
from krakenonce.backends.file.scope_state import ScopeState
from krakenonce.backends.moved import is_coming
from krakenonce.clock import Clock, SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import call_in_children, check_process, interrupted
from krakenonce.rule import check_floor, check_scope
from krakenonce.shown import whole

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from krakenonce.backends.protocol import Kept, ScopeStats, Shared


Handle = dict[str, ScopeFiles]  # the files that one thread uses while it is inside the backend, by counter

_HANDLES = 8  # threads that may use files at the same time; all others share one more handle, one after the other
_FILES_PER_HANDLE = 4  # counters kept open per handle: with three descriptors each, 108 at most
_REOPENINGS = 100  # files that are deleted this often within one call are deleted by a program, not by accident


class FileStore:
    """Keeps nonces in ``DIRECTORY/kraken_SCOPE_nonce.txt``, with a durable high-water mark in a second file.

    Nothing is opened before the first call. Safe for threads, forks and any number of processes and backends on one
    directory; :doc:`guarantees` lists what is promised.

    Args:
        directory: The state directory; made (0700) when a nonce is first taken.
        clock: For tests; default: the machine's clock.
        allow_network: Use the directory on any file system, such as NFS or FUSE, where locks and syncs may not work.

    Raises:
        NonceStoreError: The path is relative to a directory that is gone.
    """

    shared: Shared = "host"

    def __init__(
        self, directory: str | os.PathLike[str], *, clock: Clock | None = None, allow_network: bool = False
    ) -> None:
        self._directory = StateDirectory(directory, allow_network=allow_network)
        self.directory = self._directory.path
        self._lanes = f"{self.directory}/lanes"
        self.journal = f"{self.directory}/journal"  # empty: what is found in the state is only logged
        self.rate_limits = LockedFiles(self._lanes, "kraken_limits_{}.bin", "keep the rate limits in")
        self.records = FileRecords(f"{self.directory}/records")
        self.sent_calls = LockedFiles(f"{self.directory}/gateway_sent", "{}.sent", "write to the record of sent calls")
        self._clock: Clock = clock or SystemClock()
        self._reset()
        _stores.add(weakref.ref(self, _stores.discard))
        call_in_children(self)

    @whole
    def __repr__(self) -> str:
        return f"FileStore({str(self.directory)!r})"

    def __copy__(self) -> Self:
        """Return the backend itself: a copy would share the open files, and a fork would not know of it."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def advance(self, scope: str) -> int:
        """Issue the next nonce of a counter.

        Raises:
            InvalidScope: The name cannot name a file.
            NonceStoreError: The nonce could not be stored safely; none was issued.
            ClockError: The clock is before 2020 or after 2200, and there is no earlier nonce.
            NonceExhausted: 2^63 - 1 is reached.
        """
        check_process()
        thread, free = get_ident(), self._free
        if thread in _inside:
            raise _interrupted()
        try:
            _inside.add(thread)  # in here, for an interrupt may come right after it
            handle = free.pop()
        except IndexError:
            with self._shared_handle_lock:
                return self._step(self._handles[-1], scope)
        else:
            try:
                files = handle.get(scope)
                if files is not None and files.generation == files.state.generation:
                    nonce = files.step()
                    if nonce is not None:
                        return nonce
                return self._step(handle, scope)
            except NonceStoreError:
                _close_handle(handle)  # a disk that has failed could not be unmounted
                raise
            finally:
                free.append(handle)
        finally:
            _inside.discard(thread)
            if free is not self._free:
                _refuse_in_child()

    def peek(self, scope: str) -> int | None:
        """Return the last nonce issued, or the floor if one was set since; never writes."""
        return self._look(scope)[0]

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make all later nonces of a counter larger than *floor*, durably; a lower floor changes nothing."""
        floor = check_floor(floor)
        with self._inside_once(), self._shared_handle_lock:
            self._step(self._handles[-1], scope, floor)

    def gate(self, name: str) -> FileGate:
        """Return what lets one process at a time have the turn called *name*; it is opened when first used."""
        return gate_at(f"{self._lanes}/{name}.lock")

    def scopes(self) -> list[str]:
        """Return the names of the counters whose files are in the directory, sorted."""
        return self._directory.counters()

    def stats(self, scope: str) -> ScopeStats:
        """Return the last nonce and the mark from the disk, and the counts of this process."""
        return self._state(scope).stats(*self._look(scope))

    @property
    def place(self) -> str:
        """The state directory."""
        return str(self.directory)

    def lanes(self) -> list[str]:
        """Return the names of the turns that were ever taken, sorted."""
        return sorted(name.removesuffix(".lock") for name in names_in(self._lanes) if name.endswith(".lock"))

    def retire(self, to: str) -> dict[str, int]:
        """Let nobody use the counters any more; see :class:`krakenonce.backends.protocol.Movable`."""
        if is_coming(to):  # then nonces will be kept here
            self._directory.check()
        try:
            move_away(self.directory, self._directory.files(), to)
        except OSError as error:
            raise store_error("move the counters in", self.directory, error) from error
        retired = self._retired()
        return {scope: last for scope in retired.scopes() if (last := retired.peek(scope)) is not None}

    def moved_to(self) -> str | None:
        """Return where the state was moved to; None: it is in use."""
        return moved_to(self.directory)

    def names(self, kept: Kept) -> list[str]:
        """Return the names of all rate limits, records or sent calls, sorted."""
        if kept == "records":
            return self.records.names()
        return (self.rate_limits if kept == "rate limits" else self.sent_calls).names()

    def restore(self, floors: dict[str, int]) -> None:
        """Let the counters be used again, if they were retired, with all nonces larger than these floors."""
        is_retired = self.moved_to() is not None
        store = self._retired() if is_retired else self  # before anybody can use them
        for scope, floor in floors.items():
            store.raise_floor(scope, floor)
        if is_retired:
            store.close()
            try:
                move_back(self.directory)
            except OSError as error:
                raise store_error("move the counters back in", self.directory, error) from error

    def close(self) -> None:
        """Close what no other thread is using just now. A later call opens it again."""
        check_process()
        self.rate_limits.close()
        self.records.close()
        self.sent_calls.close()
        with contextlib.suppress(IndexError):  # other threads use the others
            for _ in range(_HANDLES):
                handle = self._free.popleft()
                _end_handle(handle)
                self._free.append(handle)
        if self._shared_handle_lock.acquire(blocking=False):
            try:
                _end_handle(self._handles[-1])
            finally:
                self._shared_handle_lock.release()

    def _retired(self) -> FileStore:
        """Return a backend on the counters that were retired."""
        return FileStore(self.directory / FOLDER, clock=self._clock, allow_network=self._directory.allow_network)

    def _reset(self) -> None:
        """Forget everything: at construction, and in a forked child."""
        self._states: dict[str, ScopeState] = {}
        self._handles: list[Handle] = [{} for _ in range(_HANDLES + 1)]
        self._free = deque(self._handles[:-1])
        self._shared_handle_lock = threading.Lock()  # of the last handle

    def _after_fork(self) -> None:
        """In the child: close the parent's descriptors without unlocking them, and begin again."""
        _inside.clear()
        for handle in self._handles:
            _close_handle(handle)
        self._reset()

    @contextlib.contextmanager
    def _inside_once(self) -> Iterator[None]:
        """Raise an error in a signal handler that has interrupted this thread here: it would wait for it for ever."""
        check_process()
        thread, free = get_ident(), self._free
        if thread in _inside:
            raise _interrupted()
        try:
            _inside.add(thread)
            yield
        finally:
            _inside.discard(thread)
            if free is not self._free:
                _refuse_in_child()

    def _step(self, handle: Handle, scope: str, floor: int | None = None) -> int:
        """Take a step with the counter's files; open them if they are not open, or not the right ones any more."""
        for _ in range(_REOPENINGS):
            files, last = self._files(handle, scope), None
            try:
                last = files.step(floor)
            finally:
                if last is None:
                    handle.pop(scope).close()
            if last is not None:
                return last
        raise NonceStoreError(
            f"the files in {self.directory} were deleted again and again while a nonce was taken; no nonce was issued; "
            "stop the program that deletes them"
        )

    def _files(self, handle: Handle, scope: str) -> ScopeFiles:
        """Return the counter's files of this handle, opened if they are not open."""
        files = handle.get(scope)
        if files is not None and files.generation == files.state.generation:
            return files
        state = self._state(scope)
        self._directory.prepare()
        self._clock.boot_id()  # now and not with the lock: macOS asks another process for it
        if files is not None:
            handle.pop(scope).close()
        elif len(handle) >= _FILES_PER_HANDLE:
            handle.pop(next(iter(handle))).close()
        with opening.lock:
            files = handle[scope] = ScopeFiles(state, self._clock)
        return files

    def _state(self, scope: str) -> ScopeState:
        check_process()
        state = self._states.get(scope)
        if state is None:
            check_scope(scope)
            state = ScopeState(self.directory, scope, partial(_tell, self.journal) if self.journal else None)
            state = self._states.setdefault(scope, state)
        return state

    def _look(self, scope: str) -> tuple[int | None, int | None]:
        state = self._state(scope)
        try:
            with self._inside_once():
                return look(state, self._clock)
        except OSError as error:
            raise store_error("read", state.text_path, error) from error


def _tell(journal: str, what: str, text: str) -> None:
    """Note in the journal what was found in the state or of the clock."""
    from krakenonce.journal.recorder import recorder_in

    recorder_in(journal).note(what, text=text)


def _interrupted() -> Exception:
    return interrupted(NonceStoreError, "a nonce was asked for")


def _refuse_in_child() -> None:
    """Raise NonceStoreError in a child that was forked inside the backend, unless it is about to end."""
    if isinstance(sys.exc_info()[1], Exception | None):
        raise NonceStoreError(
            "a signal handler forked while this thread was taking a nonce; no nonce was issued in the child; call again"
        )


def _close_handle(handle: Handle) -> None:
    while handle:
        handle.popitem()[1].close()


def _end_handle(handle: Handle) -> None:
    while handle:
        handle.popitem()[1].end()


def _end_all() -> None:
    for each in list(_stores):
        if (store := each()) is not None:
            store.close()


def _open_all_again() -> None:
    """Other code has closed descriptors: those that seem to be open may lead to another counter's files by now."""
    for each in list(_stores):  # no WeakSet: other threads may make stores meanwhile
        if (store := each()) is not None:
            for state in list(store._states.values()):
                state.generation += 1


_inside: set[int] = set()  # the threads that are in any file backend: two on one directory have the same locks
_stores: set[weakref.ref[FileStore]] = set()
when_lost(_open_all_again)
atexit.register(_end_all)
