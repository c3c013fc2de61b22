"""Puts records on stable storage, in a thread: nobody waits for the disk, and a sync is for many calls together."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.gateway.sent_record import SentRecord


logger = logging.getLogger("krakenonce")

PAUSE = 0.2  # seconds between two rounds
LONGEST = 5.0  # seconds that the end waits for a disk that does not answer


class Syncing:
    """Syncs each record soon after it was changed. The thread is started with the first one."""

    def __init__(self) -> None:
        self._wanted: dict[SentRecord, None] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def want(self, record: SentRecord) -> None:
        """Note that a record was changed."""
        self._wanted[record] = None
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="krakenonce-sync", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Sync what is left, and end the thread; a disk or a server that does not answer is not waited for."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(LONGEST)
            if self._thread.is_alive():
                logger.error("the state does not answer: the record of sent calls may lack the last ones")

    def _run(self) -> None:
        while self._wanted or not self._ended.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._wanted:
                record, _ = self._wanted.popitem()
                try:
                    record.sync()
                except NonceStoreError as error:
                    logger.error("what became of the last calls may be lost: %s", error)
            self._ended.wait(PAUSE)
