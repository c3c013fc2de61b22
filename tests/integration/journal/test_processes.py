"""Many processes that write one journal at the same time; some are killed, and the disk may be full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from krakenonce.journal import Event, Reader
from krakenonce.journal.event import from_line, to_line
from krakenonce.journal.file import LOCK, NAME, OLD, JournalFile
from krakenonce.journal.recorder import MemoryJournal, Recorder

if TYPE_CHECKING:
    from pathlib import Path

EVENT = Event(1_790_000_000.5, "invalid_nonce", method="Balance", text="EAPI:Invalid nonce")


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python with some code."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(processes: list[subprocess.Popen[str]]) -> None:
    """Wait until all have done their work."""
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def test_eight_processes_lose_no_refusal(tmp_path: Path) -> None:
    """Of each process's kinds the first three are there, and the sum of all lines is how many there were."""
    code = """
import sys
from krakenonce.manager import NonceManager
manager = NonceManager(sys.argv[1])
for count in range(20_000):
    manager.note("invalid_nonce" if count % 3 else "rate_limit", key="k", method="Balance" if count % 2 else "AddOrder")
"""
    end([start(code, tmp_path) for _ in range(8)])
    events = list(Reader(tmp_path / "journal").events())
    told = Counter((event.pid, event.what, event.method) for event in events if not event.more)
    assert len(told) == 8 * 4
    assert set(told.values()) == {3}
    assert sum(event.how_many for event in events) == 8 * 20_000


def test_what_is_counted_of_an_account_is_found_by_its_name(tmp_path: Path) -> None:
    """As the first three are."""
    code = """
import sys
from krakenonce.manager import NonceManager
manager = NonceManager(sys.argv[1])
for count in range(20):
    manager.note("invalid_nonce", key="k", method="Balance", account="USER:alice" if count % 2 else "USER:bob")
"""
    end([start(code, tmp_path)])
    events = list(Reader(tmp_path / "journal").events(account="alice"))
    assert sum(event.how_many for event in events) == 10


def test_a_kill_in_the_middle_of_writing_tears_one_line_at_most(tmp_path: Path) -> None:
    """Four processes are killed while they write. All lines but the torn ones can be read, and the next is whole."""
    code = """
import sys
from krakenonce.journal.event import Event, to_line
from krakenonce.journal.file import JournalFile
file = JournalFile(sys.argv[1])
print("ready", flush=True)
for count in range(10**9):
    file.append(to_line(Event(1.0 + count, "refused", text="x" * 300, pid=int(sys.argv[2]))))
"""
    writers = [start(code, tmp_path, number) for number in range(1, 5)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    until = time.monotonic() + 20
    while len({event.pid for event in Reader(tmp_path).events()}) < 4:
        assert time.monotonic() < until
    for writer in writers:
        with writer:
            writer.send_signal(signal.SIGKILL)
    JournalFile(tmp_path).append(to_line(EVENT))
    lines = (tmp_path / NAME).read_bytes().splitlines()
    assert len([line for line in lines if line and from_line(line) is None]) <= 4
    events = list(Reader(tmp_path).events())
    assert events[-1] == EVENT
    for number in range(1, 5):
        counts = [event.at for event in events if event.pid == number]
        assert counts == [1.0 + count for count in range(len(counts))]


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    """Whoever finds no end of a line begins with one."""
    file = JournalFile(tmp_path)
    file.append(to_line(EVENT))
    with (tmp_path / NAME).open("ab") as torn:
        torn.write(to_line(EVENT)[:50])
    file.append(to_line(EVENT._replace(at=2.0)))
    assert [event.at for event in Reader(tmp_path).events()] == [EVENT.at, 2.0]


def test_four_writers_lose_nothing_but_what_the_bound_drops(tmp_path: Path) -> None:
    """What is left are the last lines of each, without a gap; and the files are no larger than they may be."""
    code = """
import sys
from krakenonce.journal.event import Event, to_line
from krakenonce.journal.file import JournalFile
file = JournalFile(sys.argv[1], limit=100_000)
for count in range(2000):
    file.append(to_line(Event(1.0 + count, "refused", text="x" * 100, pid=int(sys.argv[2]))))
"""
    end([start(code, tmp_path, number) for number in range(1, 5)])
    sizes = [(tmp_path / name).stat().st_size for name in (NAME, OLD)]
    assert max(sizes) <= 200_000
    assert sum(sizes) > 100_000
    events = list(Reader(tmp_path).events())
    for number in range(1, 5):
        counts = [event.at for event in events if event.pid == number]
        assert counts == sorted(counts)
        assert len(counts) == len(set(counts))
        assert counts == [] or counts == [float(each) for each in range(int(counts[0]), 2001)]
    assert max(event.at for event in events) == 2000.0
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted((NAME, OLD, LOCK))


def test_a_new_file_is_begun_once(tmp_path: Path) -> None:
    """Two processes find the file full. The second finds a new one in its place, and leaves it there."""
    line = to_line(EVENT)
    first, second = (JournalFile(tmp_path, limit=len(line)) for _ in range(2))
    first.append(line)
    full = second._open()
    first.append(line)
    assert second._rotate(full)
    os.close(full)
    assert len(list(Reader(tmp_path).events())) == 2


def test_the_files_are_private(tmp_path: Path) -> None:
    """0600 in a directory with 0700, whatever the umask; a link is not followed."""
    before = os.umask(0)
    try:
        file = JournalFile(tmp_path / "journal", limit=1)
        for _ in range(2):
            file.append(to_line(EVENT))
    finally:
        os.umask(before)
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "journal").iterdir()} == {0o600}


