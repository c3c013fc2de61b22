"""Is it still our file: directories that are moved, switched or replaced, and file systems whose times are coarse."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import open_files
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.errors import NonceStoreError
from krakenonce.manager import NonceManager
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import SECOND, text_path


@pytest.mark.parametrize(("tick", "later"), [(SECOND, SECOND), (4_000_000, 20_000_000)])
def test_where_times_are_coarse_each_path_is_looked_at(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tick: int, later: int
) -> None:
    """A deletion has the same time as the change before it, on a file system that counts whole seconds, say."""
    store, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    real, now = os.fstat, time.time_ns() // tick * tick

    def coarse(fd: int) -> SimpleNamespace:
        seen = real(fd)
        return SimpleNamespace(st_ino=seen.st_ino, st_dev=seen.st_dev, st_ctime_ns=now)

    monkeypatch.setattr(open_files, "fstat", coarse)
    monkeypatch.setattr(open_files, "time", SimpleNamespace(time_ns=lambda: now + later))
    store.advance("global")
    text_path(state).unlink()
    highest = other.advance("global")
    assert store.advance("global") > highest


@pytest.mark.parametrize(
    ("changed", "later"), [(1_800_000_000_004_000_000, SECOND), (1_800_000_000 * SECOND, 4 * SECOND)]
)
def test_a_directory_that_has_not_changed_for_a_while_speaks_for_its_files(
    state: Path, monkeypatch: pytest.MonkeyPatch, changed: int, later: int
) -> None:
    """One system call per nonce; its time shows a change, as soon as the next has another."""
    state.mkdir()
    asked, look = list[str](), os.lstat

    def looked_at(path: str) -> os.stat_result:
        asked.append(path)
        return look(path)

    monkeypatch.setattr(open_files, "fstat", lambda _: SimpleNamespace(st_ctime_ns=changed))
    monkeypatch.setattr(open_files, "time", SimpleNamespace(time_ns=lambda: changed + later))
    files = OpenFiles()
    files.open_directory(state)
    files.open(state / "file")
    monkeypatch.setattr(os, "lstat", looked_at)
    assert [files.are_in_place() for _ in range(3)] == [True] * 3
    assert asked == [str(state / "file")]


def test_a_directory_that_has_taken_the_place_of_another_is_noticed(state: Path) -> None:
    """The files are watched through their directory, so it has to be the one at the path."""
    state.mkdir()
    files = OpenFiles()
    files.open_directory(state)
    assert files.are_in_place()
    state.rename(state.with_name("old"))
    state.mkdir()
    assert not files.are_in_place()


@pytest.mark.parametrize("ahead", [0, 3600], ids=["at the clock", "ahead of it"])
def test_a_directory_above_that_is_moved_is_noticed(
    state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """The directory itself does not show it; within ten seconds the process is with the others, mark or no mark."""
    later = time.time_ns() + 10 * SECOND  # the time of the directory is trusted
    monkeypatch.setattr(open_files, "time", SimpleNamespace(time_ns=lambda: later))
    home = state / "a" / "b"
    store = FileStore(home, clock=clock)
    store.raise_floor("global", clock.now_ns() + ahead * SECOND)
    store.advance("global")
    (state / "a").rename(state / "old")
    clock.pass_time(11)
    number = store.advance("global")
    assert text_path(home).read_text() == str(number)


def test_a_path_relative_to_a_directory_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of ours, with the path in it."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NonceStoreError, match="cannot find the state directory data: No such file or directory"):
        FileStore("data")


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    """One of ours, when the backend is made or when it is first used."""
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NonceStoreError, match="loop"):
        FileStore(tmp_path / "loop").advance("global")


def test_a_link_on_the_way_is_followed_once(state: Path, clock: ManualClock) -> None:
    """Nonces and lanes stay in the same directory, also if the link is switched later."""
    (state / "one").mkdir(parents=True)
    (state / "two").mkdir()
    (state / "current").symlink_to("one")
    store = FileStore(state / "current" / "data", clock=clock)
    (state / "current").unlink()
    (state / "current").symlink_to("two")
    number = store.advance("global")
    assert text_path(state / "one" / "data").read_text() == str(number)
    with NonceManager(store).lane("key"):
        assert (state / "one" / "data" / "lanes").exists()
