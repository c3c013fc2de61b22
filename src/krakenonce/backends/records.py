"""Small named records: what every backend checks before it writes one."""

from __future__ import annotations

from krakenonce.backends.protocol import Record
from krakenonce.errors import ConfigError, RecordChanged
from krakenonce.rule import check_name

__all__ = ["check_record_name", "check_unchanged", "new_record"]

_MOST = 65_536  # bytes


def check_record_name(name: str) -> None:
    """Raise ConfigError unless *name* is 1 to 64 letters, digits, ``-`` or ``_``."""
    check_name("a record", name, ConfigError)


def new_record(data: bytes) -> Record:
    """Return the record with *data*. Raises ConfigError if that is too much."""
    if len(data) > _MOST:
        raise ConfigError(f"a record has at most {_MOST} bytes, and not {len(data)}")
    import hashlib

    return Record(data, hashlib.sha256(data).hexdigest())


def check_unchanged(name: str, found: Record | None, version: str | None) -> None:
    """Raise RecordChanged unless *version* is that of the record found, None if there is none."""
    if version != (found.version if found else None):
        raise RecordChanged(f"the record {name} was changed by somebody else; nothing was written: read it again")
