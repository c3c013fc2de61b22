"""Copies of a host's last events in the state that hosts share, so that each host can show those of all.

Of each host there is one record with the first events of each kind in a minute and the counts of the rest.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from krakenonce.backends.records import MOST
from krakenonce.errors import NonceStoreError, RecordChanged
from krakenonce.journal.reading import chosen
from krakenonce.native import allocate_lock, start_new_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.backends.protocol import Records
    from krakenonce.journal.event import Event


logger = logging.getLogger("krakenonce.journal")

_PREFIX = "journal-"
_TRIES = 20
_UNWRITTEN = 200  # lines, while the server does not answer


class Copies:
    """Writes lines in a thread, which ends when all are written: neither a call nor an event loop waits for a server.

    Args:
        host: The name of this host.
    """

    def __init__(self, host: str) -> None:
        self._name = name_of(host)
        self._lines: deque[bytes] = deque(maxlen=_UNWRITTEN)
        self._lock = allocate_lock()
        self._writing = allocate_lock()  # held while the thread runs
        self._has_failed = False

    def put(self, lines: bytes, records: Records) -> None:
        """Have lines written soon. Those that cannot be written are in this host's journal all the same."""
        with self._lock:
            self._lines.append(lines)
            if not self._writing.acquire(blocking=False):
                return
        try:
            start_new_thread(self._write, (records,))
        except RuntimeError:  # no more threads, or the interpreter ends
            self._writing.release()

    def settle(self, seconds: float) -> None:
        """Wait until all is written, but not for longer. Called when the process ends."""
        if self._writing.acquire(timeout=seconds):
            self._writing.release()

    def _write(self, records: Records) -> None:
        while True:
            with self._lock:
                if not self._lines:
                    self._writing.release()
                    return
                lines = b"".join(self._lines)
                self._lines.clear()
            try:
                add(records, self._name, lines)
            except Exception as error:
                if not self._has_failed:
                    self._has_failed = True
                    logger.warning("events of this host cannot be copied to the shared state: %s", error)


def name_of(host: str) -> str:
    """Return the name of a host's record."""
    return f"{_PREFIX}{hashlib.sha256(host.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def add(records: Records, name: str, lines: bytes) -> None:
    """Add lines to a record. Where there is no room, the oldest are left out. Raises NonceStoreError."""
    for _ in range(_TRIES):
        before = records.read(name)
        data = (before or b"") + lines
        if len(data) > MOST:
            data = data[-MOST:].partition(b"\n")[2]
        try:
            return records.write(name, data, before)
        except RecordChanged:  # another process of this host
            continue
    raise NonceStoreError(f"other processes change the record {name} again and again")


def events_of_others(store: Any, host: str, since: float = 0.0, account: str = "") -> Iterator[Event]:
    """Yield the events of other hosts, of one host after the other, the oldest of each first.

    Args:
        store: The backend; one whose state is not shared by hosts has none.
        host: The name of this host, whose own journal has more.
        since: As for :meth:`krakenonce.journal.Reader.events`.
        account: As for :meth:`krakenonce.journal.Reader.events`.

    Raises:
        NonceStoreError: The state cannot be read.
    """
    if store.shared != "hosts" or not hasattr(store, "names"):
        return
    for name in store.names("records"):
        if name.startswith(_PREFIX) and name != name_of(host):
            yield from chosen((store.records.read(name) or b"").split(b"\n"), since, account)
