"""Checks, before a gateway is started or told to read again, what it would be started with. Changes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.moved import refuse_moved_state
from krakenonce.brokers.credentials import read_accounts
from krakenonce.errors import ConfigError, KrakenonceError
from krakenonce.gateway.key_storage import key_storage
from krakenonce.gateway.listening import checked_address, tls_context
from krakenonce.gateway.local_keys import LocalKeys
from krakenonce.gateway.settings import credentials_path, open_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krakenonce.gateway.local_keys import LocalKey
    from krakenonce.gateway.settings import Settings


class Checked(NamedTuple):
    """What a check has found.

    Args:
        problems: What is wrong and what to do, a line each; none: the gateway would start.
        accounts: How many accounts can be used.
        local_keys: How many local keys there are.
    """

    problems: list[str]
    accounts: int
    local_keys: int


def check(settings: Settings, runs_at: Callable[[str], bool]) -> Checked:
    """Check credentials, local keys, state, certificate and address. Only a state on a server is asked over a network.

    Args:
        settings: How the gateway would run.
        runs_at: Whether a gateway answers at an address.
    """
    problems: list[str] = []
    accounts: set[str] = set()
    known: set[str] = set()
    with _noted(problems):
        found = read_accounts(os.environ, credentials_path(settings.credentials, os.environ))
        accounts, known = set(found.accounts), {*found.accounts, *found.wrong}
        problems += [
            f"account {name} is not served until that is corrected: {why}" for name, why in found.wrong.items()
        ]
        if not known:
            problems.append(
                "there are no Kraken credentials: set KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET, or use "
                "--credentials with a TOML file that has them"
            )
    local_keys: list[LocalKey] = []
    with _noted(problems), open_state(settings.state) as manager:
        directory = getattr(manager.store, "directory", None)
        if directory is not None:
            _check_directory(Path(directory), "the state directory")
        refuse_moved_state(manager.store)
        local_keys = LocalKeys(key_storage(manager.store)).all()
        problems += [
            f"local key {each.name} uses account {each.account}, for which there are no credentials: add them, or run "
            f"`krakenonce gateway revoke-key --name {each.name}`"
            for each in local_keys
            if known and each.account not in known
        ]
    if settings.audit not in (None, "-"):
        with _noted(problems):
            _check_directory(Path(str(settings.audit)).absolute().parent, "the directory of the audit log")
    with _noted(problems):
        _check_address(settings, runs_at)
    return Checked(problems, len(accounts), len(local_keys))


@contextlib.contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except KrakenonceError as error:
        problems.append(str(error))


def _check_directory(path: Path, what: str) -> None:
    """Raise ConfigError if files cannot be made in a directory, nor the directory itself."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{what} {path} cannot be written by this user: change its owner or mode, or name another")


def _check_address(settings: Settings, runs_at: Callable[[str], bool]) -> None:
    """Raise ConfigError if a gateway could not listen; one that listens there already is no problem."""
    tls = tls_context(settings)
    address = checked_address(settings, tls)
    if address is None:
        path = Path(settings.listen.removeprefix("unix:"))
        if path.exists() and not path.is_socket():
            raise ConfigError(f"{path} exists and is not a socket; choose another --listen")
        _check_directory(path.absolute().parent, "the directory of the socket")
        return
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
    except (OSError, UnicodeError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        if not (is_taken and (tls is not None or runs_at(settings.listen))):
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot listen on {settings.listen} ({why}): choose another --listen") from error
