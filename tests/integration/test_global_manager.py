"""The global nonce manager: one number, one lock, one file, over threads, processes, forks and restarts."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from krakenonce import global_manager
from krakenonce.errors import LaneError, NonceError, NonceStoreError
from krakenonce.global_manager import (
    ApiCallLock,
    GlobalKrakenNonceManager,
    get_global_kraken_nonce,
    get_global_nonce_manager,
    get_global_nonce_stats,
    get_kraken_api_lock,
)
from krakenonce.testing.checker import Issue, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Result = TypeVar("Result")

TEXT = Path("data", "kraken_global_nonce.txt")
HOUR = 3600 * 1_000_000_000

TAKE_ONE = "from krakenonce.global_manager import get_global_kraken_nonce as take; print(take())"

HOLD_THE_LOCK = """
import sys
from krakenonce.global_manager import get_kraken_api_lock

with get_kraken_api_lock():
    print("held", flush=True)
    sys.stdin.read()
"""

TRY_THE_LOCK = """
from krakenonce.global_manager import get_kraken_api_lock

print(get_kraken_api_lock().acquire(blocking=False))
"""


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and no manager yet, as in a new process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KRAKENONCE_STATE_DIR", raising=False)
    monkeypatch.setattr(global_manager, "_manager", None)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[str]]:
    """Return what has been logged at a level."""
    caplog.set_level(logging.INFO, "krakenonce")

    def at(level: int) -> list[str]:
        return [each.message for each in caplog.records if each.name == "krakenonce" and each.levelno == level]

    return at


def python(code: str) -> subprocess.Popen[str]:
    """Start a process that runs *code*."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )


def printed_by(code: str) -> str:
    """Run *code* in a process of its own and return what it prints."""
    with python(code) as process:
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return out.strip()


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds the API lock until its stdin is closed."""
    with python(HOLD_THE_LOCK) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def elsewhere(function: Callable[[], Result]) -> Result:
    """Call *function* in another thread; a thread that hangs fails the test and is left alone."""
    answer: Future[Result] = Future()

    def call() -> None:
        try:
            answer.set_result(function())
        except Exception as error:  # for the test to see
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return answer.result(timeout=10)


def free(lock: ApiCallLock) -> bool:
    """Return whether the lock can be had right now, and leave it as it is."""
    got = lock.acquire(blocking=False)
    if got:
        lock.release()
    return got


def put_text(text: str) -> None:
    """Write the number's file as a manager that keeps no mark leaves it."""
    TEXT.parent.mkdir()
    TEXT.write_text(text)


def restart() -> GlobalKrakenNonceManager:
    """Return what a new process would use."""
    global_manager._manager = None
    return get_global_nonce_manager()


def take(count: int) -> list[Issue]:
    """Take numbers, noting when each was asked for and answered."""
    issues = []
    for _ in range(count):
        asked = time.monotonic_ns()
        number = get_global_kraken_nonce()
        issues.append(Issue(asked, time.monotonic_ns(), number, f"{os.getpid()} {threading.get_ident()}"))
    return issues


# What is logged


def test_the_first_start_is_logged(said: Callable[[int], list[str]]) -> None:
    """Without a file, two lines at INFO say that numbers begin with the clock, and with which."""
    before = time.time_ns()
    get_global_nonce_manager()
    first, second = said(logging.INFO)
    match = re.fullmatch(r"No persisted nonce found, initializing with current time: (\d{19})", first)
    assert match
    assert before <= int(match[1]) <= time.time_ns()
    assert second == (
        f"Global Kraken Nonce Manager initialized (persisted nonce: {match[1]}, API serialization: ENABLED)"
    )


def test_a_start_behind_the_clock_is_logged(said: Callable[[int], list[str]]) -> None:
    """With an old number on file, the lines name it and the present time, with which numbers go on."""
    put_text("1737159471234567890")
    before = time.time_ns()
    get_global_nonce_manager()
    first, second = said(logging.INFO)
    match = re.fullmatch(r"Loaded persisted nonce: 1737159471234567890, using: (\d{19})", first)
    assert match
    assert before <= int(match[1]) <= time.time_ns()
    assert second == (
        f"Global Kraken Nonce Manager initialized (persisted nonce: {match[1]}, API serialization: ENABLED)"
    )


