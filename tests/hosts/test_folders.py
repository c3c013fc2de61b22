"""The tests leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.key.helpers import until

PROGRAM = """
import signal
from tests.hosts.folders import folder_of_servers
from tests.hosts.servers import PostgresServer
with folder_of_servers() as folder:
    server = PostgresServer(folder / "data")
    server.make()
    server.start()
    print(folder, (folder / "data" / "postmaster.pid").read_text().split()[0], flush=True)
    signal.pause()
"""


def test_a_server_and_its_data_go_when_the_tests_are_killed() -> None:
    """As the planted bugs do that hang: a server that stays would use memory and a port for ever."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        folder, pid = tests.stdout.readline().split()
        tests.kill()
    until(lambda: not Path(folder).exists() and not Path(f"/proc/{pid}").exists())
