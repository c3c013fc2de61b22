from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from krakenonce.cli.demo_results import show
from tests.integration.cli.conftest import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Shell

WITHOUT = """
import sys
sys.modules[{!r}] = None
from krakenonce.cli.main import main
sys.exit(main(["demo"]))
"""
SMALLER = """
import importlib, sys
from krakenonce.cli.main import main
demo = importlib.import_module("krakenonce.cli.demo")
demo.PROCESSES, demo.CALLS = {}, {}
sys.exit(main(["demo", *sys.argv[1:]]))
"""


@pytest.fixture
def scratch(shell: Shell, tmp_path: Path) -> Path:
    """The directory in which the demo has its temporary files."""
    path = tmp_path / "scratch"
    path.mkdir()
    shell.env["TMPDIR"] = str(path)
    return path


def test_the_demo_does_not_touch_this_user_s_state(shell: Shell, scratch: Path) -> None:
    """Which may be a server that is down, or moved away. Its keys are thrown away."""
    shell.env["KRAKENONCE_STATE_DIR"] = "etcd://127.0.0.1:1/krakenonce"
    done = shell.end(start(shell, 2, 20, "--json"))
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["naive"]["failed"] == figures["krakenonce"]["failed"] == {}
    assert list(scratch.iterdir()) == []


def test_the_demo_shows_the_difference(shell: Shell, scratch: Path) -> None:
    """With their own clocks calls are refused; through krakenonce, one process killed, all are accepted.

    Also when each account has four keys.
    """
    done = shell.end(start(shell, 4, 160, "--json"))
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    naive, ours, several = figures["naive"], figures["krakenonce"], figures["several_keys"]
    assert naive["refused"] > 0
    assert naive["accepted"] + naive["refused"] == naive["calls"]
    for each in (ours, several):
        assert (each["refused"], each["failed"]) == (0, {})
        assert each["accepted"] == each["calls"] >= each["planned"] == naive["planned"]
        assert each["in_progress_refused"] <= each["in_progress"]
    assert (naive["killed"], ours["killed"], several["killed"]) == (1, 1, 1)
    assert ours["in_progress"] <= ours["keys_used"] == 4 < several["keys_used"]
    assert list(scratch.iterdir()) == []
    copied = figures["fan_out"]
    assert (copied["placed"], copied["invalid_nonces"]) == (2 * copied["accounts"], 0)
    assert copied["one_lock_seconds"] >= 0.05 * copied["accounts"]


def test_the_demo_shows_the_gateway(shell: Shell, scratch: Path) -> None:
    """The same clients with the same clocks, through the gateway: all accepted, one process killed."""
    done = shell.end(start(shell, 2, 100, "--gateway", "--json"))
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["naive"]["refused"] > 0
    for ours in (figures["krakenonce"], figures["several_keys"]):
        assert (ours["refused"], ours["failed"], ours["killed"]) == (0, {}, 1)
        assert ours["accepted"] == ours["calls"] >= ours["planned"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_behind(
    shell: Shell, scratch: Path, number: signal.Signals, code: int
) -> None:
    """Interrupted in the middle of its calls, the demo ends its processes and removes its files."""
    process = start(shell, 2, 300)
    assert process.stderr is not None
    assert [process.stderr.readline()[:8] for _ in range(2)] == ["each cli", "through "]
    while not list(scratch.rglob("*_nonce.txt")):  # the workers have begun with the second half
        assert process.poll() is None
        time.sleep(0.005)
    workers = children(process.pid)
    process.send_signal(number)
    done = shell.end(process)
    assert (done.code, done.out, done.err.strip()) == (code, "", "")
    assert len(workers) == 2
    assert [worker for worker in workers if is_alive(worker)] == []
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("package", ["krakenex", "aiohttp"])
def test_what_the_demo_needs_is_named(shell: Shell, package: str) -> None:
    """Without its packages the demo says what to install."""
    done = shell.end(shell.python("-c", WITHOUT.format(package)))
    assert done.code == 1
    assert one_line(done.err) == f"the demo needs {package}: pip install 'krakenonce[demo]'"


def test_the_demo_s_table_fits_on_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """With a column for each way of calling."""
    figures = dict.fromkeys(("calls", "accepted", "refused", "calls_per_second"), 1000)
    figures |= dict.fromkeys(("refused_percent", "seconds", "in_progress", "in_progress_refused"), 100)
    show({"clock nonces": figures, "krakenonce": figures, "with 4 keys": figures})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) <= 80


def test_two_demos_at_once_are_refused(shell: Shell) -> None:
    """Each shows something else."""
    assert "--gateway and --hosts are two demos" in shell.run("demo", "--gateway", "--hosts").err


def start(shell: Shell, processes: int, calls: int, *words: str) -> subprocess.Popen[str]:
    """Start a demo that is smaller than its users'."""
    return shell.python("-c", SMALLER.format(processes, calls), *words)


def children(parent: int) -> list[int]:
    """Return the ids of the processes that *parent* has started."""
    listed = subprocess.run(["ps", "-axo", "ppid=,pid="], check=True, capture_output=True, text=True).stdout  # noqa: S607
    pairs = (line.split() for line in listed.splitlines())
    return [int(pid) for ppid, pid in pairs if int(ppid) == parent]


def is_alive(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
