"""The file with the accounts: whether it may be used, and what is in it or wrong in it. No message has a line of it."""

from __future__ import annotations

import codecs
import logging
import os
import re
import shlex
import stat
import tomllib
from typing import TYPE_CHECKING, Any, TypeGuard

from krakenonce.brokers.credentials_texts import MASTER, KeyTexts, described, name_of
from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.brokers.credentials_texts import Described


logger = logging.getLogger("krakenonce")

_PLACE = re.compile(r"\(at line ([0-9]+), column [0-9]+\)$")  # all that is used of tomllib's message
_told: set[str] = set()  # files that this process has said a word about
_KEY = ("api_key", "api_secret", "otp")


def from_file(path: Path) -> dict[str, Described | str]:
    """Return each account, or why it cannot be used. Raises ConfigError if the file itself cannot be used."""
    document = read_file(path)
    users = document.pop("USER", {})
    if not document.keys() <= {MASTER}:
        raise ConfigError(f"{path} may only have the tables [MASTER] and [USER.<name>]: remove or rename the rest")
    if not isinstance(users, dict):
        raise ConfigError(f"USER in {path} must be one table per user: write [USER.<name>]")
    found = {name: _from_table(table, f"[{name}] in {path}") for name, table in document.items()}
    for user, table in users.items():
        name = name_of(user, f"the name of a [USER.<name>] table in {path}")
        if name in found:
            found[name] = f"{path} has the account {name} twice; remove one"
        else:
            found[name] = _from_table(table, f"[{name.replace(':', '.')}] in {path}")
    return found


def _from_table(table: object, place: str) -> Described | str:
    """Return the account in one table of the file, or what is wrong; *place* is the table, for messages."""
    if isinstance(table, dict) and "keys" in table:
        return _several(table, place)
    if not _has_texts(table, *_KEY, "tier"):
        return (
            f'{place} must be api_key = "..." and api_secret = "...", optionally tier = "pro" and otp = "...", and '
            "nothing else"
        )
    return described([_texts(table, place)], table.get("tier", "").strip(), f"tier of {place}")


def _several(table: dict[str, Any], place: str) -> Described | str:
    """Return the account of a table with several API keys, or what is wrong."""
    keys, others = table["keys"], {name: each for name, each in table.items() if name != "keys"}
    if not isinstance(keys, list) or not keys or not _has_texts(others, "tier"):
        return (
            f'{place} must be keys = [{{api_key = "...", api_secret = "..."}}, ...], optionally tier = "pro", and '
            "nothing else; a key's otp is beside it"
        )
    found = []
    for number, each in enumerate(keys, 1):
        here = f"key {number} of {place}"
        if not _has_texts(each, *_KEY):
            return f'{here} must be api_key = "..." and api_secret = "...", optionally otp = "...", and nothing else'
        found.append(_texts(each, here))
    return described(found, others.get("tier", "").strip(), f"tier of {place}")


def _has_texts(table: Any, *known: str) -> TypeGuard[dict[str, str]]:
    """Whether this is a table whose entries are all texts, with these names."""
    return isinstance(table, dict) and all(name in known and isinstance(each, str) for name, each in table.items())


def _texts(table: dict[str, str], place: str) -> KeyTexts:
    key, secret, otp = (table.get(name, "").strip() for name in _KEY)
    return KeyTexts(key, secret, otp, f"api_key of {place}", f"api_secret of {place}")


def read_file(path: Path) -> dict[str, Any]:
    """Return the file's content; the permissions are those of the opened file, as the path may lead elsewhere.

    Raises:
        ConfigError: It cannot be read, other users can read it, or it is not TOML.
    """
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{path} is not a file: name a TOML file")
            _check_rights(path, found, bool(os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY))
            content = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror}): name a TOML file that you may read") from error
    return _parsed(path, content)


def _check_rights(path: Path, found: os.stat_result, is_read_only: bool) -> None:
    """Raise ConfigError if other users can read the file, and somebody can change that."""
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o077:
        return
    me = os.geteuid()
    # Secrets of Kubernetes, Docker and systemd have their own modes, 0440 or 0444: they are on a read-only mount, where
    # chmod is impossible, or belong to root. In a container, "all users" is often this program alone.
    if is_read_only or (found.st_uid == 0 != me and not mode & 0o033):
        if str(path) not in _told:
            _told.add(str(path))
            why = "it is on a read-only mount" if is_read_only else "it belongs to root"
            level = logging.WARNING if mode & 0o007 else logging.INFO
            readers = "all users here" if mode & 0o007 else "its group"
            logger.log(level, "%s (mode %04o) can be read by %s; it is used, because %s", path, mode, readers, why)
        return
    if me in (0, found.st_uid):
        raise ConfigError(f"other users can read {path}; run: chmod 600 {shlex.quote(str(path))}")
    raise ConfigError(
        f"other users can read {path}, which belongs to user {found.st_uid} and not to you, user {me}; "
        f"let root run: chown {me} {shlex.quote(str(path))} && chmod 600 {shlex.quote(str(path))}"
    )


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise ConfigError(f"{path} is in UTF-16, as some editors of Windows write: save it as UTF-8")
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()  # some editors put a mark in front
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"line {line} of {path} has a character that is not UTF-8: save the file as UTF-8") from None
    try:
        return tomllib.loads(text + "\n")
    except ValueError as error:
        place = _PLACE.search(str(error))
        line = int(place[1]) if place else 0
        reason = _reason(line, text.split("\n")[line - 1].strip(), is_twice="overwrite" in str(error))
    raise ConfigError(f"{path} is not TOML: {reason}")


def _reason(number: int, line: str, *, is_twice: bool) -> str:
    """Return what is wrong in a line, without any part of it; 0: it is not known in which."""
    name, equals, value = (each.strip() for each in line.partition("="))
    if not number:
        return "a value in it does not end, because a quote or a bracket is missing"
    if is_twice:
        what = "gives a value that was given before: remove one"
    elif line.startswith("[") and "]" not in line:
        what = "has no ] at its end"
    elif line.startswith("["):
        what = (
            "is not the name of a table: write [MASTER] or [USER.<name>], each only once, or [[MASTER.keys]] for each "
            "of its keys"
        )
    elif line.startswith(("{", "}", "]", ",")) or name == "keys":
        what = (
            'is no list of keys: write keys = [{api_key = "...", api_secret = "..."}, ...], each {...} in one line, '
            "with commas between them"
        )
    elif not equals or not re.fullmatch(r"\w+", name):
        what = 'is no line of a table: write it as api_key = "..."'
    elif value[:1] in ('"', "'"):
        what = "has a quote too few or too many: write the value between two quotes, with nothing after them"
    else:
        what = 'has a value without quotes: write it in straight quotes, as in api_key = "..."'
    return f"line {number} {what}"
