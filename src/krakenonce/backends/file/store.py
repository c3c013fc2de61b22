"""The default store: two small files per scope in one directory, shared by every process on this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Self

from krakenonce.backends.file.descriptors import when_lost
from krakenonce.backends.file.filesystem import check_filesystem, make_directory, opening, store_error
from krakenonce.backends.file.gate import FileGate, gate_at
from krakenonce.backends.file.locked_files import LockedFiles
from krakenonce.backends.file.look import look
from krakenonce.backends.file.records import FileRecords
from krakenonce.backends.file.scope_files import ScopeFiles
from krakenonce.backends.file.scope_state import ScopeState
from krakenonce.clock import Clock, SystemClock
from krakenonce.errors import NonceStoreError
from krakenonce.process import call_in_children
from krakenonce.rule import check_floor, check_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.backends.protocol import ScopeStats, Shared

__all__ = ["FileStore"]

Desk = dict[str, ScopeFiles]  # what one thread has open while it is inside the store

_DESKS = 8  # threads that may be at the files at once; one more serves all others in turn
_FILES_PER_DESK = 4  # scopes kept open per thread: with three descriptors each, 108 at most
_REOPENINGS = 100  # files deleted this often within one call are somebody's doing, not an accident


class FileStore:
    """Numbers kept in ``DIRECTORY/kraken_SCOPE_nonce.txt``, with a durable mark beside them.

    Nothing is opened before the first call. Safe for threads, forks and any number of processes and stores on one
    directory; :doc:`guarantees` lists what is promised.

    Args:
        directory: The state directory; made (0700) when a number is first asked for.
        clock: For tests; the machine's own otherwise.
        allow_network: Use the directory even on NFS, CIFS or FUSE, where locks and syncs may be a pretence.

    Raises:
        NonceStoreError: The path is relative to a directory that is gone.
    """

    shared: Shared = "host"

    def __init__(
        self, directory: str | os.PathLike[str], *, clock: Clock | None = None, allow_network: bool = False
    ) -> None:
        try:  # where the lanes are, too, also if a link on the way is switched
            self.directory = Path(directory).resolve()
        except OSError as error:  # this process's own directory is gone, say
            raise store_error("find the state directory", Path(directory), error) from error
        except RuntimeError as error:
            raise NonceStoreError(f"the state directory {directory} is a symbolic link to itself") from error
        self._lanes = f"{self.directory}/lanes"
        self.rate_limits = LockedFiles(self._lanes, "kraken_limits_{}.bin", "keep the rate limits in")
        self.records = FileRecords(f"{self.directory}/records")
        self._clock: Clock = clock or SystemClock()
        self._allow_network = allow_network
        self._checked = (0, 0)  # the directory that is known to be sound
        self._reset()
        _stores.add(weakref.ref(self, _stores.discard))
        call_in_children(self)

    def __repr__(self) -> str:
        return f"FileStore({str(self.directory)!r})"

    def __copy__(self) -> Self:
        """Itself: a copy would share what is open, and a fork would not know of it."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def advance(self, scope: str) -> int:
        """Issue the next number of *scope*.

        Raises:
            InvalidScope: The name cannot name a file.
            NonceStoreError: The number could not be made safe; nothing was handed out.
            ClockError: The clock is absurd and there is no earlier number.
            NonceExhausted: 2^63 - 1 is reached.
        """
        thread, free = get_ident(), self._free
        if thread in _inside:
            raise _interrupted()
        try:
            _inside.add(thread)  # in here, for an interrupt may come right after it
            desk = free.pop()
        except IndexError:
            with self._crowded:
                return self._ask(self._desks[-1], scope, ScopeFiles.advance)
        else:
            try:
                files = desk.get(scope)
                if files is not None and files.generation == files.state.generation:
                    nonce = files.advance()
                    if nonce is not None:
                        return nonce
                return self._ask(desk, scope, ScopeFiles.advance)
            except NonceStoreError:
                _close_desk(desk)  # a disk that has failed could not be unmounted
                raise
            finally:
                free.append(desk)
        finally:
            _inside.discard(thread)
            self._check_fork(free)

    def peek(self, scope: str) -> int | None:
        """The last number issued, or the floor set since; never writes."""
        return self._look(scope)[0]

    def raise_floor(self, scope: str, floor: int) -> None:
        """Make the next number of *scope* larger than *floor*, durably; a lower floor changes nothing."""
        floor = check_floor(floor)
        with self._inside_once(), self._crowded:
            self._ask(self._desks[-1], scope, lambda files: files.raise_floor(floor))

    def gate(self, name: str) -> FileGate:
        """What lets one process at a time have the turn called *name*; it is opened when first used."""
        return gate_at(f"{self._lanes}/{name}.lock")

    def scopes(self) -> list[str]:
        """The scopes whose files are in the directory, sorted."""
        head, tails = "kraken_", ("_nonce.txt", "_nonce.mark")  # the text may have been deleted
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise store_error("read the state directory", self.directory, error) from error
        found = {
            name[len(head) : -len(tail)]
            for name in names
            for tail in tails
            if name.startswith(head) and name.endswith(tail)
        }
        return sorted(found)

    def stats(self, scope: str) -> ScopeStats:
        """Last number and mark from the disk, counts from this process."""
        return self._state(scope).stats(*self._look(scope))

    def close(self) -> None:
        """Close what no other thread is using just now. A later call opens it again."""
        self.rate_limits.close()
        self.records.close()
        idle = []
        with contextlib.suppress(IndexError):
            while True:
                idle.append(self._free.pop())
        for desk in idle:
            _close_desk(desk)
        self._free.extend(idle)
        if self._crowded.acquire(blocking=False):
            try:
                _close_desk(self._desks[-1])
            finally:
                self._crowded.release()

    def _reset(self) -> None:
        """Begin with nothing open and nothing known: at construction, and in a forked child."""
        self._states: dict[str, ScopeState] = {}
        self._desks: list[Desk] = [{} for _ in range(_DESKS + 1)]
        self._free = deque(self._desks[:-1])
        self._crowded = threading.Lock()  # for the last desk, at which all threads beyond the eighth take turns

    def _after_fork(self) -> None:
        """In the child: close the parent's descriptors without unlocking them, and begin anew."""
        _inside.clear()
        for desk in self._desks:
            _close_desk(desk)
        self._reset()

    @contextlib.contextmanager
    def _inside_once(self) -> Iterator[None]:
        """Refuse whoever interrupts this thread here, and would wait for its lock for ever."""
        thread, free = get_ident(), self._free
        if thread in _inside:
            raise _interrupted()
        try:
            _inside.add(thread)
            yield
        finally:
            _inside.discard(thread)
            self._check_fork(free)

    def _check_fork(self, free: deque[Desk]) -> None:
        """Raise NonceStoreError if this is a child now; but one that is to end may do so."""
        if free is not self._free and isinstance(sys.exc_info()[1], Exception | None):
            raise NonceStoreError(
                "a signal handler forked in the middle of a nonce store's work, which is the parent's; "
                "ask again in the child"
            )

    def _ask(self, desk: Desk, scope: str, question: Callable[[ScopeFiles], int | None]) -> int:
        """Ask the scope's files at this desk; open them if they are not open, or not the right ones any more."""
        for _ in range(_REOPENINGS):
            files, answer = self._files(desk, scope), None
            try:
                answer = question(files)
            finally:
                if answer is None:
                    desk.pop(scope).close()
            if answer is not None:
                return answer
        raise NonceStoreError(f"the files in {self.directory} vanish as fast as they are made; stop what deletes them")

    def _files(self, desk: Desk, scope: str) -> ScopeFiles:
        """Open the scope's files at this desk, unless they are open."""
        files = desk.get(scope)
        if files is not None and files.generation == files.state.generation:
            return files
        state = self._state(scope)
        self._prepare()
        if files is not None:
            desk.pop(scope).close()
        elif len(desk) >= _FILES_PER_DESK:
            desk.pop(next(iter(desk))).close()
        with opening:
            files = desk[scope] = ScopeFiles(state, self._clock)
        return files

    def _state(self, scope: str) -> ScopeState:
        state = self._states.get(scope)
        if state is None:
            check_scope(scope)
            state = self._states.setdefault(scope, ScopeState(self.directory, scope))
        return state

    def _look(self, scope: str) -> tuple[int | None, int | None]:
        state = self._state(scope)
        try:
            with self._inside_once():
                return look(state, self._clock)
        except OSError as error:
            raise store_error("read", state.text_path, error) from error

    def _prepare(self) -> None:
        """Make the directory, and see once whether it is one to keep numbers in."""
        with contextlib.suppress(OSError):
            if self._checked == _identity(self.directory):
                return
        try:
            make_directory(self.directory, for_numbers=True)
            found = _identity(self.directory)
        except OSError as error:
            raise store_error("make the state directory", self.directory, error) from error
        check_filesystem(self.directory, allow_network=self._allow_network)
        self._clock.boot_id()  # here and not with the lock: macOS asks another process for it
        self._checked = found


def _interrupted() -> NonceStoreError:
    return NonceStoreError(
        "a nonce store was asked by a signal handler that interrupted one in the same thread; "
        "let the handler set a flag instead"
    )


def _identity(path: Path) -> tuple[int, int]:
    seen = path.stat()
    return seen.st_dev, seen.st_ino


def _close_desk(desk: Desk) -> None:
    while desk:
        desk.popitem()[1].close()


def _open_all_anew() -> None:
    """Descriptors were closed under us: those that seem to be open may lead to another scope's files by now."""
    for each in list(_stores):  # no WeakSet: other threads may make stores meanwhile
        if (store := each()) is not None:
            for state in list(store._states.values()):
                state.generation += 1


_inside: set[int] = set()  # the threads that are in a store, whichever: two on one directory have the same locks
_stores: set[weakref.ref[FileStore]] = set()
when_lost(_open_all_anew)
