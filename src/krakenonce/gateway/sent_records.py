"""The records of all local keys: what was sent, what became of it, and which orders are whose."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from krakenonce.errors import NonceStoreError
from krakenonce.gateway.finding_out import note_of
from krakenonce.gateway.sent_record import SentRecord, Status
from krakenonce.gateway.syncing import Syncing
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from krakenonce.backends import Backend
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.replies import Reply
    from krakenonce.gateway.sending import Sending
    from krakenonce.gateway.sent_record import Entry
    from krakenonce.gateway.state_steps import StateSteps
    from krakenonce.kraken.finding import Window


logger = logging.getLogger("krakenonce")

_EARLIER = 300.0  # seconds for which an order may be on its way, and by which a clock may have been wrong
_READ_ONLY = frozenset(("query", "token", "nonce"))  # groups whose calls are hardly ever entered


class SentRecords:
    """The records of the local keys of one state.

    Args:
        store: The state.
        local_keys: The local keys.
        steps: Takes the steps.
    """

    def __init__(self, store: Backend, local_keys: LocalKeys, steps: StateSteps) -> None:
        self._sent_calls = store.sent_calls
        self._local_keys = local_keys
        self._steps = steps
        self._syncing = Syncing()
        self._records: dict[str, SentRecord] = {}

    async def find(self, local: LocalKey, digests: Sequence[bytes], counts: Callable[[Entry], bool]) -> Entry | None:
        """Return the first of these calls of a local key that was sent and *counts*. Raises NonceStoreError."""
        return await self._steps.run(partial(self._of(local).find, digests, counts))

    async def find_of(self, key: str, digest: bytes, counts: Callable[[Entry], bool]) -> Entry | None:
        """Return the same for a local key with this ``API-Key``, which need not be valid. Raises NonceStoreError."""

        def find() -> Entry | None:
            record, name = self._records.get(key), fingerprint(key)
            if record is None and self._sent_calls.exist(name):
                record = self._records.setdefault(key, SentRecord(self._sent_calls, name, self._syncing))
            return record.find([digest], counts) if record is not None else None

        return await self._steps.run(find)

    async def enter(
        self,
        local: LocalKey,
        digests: Sequence[bytes],
        at: float,
        counts: Callable[[Entry], bool],
        marks: Sequence[bytes] = (),
    ) -> Entry | None:
        """Enter a call that is about to be sent, or return what :meth:`find` finds; see :meth:`SentRecord.enter`.

        Raises:
            RecordFull, NonceStoreError: It must not be sent.
        """
        return await self._steps.run(partial(self._of(local).enter, digests, at, counts, marks))

    async def prepare(self, local: LocalKey) -> None:
        """Make room for the calls of a local key, with its first call: later the disk may be full."""
        if local.key not in self._records and not local.allow <= _READ_ONLY:
            with contextlib.suppress(NonceStoreError):  # a call that has to be entered will say so
                await self._steps.run(self._of(local).prepare)

    def settle(self, sending: Sending, digests: Sequence[bytes], status: Status, reply: Reply | None = None) -> None:
        """Write what has become of a call, with the answer if there is one; to a state that is far, a moment later."""
        note = note_of(sending, digests, status, reply) if reply is not None else None
        with self._logged(sending):
            self._of(sending.local).settle(digests, sending.at, status, note, later=self._steps.are_far)

    async def written(self, sending: Sending) -> None:
        """Return when what :meth:`settle` was told is written."""
        with self._logged(sending):
            await self._steps.run(self._of(sending.local).write)

    async def notes(self, window: Window) -> list[dict[str, Any]]:
        """Return the notes of all local keys about orders that may have been opened within *window*.

        Of all accounts: two may be keys of one account at Kraken, and Kraken's ids are never those of two orders.

        Raises:
            NonceStoreError: A record cannot be read.
            ConfigError: The local keys cannot be read.
        """
        since, until = window.start - window.doubt - _EARLIER, window.end + window.doubt + _EARLIER

        def read() -> list[dict[str, Any]]:
            pairs = [pair for each in self._local_keys.all() for pair in (each, each.with_old_pair()) if pair]
            return [note for each in pairs for note in self._of(each).notes(since, until)]

        return await self._steps.run(read)

    async def notes_of(self, local: LocalKey, at: float) -> list[dict[str, Any]]:
        """Return the notes of one local key about calls that were sent in this second. Raises NonceStoreError."""
        return await self._steps.run(partial(self._of(local).notes, at, at))

    def end(self) -> None:
        """Write everything to stable storage; nothing comes after that."""
        self._syncing.end()
        self._steps.end()

    def _of(self, local: LocalKey) -> SentRecord:
        """Return the record of a local key."""
        record = self._records.get(local.key)
        if record is None:
            made = SentRecord(self._sent_calls, fingerprint(local.key), self._syncing)
            record = self._records.setdefault(local.key, made)  # another thread may have made one
        return record

    @contextlib.contextmanager
    def _logged(self, sending: Sending) -> Iterator[None]:
        try:
            yield
        except NonceStoreError as error:  # it counts as sent, which is safe
            logger.error("what became of a call of local key %s was not written: %s", sending.local.name, error)
