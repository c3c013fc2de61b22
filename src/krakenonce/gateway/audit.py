"""The audit log: a line for each private call that is over, written in a thread, for which no call waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from krakenonce.errors import NonceStoreError
from krakenonce.gateway.answered import row_in

if TYPE_CHECKING:
    from krakenonce.gateway.answered import Answered, CallRow
    from krakenonce.gateway.audit_file import Sink


logger = logging.getLogger("krakenonce")

PAUSE = 0.2  # seconds between two writes
MOST = 20_000  # calls that are kept while they cannot be written
_AT_ONCE = 50  # lines that are made before another thread may run
_LONGEST = 5.0  # seconds that the end waits for a disk that does not answer


class Audit:
    """Writes calls to an audit log from :meth:`start` until :meth:`end`.

    Args:
        sink: Where the lines go.

    Attributes:
        lost: How many calls are not in the log, because it could not be written for too long.
    """

    def __init__(self, sink: Sink) -> None:
        self.lost = 0
        self._sink = sink
        self._calls: deque[Answered] = deque()
        self._lines: list[bytes] = []  # that are made and not written
        self._fails = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="krakenonce-audit", daemon=True)

    def start(self) -> Self:
        """Begin to write; return the log."""
        self._thread.start()
        return self

    def add(self, call: Answered) -> None:
        """Note a call. Returns at once."""
        if len(self._calls) < MOST:
            self._calls.append(call)
        else:
            self.lost += 1

    def last(self, count: int) -> list[CallRow]:
        """Return the last calls of the log, the oldest first."""
        rows = [row_in(line) for line in self._sink.tail()[-count:]]
        return [row for row in rows if row is not None]

    def end(self) -> None:
        """Write what is left, and end; a disk that does not answer is not waited for."""
        self._ended.set()
        self._thread.join(_LONGEST)
        left = len(self._calls) + len(self._lines)
        if self._thread.is_alive() or left:
            logger.error("the audit log %s lacks the last %d calls", self._sink.name, left)
        else:
            self._sink.close()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self._write()
        self._write()

    def _write(self) -> None:
        for made in range(min(len(self._calls), MOST - len(self._lines))):
            self._make(self._calls.popleft())
            if made % _AT_ONCE == 0:
                time.sleep(0)  # calls go on meanwhile
        if not self._lines:
            return
        try:
            self._sink.add(b"".join(self._lines))
        except (OSError, NonceStoreError) as error:
            if not self._fails:
                why = getattr(error, "strerror", None) or error
                logger.error("the audit log %s cannot be written (%s); calls go on", self._sink.name, why)
            self._fails = True
            return
        self._lines = []
        if self._fails:
            self._fails = False
            logger.warning("the audit log %s is written again; it lacks %d calls", self._sink.name, self.lost)

    def _make(self, call: Answered) -> None:
        try:
            self._lines.append(call.line.encode())
        except Exception as error:  # a bug must not end the log; its text may show what a client has sent
            if not self.lost:
                logger.error("a call of %s is missing in the audit log (%s)", call.local_key, type(error).__name__)
            self.lost += 1
