"""Which server is meant: a URL, what libpq makes of it, and its name without a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import ConfigError
from krakenonce.extras import needed_by
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from psycopg import pq

    from krakenonce.backends.postgres.store import PostgresStore
    from krakenonce.clock import Clock

_FORM = "write postgresql://USER@HOST:PORT/DATABASE, with %XX for special characters of a name or a password"
_SETTINGS = {
    # A host that is gone is noticed after a few seconds, by us as well as by the server: see hello.py.
    "keepalives_idle": b"1",
    "keepalives_interval": b"1",
    "keepalives_count": b"3",
    "tcp_user_timeout": b"4000",  # ms; without it, what was sent and is not confirmed is waited for
    "target_session_attrs": b"read-write",  # of several hosts, the one that is not a standby
}


class Server:
    """A database, as it is connected to. No tuple, whose parts error reports would show.

    Args:
        conninfo: Everything that libpq needs; may have a password.
        url: The same without a password, for messages.
        name: Host, port and database: who has the same, shares the state.
    """

    def __init__(self, conninfo: bytes, url: str, name: str) -> None:
        self.conninfo = conninfo
        self.url = url
        self.name = name

    @whole
    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    def open(self, clock: Clock | None = None, pause: float | None = None) -> PostgresStore:
        """Return a backend that uses it; it connects at its first call."""
        from krakenonce.backends.postgres.store import PostgresStore

        return PostgresStore(self, clock=clock) if pause is None else PostgresStore(self, clock=clock, pause=pause)


def library() -> type[pq.PGconn]:
    """Return psycopg's connection to libpq. Raises ConfigError if psycopg is not installed, or has no libpq."""
    with needed_by("a PostgreSQL state", "postgres"):
        try:
            from psycopg import pq
        except ModuleNotFoundError:
            raise
        except ImportError:
            raise ConfigError("psycopg finds no libpq here: pip install 'krakenonce[postgres]'") from None
    connection: type[pq.PGconn] = pq.PGconn
    return connection


@blind
def read_url(url: str, name: str) -> Server:
    """Return the server that *url* means; environment variables such as PGPASSFILE and PGUSER count as in psql.

    Args:
        url: As the user wrote it.
        name: Who says so, for messages.

    Raises:
        ConfigError: It is no URL of PostgreSQL, or psycopg is not installed. The message does not show the URL.
    """
    library()
    from psycopg import Error
    from psycopg.pq import Conninfo

    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError(f"{name} is no URL of PostgreSQL; {_FORM}")
    try:
        given = {each.keyword.decode(): each.val for each in Conninfo.parse(url.encode()) if each.val is not None}
    except (Error, UnicodeEncodeError):  # whose message may show a part of the password
        raise ConfigError(f"{name} is a URL that PostgreSQL does not understand; {_FORM}") from None
    if _is_torn(url, (given.get("port") or b"").decode(errors="replace")):
        raise ConfigError(f"{name} is a URL that may be misunderstood; {_FORM}")
    by_default = {each.keyword.decode(): each.val for each in Conninfo.get_defaults() if each.val is not None}
    user, host, port, database = (
        (given.get(each) or by_default.get(each) or b"").decode(errors="replace")
        for each in ("user", "host", "port", "dbname")
    )
    database = database or user
    place = f"{host or 'localhost'}:{port or '5432'}/{database}"
    settings = {**_SETTINGS, **given}
    conninfo = b" ".join(b"%s='%s'" % (each.encode(), _quoted(value)) for each, value in settings.items())
    return Server(conninfo, f"postgresql://{user}@{place}", place)


def _is_torn(url: str, port: str) -> bool:
    """Whether libpq takes a part of the password for a host, a port or a database, which messages show."""
    authority, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    return authority.count("@") > 1 or "@" in path or bool(port.strip("0123456789,"))


def _quoted(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"'", b"\\'")