def test_a_start_ahead_of_the_clock_is_logged(said: Callable[[int], list[str]]) -> None:
    """With a number on file that the clock has not reached, the lines name it and the one after it."""
    stored = time.time_ns() + HOUR
    put_text(f"{stored}")
    get_global_nonce_manager()
    assert said(logging.INFO) == [
        f"Loaded persisted nonce: {stored}, using: {stored + 1}",
        f"Global Kraken Nonce Manager initialized (persisted nonce: {stored + 1}, API serialization: ENABLED)",
    ]


def test_the_switch_is_logged(said: Callable[[int], list[str]]) -> None:
    """Disabling is logged as a warning, enabling at INFO."""
    manager = get_global_nonce_manager()
    manager.disable_api_serialization()
    manager.enable_api_serialization()
    assert said(logging.WARNING) == ["⚠️ Kraken API call serialization DISABLED (not recommended)"]
    assert said(logging.INFO)[-1] == "✅ Kraken API call serialization ENABLED"


# Numbers and their file


def test_a_number_is_the_time_in_nanoseconds() -> None:
    """As long as the clock goes on, a number is the nanoseconds since 1970 at that moment."""
    before = time.time_ns()
    nonce = get_global_kraken_nonce()
    assert before <= nonce <= time.time_ns()


def test_the_file_has_every_number() -> None:
    """After each number the file has its 19 digits and nothing else."""
    for _ in range(200):
        nonce = get_global_kraken_nonce()
        assert TEXT.read_bytes() == b"%d" % nonce
        assert len(TEXT.read_bytes()) == 19


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_file_without_a_mark_is_adopted(ending: str) -> None:
    """A number on file that is ahead of the clock is followed by the next one, and the file stays 19 digits."""
    stored = time.time_ns() + HOUR
    put_text(f"{stored}{ending}")
    assert get_global_kraken_nonce() == stored + 1
    assert TEXT.read_text() == f"{stored + 1}"


def test_an_old_file_without_a_mark_is_adopted() -> None:
    """A number on file that is behind the clock is followed by the present time."""
    put_text("1737159471234567890")
    before = time.time_ns()
    assert before <= get_global_kraken_nonce() <= time.time_ns()


def test_restarts_go_on_above_a_number_in_the_future() -> None:
    """Each new process takes the number after the last one, also while the clock is an hour behind."""
    stored = time.time_ns() + HOUR
    put_text(f"{stored}")
    assert [int(printed_by(TAKE_ONE)) for _ in range(3)] == [stored + 1, stored + 2, stored + 3]


def test_a_restart_goes_on_above_the_last_number() -> None:
    """A new process takes a larger number than the one before it."""
    first = int(printed_by(TAKE_ONE))
    assert first < int(printed_by(TAKE_ONE)) < get_global_kraken_nonce()


def test_deleting_the_file_of_a_running_manager_is_survived() -> None:
    """Without its file the next number is larger all the same, and the file is there again."""
    before = get_global_kraken_nonce()
    TEXT.unlink()
    after = get_global_kraken_nonce()
    assert after > before
    assert TEXT.read_text() == f"{after}"


def test_deleting_the_file_between_two_runs_is_survived() -> None:
    """Without its file a new process goes on above the mark, and so above every number there was."""
    before = int(printed_by(TAKE_ONE))
    TEXT.unlink()
    mark = restart().manager.stats().mark
    assert mark is not None
    assert before < mark < get_global_kraken_nonce()


