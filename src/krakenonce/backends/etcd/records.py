"""The records: a key each, which is replaced only if its value is still what the writer has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.etcd.txn import fetch, found, is_absent, is_value, put, succeeded
from krakenonce.backends.records import check_change, check_record_name
from krakenonce.errors import RecordChanged

if TYPE_CHECKING:
    from krakenonce.backends.etcd.link import Link
    from krakenonce.backends.etcd.wire import Wire


class EtcdRecords:
    """The records on etcd.

    Args:
        link: The session to use.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, name: str) -> bytes | None:
        """Return the record's data; None if there is no such record. Raises NonceStoreError."""
        check_record_name(name)
        keys = self._link.read(lambda wire: found(wire.read(fetch(self._key(name)))))
        return keys[0].value if keys else None

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the record's data *before* by *data*, durably. Errors: as for every backend."""
        check_record_name(name)
        check_change(name, data, before, before)  # its size
        key, tries = self._key(name), []
        unchanged = is_absent(key) if before is None else is_value(key, "EQUAL", before)

        def replace(wire: Wire) -> bool:
            tries.append(1)
            return succeeded(wire.txn([unchanged], [put(key, data)]))

        done = self._link.step("write a record in", replace)
        if not done and not (len(tries) > 1 and self.read(name) == data):  # a connection was lost, but it was done
            raise RecordChanged(f"another writer has changed the record {name}; nothing was written: read it again")

    def _key(self, name: str) -> str:
        return self._link.key("records", name)
