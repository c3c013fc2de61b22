"""The tests leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.engines import ENGINES
from tests.integration.key.helpers import until

PROGRAM = """
import signal, sys
from tests.hosts.engines import ENGINES
from tests.hosts.folders import folder_of_servers
with folder_of_servers() as folder:
    server = ENGINES[sys.argv[1]](folder / "data")
    server.make()
    server.start()
    (file,) = [*folder.glob("*/postmaster.pid"), *folder.glob("*.pid")]
    print(folder, file.read_text().split()[0], flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("kind", ENGINES)
def test_a_server_and_its_data_go_when_the_tests_are_killed(kind: str) -> None:
    """As the planted bugs do that hang: a server that stays would use memory and a port for ever."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM, kind], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        folder, pid = tests.stdout.readline().split()
        tests.kill()
    until(lambda: not Path(folder).exists() and not Path(f"/proc/{pid}").exists())
