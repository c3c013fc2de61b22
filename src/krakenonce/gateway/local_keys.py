"""Local keys, in the form of Kraken's keys: what each may call, and with which account."""

from __future__ import annotations

import base64
import hmac
import json
import math
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.errors import ConfigError
from krakenonce.gateway.groups import parse_groups
from krakenonce.gateway.key_storage import FILE_NAME, KeyFile
from krakenonce.kraken.wire import decode_secret
from krakenonce.shown import blind

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from krakenonce.gateway.key_storage import KeyStorage


__all__ = ["FILE_NAME", "LocalKey", "LocalKeys", "OldPair", "check_name"]

_T = TypeVar("_T")
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TYPES = {"name": str, "account": str, "trace_orders": bool, "created": int, "key": str, "secret": str}


@dataclass(frozen=True, slots=True)
class OldPair:
    """The pair that a local key had before. Its repr shows neither key nor secret.

    Args:
        until: Until when it is good, in whole seconds since 1970.
        key: The ``API-Key``.
        secret: Its secret.
    """

    until: int
    key: str = field(repr=False)
    secret: str = field(repr=False)


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
        old: The pair that it had before, if that was kept for some time; it may be over.
    """

    name: str
    account: str
    allow: frozenset[str]
    trace_orders: bool
    created: int
    key: str = field(repr=False)
    secret: str = field(repr=False)
    old: OldPair | None = None

    def old_now(self) -> OldPair | None:
        """Return the pair before this one if it is good now."""
        return self.old if self.old is not None and time.time() < self.old.until else None

    def with_old_pair(self) -> LocalKey | None:
        """Return the same key with the pair before this one; None if that is not good now."""
        old = self.old_now()
        return None if old is None else replace(self, key=old.key, secret=old.secret)


def check_name(name: str) -> None:
    """Raise ConfigError if this cannot be the name of a local key."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"the name {name!r} must be 1 to 64 letters, digits or any of _ . -")