def test_the_state_directory_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KRAKENONCE_STATE_DIR takes the place of ./data, and is read as everywhere; if it is blank, it does not."""
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", f"file:{tmp_path / 'chosen'}\r")
    nonce = get_global_kraken_nonce()
    assert (tmp_path / "chosen" / TEXT.name).read_text() == f"{nonce}"
    assert not TEXT.parent.exists()
    monkeypatch.setenv("KRAKENONCE_STATE_DIR", "\r")
    nonce = restart().get_nonce()
    assert TEXT.read_text() == f"{nonce}"


def test_an_unusable_directory_is_an_error_from_the_start() -> None:
    """When the numbers cannot be kept there is no manager and no number; when they can, there is, without a restart."""
    Path("data").touch()
    for ask in (get_global_nonce_manager, get_global_kraken_nonce, get_kraken_api_lock, get_global_nonce_stats):
        with pytest.raises(NonceStoreError, match="must be a directory"):
            ask()
    Path("data").unlink()
    assert get_global_kraken_nonce() > 0


def test_a_file_that_becomes_unusable_is_an_error() -> None:
    """A number that cannot be kept is not handed out; the numbers go on when it can be kept again."""
    before = get_global_kraken_nonce()
    TEXT.unlink()
    TEXT.mkdir()
    for _ in range(2):
        with pytest.raises(NonceStoreError, match="is a directory"):
            get_global_kraken_nonce()
    TEXT.rmdir()
    assert get_global_kraken_nonce() > before


# One manager


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    """Threads take turns a thousand times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_hasty_threads")
def test_fifty_threads_get_one_manager(said: Callable[[int], list[str]]) -> None:
    """When fifty threads ask at once, one manager is made and all of them get it."""
    at_once = threading.Barrier(50)

    def ask() -> GlobalKrakenNonceManager:
        at_once.wait(timeout=30)
        return get_global_nonce_manager()

    with ThreadPoolExecutor(50) as pool:
        managers = {pool.submit(ask) for _ in range(50)}
        assert len({id(manager.result(timeout=30)) for manager in managers}) == 1
    assert len([line for line in said(logging.INFO) if "initialized" in line]) == 1


def test_the_functions_are_the_managers() -> None:
    """The module's functions are those of the one manager."""
    manager = get_global_nonce_manager()
    assert get_global_nonce_manager() is manager
    assert get_kraken_api_lock() is manager.get_api_call_lock()
    assert get_global_kraken_nonce() < manager.get_nonce() < get_global_kraken_nonce()
    assert get_global_nonce_stats()["total_nonces_issued"] == manager.get_stats()["total_nonces_issued"] == 3


def test_threads_take_numbers_in_order() -> None:
    """Over ten threads no number comes twice, and one asked for later is larger."""
    with ThreadPoolExecutor(10) as pool:
        issues = [issue for taken in pool.map(take, [100] * 10) for issue in taken]
    assert violations(issues) == []
    assert get_global_nonce_stats()["total_nonces_issued"] == len(issues) == 1000


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_take_numbers_in_order(how: str) -> None:
    """Over this process and two others, forked or spawned, no number comes twice and one asked for later is larger."""
    issues = take(1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how)) as pool:
        theirs = [pool.submit(take, 300) for _ in range(4)]
        while not all(taken.done() for taken in theirs):
            issues += take(20)
        for taken in theirs:
            issues += taken.result(timeout=30)
    assert violations(issues) == []
    assert len({issue.caller for issue in issues}) >= 2


def test_a_fork_while_the_manager_is_made_does_not_block_the_child() -> None:
    """A child forked while another thread makes the manager makes its own."""
    with global_manager._making.lock:
        child = multiprocessing.get_context("fork").Process(target=take, args=(1,), daemon=True)
        child.start()
        child.join(timeout=10)
        assert child.exitcode == 0
        child.close()


