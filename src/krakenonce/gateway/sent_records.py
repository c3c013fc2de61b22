"""The records of all local keys: what was sent, what became of it, and which orders are whose."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from krakenonce.backends.file.locked_files import LockedFiles
from krakenonce.errors import NonceStoreError
from krakenonce.gateway.finding_out import note_of
from krakenonce.gateway.sent_record import SentRecord, Status
from krakenonce.gateway.syncing import Syncing
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.replies import Reply
    from krakenonce.gateway.sending import Sending
    from krakenonce.kraken.finding import Window


logger = logging.getLogger("krakenonce")

DIRECTORY = "gateway_sent"
_EARLIER = 300.0  # seconds for which an order may be on its way, and by which a clock may have been wrong
_READ_ONLY = frozenset(("query", "token", "nonce"))  # groups whose calls are hardly ever entered


class SentRecords:
    """The records of the local keys of one state directory.

    Args:
        directory: The state directory.
        local_keys: The local keys.
    """

    def __init__(self, directory: Path, local_keys: LocalKeys) -> None:
        self._files = LockedFiles(str(directory / DIRECTORY), "{}.sent", "write to the record of sent calls")
        self._local_keys = local_keys
        self._syncing = Syncing()
        self._records: dict[str, SentRecord] = {}

    def of(self, local: LocalKey) -> SentRecord:
        """Return the record of a local key."""
        record = self._records.get(local.key)
        if record is None:
            record = self._records[local.key] = SentRecord(self._files, fingerprint(local.key), self._syncing)
        return record

    def existing(self, key: str) -> SentRecord | None:
        """Return the record of the local key with this ``API-Key``, which need not be valid; None if there is none."""
        record, name = self._records.get(key), fingerprint(key)
        if record is None and self._files.exist(name):
            record = self._records[key] = SentRecord(self._files, name, self._syncing)
        return record

    def prepare(self, local: LocalKey) -> None:
        """Make room for the calls of a local key, with its first call: later the disk may be full."""
        if local.key not in self._records and not local.allow <= _READ_ONLY:
            with contextlib.suppress(NonceStoreError):  # a call that has to be entered will say so
                self.of(local).prepare()

    def settle(self, sending: Sending, digests: Sequence[bytes], status: Status, reply: Reply | None = None) -> None:
        """Write what has become of a call, with the answer if there is one."""
        note = note_of(sending, digests, status, reply) if reply is not None else None
        try:
            self.of(sending.local).settle(digests, sending.at, status, note)
        except NonceStoreError as error:  # it counts as sent, which is safe
            logger.error("what became of a call of local key %s was not written: %s", sending.local.name, error)

    def notes(self, window: Window) -> list[dict[str, Any]]:
        """Return the notes of all local keys about orders that may have been opened within *window*.

        Of all accounts: two may be keys of one account at Kraken, and Kraken's ids are never those of two orders.

        Raises:
            NonceStoreError: A record cannot be read.
            ConfigError: The local keys cannot be read.
        """
        since, until = window.start - window.doubt - _EARLIER, window.end + window.doubt + _EARLIER
        return [note for each in self._local_keys.all() for note in self.of(each).notes(since, until)]

    def end(self) -> None:
        """Write everything to stable storage; nothing comes after that."""
        self._syncing.end()
