"""Real containers of one machine that share a state directory: namespaces of processes, of time, and of mounts."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from krakenonce.key.limiter import Limiter
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MOUNT = "mount --bind {} /proc/sys/kernel/random/boot_id"
CONTAINERS = {
    "processes": ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
    "later": ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--time", "--boottime", "1000000"],
    "earlier": ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--time", "--boottime", "-1"],
    "boot id": ["unshare", "--mount", "sh", "-c", f'{_MOUNT} && exec "$@"', "sh"],
    "no proc": ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
}
NOBODY = "a process in another container, or without /proc, "

PROGRAM = """
import os, sys
from krakenonce import NonceManager
from krakenonce.errors import LaneTimeout
from krakenonce.key.limiter import Limiter

manager = NonceManager(sys.argv[1])
limiter = Limiter(manager.store.rate_limits)
lane = manager.lane("key", timeout=0)


def take():
    try:
        lane.acquire()
    except LaneTimeout as error:
        return error
    return lane.holder().replace(f"process {os.getpid()} ", "I ")


orders = {
    "take": take,
    "leave": lane.release,
    "nonce": manager.next,
    "lock out": lambda: limiter.lock_out("key", 900),
    "left": lambda: limiter.locked_out("key"),
}
for order in sys.stdin:
    print(orders[order.strip()](), flush=True)
"""


class Container:
    """A process in a container, at the state directory."""

    def __init__(self, command: list[str], state: Path) -> None:
        self._process = subprocess.Popen(
            [*command, sys.executable, "-c", PROGRAM, str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def ask(self, order: str) -> str:
        """Give an order and wait for its answer."""
        assert self._process.stdin
        assert self._process.stdout
        print(order, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def end(self) -> str:
        """Let it end; return what it has logged."""
        return self._process.communicate(timeout=20)[1]


def command(kind: str, directory: Path) -> list[str]:
    """What starts a container of this kind; skips the test where the machine does not let us."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root on Linux, with unshare, may make containers")
    name = directory / "boot_id"
    name.write_text("11111111-2222-3333-4444-555555555555\n")
    words = [word.format(shlex.quote(str(name))) for word in CONTAINERS[kind]]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make such a container")
    return words


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Container]]:
    """Starts a container of a kind."""
    running: list[Container] = []

    def start(kind: str) -> Container:
        running.append(Container(command(kind, tmp_path), tmp_path / "state"))
        return running[-1]

    yield start
    for each in running:
        with contextlib.suppress(ValueError):  # it has ended
            each.end()