def test_a_stopped_process_with_the_lock_stops_nobody(tmp_path: Path) -> None:
    """The others go on in the same file, up to twice its size; then the line is lost, and the caller told."""
    code = """
import fcntl, os, signal, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("ready", flush=True)
signal.pause()
"""
    line = to_line(EVENT)
    file = JournalFile(tmp_path, limit=3 * len(line))
    with start(code, tmp_path / LOCK) as stopped:
        assert stopped.stdout is not None
        stopped.stdout.readline()
        for _ in range(6):
            file.append(line)
        with pytest.raises(OSError, match="too large"):
            file.append(line)
        stopped.kill()
    file.append(line)
    assert ((tmp_path / OLD).stat().st_size, (tmp_path / NAME).stat().st_size) == (6 * len(line), len(line))


FULL = """
import resource, sys
import krakenonce
from krakenonce.kraken import Kraken
key, secret, url, state = sys.argv[1:]
manager = krakenonce.NonceManager(state)
with Kraken(key, secret, manager=manager, base_url=url, tier="none") as kraken:
    assert kraken.query_private("Balance")["error"] == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
    for method in ("Ledgers", "TradeBalance", "TradesHistory"):
        for _ in range(30):
            assert kraken.query_private(method) == {"error": ["EAPI:Invalid key"]}
"""


def test_a_full_disk_stops_no_call(tmp_path: Path) -> None:
    """A journal that may not grow any more: each call gets Kraken's answer."""
    from krakenonce.testing import FakeKraken, FakeKrakenServer

    fake = FakeKraken()
    account = fake.add_account("MASTER")
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / NAME).write_bytes(to_line(EVENT) * 100)
    with FakeKrakenServer(fake) as server:
        for method in ("Ledgers", "TradeBalance", "TradesHistory"):
            fake.faults.add(method, "error", error="EAPI:Invalid key", times=30)
        end([start(FULL, account.key, account.secret, server.url, tmp_path)])
    assert len(fake.arrivals) == 91


def test_a_child_does_not_count_its_parent_s_events() -> None:
    """After a fork each has counts of its own."""
    recorder = Recorder(MemoryJournal())
    for _ in range(5):
        recorder.note("refused", key="k")
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        os.write(theirs, b"%d" % len(recorder._counts.all()))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ours, 9) == b"0"
    os.close(ours)
    os.close(theirs)
    assert [rest.number for rest in recorder._counts.all()] == [2]


def test_a_reader_follows_over_files(tmp_path: Path) -> None:
    """What comes is read, also from the file that takes the place of the first, and looked for twice a second."""
    file = JournalFile(tmp_path, limit=1)
    pauses: list[float] = []
    times = iter(range(1, 5))

    def write(seconds: float) -> None:
        pauses.append(seconds)
        file.append(to_line(EVENT._replace(at=float(next(times)))))

    following = Reader(tmp_path).follow(pause=write)
    assert [next(following).at for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]
    assert pauses == [0.5] * 4


def test_a_hundred_thousand_lines_are_passed_over_fast(tmp_path: Path) -> None:
    """Those before a time, without a look into them: in less than a second, on a busy machine in less than five."""
    (tmp_path / NAME).write_bytes(to_line(EVENT) * 100_000 + to_line(EVENT._replace(at=2e9)))
    began = time.monotonic()
    assert [event.at for event in Reader(tmp_path).events(since=1.9e9)] == [2e9]
    assert time.monotonic() - began < 5
