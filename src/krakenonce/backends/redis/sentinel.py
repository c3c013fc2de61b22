"""Which server has the state: the one that is named, or the one that Sentinels call the master."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.backends.redis.server import Address
from krakenonce.backends.redis.session import Refused, Session, SessionLost
from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.backends.redis.server import Server


def masters(server: Server) -> Iterator[Address]:
    """Return where to connect, one after the other, until there is a connection.

    Raises:
        NonceStoreError: All Sentinels that answer do not know the master.
    """
    if not server.master:
        yield server.addresses[0]
        return
    said: list[str] = []
    tried: set[Address] = set()
    for address in list(server.addresses):
        try:
            found = _ask(server, address)
        except (SessionLost, Refused) as error:
            said.append(f"{address.host}:{address.port}: {_what(error)}")
            continue
        if found is None:
            said.append(f"{address.host}:{address.port} knows no master {server.master}")
        elif found not in tried:
            tried.add(found)
            server.addresses.sort(key=lambda each: each != address)  # next time it is asked first
            yield found
    if not tried:
        raise NonceStoreError(
            f"no Sentinel of {server.url} says where the master is ({'; '.join(said)}); nothing was issued or sent"
        )


def _what(error: SessionLost | Refused) -> str:
    """Return why a Sentinel does not say where the master is."""
    if isinstance(error, Refused) and error.code == "unknown":  # command
        return "it is no Sentinel; for a server itself write redis://USER@HOST:PORT/0"
    if isinstance(error, SessionLost) and error.is_login:
        return f"{error}; the Sentinels' password is ?sentinel_password=, the other one is that of the server"
    return str(error)


def _ask(server: Server, address: Address) -> Address | None:
    """Return the master by one Sentinel."""
    session = Session(address, server, None, server.sentinel_password)
    try:
        found = session.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", server.master)
    finally:
        session.close()
    return None if found is None else Address(found[0].decode(), int(found[1]))
