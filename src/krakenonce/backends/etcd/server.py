"""Which etcd is meant: a URL, what is connected to, and its name without a password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krakenonce.clock import SystemClock
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.rule import SECOND
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from krakenonce.backends.etcd.store import EtcdStore
    from krakenonce.clock import Clock

_FORM = (
    "write etcd://USER@HOST1:2379,HOST2:2379/PREFIX, or etcds:// for TLS, with ?password_file=PATH and ?ca=PATH, and "
    "%XX for special characters of a name or a password"
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class Server:
    """The servers of one etcd, as they are connected to. No tuple, whose parts error reports would show.

    Args:
        places: Host and port of each.
        options: ``ca``: the file with the certificate of who has signed theirs; empty: those that the system trusts;
            missing: no TLS. ``user``, ``password`` and ``password_file``, if any.
        prefix: What the names of all keys begin with.
        url: All of it without a password, for messages.
    """

    def __init__(self, places: list[tuple[str, int]], options: dict[str, str], prefix: str, url: str) -> None:
        self.places = places
        self.prefix = prefix
        self.url = url
        self.user = options.get("user", "")
        self.name = f"{','.join(sorted(f'{host}:{port}' for host, port in places))}/{prefix}"  # the state's
        self.clock = ServersClock()
        self.token = ""  # after the password was accepted
        self._options = options
        self._first = 0  # the place that has worked last
        self._context: Any = None

    @whole
    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    def open(self, clock: Clock | None = None, pause: float | None = None) -> EtcdStore:
        """Return a backend that uses it; it connects at its first call."""
        from krakenonce.backends.etcd.store import EtcdStore

        return EtcdStore(self, clock=clock) if pause is None else EtcdStore(self, clock=clock, pause=pause)

    def place(self) -> tuple[str, int]:
        """Return where to connect now."""
        return self.places[self._first % len(self.places)]

    def skip(self, place: tuple[str, int]) -> None:
        """Connect elsewhere from now on, if there is another one."""
        if self.place() == place:
            self._first += 1

    @blind
    def password(self) -> str:
        """Return the password. Raises NonceStoreError if it is in a file that cannot be read."""
        if path := self._options.get("password_file"):
            try:
                return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                raise NonceStoreError(f"cannot read the password file of {self.url}; nothing was issued") from None
        return self._options.get("password") or os.environ.get("ETCD_PASSWORD", "")

    def tls(self) -> Any:
        """Return an ``ssl.SSLContext`` that checks the servers' certificates; None: no TLS. Raises NonceStoreError."""
        ca = self._options.get("ca")
        if ca is not None and self._context is None:
            import ssl

            try:
                self._context = ssl.create_default_context(cafile=ca or None)
            except (OSError, ValueError):
                raise NonceStoreError(
                    f"there is no certificate in the ca file of {self.url}; nothing was issued"
                ) from None
        return self._context


class ServersClock:
    """The wall clock of the servers, as the header ``Date`` of each answer tells it in whole seconds.

    Between two answers it goes on by this host's time since boot, so it is soon exact to a few milliseconds. The
    servers of one etcd watch that their clocks agree.
    """

    def __init__(self) -> None:
        self._shift: int | None = None  # nanoseconds; theirs less ours since boot

    def note(self, date: int) -> None:
        """Note the seconds since 1970 that an answer shows, which has arrived just now."""
        least = date * SECOND - SystemClock.boot_ns()
        self._shift = least if self._shift is None else min(max(self._shift, least), least + SECOND)

    def go_on_from(self, now_ns: int) -> None:
        """Show what another process has seen of the servers' clock before now, if that is later."""
        if self._shift is not None:
            self._shift = max(self._shift, now_ns - SystemClock.boot_ns())

    def now_ns(self) -> int:
        """Nanoseconds since 1970; 0 before the first answer."""
        return 0 if self._shift is None else self._shift + SystemClock.boot_ns()


@blind
def read_url(url: str, name: str) -> Server:
    """Return the servers that *url* means.

    Args:
        url: As the user wrote it.
        name: Who says so, for messages.

    Raises:
        ConfigError: It is no URL of etcd. The message does not show the URL.
    """
    from urllib.parse import parse_qsl, unquote, urlsplit

    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigError(f"{name} is a URL that cannot be understood; {_FORM}") from None
    options, prefix = dict(query), parts.path.strip("/") or "krakenonce"
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    known = {"password_file", "ca"} if parts.scheme == "etcds" else {"password_file"}
    if (
        not url.startswith(("etcd://", "etcds://"))
        or parts.fragment
        or not known.issuperset(options)
        or len(options) != len(query)
        or not _PREFIX.fullmatch(prefix)
        or "" in options.values()
        or bool(at) != bool(user)
        or ("password_file" in options and (colon or not user))
    ):
        raise ConfigError(f"{name} is no URL of etcd; {_FORM}")
    if parts.scheme == "etcds":
        options.setdefault("ca", "")
    options.update({"user": unquote(user), "password": unquote(password)} if user else {})
    places = [_place(each, name) for each in hosts.split(",")]
    return Server(places, options, prefix, f"{parts.scheme}://{f'{user}@' if user else ''}{hosts}/{prefix}")


def _place(host: str, name: str) -> tuple[str, int]:
    found = _HOST.fullmatch(host)
    port = int((found and found[2]) or 2379)
    if found is None or not 0 < port < 65536:
        raise ConfigError(f"{name} names a host of etcd that cannot be understood; {_FORM}")
    return found[1].strip("[]"), port
