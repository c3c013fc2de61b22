"""Small named records: what every backend checks before it writes one."""

from __future__ import annotations

from krakenonce.errors import ConfigError, RecordChanged
from krakenonce.rule import check_name

MOST = 65_536  # bytes


def check_record_name(name: str) -> None:
    """Raise ConfigError unless *name* is 1 to 64 letters, digits, ``-`` or ``_``."""
    check_name("a record", name, ConfigError)


def check_change(name: str, data: bytes, before: bytes | None, found: bytes | None) -> None:
    """Raise an error unless the record *name* may be written now.

    Args:
        name: Its name.
        data: Its new data.
        before: Its data as the caller has read it; None: there was no such record.
        found: Its data as the backend finds it now.

    Raises:
        RecordChanged: Another writer has changed it.
        ConfigError: The data is too large.
    """
    if len(data) > MOST:
        raise ConfigError(f"a record has at most {MOST} bytes, not {len(data)}")
    if found != before:
        raise RecordChanged(f"another writer has changed the record {name}; nothing was written: read it again")
