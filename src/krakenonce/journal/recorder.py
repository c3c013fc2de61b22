"""What a process uses: it notes events in the journal of a state, the first few of a kind each, and counts the rest."""

from __future__ import annotations

import atexit
import functools
import hashlib
import logging
import os
import re
import socket
import sys
import time
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from krakenonce.backends.state_name import usual_directory
from krakenonce.errors import KrakenonceError
from krakenonce.journal.aggregate import Counts
from krakenonce.journal.copies import Copies
from krakenonce.journal.event import Event, short, to_line
from krakenonce.journal.file import JournalFile
from krakenonce.journal.hooks import call_hooks
from krakenonce.native import RLock
from krakenonce.process import call_in_children, check_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from krakenonce.backends.protocol import Records
    from krakenonce.journal.aggregate import Rest


logger = logging.getLogger("krakenonce.journal")

_IN_MEMORY = 10_000  # lines
_AT_THE_END = 2.0  # seconds for which a process that ends waits until its last events are copied to other hosts


class _Journal(Protocol):
    def append(self, lines: bytes) -> None: ...


class MemoryJournal:
    """The journal of a state in the memory of this process: its last lines.

    Attributes:
        lines: The lines, the oldest first.
    """

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque(maxlen=_IN_MEMORY)

    def __repr__(self) -> str:
        return "MemoryJournal()"

    def append(self, lines: bytes) -> None:
        """Keep lines."""
        self.lines.extend(lines.splitlines(keepends=True))


class Recorder:
    """Notes events. A journal that cannot be written stops no call: that is logged once.

    Args:
        journal: Where lines go.
        counts: Which events are written one by one.

    Attributes:
        records: Where the first of each kind are copied for other hosts; None: no other host uses the state.
    """

    def __init__(self, journal: _Journal, counts: Counts | None = None) -> None:
        self.journal = journal
        self._counts = counts or Counts()
        self._lock = RLock()
        self._copies = Copies(host_name())
        self._has_failed = self._has_told = False
        self.records: Callable[[], Records | None] = lambda: None
        call_in_children(self)

    def note(self, what: str, *, key: str = "", account: str = "", method: str = "", **more: Any) -> None:
        """Note an event; raises nothing.

        Args:
            what: Its kind, one of :data:`krakenonce.journal.event.What`.
            key: The fingerprint of the API key.
            account: The account's name.
            method: Kraken's name of the method.
            more: Other fields of :class:`krakenonce.journal.event.Event`.
        """
        try:
            check_process()
            account, method, now = short(account), short(method), time.monotonic()
            if self._lock._is_owned():  # type: ignore[attr-defined] # a signal handler has interrupted this thread here
                return
            with self._lock:
                rests = self._counts.over(now)
                nth = self._counts.add((what, key, account, method), now)
            if nth or rests:
                told = [self._rest(rest) for rest in rests]
                if nth:
                    event = self._event(what, key=key, account=account, method=method, nth=nth, **more)
                    told.append(event._replace(text=short(event.text), order=short(event.order)))
                self._tell(told)
        except Exception:
            logger.exception("an event could not be noted; the call goes on")

    def end(self) -> None:
        """Write down what was only counted. Called when the process ends."""
        check_process()
        with self._lock:
            rests = self._counts.all()
        if rests:
            self._tell([self._rest(rest) for rest in rests])
        self._copies.settle(_AT_THE_END)

    def _rest(self, rest: Rest) -> Event:
        what, key, account, method = rest.kind
        return self._event(what, key=key, account=account, method=method, more=rest.number)

    def _event(self, what: str, **more: Any) -> Event:
        return Event(time.time(), what, host=host_name(), pid=os.getpid(), program=_program(), **more)

    def _tell(self, events: list[Event]) -> None:
        try:
            self.journal.append(b"".join(map(to_line, events)))
            if not self._has_told:
                self._has_told = True
                logger.info("what goes wrong is written to %r; `krakenonce log` shows it", self.journal)
        except (OSError, KrakenonceError) as error:
            if not self._has_failed:
                self._has_failed = True
                why = error.strerror if isinstance(error, OSError) else error
                logger.warning("%r cannot be written: %s; calls go on, and events are only logged", self.journal, why)
        if (records := self.records()) is not None and (first := [each for each in events if each.nth == 1]):
            self._copies.put(b"".join(map(to_line, first)), records)
        for event in events:
            call_hooks(event)

    def _after_fork(self) -> None:
        """Count anew in the child: the rest is the parent's."""
        self._counts, self._lock, self._copies = Counts(), RLock(), Copies(host_name())


def journal_of(store: Any) -> Recorder:
    """Return what notes events of a state: one object for all of this process that use the same directory.

    Args:
        store: The backend. Its attribute ``journal``, if there is one, is a directory of this host; else its ``place``,
            if there is one, names the state.
    """
    check_process()
    place = directory_of(store)
    if place is not None:
        recorder = recorder_in(place)
        if store.shared == "hosts":
            recorder.records = _records_of(store)
        return recorder
    try:
        return _in_memory.get(store) or _in_memory.setdefault(store, Recorder(MemoryJournal()))
    except TypeError:  # it cannot be referred to weakly
        return _of_others


def _records_of(store: Any) -> Callable[[], Records | None]:
    """Return what finds the records of a backend, as long as that is in use."""
    found = weakref.ref(store)

    def find() -> Records | None:
        there = found()
        return None if there is None else there.records

    return find


def recorder_in(place: str) -> Recorder:
    """Return what notes events in the journal of this directory."""
    return _recorders.get(place) or _recorders.setdefault(place, Recorder(JournalFile(place)))


def directory_of(store: Any) -> str | None:
    """Return the directory of a state's journal on this host; None: it is in the memory of this process.

    That of a state directory is in it. That of a state on a server is beside this user's state directory, and only
    this host writes to it.
    """
    named = getattr(store, "journal", None)
    if isinstance(named, str | os.PathLike):
        return os.fspath(named) or None
    place = getattr(store, "place", None)
    return None if store.shared == "process" or not isinstance(place, str) else _local(place)


def _local(place: str) -> str | None:
    """Return the directory of the journal of a state on a server; None: this user has no home directory."""
    try:
        above = usual_directory().directory
    except KrakenonceError:
        above = None
    if above is None:
        return None
    name = re.sub(r"[^A-Za-z0-9.]+", "-", place)[:60].strip("-.")
    return str(above.with_name(f"{above.name}-journals") / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}")


@functools.cache
def host_name() -> str:
    """Return the name of this host."""
    return socket.gethostname()


@functools.cache
def _program() -> str:
    """Return the name of the program, without its arguments, which may have secrets among them."""
    path = Path(sys.argv[0] if getattr(sys, "argv", None) else "")
    name = path.parent.name if path.name == "__main__.py" else path.name
    return "python" if name in ("", "-", "-c") else short(name)


def _end_all() -> None:
    for each in [*_recorders.values(), *_in_memory.values(), _of_others]:
        try:
            each.end()
        except Exception:
            logger.exception("what was counted could not be noted")


_recorders: dict[str, Recorder] = {}
_in_memory: weakref.WeakKeyDictionary[Any, Recorder] = weakref.WeakKeyDictionary()
_of_others = Recorder(MemoryJournal())
atexit.register(_end_all)
