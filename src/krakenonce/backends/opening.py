"""From a URL, a path or an object to a backend. A new kind of URL is one more case in :func:`open_store`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from krakenonce.backends.default_directory import default_directory
from krakenonce.backends.file import FileStore
from krakenonce.backends.memory import MemoryStore
from krakenonce.backends.protocol import SERVED, Backend
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
        store = default_directory()
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
        url: ``file:PATH``, ``file:PATH?allow_network=yes``, ``memory:``, or simply the path of a directory.
        clock: For tests; default: the machine's clock.

    Raises:
        ConfigError: An unknown scheme or option, or no path.
    """
    if not isinstance(url, str):
        return FileStore(url, clock=clock)
    scheme, colon, rest = url.partition(":")
    if not colon or not scheme.isalnum():
        rest, scheme = url, "file"
    if scheme == "memory":
        return MemoryStore(clock=clock)
    if scheme != "file":
        raise ConfigError(f"unknown backend {scheme + ':'!r}; use file:PATH or memory:")
    from urllib.parse import parse_qsl

    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    allow = options.pop("allow_network", "no")
    if options or allow not in ("yes", "no"):
        raise ConfigError("a file backend has one option: file:PATH?allow_network=yes")
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path:
        raise ConfigError("a file backend needs a directory: file:PATH")
    return FileStore(Path(path).expanduser(), clock=clock, allow_network=allow == "yes")
