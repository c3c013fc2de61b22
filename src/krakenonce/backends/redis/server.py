"""Which server is meant: a URL, what is read from it, and its name without a password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from krakenonce.errors import ConfigError
from krakenonce.extras import needed_by
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    import ssl

    from krakenonce.backends.redis.store import RedisStore
    from krakenonce.clock import Clock

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "redis+sentinel", "rediss+sentinel")
_FORM = (
    "write valkey://USER@HOST:PORT/0 or redis+sentinel://USER@HOST1:26379,HOST2:26379/MASTERNAME, with %XX for special "
    "characters of a name or a password"
)
_OPTIONS = ("replicas", "volatile", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "sentinel_password")
_PASSWORDS = ("VALKEYCLI_AUTH", "REDISCLI_AUTH")  # as the servers' own programs read them


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


class Server:
    """A server, as it is connected to. No tuple, whose parts error reports would show.

    Args:
        addresses: Its address, or those of the Sentinels that know it.
        master: Its name at the Sentinels; empty: there are none.
        user: Who logs in; None: the default user.
        password: The password; None: nobody logs in.
        database: The number of the database.
        options: What is written after the ``?``.
        tls: How to encrypt; None: not.
        url: Where it is, without a password, for messages.
    """

    def __init__(
        self,
        addresses: list[Address],
        master: str,
        user: str | None,
        password: str | None,
        database: int,
        options: dict[str, str],
        tls: ssl.SSLContext | None,
        url: str,
    ) -> None:
        self.addresses = addresses
        self.master = master
        self.user = user
        self.password = password
        self.database = database
        self.tls = tls
        self.url = url
        # Who has the same name, shares the state.
        self.name = f"{','.join(f'{each.host}:{each.port}' for each in addresses)}/{master or database}"
        # Where Sentinels are, there are failovers: then a replica has to know the mark.
        self.replicas = int(options.get("replicas", "1" if master else "0"))
        self.volatile = options.get("volatile") == "yes"
        self.sentinel_password = options.get("sentinel_password")

    @whole
    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    def other_scheme(self) -> str:
        """Return the scheme of the same URL with TLS if it is one without, and the other way round."""
        name, plus, sentinels = self.url.partition("://")[0].partition("+")
        return f"{name.removesuffix('s') if self.tls is not None else f'{name}s'}{plus}{sentinels}"

    def open(self, clock: Clock | None = None, pause: float | None = None) -> RedisStore:
        """Return a backend that uses it; it connects at its first call."""
        from krakenonce.backends.redis.store import RedisStore

        return RedisStore(self, clock=clock) if pause is None else RedisStore(self, clock=clock, pause=pause)


@blind
def read_url(url: str, name: str) -> Server:
    """Return the server that *url* means. Without a password in it, ``VALKEYCLI_AUTH`` or ``REDISCLI_AUTH`` has it.

    Args:
        url: As the user wrote it.
        name: Who says so, for messages.

    Raises:
        ConfigError: It is no such URL, or the package ``redis`` is not installed. The message does not show the URL.
    """
    with needed_by("a state on Valkey or Redis", "redis"):
        import redis  # noqa: F401 - it is asked for where the state is named
    scheme, _, rest = url.partition("://")
    before, mark, query = rest.partition("?")
    place, _, path = before.partition("/")
    login, _, hosts = place.rpartition("@")
    try:
        if scheme not in SCHEMES or "#" in url:
            raise ValueError
        options = _options(query if mark else None)
        by_sentinel = scheme.endswith("+sentinel")
        addresses = [_address(each, 26379 if by_sentinel else 6379) for each in hosts.split(",")]
        master, database = (path, "0") if by_sentinel else ("", path or "0")
        if by_sentinel != bool(master) or (len(addresses) > 1 and not by_sentinel) or not database.isdecimal():
            raise ValueError
        user, password = (unquote(each, errors="strict") or None for each in (login + ":").split(":")[:2])
        encrypted = scheme in ("rediss", "valkeys", "rediss+sentinel")
        if not encrypted and any(each.startswith("ssl_") for each in options):
            raise ValueError
    except ValueError:
        raise ConfigError(f"{name} is a URL that Valkey and Redis do not understand; {_FORM}") from None
    password = password or next((os.environ[each] for each in _PASSWORDS if os.environ.get(each)), None)
    shown = f"{scheme}://{login.partition(':')[0] + '@' if user else ''}{hosts}/{path or database}"
    tls = _context(options, name) if encrypted else None
    return Server(addresses, master, user, password, int(database), options, tls, shown)


def _options(query: str | None) -> dict[str, str]:
    """Return what is after the ``?``. Raises ValueError if it is none of ours."""
    pairs = [] if query is None else parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    options = dict(pairs)
    if len(options) < len(pairs) or not all(each in _OPTIONS and options[each] for each in options):
        raise ValueError
    if not options.get("replicas", "0").isdecimal() or options.get("volatile", "no") not in ("yes", "no"):
        raise ValueError
    return options


def _address(text: str, port: int) -> Address:
    host, colon, after = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, after = text, str(port)
    if not host.strip("[]") or not after.isdecimal() or not 0 < int(after) < 65536:
        raise ValueError
    return Address(host.removeprefix("[").removesuffix("]"), int(after))


def _context(options: dict[str, str], name: str) -> ssl.SSLContext:
    """Return how to encrypt. The server's certificate is always checked."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise ConfigError(f"{name} names a certificate or a key that cannot be read: {error}") from None
    return context
