"""The records: a row each, which is replaced only if it is still what the writer has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.postgres.schema import cannot
from krakenonce.backends.postgres.session import Refused
from krakenonce.backends.records import check_change, check_record_name
from krakenonce.errors import RecordChanged

if TYPE_CHECKING:
    from krakenonce.backends.postgres.link import Link
    from krakenonce.backends.postgres.session import Row, Session


_NEW = "insert into krakenonce.records values ($1, $2::bytea) on conflict do nothing returning 1"
_REPLACE = "update krakenonce.records set data = $2::bytea where name = $1 and data = $3::bytea returning 1"


class PostgresRecords:
    """The records in a database.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record. Raises NonceStoreError."""
        check_record_name(name)
        rows = self._link.read("select data from krakenonce.records where name = $1", name)
        return bytes.fromhex((rows[0][0] or b"")[2:].decode()) if rows else None

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data *before* by *data*, durably. Errors: as for every backend."""
        check_record_name(name)
        check_change(name, data, before, before)  # its size
        values = [rf"\x{data.hex()}"] if before is None else [rf"\x{data.hex()}", rf"\x{before.hex()}"]
        tries = []

        def replace(session: Session) -> list[Row]:
            tries.append(1)
            return session.run(_NEW if before is None else _REPLACE, name, *values)

        try:
            done = self._link.step(replace)
        except Refused as error:
            raise cannot(self._link.server, "write a record in", error) from None
        if not done and not (len(tries) > 1 and self.read(name) == data):  # a connection was lost, but it was done
            raise RecordChanged(f"another writer has changed the record {name}; nothing was written: read it again")
