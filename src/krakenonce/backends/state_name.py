"""Which state is meant: what the environment, an option or an argument says, read in one way; else the default."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from krakenonce.errors import ConfigError

if TYPE_CHECKING:
    from krakenonce.backends.protocol import Backend
    from krakenonce.clock import Clock


logger = logging.getLogger("krakenonce")

VARIABLE = "KRAKENONCE_STATE_DIR"


class Remote(Protocol):
    """A state on a server, which was not connected to yet."""

    @property
    def url(self) -> str:
        """Where it is, without a password."""

    def open(self, clock: Clock | None = None, pause: float | None = None) -> Backend:
        """Return a backend that uses it.

        Args:
            clock: For tests; default: the machine's clock.
            pause: Seconds for which a process may be paused before it loses its turns; default: the backend's.
        """


class StateName(NamedTuple):
    """What a text names.

    Args:
        directory: The state directory; None: another kind of state.
        allow_network: Whether it may be on any file system.
        server: A server. None, and no directory: the memory of this process.
    """

    directory: Path | None
    allow_network: bool = False
    server: Remote | None = None


def state_by_default() -> StateName:
    """Return the state that ``$KRAKENONCE_STATE_DIR`` names, else the platform's state directory of this user.

    Raises:
        ConfigError: The variable names no directory, or this user has no home directory.
    """
    return state_in_environment() or usual_directory()


def usual_directory() -> StateName:
    """Return this user's state directory on this platform. Raises ConfigError if the user has no home directory."""
    if sys.platform == "darwin":
        return StateName(_home() / "Library" / "Application Support" / "krakenonce")
    above = os.environ.get("XDG_STATE_HOME", "").strip()
    if above.startswith("/"):
        return StateName(Path(_checked(above, "XDG_STATE_HOME")) / "krakenonce")
    return StateName(_home() / ".local" / "state" / "krakenonce")


def state_in_environment() -> StateName | None:
    """Return the state that ``$KRAKENONCE_STATE_DIR`` names; None: it is not set, or blank.

    Raises:
        ConfigError: It names no directory. ``memory:`` is one process's own, while every process has the variable.
    """
    text = os.environ.get(VARIABLE, "")
    named = read_state(text, VARIABLE) if text.strip() else None
    if named == StateName(None):
        raise ConfigError(
            f"{VARIABLE} cannot be memory:, because each process would have nonces of its own; name a directory, or "
            "write NonceManager('memory:') in the test that needs it"
        )
    return named


def read_state(text: str, name: str) -> StateName:
    """Return what *text* names: ``file:PATH``, ``file:PATH?allow_network=yes``, a server's URL, ``memory:``, PATH.

    White space around it is ignored, as the end of a line of Windows is. A relative path is warned about, once per
    process: processes in different directories would use different states.

    Args:
        text: As the user wrote it.
        name: Who says so, for messages: a variable, an option or an argument.

    Raises:
        ConfigError: It names nothing, or probably not what the user meant.
    """
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if not colon or not scheme.replace("+", "").isalnum():
        rest, scheme = text, "file"
    if scheme == "memory":
        return StateName(None)
    if (server := _server(scheme, text, name)) is not None:
        return StateName(None, server=server)
    if scheme != "file":
        raise ConfigError(
            f"{name} has the unknown backend {scheme + ':'!r}; use file:PATH, postgresql://..., valkey://..., "
            "etcd://... or memory:"
        )
    from urllib.parse import parse_qsl

    path, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    allow = options.pop("allow_network", "no")
    if options or allow not in ("yes", "no"):
        raise ConfigError(f"{name}: a file backend has one option: file:PATH?allow_network=yes")
    if path.startswith("//"):
        if rest != text and not path.startswith("///"):
            raise ConfigError(f"{name} names a host after file://, but a state is on this host; write file:/PATH")
        path = f"/{path.lstrip('/')}"
    return StateName(_directory(_checked(path, name), name), allow_network=allow == "yes")


def has_password(text: str) -> bool:
    """Whether a text is a URL with a password in it."""
    from urllib.parse import parse_qs, urlsplit

    if "://" not in text:
        return False
    try:
        parts = urlsplit(text.strip())
        return bool(parts.password) or any(each.endswith("password") for each in parse_qs(parts.query))
    except ValueError:
        return ":" in text.rpartition("@")[0].partition("://")[2]


def _server(scheme: str, url: str, name: str) -> Remote | None:
    """Return the server that a URL means; None: the scheme is of no server.

    The library for it is imported now, so that a missing one is reported where the state is named.

    Raises:
        ConfigError: It is not well formed, or the extra is missing. The message does not show the URL: it may have a
            password.
    """
    if scheme in ("postgresql", "postgres"):
        from krakenonce.backends.postgres import server

        return server.read_url(url, name)
    if scheme in ("etcd", "etcds"):
        from krakenonce.backends.etcd import server as etcd

        return etcd.read_url(url, name)
    if scheme.partition("+")[0] in ("redis", "rediss", "valkey", "valkeys"):
        from krakenonce.backends.redis import server as redis_server

        return redis_server.read_url(url, name)
    return None


def _checked(path: str, name: str) -> str:
    """Return *path*. Raises ConfigError if it has what no shell or file of variables should have left in it."""
    if not path:
        raise ConfigError(f"{name} is empty, and a file backend needs a directory: file:PATH")
    for each in path:
        # A name that is no UTF-8 has its bytes as surrogates.
        if not each.isprintable() and not "\udc80" <= each <= "\udcff":
            raise ConfigError(f"{name} contains the invisible character {each!a}; write it without")
    if path != path.strip():
        raise ConfigError(f"{name} has white space before or after its path; write it without")
    if path[0] in "\"'" or path[-1] in "\"'":
        raise ConfigError(f"{name} has quotes around its value, which are not removed here; write it without quotes")
    if "$" in path:
        raise ConfigError(f"{name} contains a $, and variables are not replaced here; write the whole path")
    return path


def _directory(path: str, name: str) -> Path:
    """Return *path* with the home directory for ``~``; warn if it is relative."""
    if path.startswith("~"):
        user = path.partition("/")[0]
        try:
            return _home() / path[2:] if user == "~" else Path(path).expanduser()
        except RuntimeError:
            raise ConfigError(f"{name} begins with {user}, and there is no such user; write the whole path") from None
    if not path.startswith("/") and path not in _warned:
        _warned.add(path)
        logger.warning(
            "%s is the relative path %s, which is %s here: a process that starts in another directory uses another "
            "state; write the whole path",
            *(name, path, os.path.abspath(path)),
        )
    return Path(path)


def _home() -> Path:
    """Return this user's home directory. Raises ConfigError if there is none."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise ConfigError(
            f"this user (uid {os.geteuid()}) has no home directory to keep the state in: set {VARIABLE} to a directory"
        )
    return home


_warned: set[str] = set()  # the relative paths