@pytest.fixture
def manager(tmp_path: Path) -> NonceManager:
    """The host's manager."""
    return NonceManager(tmp_path / "state")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_lockout_is_seen_by_host_and_container(
    start: Callable[[str], Container], manager: NonceManager, kind: str
) -> None:
    """Whichever of them has noted it, and whichever looks first."""
    host = Limiter(manager.store.rate_limits)
    box = start(kind)
    host.lock_out("key", 900)
    assert 850 < float(box.ask("left")) <= 900
    assert 850 < host.locked_out("key") <= 900
    host.lock_out("key", 1)
    assert 850 < float(box.ask("left")) <= 900
    box.ask("lock out")
    assert 850 < host.locked_out("key") <= 900


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("processes", rf"{NOBODY}has held it for \d\.\d s"),
        ("later", f"{NOBODY}has it"),
        ("earlier", f"{NOBODY}has it"),
        ("boot id", "process PID has it"),
        ("no proc", f"{NOBODY}has it"),
    ],
)
def test_only_what_is_known_is_said_of_a_holder(
    start: Callable[[str], Container], manager: NonceManager, kind: str, said: str
) -> None:
    """A process id of this container alone, and seconds of this clock alone; on both sides."""
    box, lane = start(kind), manager.lane("key", timeout=0)
    assert re.fullmatch(r"I (has held it for \d\.\d s|has it)", box.ask("take"))
    assert re.search(f": {said}; nothing was sent$", refusal(lane).replace(f"process {box.pid} ", "process PID "))
    box.ask("leave")
    with manager.lane("key", timeout=20):
        ours = box.ask("take").replace(f"process {os.getpid()} ", "process PID ")
    assert re.search(f": {said}; nothing was sent$", ours)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_another_clock_is_no_step_of_the_clock(
    start: Callable[[str], Container], manager: NonceManager, kind: str
) -> None:
    """Nonces rise over host and containers, and nobody warns that the clock has stepped."""
    first, second = start(kind), start(kind)
    nonces = [manager.next(), *(int(each.ask("nonce")) for each in (first, second)), manager.next()]
    assert nonces == sorted(set(nonces))
    assert manager.store.stats("global").clock_back == manager.store.stats("global").clock_forward == 0
    for each in (first, second):
        assert "the clock" not in each.end()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (None, r"process PID has held it for \d\.\d s"),
        (1, "process PID has it"),
        (2, "process PID has it"),
        (3, rf"{NOBODY}has held it for \d\.\d s"),
    ],
)
def test_what_cannot_be_compared_is_not_said(
    manager: NonceManager, tmp_path: Path, field: int | None, said: str
) -> None:
    """A time that is not yet, another clock, another namespace of processes: as the lane's file names them."""
    lane = manager.lane("key")
    with lane:
        (path,) = (tmp_path / "state" / "lanes").glob("*.lock")
        words = path.read_bytes().splitlines()[0].split()
        assert len(words) == 4
        path.write_bytes(b" ".join(b"9" * 18 if n == field else word for n, word in enumerate(words)) + b"\n")
        assert re.fullmatch(said, lane.holder().replace(f"process {os.getpid()} ", "process PID "))


@pytest.mark.parametrize(
    "text",
    [b"", b"\n", b"1 2\nHERE\n", b"1 2 3\n", b"-1 2 HERE\n", b"x 2 HERE\n", b"1 2 HERE", b"9" * 40 + b" 2 HERE\n"],
)
def test_a_damaged_file_names_no_holder(manager: NonceManager, tmp_path: Path, text: bytes) -> None:
    """Nor does one of an earlier version."""
    lane = manager.lane("key")
    with lane:
        (path,) = (tmp_path / "state" / "lanes").glob("*.lock")
        here = path.read_bytes().splitlines()[0].split()[2:]
        path.write_bytes(text.replace(b"HERE", b" ".join(here)))
        assert lane.holder() == "its holder is not known"


ENDED = """
import ctypes, os, sys
from krakenonce import NonceManager
lane = NonceManager(sys.argv[1]).lane("key")
lane.acquire()
print(os.getpid(), flush=True)
if ctypes.PyDLL(None).fork() == 0:
    sys.stdin.read()
os._exit(0)
"""


def reap(pid: int) -> None:
    """Wait until a child has ended."""
    os.waitpid(pid, 0)


def watch(pid: int) -> None:
    """Wait until a child has ended, and let others ask how."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    "wait",
    [reap, pytest.param(watch, marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows that"))],
)
def test_a_holder_that_has_ended_is_not_to_be_ended(
    manager: NonceManager, tmp_path: Path, wait: Callable[[int], None]
) -> None:
    """A child that C code has forked has the lane's file open: that is the one to be ended."""
    lane = manager.lane("key", timeout=0.2)
    words = [sys.executable, "-c", ENDED, str(tmp_path / "state")]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdin
    pid = int(holder.stdout.readline())
    wait(pid)
    said = refusal(lane)
    assert f"process {pid} had it and has ended, but a process that it started still has the lane's file open" in said
    holder.stdin.close()
    holder.stdout.read()
    assert refusal(manager.lane("key", timeout=20)) == "taken"
    holder.wait()
    holder.stdout.close()


def test_a_holder_that_has_ended_and_left_is_named_as_the_last_one(manager: NonceManager, tmp_path: Path) -> None:
    """Nobody has the file open any more."""
    code = ENDED.replace("ctypes.PyDLL(None).fork()", "1")
    words = [sys.executable, "-c", code, str(tmp_path / "state")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert manager.lane("key").holder() == f"process {int(done.stdout)} had it last, and has ended"