def test_a_signal_handler_in_the_middle_of_the_making_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for its own thread."""
    real = global_manager.GlobalKrakenNonceManager
    refusal = "the global nonce manager was asked for by a signal handler that has interrupted this thread"

    def interrupted() -> GlobalKrakenNonceManager:
        with pytest.raises(NonceError, match=refusal):
            get_global_kraken_nonce()
        return real()

    monkeypatch.setattr(global_manager, "GlobalKrakenNonceManager", interrupted)
    assert get_global_nonce_manager() is get_global_nonce_manager()
    assert get_global_kraken_nonce() > 0


# Statistics


def test_the_figures_before_the_first_number(said: Callable[[int], list[str]]) -> None:
    """Before the first number the figures are what numbers begin with, zeros and the time of the start."""
    before = time.time()
    stats = get_global_nonce_stats()
    after = time.time()
    assert f"(persisted nonce: {stats['last_nonce']}," in said(logging.INFO)[-1]
    assert before <= stats["initialized_at"] <= after
    assert 0 <= stats["uptime_seconds"] <= 30
    del stats["last_nonce"], stats["initialized_at"], stats["uptime_seconds"]
    assert stats == {"total_nonces_issued": 0, "nonces_per_second": 0.0, "api_serialization_enabled": True}


def test_the_six_figures() -> None:
    """There are the last number, the count, the uptime, the rate, the start and whether the lock is on."""
    began = time.monotonic()
    manager = get_global_nonce_manager()
    made = time.monotonic()
    last = [manager.get_nonce() for _ in range(3)][-1]
    manager.disable_api_serialization()
    asked = time.monotonic()
    stats = get_global_nonce_stats()
    assert list(stats) == [
        "last_nonce",
        "total_nonces_issued",
        "uptime_seconds",
        "nonces_per_second",
        "initialized_at",
        "api_serialization_enabled",
    ]
    assert stats["last_nonce"] == last
    assert stats["total_nonces_issued"] == 3
    assert asked - made <= stats["uptime_seconds"] <= time.monotonic() - began
    assert stats["nonces_per_second"] == pytest.approx(3 / stats["uptime_seconds"])
    assert stats["api_serialization_enabled"] is False


def test_the_last_number_is_anybodys_and_the_count_is_ours() -> None:
    """A number that another process takes shows as the last one and is not counted here."""
    get_global_kraken_nonce()
    theirs = int(printed_by(TAKE_ONE))
    stats = get_global_nonce_stats()
    assert (stats["last_nonce"], stats["total_nonces_issued"]) == (theirs, 1)


def _stats_and_a_number(answers: multiprocessing.SimpleQueue[object]) -> None:
    before = get_global_nonce_stats()
    get_global_kraken_nonce()
    answers.put((before, get_global_nonce_stats()))


def test_a_forked_child_counts_for_itself() -> None:
    """A forked child begins with no numbers and no uptime, and leaves its parent's figures alone."""
    get_global_kraken_nonce()
    parent = get_global_nonce_stats()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_stats_and_a_number, args=(answers,), daemon=True)
    child.start()
    child.join(timeout=10)
    assert child.exitcode == 0
    before, after = answers.get()
    assert before["last_nonce"] == parent["last_nonce"] < after["last_nonce"]
    assert (before["total_nonces_issued"], after["total_nonces_issued"]) == (0, 1)
    assert before["initialized_at"] > parent["initialized_at"]
    assert before["uptime_seconds"] < get_global_nonce_stats()["uptime_seconds"]
    assert get_global_nonce_stats()["total_nonces_issued"] == 1


# The API lock


def test_the_lock_is_re_entrant() -> None:
    """Who holds the lock may take it again, and has it until each time is given back."""
    lock = get_kraken_api_lock()
    with lock:
        with lock:
            assert lock.acquire(blocking=False)
            lock.release()
        assert not elsewhere(lambda: free(lock))
    assert elsewhere(lambda: free(lock))


def test_the_lock_excludes_other_threads() -> None:
    """While one thread holds the lock, a second waits until it is given back."""
    lock = get_kraken_api_lock()
    order = []

    def second() -> None:
        waiting.set()
        with lock:
            order.append("second")

    waiting = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with lock:
            done = pool.submit(second)
            assert waiting.wait(timeout=30)
            assert not elsewhere(lambda: lock.acquire(timeout=0.05))
            order.append("first")
        done.result(timeout=30)
    assert order == ["first", "second"]


def test_the_lock_excludes_other_processes(holder: subprocess.Popen[str]) -> None:
    """While another process holds the lock it cannot be had here; when that one is done, it can."""
    lock = get_kraken_api_lock()
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0.05)
    holder.communicate(timeout=30)
    assert lock.acquire(timeout=30)
    assert printed_by(TRY_THE_LOCK) == "False"
    lock.release()
    assert printed_by(TRY_THE_LOCK) == "True"


