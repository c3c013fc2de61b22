"""The gateway's own key pairs, in Kraken's format: who may call what with which account. Kept in one private file."""

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

from krakenonce.backends.file.filesystem import make_directory, open_regular, sync_directory
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.groups import parse_groups
from krakenonce.kraken.wire import decode_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FILE_NAME", "LocalKey", "LocalKeys"]

FILE_NAME = "gateway_keys.json"
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TYPES = {"name": str, "account": str, "strict_nonce": bool, "created": int, "key": str, "secret": str}


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A key pair that the gateway has issued. Its repr tells neither of the two.

    Args:
        name: What it is called in lists, logs and metrics.
        account: Whose Kraken key its calls are made with.
        allow: The groups of methods that it may call.
        strict_nonce: Whether its own nonces must rise, so that no request can be played back.
        created: When, in seconds since 1970.
        key: The ``API-Key``.
        secret: Its secret, base64 as Kraken shows secrets.
    """

    name: str
    account: str
    allow: frozenset[str]
    strict_nonce: bool
    created: int
    key: str = field(repr=False)
    secret: str = field(repr=False)


class LocalKeys:
    """The file with the local keys. A change, also by another process, is seen with the next question.

    Args:
        path: The file, or where it will be; mode 0600.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._by_key: dict[str, LocalKey] = {}

    def __repr__(self) -> str:
        return f"LocalKeys({str(self.path)!r})"

    def find(self, key: str) -> LocalKey | None:
        """Return the local key with this ``API-Key``, None if there is none (any more).

        Raises:
            ConfigError: The file cannot be used.
        """
        self._refresh()
        found = self._by_key.get(key)
        # Once more in constant time: a dict may give away how much of a key was right.
        return found if found is not None and hmac.compare_digest(found.key.encode(), key.encode()) else None

    def all(self) -> list[LocalKey]:
        """Return all of them by name. Raises ConfigError if the file cannot be used."""
        self._refresh()
        return sorted(self._by_key.values(), key=lambda each: each.name)

    def add(self, name: str, account: str, allow: frozenset[str], *, strict_nonce: bool = False) -> LocalKey:
        """Make a key pair and keep it.

        Raises:
            ConfigError: The name cannot be used or is taken, or the file cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"the name {name!r} must be 1 to 64 letters, digits or any of _ . -")
        with self._changing() as keys:
            if name in keys:
                raise ConfigError(
                    f"there is a local key {name!r} already: revoke it first, rotate it, or take another name"
                )
            keys[name] = made = LocalKey(name, account, allow, strict_nonce, int(time.time()), *_pair())
        return made

    def rotate(self, name: str) -> LocalKey:
        """Give a local key a new pair; the old one is refused from now on. Raises ConfigError if there is none."""
        with self._changing() as keys:
            key, secret = _pair()
            keys[name] = made = replace(_named(keys, name), key=key, secret=secret, created=int(time.time()))
        return made

    def revoke(self, name: str) -> None:
        """Take a local key away, at once. Raises ConfigError if there is none."""
        with self._changing() as keys:
            del keys[_named(keys, name).name]

    def _refresh(self) -> None:
        try:
            seen = os.stat(self.path)
        except FileNotFoundError:
            self._seen, self._by_key = None, {}
            return
        except OSError as error:
            raise ConfigError(f"cannot read {self.path} ({error.strerror})") from error
        identity = (seen.st_ino, seen.st_mtime_ns, seen.st_size, seen.st_mode)
        if identity != self._seen:
            self._by_key = {each.key: each for each in self._read().values()}
            self._seen = identity

    def _read(self) -> dict[str, LocalKey]:
        try:
            fd = open_regular(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return {}
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot read {self.path} ({getattr(error, 'strerror', None) or error})") from error
        with open(fd, "rb") as file:
            if stat.S_IMODE(os.fstat(fd).st_mode) & 0o077:
                raise ConfigError(f"{self.path} is open to other users: run chmod 600 {self.path}")
            data = file.read()
        damaged = ConfigError(f"{self.path} is damaged: restore it from a backup, or delete it and add the keys anew")
        try:
            document = json.loads(data)
            version = document["format"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise damaged from None
        if version != _FORMAT:
            raise ConfigError(f"{self.path} is of another version of krakenonce: use that one")
        try:
            return {each["name"]: _local_key(each) for each in document["keys"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise damaged from None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, LocalKey]]:
        """Read the keys, and write them again: all or nothing, and one process at a time."""
        lock = -1
        try:
            make_directory(self.path.parent)
            lock = open_regular(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
            flock(lock, LOCK_EX)
            keys = self._read()
            yield keys
            self._write(keys)
        except (OSError, NonceStoreError) as error:
            raise ConfigError(f"cannot write {self.path} ({getattr(error, 'strerror', None) or error})") from error
        finally:
            if lock >= 0:
                os.close(lock)

    def _write(self, keys: dict[str, LocalKey]) -> None:
        listed = [{**asdict(each), "allow": sorted(each.allow)} for each in keys.values()]
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "keys": listed}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        sync_directory(self.path.parent)


def _local_key(entry: dict[str, Any]) -> LocalKey:
    """Raises what a wrong entry brings; one that is half right would fail with the first call."""
    if any(type(entry[name]) is not kind for name, kind in _TYPES.items()):
        raise TypeError
    decode_secret(entry["secret"])
    return LocalKey(**{**entry, "allow": parse_groups(entry["allow"])})


def _named(keys: dict[str, LocalKey], name: str) -> LocalKey:
    try:
        return keys[name]
    except KeyError:
        raise ConfigError(f"there is no local key {name!r}: there are {', '.join(sorted(keys)) or 'none'}") from None


def _pair() -> tuple[str, str]:
    """A key and a secret with as many bytes as Kraken's have."""
    return base64.b64encode(secrets.token_bytes(42)).decode(), base64.b64encode(secrets.token_bytes(64)).decode()
