"""From a URL, a path or an object to a backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from krakenonce.backends.file import FileStore
from krakenonce.backends.memory import MemoryStore
from krakenonce.backends.protocol import SERVED, Backend
from krakenonce.backends.state_name import StateName, read_state, state_by_default
from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from krakenonce.clock import Clock


def find_backend(
    store: Backend | str | os.PathLike[str] | None, *, shared: str | None = None, clock: Clock | None = None
) -> Backend:
    """Return the backend that is meant by *store*; None: the default directory.

    Args:
        store: A backend, or what :func:`open_store` takes.
        shared: Who it must serve at least; None: any backend will do.
        clock: For tests; default: the machine's clock. A backend that is passed has a clock of its own.

    Raises:
        ConfigError: There is no such backend, it lacks a method, or it serves fewer than it must.
    """
    if store is None:
        backend = _open(state_by_default(), clock)
    else:
        backend = open_store(store, clock=clock) if isinstance(store, (str, os.PathLike)) else store
    if isinstance(backend, type):
        raise ConfigError(f"{backend.__name__} is a class, not an object: write {backend.__name__}(...)")
    if missing := [name for name in vars(Backend) if name[0] != "_" and not hasattr(backend, name)]:
        kind = type(backend).__name__
        raise ConfigError(f"store must be a path, file:PATH, memory: or a backend; {kind} has no {', '.join(missing)}")
    asked, levels = shared or backend.shared, list(SERVED)
    for each in (asked, backend.shared):
        if each not in levels:
            raise ConfigError(f"shared must be 'process', 'host' or 'hosts', not {each!r}")
    if levels.index(backend.shared) < levels.index(asked):
        raise ConfigError(
            f"shared={asked!r} needs a backend for {SERVED[asked]}; {backend!r} is for {SERVED[backend.shared]} only"
        )
    return backend


def open_store(url: str | os.PathLike[str], *, clock: Clock | None = None) -> Backend:
    """Return the backend that *url* names. Nothing is opened before the first call on it.

    Args:
        url: ``file:PATH``, ``file:PATH?allow_network=yes``, ``postgresql://USER@HOST/DATABASE``,
            ``valkey://USER@HOST:PORT/0``, ``etcd://HOST/PREFIX``, ``memory:``, or simply the path of a directory. White
            space around a text is ignored; a :class:`~pathlib.Path` is taken as it is.
        clock: For tests; default: the machine's clock.

    Raises:
        ConfigError: An unknown scheme or option, no path, or one with quotes, a ``$`` or invisible characters; or the
            extra for a database is not installed.
    """
    if not isinstance(url, str):
        return FileStore(url, clock=clock)
    return _open(read_state(url, "store"), clock)


def _open(named: StateName, clock: Clock | None) -> Backend:
    if named.server is not None:
        return named.server.open(clock)
    if named.directory is None:
        return MemoryStore(clock=clock)
    return FileStore(named.directory, clock=clock, allow_network=named.allow_network)