class LocalKeys:
    """The local keys. A change, also by another process, is seen at the next lookup, or within a second.

    Args:
        kept: Where they are kept; a path: in this private file.
    """

    def __init__(self, kept: KeyStorage | Path) -> None:
        self._kept = KeyFile(kept) if isinstance(kept, Path) else kept
        self._seen: object = None
        self._by_name: dict[str, LocalKey] = {}
        self._by_key: dict[str, LocalKey] = {}  # an old pair that is kept leads to its key, too

    @property
    def is_at_hand(self) -> bool:
        """Whether a lookup returns at once; else :meth:`refresh` has to ask a server first."""
        return self._kept.is_at_hand

    @blind
    def find(self, key: str) -> LocalKey | None:
        """Return the local key with this ``API-Key``; None if there is none, or none any more.

        Raises:
            ConfigError: The keys cannot be read.
        """
        self.refresh()
        found = self._by_key.get(key)
        if found is not None and found.key != key:  # it is the pair before
            found = found.with_old_pair()
        # Compared again in constant time: how long a dict takes may show how much of a key was right.
        return found if found is not None and hmac.compare_digest(found.key.encode(), key.encode()) else None

    @blind
    def all(self) -> list[LocalKey]:
        """Return all of them, sorted by name. Raises ConfigError if they cannot be read."""
        self.refresh()
        return sorted(self._by_name.values(), key=lambda each: each.name)

    @blind
    def add(self, name: str, account: str, allow: frozenset[str], *, trace_orders: bool = False) -> LocalKey:
        """Make a local key and store it.

        Raises:
            ConfigError: The name is not allowed or is taken, or the keys cannot be read or written.
        """
        check_name(name)

        def change(keys: dict[str, LocalKey]) -> LocalKey:
            if name in keys:
                raise ConfigError(
                    f"there is a local key {name!r} already: revoke it first, rotate it, or take another name"
                )
            keys[name] = made = LocalKey(name, account, allow, trace_orders, **_new_pair())
            return made

        return self._change(change)

    @blind
    def rotate(self, name: str, keep: float = 0.0) -> LocalKey:
        """Replace a local key by a new one.

        Args:
            name: Its name.
            keep: Seconds for which the old pair is good beside the new one; 0: it is refused from now on. The pair
                before the old one is refused in any case.

        Raises:
            ConfigError: There is no such key, or the keys cannot be read or written.
        """

        def change(keys: dict[str, LocalKey]) -> LocalKey:
            before = _named(keys, name)
            old = OldPair(math.ceil(time.time() + keep), before.key, before.secret) if keep > 0 else None
            keys[name] = made = replace(before, old=old, **_new_pair())
            return made

        return self._change(change)

    @blind
    def change(self, name: str, add: AbstractSet[str], remove: AbstractSet[str]) -> LocalKey:
        """Change the groups of a local key, which keeps its pair; it counts from the next call on.

        Raises:
            ConfigError: There is no such key, it would have no group left, or the keys cannot be read or written.
        """

        def change(keys: dict[str, LocalKey]) -> LocalKey:
            before = _named(keys, name)
            keys[name] = made = replace(before, allow=parse_groups((before.allow | add) - remove))
            return made

        return self._change(change)

    @blind
    def revoke(self, name: str) -> None:
        """Revoke a local key; it is refused from now on. Raises ConfigError if there is none."""

        def change(keys: dict[str, LocalKey]) -> None:
            del keys[_named(keys, name).name]

        self._change(change)

    def refresh(self) -> None:
        """Read what has changed. Raises ConfigError if the keys cannot be read."""
        version = self._kept.version()
        if version != self._seen:
            self._by_name = self._read(self._kept.read())
            olds = {each.old.key: each for each in self._by_name.values() if each.old is not None}
            self._by_key = {**olds, **{each.key: each for each in self._by_name.values()}}
            self._seen = version

    def _read(self, data: bytes | None) -> dict[str, LocalKey]:
        if data is None:
            return {}
        try:
            document = json.loads(data)
            if document["format"] == _FORMAT:
                return {each["name"]: _local_key(each) for each in document["keys"]}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigError(
                f"{self._kept.name} is damaged: restore it from a backup, or delete it and add the keys again"
            ) from None
        raise ConfigError(f"{self._kept.name} was written by another version of krakenonce; use that version")

    def _change(self, change: Callable[[dict[str, LocalKey]], _T]) -> _T:
        """Read the keys, let *change* change them, and write them: all or nothing, and one process at a time."""
        made: list[_T] = []

        def changed(data: bytes | None) -> bytes:
            keys = self._read(data)
            made.append(change(keys))
            listed = [_entry_of(each) for each in keys.values()]
            return json.dumps({"format": _FORMAT, "keys": listed}, indent=1).encode()

        self._kept.change(changed)
        return made[-1]


def _entry_of(key: LocalKey) -> dict[str, Any]:
    """Return a key as it is in the file. An old pair that is over is not in it any more."""
    old = key.old_now()
    kept = {} if old is None else {"old": asdict(old)}  # without one, earlier versions can read the file
    return {**{name: value for name, value in asdict(key).items() if name != "old"}, "allow": sorted(key.allow), **kept}


def _local_key(entry: dict[str, Any]) -> LocalKey:
    """Return a key of the file. A wrong entry raises an error now, and not at its first call."""
    # Local keys could be strict about their nonces before each request was sent only once.
    entry = {"trace_orders": False} | {name: entry[name] for name in entry if name != "strict_nonce"}
    if any(type(entry[name]) is not kind for name, kind in _TYPES.items()):
        raise TypeError
    decode_secret(entry["secret"])
    old = OldPair(**entry["old"]) if entry.get("old") is not None else None
    if old is not None:
        if any(type(value) is not kind for value, kind in ((old.until, int), (old.key, str), (old.secret, str))):
            raise TypeError
        decode_secret(old.secret)
    return LocalKey(**{**entry, "allow": parse_groups(entry["allow"]), "old": old})


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
