"""What every backend promises that says that the processes of one host share it."""

import os
import pkgutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krakenonce.backends import Backend, FileStore
from krakenonce.backends.protocol import Bytes
from krakenonce.clock import Clock, SystemClock
from tests.integration.backends.helpers import finish, rising, start_python
from tests.integration.key.helpers import in_child, in_thread, join, start_child
from tests.integration.pages import ROOT

BEGIN = """
import pkgutil, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from krakenonce.clock import SystemClock
backend = pkgutil.resolve_name(sys.argv[1])(Path(sys.argv[2]), SystemClock())
"""


def file_backend(directory: Path, clock: Clock) -> Backend:
    """The built-in one."""
    return FileStore(directory, clock=clock)


@pytest.fixture
def kind(pytestconfig: pytest.Config) -> str:
    """The name of the function that makes the backend."""
    chosen: str | None = pytestconfig.getoption("--backend", None)
    return chosen or f"{__name__}:file_backend"


@pytest.fixture
def backend(kind: str, state: Path) -> Iterator[Backend]:
    """One on a new state."""
    backend: Backend = pkgutil.resolve_name(kind)(state, SystemClock())
    assert backend.shared != "process"
    yield backend
    backend.close()


@pytest.fixture
def start(kind: str, state: Path, backend: Backend) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a process that runs some code with a *backend* on the same state."""
    return lambda code: start_python(BEGIN + code, kind, state, ROOT)


def test_no_nonce_is_issued_twice_to_processes(start: Callable[[str], subprocess.Popen[str]]) -> None:
    """All differ, and those of each process rise."""
    workers = [start("print(*(backend.advance('global') for _ in range(100)))") for _ in range(3)]
    taken = [[int(nonce) for nonce in finish(worker).split()] for worker in workers]
    assert all(rising(nonces) for nonces in taken)
    assert len({nonce for nonces in taken for nonce in nonces}) == 300


def test_a_nonce_is_larger_than_those_of_a_process_that_was_killed(
    start: Callable[[str], subprocess.Popen[str]], backend: Backend
) -> None:
    """Wherever that was."""
    last = 0
    for _ in range(3):
        with start("while True: print(backend.advance('global'), flush=True)") as worker:
            assert worker.stdout
            for _ in range(20):
                last = int(worker.stdout.readline())
            worker.kill()
            *_, last = [last, *map(int, worker.stdout.read().split("\n")[:-1])]
        assert backend.advance("global") > last


def add_one(counters: Bytes) -> None:
    """Add one to a number."""
    counters.write(0, b"%08d" % (int(counters.read(0, 8) or 0) + 1))


def test_no_step_of_a_rate_limit_is_lost_among_processes(
    start: Callable[[str], subprocess.Popen[str]], backend: Backend
) -> None:
    """One at a time reads and writes."""
    code = (
        "from tests.integration.backends.test_shared import add_one\n"
        "for _ in range(30): backend.rate_limits.step('key', add_one)\n"
    )
    for worker in [start(code) for _ in range(3)]:
        finish(worker)
    assert backend.rate_limits.step("key", lambda counters: counters.read(0, 100)) == b"00000090"


def test_no_step_of_sent_calls_is_lost_among_processes(
    start: Callable[[str], subprocess.Popen[str]], backend: Backend
) -> None:
    """One at a time reads and writes, also what it has read before."""
    code = (
        "from tests.integration.backends.test_shared import add_one\n"
        "for _ in range(30): backend.sent_calls.step('key', add_one)\n"
    )
    for worker in [start(code) for _ in range(3)]:
        finish(worker)
    assert backend.sent_calls.step("key", lambda kept: kept.read(0, 100)) == b"00000090"


def test_sent_calls_that_were_written_before_a_kill_are_there(
    start: Callable[[str], subprocess.Popen[str]], backend: Backend
) -> None:
    """And the process that was killed keeps nobody out, though it was within a step."""
    code = (
        "import os, signal\n"
        "backend.sent_calls.step('key', lambda kept: kept.write(0, b'some'))\n"
        "backend.sent_calls.step('key', lambda kept: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    worker = start(code)
    finish(worker)
    assert worker.returncode == -signal.SIGKILL
    assert backend.sent_calls.step("key", lambda kept: kept.read(0, 9)) == b"some"


def test_a_gate_is_free_when_its_holder_was_killed(
    start: Callable[[str], subprocess.Popen[str]], backend: Backend
) -> None:
    """And not before; until then it says who that is."""
    gate = backend.gate("key")
    with start("gate = backend.gate('key'); gate.acquire(); print('taken', flush=True); sys.stdin.read()") as holder:
        assert holder.stdout
        holder.stdout.readline()
        assert not gate.try_acquire()
        assert f"process {holder.pid} has held it for" in gate.holder()
        holder.kill()
    gate.acquire()  # a server notices it a moment later
    gate.release()


def test_a_forked_child_does_not_free_its_parent_s_gate(backend: Backend) -> None:
    """It forgets it, and can have it later."""
    gate = backend.gate("key")

    def take() -> bool:
        gate.abandon()
        gate.release()
        return gate.try_acquire()

    assert gate.try_acquire()
    assert in_child(take) == "False"
    gate.release()
    assert in_child(take) == "True"
    gate.acquire()  # as soon as the child's end is noticed


def test_a_gate_that_was_released_is_free_though_a_child_has_its_file_open(backend: Backend) -> None:
    """A child that is not at this gate again has not forgotten it."""
    gate = backend.gate("key")
    reader, writer = os.pipe()

    def take() -> bool:
        gate.abandon()
        return gate.try_acquire()

    assert gate.try_acquire()
    child = start_child(lambda: os.read(reader, 1))
    gate.release()
    taken = in_child(take)
    os.write(writer, b"!")
    assert child() == "b'!'"
    assert taken == "True"
    os.close(reader)
    os.close(writer)


def test_children_forked_while_threads_take_nonces_have_nonces_of_their_own(backend: Backend) -> None:
    """No child waits for a thread that it does not have."""
    enough = threading.Event()
    taken: list[list[int]] = [[] for _ in range(3)]

    def run(mine: list[int]) -> None:
        while not enough.is_set():
            mine.append(backend.advance("global"))

    def take() -> int:
        signal.alarm(20)  # kills the child
        return backend.advance("global")

    threads = [in_thread(run, mine) for mine in taken]
    try:
        children = [int(in_child(take)) for _ in range(10)]
    finally:
        enough.set()
        join(threads)
    everything = [*children, *(nonce for mine in taken for nonce in mine)]
    assert len(set(everything)) == len(everything)
    assert rising(children)
