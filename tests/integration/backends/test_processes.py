"""Threads, forks, processes, kills: one counter for all of them, in real processes on real files."""

import contextlib
import fcntl
import logging
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.errors import NonceStoreError
from krakenonce.manager import NonceManager
from krakenonce.testing.checker import Issue, violations
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import finish, hear, say, start_python, text_path
from tests.integration.key.helpers import is_waiting, until

TAKE_IN_THREADS = """
import logging, sys, threading, time
from krakenonce.manager import NonceManager
logging.disable()
manager, threads, count = NonceManager(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
def run(mine):
    for _ in range(count):
        asked = time.monotonic_ns()
        number = manager.next()
        mine.append((asked, time.monotonic_ns(), number))
taken = [[] for _ in range(threads)]
workers = [threading.Thread(target=run, args=(mine,)) for mine in taken]
for worker in workers: worker.start()
for worker in workers: worker.join()
for mine in taken:
    for line in mine: print(*line)
"""

TAKE_UNTIL_KILLED = """
import os, sys, time
from krakenonce.manager import NonceManager
manager = NonceManager(sys.argv[1])
while True:
    asked = time.monotonic_ns()
    number = manager.next()
    os.write(1, b"%d %d %d\\n" % (asked, time.monotonic_ns(), number))
"""


def collect(output: str, who: str) -> list[Issue]:
    """The nonces that a process has reported, complete lines only."""
    lines = ([int(word) for word in line.split()] for line in output.split("\n")[:-1])
    return [Issue(asked, answered, number, who) for asked, answered, number in lines]