def test_a_killed_holder_frees_the_lock(holder: subprocess.Popen[str]) -> None:
    """The lock of a killed process is free for the others."""
    holder.kill()
    assert get_kraken_api_lock().acquire(timeout=30)
    get_kraken_api_lock().release()


def test_the_lock_stays_with_the_parent_of_a_fork() -> None:
    """A child forked while the lock is held does not have it, and ends without freeing it."""
    lock = get_kraken_api_lock()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with lock:
        child = context.Process(target=lambda: answers.put(free(lock)), daemon=True)
        child.start()
        child.join(timeout=10)
        assert child.exitcode == 0
        assert answers.get() is False
        assert printed_by(TRY_THE_LOCK) == "False"
    assert printed_by(TRY_THE_LOCK) == "True"


def test_waiting_for_the_lock_can_end() -> None:
    """A timeout ends the wait with False, not before its time, and nothing is held afterwards."""
    lock = get_kraken_api_lock()

    def wait() -> tuple[bool, float]:
        began = time.monotonic()
        return lock.acquire(timeout=0.05), time.monotonic() - began

    with lock:
        got, seconds = elsewhere(wait)
    assert not got
    assert seconds >= 0.05
    assert elsewhere(lambda: free(lock))


@pytest.mark.parametrize(("blocking", "timeout"), [(False, 1), (False, 0), (True, -2)])
def test_impossible_waits_are_refused(blocking: bool, timeout: float) -> None:
    """As with an RLock, a timeout must not be negative and makes no sense without waiting."""
    lock = get_kraken_api_lock()
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(blocking, timeout)
    assert elsewhere(lambda: free(lock))


def test_a_stranger_cannot_release_the_lock() -> None:
    """Giving back what one does not hold is a RuntimeError, and changes nothing for the holder."""
    lock = get_kraken_api_lock()
    with pytest.raises(RuntimeError):
        lock.release()
    with lock:
        with pytest.raises(LaneError, match="not held"):
            elsewhere(lock.release)
        assert not elsewhere(lambda: free(lock))
    assert elsewhere(lambda: free(lock))


def test_a_disabled_lock_excludes_nobody(holder: subprocess.Popen[str]) -> None:
    """Disabled, the lock is had at once by every thread, whoever holds it; enabled again, it excludes."""
    manager = get_global_nonce_manager()
    lock = manager.get_api_call_lock()
    manager.disable_api_serialization()
    with lock:
        assert elsewhere(lambda: free(lock))
    manager.enable_api_serialization()
    assert not lock.acquire(blocking=False)
    holder.communicate(timeout=30)
    with lock:
        assert not elsewhere(lambda: free(lock))


def test_disabling_does_not_keep_the_lock() -> None:
    """A lock taken while it was enabled is given back also when it has been disabled since."""
    manager = get_global_nonce_manager()
    with manager.get_api_call_lock():
        manager.disable_api_serialization()
    assert printed_by(TRY_THE_LOCK) == "True"


def test_disabling_while_the_lock_is_held() -> None:
    """The holder keeps the lock and others pass it by; enabled again, they wait until it is given back."""
    manager = get_global_nonce_manager()
    lock = manager.get_api_call_lock()
    with lock:
        manager.disable_api_serialization()
        with lock:
            assert elsewhere(lambda: free(lock))
            assert printed_by(TRY_THE_LOCK) == "False"
            manager.enable_api_serialization()
            assert not elsewhere(lambda: free(lock))
        assert not elsewhere(lambda: free(lock))
    assert elsewhere(lambda: free(lock))


def test_enabling_while_the_lock_is_passed_by() -> None:
    """Who came in while the lock was disabled holds nothing, and leaves nothing behind."""
    manager = get_global_nonce_manager()
    lock = manager.get_api_call_lock()
    manager.disable_api_serialization()
    with lock:
        manager.enable_api_serialization()
        assert elsewhere(lambda: free(lock))
        with lock:
            assert not elsewhere(lambda: free(lock))
        assert elsewhere(lambda: free(lock))
    assert elsewhere(lambda: free(lock))
    with pytest.raises(LaneError):
        lock.release()
