"""The tables of a state, and what a new connection is asked before it is used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from krakenonce.backends.postgres.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.postgres.server import Server


logger = logging.getLogger("krakenonce")

_VERSION = 1  # as in _TABLES
_OLDEST = 140000  # PostgreSQL 14: idle_session_timeout, client_connection_check_interval

# A statement cannot have values and be several, so there are none; the advisory lock lets one at a time make them.
_TABLES = """
begin;
select pg_advisory_xact_lock(7021802104893871105);
create schema if not exists krakenonce;
create table if not exists krakenonce.about (version int not null, moved_to text);
create table if not exists krakenonce.nonces (
    scope text primary key, last bigint not null, timeline text not null) with (fillfactor = 20);
create table if not exists krakenonce.records (name text primary key, data bytea not null);
create table if not exists krakenonce.limits (
    name text primary key, size int not null, version bigint not null default 0);
create table if not exists krakenonce.limit_pages (
    name text not null, page int not null, data bytea not null, primary key (name, page));
create table if not exists krakenonce.sent (
    name text primary key, size int not null, version bigint not null default 0);
create table if not exists krakenonce.sent_pages (
    name text not null, page int not null, data bytea not null, primary key (name, page)) with (fillfactor = 50);
insert into krakenonce.about (version) select 1 where not exists (select from krakenonce.about);
commit;
"""

_HELLO = """
select pg_backend_pid(), pg_is_in_recovery() or current_setting('transaction_read_only')::bool,
    current_setting('fsync'), current_setting('full_page_writes'), to_regclass('krakenonce.about') is not null,
    set_config('synchronous_commit',
        case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('client_min_messages', 'warning', false), set_config('idle_in_transaction_session_timeout', '5s', false),
    set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
    set_config('client_connection_check_interval', '1s', false),
    set_config('tcp_keepalives_idle', '1', false), set_config('tcp_keepalives_interval', '1', false),
    set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '4000', false),
    set_config('idle_session_timeout', $1, false), set_config('application_name', $2, false),
    current_setting('synchronous_standby_names')
"""


def connect(server: Server, name: str, pause: float = 0.0) -> Session:
    """Return a new session that may be used.

    Args:
        server: Where.
        name: What the server's own lists show of it.
        pause: Seconds without a statement after which the server ends it; 0.0: never.

    Raises:
        NonceStoreError: There is no connection, or the server cannot keep what is promised.
    """
    try:
        session = Session(server)
    except SessionLost as error:
        raise cannot(server, "connect to", error) from None
    try:
        _ask(session, server, name, pause)
    except (SessionLost, Refused) as error:
        session.close()
        if isinstance(error, Refused) and error.code == "42P05":  # a new session has prepared nothing
            raise _pooler(server) from None
        raise cannot(server, "use", error) from None
    except BaseException:
        session.close()
        raise
    return session


def cannot(server: Server, use: str, error: Exception) -> NonceStoreError:
    """Return the error that says in one line what could not be done, and what helps."""
    why = str(error)
    if "session is read-only" in why:
        return _read_only(server)
    hint = ""
    if "password" in why:
        hint = "; give the password in PGPASSWORD or in the file that PGPASSFILE names"
    elif isinstance(error, Refused) and error.code == "42501":
        hint = '; see "Rights" in docs/how-to/several-hosts.md'
    return NonceStoreError(f"cannot {use} {server.url}: {why}; nothing was issued or sent{hint}")


def _read_only(server: Server) -> NonceStoreError:
    return NonceStoreError(
        f"{server.url} is a read-only standby, or a read-only session: no nonce was issued; name the primary, or all "
        "hosts: postgresql://USER@HOST1,HOST2/DATABASE"
    )


def _pooler(server: Server) -> NonceStoreError:
    return NonceStoreError(
        f"{server.url} is a pooler such as PgBouncer, which may give one turn to two callers; no nonce was issued; "
        "connect to PostgreSQL itself"
    )


def _ask(session: Session, server: Server, name: str, pause: float) -> None:
    """Check a server, and the version of its tables."""
    version = session.pg.server_version
    if version < _OLDEST:
        raise NonceStoreError(f"{server.url} is PostgreSQL {version // 10000}; krakenonce needs 14 or newer")
    pid, read_only, fsync, whole_pages, is_made, *_, standbys = session.run(_HELLO, round(pause * 1000), name)[0]
    if int(pid or 0) != session.pg.backend_pid:
        raise _pooler(server)
    if read_only == b"t":
        raise _read_only(server)
    if fsync != b"on":
        raise NonceStoreError(
            f"{server.url} runs with fsync=off, so a power cut may take nonces back; none was issued; set fsync=on"
        )
    if whole_pages != b"on":
        _warn(server, _TORN)
    _check_standbys(server, bool(standbys))
    if is_made == b"t":
        _check_version(session, server)


def _check_standbys(server: Server, waits: bool) -> None:
    """Warn of a server that waits for no standby, if it did, as one that was promoted, or if several are named.

    Args:
        server: Which.
        waits: Whether it confirms only what a standby has. Which standbys there are is not for every user to see.
    """
    if waits:
        _waited.add(server.name)
    elif server.name in _waited:
        _waited.discard(server.name)
        _warned.add((server.name, _ALONE))
        logger.warning(_NO_LONGER, server.url)
    elif "," in server.name:
        _warn(server, _ALONE)


def _warn(server: Server, message: str) -> None:
    """Write a warning, once in a process."""
    if (server.name, message) not in _warned:
        _warned.add((server.name, message))
        logger.warning(message, server.url)


def make_tables(session: Session, server: Server) -> None:
    """Make the tables, unless they are there. Raises SessionLost, Refused or NonceStoreError."""
    if not session.is_made:
        session.script(_TABLES)
        _check_version(session, server)


def _check_version(session: Session, server: Server) -> None:
    found = session.run("select version from krakenonce.about")[0][0]
    if found != b"%d" % _VERSION:
        raise NonceStoreError(
            f"the state in {server.url} has version {int(found or 0)}, and this krakenonce knows version {_VERSION}; "
            "use the same krakenonce on all hosts"
        )
    session.is_made = True


_TORN = (
    "%s runs with full_page_writes=off: unless its file system writes whole pages, a power cut may damage the counters"
)
_ALONE = (
    "%s waits for no standby (synchronous_standby_names is empty): if one is promoted, nonces continue a minute ahead, "
    "but floors, records and calls that were stored last may be lost; set it on each server"
)
_NO_LONGER = (
    "%s no longer waits for a standby (synchronous_standby_names was set, and is empty now): was one promoted? If it "
    "fails, what was stored last is lost; set it on this server, too"
)

_warned: set[tuple[str, str]] = set()  # the servers, and of what
_waited: set[str] = set()  # the servers that confirmed only what a standby has