@pytest.mark.parametrize(("processes", "threads"), [(4, 4), (8, 1), (1, 40)])
def test_processes_and_threads_share_one_counter(state: Path, processes: int, threads: int) -> None:
    """No nonce twice and none out of order, from the very first one in a directory that does not exist yet."""
    workers = [start_python(TAKE_IN_THREADS, state, threads, 2000 // processes // threads) for _ in range(processes)]
    for worker in workers:
        say(worker, "go")
    issues = [issue for i, worker in enumerate(workers) for issue in collect(finish(worker), f"process {i}")]
    assert len(issues) == 2000 // processes // threads * threads * processes
    assert violations(issues) == []


def test_killed_processes_take_no_nonce_back(state: Path) -> None:
    """SIGKILL at random moments, twenty times, two processes at a time: what was reported is never issued again."""
    rng = random.Random(7)
    issues: list[Issue] = []
    for i in range(10):
        pair = [start_python(TAKE_UNTIL_KILLED, state) for _ in range(2)]
        for worker in pair:
            issues += collect(hear(worker), f"pid {worker.pid}")
        time.sleep(rng.random() * 0.02)  # the moment of death is the point, not something waited for
        for worker in pair:
            worker.send_signal(signal.SIGKILL)
        for worker in pair:
            issues += collect(finish(worker), f"run {i} pid {worker.pid}")
    assert len(issues) > 100
    assert violations(issues) == []
    assert NonceManager(state).next() > max(issue.nonce for issue in issues)


def test_a_stopped_process_does_not_lose_the_others_order(state: Path) -> None:
    """SIGSTOP for a while and SIGCONT: a process that comes back goes on above what others have taken."""
    worker = start_python(TAKE_UNTIL_KILLED, state)
    manager = NonceManager(state)
    issues: list[Issue] = []
    for _ in range(5):
        issues += collect(hear(worker), "stopped")
        worker.send_signal(signal.SIGSTOP)
        os.waitpid(worker.pid, os.WUNTRACED)
        done = threading.Event()

        def take_some(done: threading.Event = done, issues: list[Issue] = issues) -> None:
            for _ in range(20):
                asked = time.monotonic_ns()
                number = manager.next()
                issues.append(Issue(asked, time.monotonic_ns(), number, "us"))
            done.set()

        taker = threading.Thread(target=take_some)
        taker.start()
        done.wait(0.2)  # it may have been stopped inside the step: then we wait until it goes on
        worker.send_signal(signal.SIGCONT)
        taker.join()
    worker.kill()
    issues += collect(finish(worker), "stopped")
    assert violations(issues) == []


def fork_and_take(manager: NonceManager, count: int) -> list[Issue]:
    """Nonces that a forked child of ours took, reported through a pipe."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(writing, "w") as pipe:
                for _ in range(count):
                    asked = time.monotonic_ns()
                    number = manager.next()
                    pipe.write(f"{asked} {time.monotonic_ns()} {number}\n")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return collect(lines, f"child {pid}")


def test_a_fork_shares_the_counter(state: Path) -> None:
    """Parent and child continue from the same files, each with descriptors of its own."""
    manager = NonceManager(state)
    issues = []
    for _ in range(10):
        asked = time.monotonic_ns()
        number = manager.next()
        issues.append(Issue(asked, time.monotonic_ns(), number, "parent"))
        issues += fork_and_take(manager, 20)
    assert len(issues) == 210
    assert violations(issues) == []


def test_a_fork_while_threads_are_inside_the_step(state: Path) -> None:
    """A child born while other threads hold the lock has neither a stuck lock nor the parent's."""
    manager = NonceManager(state)
    stop = threading.Event()
    issues: list[Issue] = []

    def run() -> None:
        while not stop.is_set():
            asked = time.monotonic_ns()
            number = manager.next()
            issues.append(Issue(asked, time.monotonic_ns(), number, "parent"))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = [issue for _ in range(25) for issue in fork_and_take(manager, 10)]
    stop.set()
    for thread in threads:
        thread.join()
    assert len(children) == 250
    assert violations(issues + children) == []


def test_parent_and_child_at_the_same_time(state: Path) -> None:
    """Right after a fork both take nonces as fast as they can: none twice, none out of order."""
    manager = NonceManager(state)
    manager.next()

    def take_many(who: str) -> list[Issue]:
        issues = []
        for _ in range(3000):
            asked = time.monotonic_ns()
            number = manager.next()
            issues.append(Issue(asked, time.monotonic_ns(), number, who))
        return issues

    issued = state.parent / "issued"
    pid = os.fork()
    if pid == 0:
        try:
            issued.write_text("".join(f"{i.asked} {i.answered} {i.nonce}\n" for i in take_many("child")))
        finally:
            os._exit(0)
    ours = take_many("parent")
    assert os.waitpid(pid, 0)[1] == 0
    theirs = collect(issued.read_text(), "child")
    assert len(theirs) == 3000
    assert violations(ours + theirs) == []


Stop = Callable[[NonceManager], Callable[[], int]]


@pytest.fixture
def stop_inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stop]:
    """Bring a thread into the middle of a manager's step and keep it there; what lets it continue returns its nonce."""
    inside, go_on = threading.Event(), threading.Event()
    nonces: list[int] = []
    real = os.pread

    def read(fd: int, size: int, offset: int) -> bytes:
        inside.set()
        go_on.wait()
        return real(fd, size, offset)

    def stop(manager: NonceManager) -> Callable[[], int]:
        thread = threading.Thread(target=lambda: nonces.append(manager.next()))

        def let_go() -> int:
            go_on.set()
            thread.join()
            return nonces[0]

        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", read)
            thread.start()
            inside.wait()
        return let_go

    yield stop
    go_on.set()


def test_a_child_waits_while_its_parent_is_inside_the_step(state: Path, stop_inside: Stop) -> None:
    """They exclude each other like any two processes, although the files were open before the fork."""
    manager = NonceManager(state)
    manager.next()
    (asking, ask), (hearing, tell) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.read(asking, 1)
            os.write(tell, b"%d" % manager.next())
        finally:
            os._exit(0)

    def has_answered() -> bool:
        return bool(select.select([hearing], [], [], 0)[0])

    let_go = stop_inside(manager)
    os.write(ask, b"!")
    until(lambda: is_waiting(pid) or has_answered())
    assert not has_answered()
    assert let_go() < int(os.read(hearing, 30))
    assert os.waitpid(pid, 0)[1] == 0
    for end in (asking, ask, hearing, tell):
        os.close(end)


def test_a_thread_waits_while_another_is_inside_the_step(state: Path, stop_inside: Stop) -> None:
    """Each has descriptors of its own, or the lock would let both in."""
    manager = NonceManager(state)
    manager.next()
    let_go, nonces = stop_inside(manager), list[int]()
    other = threading.Thread(target=lambda: nonces.append(manager.next()))
    other.start()
    until(lambda: is_waiting(os.getpid()) or not other.is_alive())
    assert other.is_alive()
    first = let_go()
    other.join()
    assert first < nonces[0]


def test_a_floor_waits_while_a_thread_is_inside_the_step(state: Path, stop_inside: Stop) -> None:
    """It is raised with descriptors that no other thread is using, or the lock would let both in."""
    manager = NonceManager(state)
    floor = manager.next() + 10**9
    let_go = stop_inside(manager)
    raising = threading.Thread(target=manager.raise_floor, args=(floor,))
    raising.start()
    until(lambda: is_waiting(os.getpid()) or not raising.is_alive())
    assert raising.is_alive()
    assert let_go() < floor
    raising.join()
    assert manager.next() > floor


def test_a_look_that_waits_does_not_prevent_forks(state: Path, stop_inside: Stop) -> None:
    """Another process may be stopped inside its step; and the child does not keep the lock of that look."""
    manager = NonceManager(state)
    let_go = stop_inside(manager)
    looking = threading.Thread(target=manager.peek)
    looking.start()
    until(lambda: is_waiting(os.getpid()) or not looking.is_alive())
    (asking, ask), (hearing, tell) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(tell, b"!")
        os.read(asking, 1)
        os._exit(0)
    assert os.read(hearing, 1) == b"!"
    assert looking.is_alive()
    let_go()
    looking.join()
    assert manager.next()  # with the child alive
    os.write(ask, b"!")
    os.waitpid(pid, 0)
    for end in (asking, ask, hearing, tell):
        os.close(end)


def test_a_child_does_not_free_the_parent_s_lock(state: Path, stop_inside: Stop) -> None:
    """The child closes what it inherited, and the kernel's lock stays with the parent."""
    manager = NonceManager(state)
    manager.next()
    let_go = stop_inside(manager)
    pid = os.fork()
    if pid == 0:
        manager.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    other = os.open(state / "kraken_global_nonce.mark", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    let_go()


def take_for_spawn(state: str, count: int) -> list[int]:
    """Nonces, in a spawned process."""
    manager = NonceManager(state)
    return [manager.next() for _ in range(count)]


def test_spawned_workers_share_the_counter(state: Path) -> None:
    """The way multiprocessing starts workers on macOS."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        taken = pool.starmap(take_for_spawn, [(str(state), 50)] * 4)
    assert all(mine == sorted(mine) for mine in taken)
    assert len({number for mine in taken for number in mine}) == 200


def test_many_managers_in_one_process_share_the_counter(state: Path) -> None:
    """A manager per object, as bots like to do it."""
    managers = [NonceManager(state) for _ in range(30)]
    nonces = [manager.next() for _ in range(5) for manager in managers]
    assert nonces == sorted(set(nonces))
    for manager in managers:
        manager.close()


def test_more_scopes_than_descriptors(state: Path) -> None:
    """400 counters in one process under `ulimit -n 256`."""
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from krakenonce.manager import NonceManager
manager = NonceManager(sys.argv[1])
first = [manager.next(f"scope-{i}") for i in range(400)]
again = [manager.next(f"scope-{i}") for i in range(0, 400, 100)]
assert all(b > a for a, b in zip(first[::100], again))
print(len(manager.store.scopes()))
"""
    assert finish(start_python(code, state)) == "400\n"


def test_sixty_threads_do_not_use_up_the_descriptors(state: Path) -> None:
    """More threads than places at the files take turns."""
    store = FileStore(state)
    barrier = threading.Barrier(60)
    taken: list[int] = []

    def run() -> None:
        barrier.wait()
        taken.extend(store.advance(f"scope-{i % 7}") for i in range(20))

    threads = [threading.Thread(target=run) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1200
    assert len(open_files(state)) <= 3 * 4 * 9


def inodes(state: Path) -> set[int]:
    """The files below *state*."""
    return {path.stat().st_ino for path in state.rglob("*")} | {state.stat().st_ino}


def open_files(state: Path) -> list[int]:
    """This process's descriptors for files below *state*."""
    ours = inodes(state)
    found = []
    for fd in map(int, os.listdir("/dev/fd")):
        try:
            found += [fd] * (os.fstat(fd).st_ino in ours)
        except OSError:  # the listing's own
            continue
    return found


def test_closing_gives_back_every_descriptor(state: Path) -> None:
    """After close() nothing below the state directory is open, and next() is an error."""
    manager = NonceManager(state)
    for i in range(20):
        manager.next(f"scope-{i}")
    assert open_files(state)
    manager.close()
    assert open_files(state) == []
    with pytest.raises(NonceStoreError, match="closed"):
        manager.next()


def test_a_child_program_inherits_no_descriptor(state: Path) -> None:
    """Descriptors are closed on exec, so that no stranger keeps a lock alive."""
    NonceManager(state).next()
    code = """
import os
for fd in range(64):
    try: print(os.fstat(fd).st_ino)
    except OSError: pass
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, close_fds=False)
    inherited = {int(line) for line in answer.stdout.split()}
    assert inherited
    assert not inherited & inodes(state)


def test_the_log_is_written_with_the_lock_free(state: Path) -> None:
    """A log handler that blocks, or that takes its time, holds up no other process."""
    clock = ManualClock()
    manager = NonceManager(state, clock=clock)
    manager.next()
    text_path(state).write_text("damaged")
    free: list[bool] = []

    class Handler(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            with (state / "kraken_global_nonce.mark").open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    free.append(False)
                else:
                    free.append(True)

    handler = Handler()
    logging.getLogger("krakenonce").addHandler(handler)
    try:
        manager.next()
        clock.step(-3600)
        manager.next()
    finally:
        logging.getLogger("krakenonce").removeHandler(handler)
    assert free == [True, True]  # the damage, and the clock


def test_a_signal_handler_that_takes_a_nonce_does_not_hang(state: Path) -> None:
    """In the middle of next() it gets a clear error instead of waiting for itself; elsewhere it gets a nonce."""
    manager = NonceManager(state)
    outcomes: list[object] = []

    def handler(_signal: int, _frame: object) -> None:
        try:
            outcomes.append(manager.next())
        except NonceStoreError as error:
            outcomes.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        nonces = [manager.next() for _ in range(20_000)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert nonces == sorted(set(nonces))
    errors = {outcome for outcome in outcomes if isinstance(outcome, str)}
    because = "a nonce was asked for by a signal handler that has interrupted this thread while it did the same"
    assert errors == {f"{because}; let the handler set a flag instead"}


@pytest.mark.parametrize("inside", ["next", "peek", "raise_floor"])
def test_a_handler_that_interrupts_a_backend_is_refused_whatever_it_asks(
    state: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    """It would wait for a lock that its own thread has, with every other process; another manager has the same lock."""
    manager, other = NonceManager(state), NonceManager(state)
    number = manager.next()
    asks: list[Callable[[], object]] = [other.close, manager.next, other.next, manager.peek, other.stats]
    asks += [lambda: manager.raise_floor(1), lambda: other.raise_floor(1)]
    real, refusals = os.pread, list[str]()

    def read(fd: int, size: int, offset: int) -> bytes:
        while asks:
            with contextlib.suppress(NonceStoreError):
                asks.pop()()
                refusals.append("not refused")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", read)
    arguments = (number,) if inside == "raise_floor" else ()
    getattr(manager, inside)(*arguments)
    assert refusals == ["not refused"]  # that is close(), which leaves alone what is in use
    assert manager.next() > number


INTERRUPT = """
import logging, os, random, signal, sys, warnings
import krakenonce.journal.recorder  # an interrupt inside of Python's eval(), as of an import, would be its exit code
from krakenonce.manager import NonceManager
warnings.simplefilter("ignore", ResourceWarning)  # of a file of Python's own that was just being opened
logging.disable()  # what an interrupt in the middle leaves may be noticed as damage, rightly
manager, rng = NonceManager(sys.argv[1]), random.Random(3)
manager.next()  # each try at the first nonce raises the mark; a slow disk would be interrupted each time


def take():
    if sys.argv[2] == "raise_floor":
        manager.raise_floor(manager.peek() or 1)
    elif sys.argv[2] == "peek":
        manager.peek()
    return manager.next()


signal.signal(signal.SIGALRM, signal.default_int_handler)
interrupts = 0
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00005, 0.0015))
        while True:
            os.write(1, b"%d\\n" % take())
    except KeyboardInterrupt:
        interrupts += 1
os.write(1, b"interrupted %d\\n" % interrupts)
sys.stdin.readline()
os.write(1, b"%d\\n" % manager.next())
"""


@pytest.mark.parametrize("inside", ["next", "peek", "raise_floor"])
def test_an_interrupt_in_the_middle_leaves_nothing_locked(state: Path, inside: str) -> None:
    """KeyboardInterrupt anywhere inside a backend, 300 times: all threads get nonces at once afterwards."""
    worker = start_python(INTERRUPT, state, inside)
    nonces = []
    while (line := hear(worker)) != "interrupted 300\n":
        nonces.append(int(line))
    other = NonceManager(state).next()
    say(worker, "go on")
    nonces += [other, int(finish(worker))]
    assert nonces == sorted(set(nonces))
    assert nonces[-1] < time.time_ns() + 60 * 10**9


def test_the_nonce_file_deleted_under_many_threads_and_processes(state: Path) -> None:
    """Deleted forty times while two processes with three threads each take nonces: none twice, none out of order."""
    other = start_python(TAKE_IN_THREADS, state, 3, 1500)
    manager = NonceManager(state)
    manager.next()
    taken: list[list[Issue]] = [[] for _ in range(3)]
    stop = threading.Event()

    def run(mine: list[Issue]) -> None:
        while not stop.is_set():
            asked = time.monotonic_ns()
            number = manager.next()
            mine.append(Issue(asked, time.monotonic_ns(), number, "us"))

    threads = [threading.Thread(target=run, args=(mine,), daemon=True) for mine in taken]
    for thread in threads:
        thread.start()
    say(other, "go")
    deleted = 0
    while deleted < 40:
        if text_path(state).exists():
            text_path(state).unlink()
            deleted += 1
        asked = time.monotonic_ns()
        number = manager.next()
        taken[0].append(Issue(asked, time.monotonic_ns(), number, "main"))
    issues = collect(finish(other), "other")
    stop.set()
    for thread in threads:
        thread.join()
    assert violations([*issues, *(issue for mine in taken for issue in mine)]) == []


GROWTH = """
import gc, sys
from krakenonce import NonceManager

manager = NonceManager(sys.argv[1])
for _ in range(20_000):
    manager.next()
gc.collect()
before = sys.getallocatedblocks()
for _ in range(100_000):
    manager.next()
gc.collect()
print(sys.getallocatedblocks() - before)
"""


def test_memory_does_not_grow_with_the_nonces(state: Path) -> None:
    """A hundred thousand nonces leave no more objects in a process than there were."""
    assert int(finish(start_python(GROWTH, state))) < 1000
    assert len(text_path(state).read_text()) == 19
