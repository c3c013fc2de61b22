"""PgBouncer between krakenonce and PostgreSQL is noticed, whatever it does with the sessions."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.postgres.server import read_url
from krakenonce.backends.postgres.session import Session, SessionLost
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import PASSWORD, another_user, free_port, give
from tests.hosts.test_refusals import refusal
from tests.integration.key.helpers import until
from tests.runtimes.processes import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.servers import PostgresServer as Server

CONFIG = """
[databases]
postgres = host=127.0.0.1 port={server} user=bot password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
pidfile = {folder}/bouncer.pid
"""


@pytest.fixture(params=["transaction", "session"])
def bouncer(request: pytest.FixtureRequest, server: Server) -> Iterator[str]:
    """The URL of the server by a PgBouncer in each mode."""
    need("pgbouncer")
    with folder_of_servers() as folder:
        port = free_port()
        (folder / "users").write_text(f'"bot" "{PASSWORD}"\n')
        config = folder / "bouncer.ini"
        config.write_text(
            CONFIG.format(server=server.port, password=PASSWORD, port=port, folder=folder, mode=request.param)
        )
        before, options = another_user()
        give(folder)
        command = [*before, shutil.which("pgbouncer") or "", "-q", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/", **options) as process:
            url = server.url_at(port)
            until(lambda: answers(url))
            yield url
            process.kill()


def answers(url: str) -> bool:
    """Whether a statement is run there."""
    try:
        session = Session(read_url(url, "url"))
        session.run("select 1")
        session.close()
    except SessionLost:
        return False
    return True


def test_pgbouncer_is_refused(bouncer: str, server: Server) -> None:
    """In any mode, as it cannot be told which, and in transaction mode two callers may have one turn."""
    assert "is a pooler such as PgBouncer, which may give one turn to two callers" in refusal(bouncer)
    assert server.run("select to_regclass('krakenonce.nonces')") == [(None,)]
