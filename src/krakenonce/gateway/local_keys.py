"""Local keys, in the form of Kraken's keys: what each may call, and with which account. Kept in one private file."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from dataclasses import asdict, dataclass, field, replace
from fcntl import LOCK_EX, flock
from typing import TYPE_CHECKING, Any

from krakenonce.backends.file.filesystem import make_directory, open_regular
from krakenonce.backends.file.records import replace_file
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.kraken.wire import decode_secret
from krakenonce.shown import blind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path


FILE_NAME = "gateway_keys.json"
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TYPES = {"name": str, "account": str, "trace_orders": bool, "created": int, "key": str, "secret": str}


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A local key and its secret. Its repr shows neither.

    Args:
        name: Its name in lists, logs and metrics.
        account: The account with whose Kraken key its calls are made.
        allow: The groups of methods that it may call.
        trace_orders: Whether its orders get a ``cl_ord_id`` and a ``deadline``, by which they can be found.
        created: When, in seconds since 1970.
        key: The ``API-Key``.
        secret: Its secret, base64 as Kraken shows secrets.
    """

    name: str
    account: str
    allow: frozenset[str]
    trace_orders: bool
    created: int
    key: str = field(repr=False)
    secret: str = field(repr=False)


class LocalKeys:
    """The file with the local keys. A change, also by another process, is seen at the next lookup.

    Args:
        path: The file; made (0600) with the first key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: object = None
        self._by_key: dict[str, LocalKey] = {}

    @blind
    def find(self, key: str) -> LocalKey | None:
        """Return the local key with this ``API-Key``; None if there is none, or none any more.

        Raises:
            ConfigError: The file cannot be used.
        """
        self._refresh()
        found = self._by_key.get(key)
        # Compared again in constant time: how long a dict takes may show how much of a key was right.
        return found if found is not None and hmac.compare_digest(found.key.encode(), key.encode()) else None

    @blind
    def all(self) -> list[LocalKey]:
        """Return all of them, sorted by name. Raises ConfigError if the file cannot be used."""
        self._refresh()
        return sorted(self._by_key.values(), key=lambda each: each.name)

    @blind
    def add(self, name: str, account: str, allow: frozenset[str], *, trace_orders: bool = False) -> LocalKey:
        """Make a local key and store it.

        Raises:
            ConfigError: The name is not allowed or is taken, or the file cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"the name {name!r} must be 1 to 64 letters, digits or any of _ . -")
        with self._changing() as keys:
            if name in keys:
                raise ConfigError(
                    f"there is a local key {name!r} already: revoke it first, rotate it, or take another name"
                )
            keys[name] = made = LocalKey(name, account, allow, trace_orders, **_new_pair())
        return made

    @blind
    def rotate(self, name: str) -> LocalKey:
        """Replace a local key by a new one; the old one is refused from now on. Raises ConfigError if there is none."""
        with self._changing() as keys:
            keys[name] = made = replace(_named(keys, name), **_new_pair())
        return made

    @blind
    def change(self, name: str, add: AbstractSet[str], remove: AbstractSet[str]) -> LocalKey:
        """Change the groups of a local key, which keeps its pair; it counts from the next call on.

        Raises:
            ConfigError: There is no such key, it would have no group left, or the file cannot be used.
        """
        with self._changing() as keys:
            before = _named(keys, name)
            keys[name] = made = replace(before, allow=parse_groups((before.allow | add) - remove))
        return made

    @blind
    def revoke(self, name: str) -> None:
        """Revoke a local key; it is refused from now on. Raises ConfigError if there is none."""
        with self._changing() as keys:
            del keys[_named(keys, name).name]

    def _refresh(self) -> None:
        try:
            found = os.stat(self.path)
            identity: object = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
        except OSError:
            identity = object()  # equal to no other: to read the file shows whether there is none
        if identity != self._seen:
            self._by_key = {each.key: each for each in self._read().values()}
            self._seen = identity

    def _read(self) -> dict[str, LocalKey]:
        try:
            with open(open_regular(self.path, os.O_RDONLY), "rb") as file:
                mode, data = os.fstat(file.fileno()).st_mode, file.read()
        except FileNotFoundError:
            return {}
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot read {self.path} ({getattr(error, 'strerror', None) or error})") from error
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"other users can read {self.path}; run: chmod 600 {self.path}")
        try:
            document = json.loads(data)
            if document["format"] == _FORMAT:
                return {each["name"]: _local_key(each) for each in document["keys"]}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigError(
                f"{self.path} is damaged: restore it from a backup, or delete it and add the keys again"
            ) from None
        raise ConfigError(f"{self.path} was written by another version of krakenonce; use that version")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, LocalKey]]:
        """Read the keys, and write them again: all or nothing, and one process at a time."""
        try:
            make_directory(self.path.parent)
            with open(open_regular(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT), "rb") as lock:
                flock(lock, LOCK_EX)
                keys = self._read()
                yield keys
                listed = [{**asdict(each), "allow": sorted(each.allow)} for each in keys.values()]
                replace_file(self.path, json.dumps({"format": _FORMAT, "keys": listed}, indent=1).encode())
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot write {self.path} ({getattr(error, 'strerror', None) or error})") from error


def _local_key(entry: dict[str, Any]) -> LocalKey:
    """Return a key of the file. A wrong entry raises an error now, and not at its first call."""
    # Local keys could be strict about their nonces before each request was sent only once.
    entry = {"trace_orders": False} | {name: entry[name] for name in entry if name != "strict_nonce"}
    if any(type(entry[name]) is not kind for name, kind in _TYPES.items()):
        raise TypeError
    decode_secret(entry["secret"])
    return LocalKey(**{**entry, "allow": parse_groups(entry["allow"])})


def _named(keys: dict[str, LocalKey], name: str) -> LocalKey:
    try:
        return keys[name]
    except KeyError:
        names = ", ".join(sorted(keys)) or "none"
        raise ConfigError(f"there is no local key {name!r}; the local keys are: {names}") from None


def _new_pair() -> dict[str, Any]:
    """Return a key and a secret with as many bytes as Kraken's have, and when they were made."""
    key, secret = (base64.b64encode(secrets.token_bytes(size)).decode() for size in (42, 64))
    return {"created": int(time.time()), "key": key, "secret": secret}
