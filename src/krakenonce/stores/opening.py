"""From a URL or a path to a store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .file import FileStore
from .memory import MemoryStore

if TYPE_CHECKING:
    from ..clock import Clock
    from .protocol import NonceStore

__all__ = ["default_directory", "open_store"]

_KNOWN = "file:PATH and memory:"


def open_store(url: str | os.PathLike[str], *, clock: Clock | None = None) -> NonceStore:
    """Return the store that *url* names. Nothing is opened before the first call on it.

    Args:
        url: ``file:PATH``, ``file:PATH?allow_network=yes``, ``memory:``, or simply the path of a directory.
        clock: For tests; the machine's own otherwise.

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
        raise ConfigError(f"unknown store {scheme + ':'!r}; known are {_KNOWN}")
    from urllib.parse import parse_qsl

    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    allow = options.pop("allow_network", "no")
    if options or allow not in ("yes", "no"):
        raise ConfigError("a file store takes one option: file:PATH?allow_network=yes")
    path = path.removeprefix("//") if path.startswith("///") else path
    if not path:
        raise ConfigError("a store needs a directory: file:PATH")
    return FileStore(Path(path).expanduser(), clock=clock, allow_network=allow == "yes")


def default_directory() -> Path:
    """``$KRAKENONCE_STATE_DIR``, else the platform's state directory of this user."""
    chosen = os.environ.get("KRAKENONCE_STATE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "krakenonce"
    state_home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state_home) if state_home.startswith("/") else Path.home() / ".local" / "state") / "krakenonce"
