"""What a new connection is asked before it is used, and how errors are told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from krakenonce.backends.heartbeat import my_name
from krakenonce.backends.redis.scripts import ALL, VERSION_KEY
from krakenonce.backends.redis.sentinel import masters
from krakenonce.backends.redis.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.redis.server import Address, Server


logger = logging.getLogger("krakenonce")

_VERSION = b"1"
_OLDEST = 7


def connect(server: Server) -> Session:
    """Return a new session that may be used.

    Raises:
        NonceStoreError: There is no connection, or the server cannot keep what is promised.
    """
    refusal = cannot(server, "connect to", SessionLost("no Sentinel knows the master"))
    for address in masters(server):
        try:
            return _connect(server, address)
        except NonceStoreError as error:
            refusal = error  # another Sentinel may know of a newer master
    raise refusal


def _connect(server: Server, address: Address) -> Session:
    try:
        session = Session(address, server, server.user, server.password, server.database)
    except SessionLost as error:
        raise cannot(server, "connect to", error) from None
    try:
        _ask(session, server)
    except (SessionLost, Refused) as error:
        session.close()
        raise cannot(server, "use", error) from None
    except BaseException:
        session.close()
        raise
    return session


def cannot(server: Server, use: str, error: Exception) -> NonceStoreError:
    """Return the error that says in one line what could not be done, and what helps."""
    code = error.code if isinstance(error, Refused) else ""
    hint = _HINTS.get(code, "")
    if isinstance(error, SessionLost) and error.is_login:
        hint = "; give the password in VALKEYCLI_AUTH, or in the URL, where it is kept secret"
    return NonceStoreError(f"cannot {use} {server.url}: {error}; nothing was issued or sent{hint}")


_HINTS = {
    "NOPERM": '; see "Rights" in docs/how-to/several-hosts.md',
    "MOVED": "; it is a node of a cluster: name the node that has the slot of {krakenonce}",
    "ASK": "; it is a node of a cluster: try again when it has moved the slot of {krakenonce}",
    "CLUSTERDOWN": "; it is a node of a cluster: name one that serves the slot of {krakenonce}",
    "CROSSSLOT": "; it is a cluster that does not know hash tags: use a server without cluster mode",
    "OOM": "; raise its maxmemory",
    "NOREPLICAS": "; too few of its replicas are connected (min-replicas-to-write)",
}


def make(session: Session, server: Server) -> None:
    """Note the version of the state, unless it was checked. Raises SessionLost, Refused or NonceStoreError."""
    if not session.is_made:
        _check_version(session, server, session.run("SET", VERSION_KEY, _VERSION, "NX", "GET") or _VERSION)


def read_only(server: Server) -> NonceStoreError:
    """Return the error for a replica."""
    return NonceStoreError(
        f"{server.url} is a read-only replica: no nonce was issued; name the server that it copies, or the Sentinels: "
        "redis+sentinel://USER@HOST1:26379,HOST2:26379/MASTERNAME"
    )


def _ask(session: Session, server: Server) -> None:
    """Check a server, and the version of the state."""
    asked = ("maxmemory-policy", "appendonly", "appendfsync", "save")
    answers = session.several(
        [
            *(("INFO", each) for each in ("server", "replication")),
            ("GET", VERSION_KEY),
            ("CONFIG", "GET", *asked),
            ("CLIENT", "SETNAME", my_name().replace(" ", "-")),
            *(("SCRIPT", "LOAD", each.text) for each in ALL),
        ]
    )
    about = _facts(answers[0]) | _facts(answers[1])
    _check_kind(server, about)
    if isinstance(answers[2], Refused):
        raise answers[2]
    if answers[2] is not None:
        _check_version(session, server, answers[2])
    replicas = int(about.get("connected_slaves", "0"))
    if replicas > server.replicas:
        _warn(
            server,
            f"has {replicas} replicas, of which {server.replicas} must have the mark of the nonces: if another one is "
            f"promoted, nonces may be issued twice; write ?replicas={replicas} after its URL",
        )
    if isinstance(answers[3], Refused):
        _warn(server, "does not say how it keeps data (CONFIG GET): see to it that it evicts nothing and syncs always")
    else:
        words = [each.decode() for each in answers[3]]
        _check_keeping(server, dict(zip(words[::2], words[1::2], strict=True)))


def _facts(answer: Any) -> dict[str, str]:
    """Return what an INFO says. Raises Refused: without it no nonce is safe."""
    if isinstance(answer, Refused):
        raise answer
    pairs = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def _check_kind(server: Server, about: dict[str, str]) -> None:
    version = about.get("redis_version", "0")
    if int(version.partition(".")[0]) < _OLDEST:
        raise NonceStoreError(f"{server.url} is Redis {version}; krakenonce needs 7.0 or newer; no nonce was issued")
    if "sentinel" in (about.get("server_mode"), about.get("redis_mode")):  # as Valkey and as Redis call it
        raise NonceStoreError(
            f"{server.url} is a Sentinel; no nonce was issued; write redis+sentinel://USER@HOST:26379/MASTERNAME"
        )
    if about.get("role") != "master":
        raise read_only(server)
    if not about.get("run_id"):
        raise NonceStoreError(
            f"{server.url} does not say its run_id (INFO server), by which a failover is noticed; no nonce was issued"
        )


def _check_keeping(server: Server, config: dict[str, str]) -> None:
    policy = config.get("maxmemory-policy", "")
    if policy.startswith("allkeys"):
        raise NonceStoreError(
            f"{server.url} has maxmemory-policy {policy}, which may evict the nonces; none was issued; set noeviction"
        )
    if server.volatile:
        return
    if config.get("appendonly") == "yes":
        if config.get("appendfsync") != "always":
            _warn(
                server,
                f"has appendfsync {config.get('appendfsync')}: a power cut may take the last nonces back; set always",
            )
    elif config.get("save"):
        _warn(server, "keeps snapshots only: a crash may take nonces back; set appendonly yes and appendfsync always")
    else:
        raise NonceStoreError(
            f"{server.url} keeps nothing on its disk, so a restart takes all nonces back; none was issued; set "
            "appendonly yes, or write ?volatile=yes after its URL"
        )


def _check_version(session: Session, server: Server, found: bytes) -> None:
    if found != _VERSION:
        raise NonceStoreError(
            f"the state in {server.url} has version {found.decode(errors='replace')}, and this krakenonce knows "
            f"version {_VERSION.decode()}; use the same krakenonce on all hosts"
        )
    session.is_made = True


def _warn(server: Server, what: str) -> None:
    if (server.name, what) not in _warned:
        _warned.add((server.name, what))
        logger.warning("%s %s", server.url, what)


_warned: set[tuple[str, str]] = set()  # the server, and what was said of it
