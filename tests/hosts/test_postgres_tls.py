"""PostgreSQL over TLS: the certificate is checked if that is asked for, and a turn that is lost is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

from krakenonce import NonceManager
from krakenonce.backends.postgres import PostgresStore
from krakenonce.errors import TurnLost
from krakenonce.testing.clock import ManualClock
from tests.hosts.servers import OlderPostgresServer
from tests.hosts.test_refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hosts.servers import PostgresServer as Server

ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"


@pytest.fixture
def encrypted(new_server: Callable[..., Server], tmp_path: Path) -> Server:
    """PostgreSQL 17, as the package of 18 has no TLS. The authority of its certificate is in the test's folder."""
    server, authority = new_server(OlderPostgresServer), trustme.CA()
    server.make()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(server.folder / "server.crt")
    certificate.private_key_pem.write_to_path(server.folder / "server.key")
    (server.folder / "server.key").chmod(0o600)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server.start("ssl=on")
    return server


def checked(server: Server, authority: Path) -> str:
    """The URL of a server whose certificate is to be checked."""
    return f"{server.url}?sslmode=verify-full&sslrootcert={authority}"


def test_a_turn_and_its_nonce_over_tls(encrypted: Server, tmp_path: Path) -> None:
    """The nonce that came with the turn is used, and a turn that was lost since is noticed."""
    store = PostgresStore(checked(encrypted, tmp_path / "ca.pem"), clock=ManualClock())
    manager = NonceManager(store)
    assert store._link.read(ENCRYPTED) == [(b"t",)]
    with manager.turn("key"):
        first = manager.next_for("key")
    with manager.turn("key"):
        assert manager.next_for("key") == first + 1
    with manager.turn("key"):
        assert encrypted.end_turns() == 1
        with pytest.raises(TurnLost):
            manager.next_for("key")
    with manager.turn("key"):
        assert manager.next_for("key") == first + 3  # that of the lost turn is given to nobody
    manager.close()


def test_a_server_that_another_authority_vouches_for_is_refused(encrypted: Server, tmp_path: Path) -> None:
    """In one line without the password, and nothing is sent to it."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    assert "certificate verify failed" in refusal(checked(encrypted, tmp_path / "other.pem"))
    assert "localhost" in refusal(checked(encrypted, tmp_path / "ca.pem").replace("127.0.0.1", "localhost"))
    assert encrypted.run("select to_regclass('krakenonce.nonces')") == [(None,)]


def test_a_server_without_tls_is_refused_if_it_is_asked_for(server: Server) -> None:
    """Nobody is asked for a nonce in clear text."""
    assert "SSL was required" in refusal(f"{server.url}?sslmode=require")


def test_a_server_that_wants_tls_says_so_to_one_who_does_not(encrypted: Server) -> None:
    """In one line."""
    encrypted.stop()
    (encrypted.folder / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    encrypted.start("ssl=on")
    assert 'user "bot", database "postgres", no encryption; nothing was' in refusal(f"{encrypted.url}?sslmode=disable")
