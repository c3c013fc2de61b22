"""The records: fields of a hash, each of which is replaced only if it is still what the writer has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.records import check_change, check_record_name
from krakenonce.backends.redis.link import confirm
from krakenonce.backends.redis.scripts import RECORDS, REPLACE
from krakenonce.errors import RecordChanged

if TYPE_CHECKING:
    from krakenonce.backends.redis.link import Link
    from krakenonce.backends.redis.session import Session


class RedisRecords:
    """The records on a server.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record. Raises NonceStoreError."""
        check_record_name(name)
        data: bytes | None = self._link.read("HGET", RECORDS, name)
        return data

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data *before* by *data*, durably. Errors: as for every backend."""
        check_record_name(name)
        check_change(name, data, before, before)  # its size
        tries = []

        def replace(session: Session) -> bool:
            tries.append(1)
            done = session.script(REPLACE, [RECORDS], name, data, *([] if before is None else [before]))
            if done:
                confirm(session, self._link.server, f"the record {name}")
            return bool(done)

        done = self._link.write(replace, "write a record in")
        if not done and not (len(tries) > 1 and self.read(name) == data):  # a connection was lost, but it was done
            raise RecordChanged(f"another writer has changed the record {name}; nothing was written: read it again")
