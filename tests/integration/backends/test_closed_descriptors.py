"""Other code closes our descriptors, as daemons close all: nothing is lost or overwritten."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import open_files
from krakenonce.backends.file.open_files import OpenFiles
from krakenonce.manager import NonceManager
from tests.integration.backends.helpers import finish, rising, start_python

if TYPE_CHECKING:
    from pathlib import Path

# Runs in a process of its own: it closes everything. What is given to it is what happens after the closing.
DAEMON = """
import fcntl, os, pathlib, sys, types
from krakenonce import NonceManager
from krakenonce.backends.file import open_files

open_files.time = types.SimpleNamespace(time_ns=lambda: 2**63)  # the directory has not changed for a while
state, other = sys.argv[1:3]
manager = NonceManager(state)
nonces = [manager.next("another"), *(manager.next() for _ in range(3))]
strangers = []
with manager.lane("key"):
    nonces.append(manager.next())
os.closerange(3, 4096)
nonces += [manager.next() for _ in range(3)]
os.closerange(3, 4096)
CASE
nonces += [manager.next() for _ in range(3)]
with manager.lane("key", 5):
    nonces.append(manager.next())
manager.raise_floor(nonces[-1] + 10)
nonces.append(manager.next())
manager.close()
print(*nonces)
print(pathlib.Path(state, "kraken_global_nonce.txt").read_text())
for stranger in strangers:
    with open(stranger.name) as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no lock is left on it
    stranger.seek(0)
    print(stranger.read() == "1" * 19 + " what a stranger wrote")
    stranger.close()
"""
NOTHING = ""
STRANGERS = """
strangers = [open(f"{other}/{each}", "w+") for each in range(12)]
for stranger in strangers:
    stranger.write("1" * 19 + " what a stranger wrote")
    stranger.flush()
"""
OTHER_SCOPE = """
nonces.append(manager.next("another"))
"""
LANE_FIRST = """
with manager.lane("another"), manager.lane("key"):
    nonces.append(manager.next())
    for place in pathlib.Path(state, "lanes").glob("*.lock"):
        with place.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                nonces.append(0)  # the lane is not held any more
            except BlockingIOError:
                pass
"""


HELD = """
import os, sys
from krakenonce import NonceManager

manager = NonceManager(sys.argv[1])
with manager.lane("key"):
    os.closerange(3, 4096)
with manager.lane("key", 5):
    print(len(str(manager.next())), "digits")
manager.close()
"""
LIMITS = """
import fcntl, os, pathlib, sys
from krakenonce.key.counting import Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS
from krakenonce.backends import FileStore

state = pathlib.Path(sys.argv[1])
store = FileStore(state)
limiter = Limiter(store.rate_limits)
waits = [limiter.book(Place("key", TIERS["starter"], "Ledgers", {}), 60.0).wait for _ in range(8)]
os.closerange(3, 4096)
with (state / "stranger").open("w+") as stranger:  # it gets the lowest number that is free: that of the limits
    stranger.write("mine")
    stranger.flush()
    waits.append(limiter.book(Place("key", TIERS["starter"], "Ledgers", {}), 60.0).wait)
    with (state / "stranger").open() as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no lock is left on it
os.closerange(3, 4096)
low = os.open(state / "stranger", os.O_RDONLY)
locked = fcntl.fcntl(low, fcntl.F_DUPFD, 500)
os.close(low)
fcntl.flock(locked, fcntl.LOCK_EX)  # to wait for it would last for ever
strangers = [os.open(state / "stranger", os.O_RDWR) for _ in range(9)]
waits.append(limiter.book(Place("key", TIERS["starter"], "Ledgers", {}), 60.0).wait)
store.close()
print(*waits)
print(os.read(strangers[0], 9).decode())
"""


@pytest.mark.parametrize(
    "case", [NOTHING, STRANGERS, OTHER_SCOPE, LANE_FIRST], ids=["nothing", "files", "scope", "lane"]
)
def test_nonces_and_turns_go_on_after_everything_was_closed(state: Path, tmp_path: Path, case: str) -> None:
    """Nonces rise, turns are given, and what got our descriptors' nonces is not written, closed or left locked."""
    other = tmp_path / "other"
    other.mkdir()
    lines = finish(start_python(DAEMON.replace("CASE", case), state, other)).splitlines()
    nonces = [int(each) for each in lines[0].split()]
    assert len(nonces) >= 12
    assert rising(nonces)
    assert lines[1] == str(nonces[-1])
    assert lines[2:] == ["True"] * (12 if case is STRANGERS else 0)
    with NonceManager(state) as manager:
        assert manager.next() > nonces[-1]


def test_the_directory_s_descriptor_alone_may_be_closed(state: Path) -> None:
    """Without it we cannot know whether the files are in their place, so all are opened again."""
    manager = NonceManager(state)
    first = manager.next()
    for fd in open_at(state):
        os.close(fd)
    second = manager.next()
    assert first < second < manager.next()
    assert len(open_at(state)) == 1


def open_at(directory: Path) -> list[int]:
    """This process's descriptors of *directory* itself."""
    found = []
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            if os.path.samestat(os.fstat(fd), directory.stat()):
                found.append(fd)
    return found


def test_a_lane_that_was_held_meanwhile_is_given_back_without_an_error(state: Path) -> None:
    """The kernel has freed it already; the next turn opens its files again."""
    assert finish(start_python(HELD, state)) == "19 digits\n"


def test_the_limits_are_kept_after_their_file_was_closed(state: Path) -> None:
    """What was booked before is still counted, and a stranger with the old descriptor is left alone."""
    waits, stranger = finish(start_python(LIMITS, state)).splitlines()
    *_, before, after, last = map(float, waits.split())
    assert last > after > before > 0
    assert stranger == "mine"


def test_backends_may_be_made_while_all_learn_what_was_closed(state: Path) -> None:
    """As by another thread: here one is made at each line of that code."""
    held, made, before = OpenFiles(), [FileStore(state)], sys.gettrace()
    fd = held.keep(os.open(state.parent, os.O_RDONLY), state.parent)

    def make(*_: object) -> Any:
        made.append(FileStore(state))
        return make

    sys.settrace(make)
    try:
        held.keep(fd, state.parent)  # once more, as if it had been closed under us and opened by other code of ours
    finally:
        sys.settrace(before)
    assert len(made) > 1


def test_a_file_opened_with_a_descriptor_that_was_just_closed_is_no_loss(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may open a file in the instant in which ours is closed: that is not reported."""
    first, second, reported, closing = OpenFiles(), OpenFiles(), list[int](), os.close
    fd = first.keep(os.open(state.parent, os.O_RDONLY), state.parent)

    def close(number: int) -> None:
        closing(number)
        second.keep(os.open(state.parent, os.O_RDONLY), state.parent)

    monkeypatch.setattr(open_files, "_callbacks", [lambda: reported.append(fd)])
    monkeypatch.setattr(os, "close", close)
    first.close()
    monkeypatch.undo()
    assert second.is_open(fd)
    assert not reported
    first.keep(os.open(state.parent, os.O_RDONLY), state.parent)  # and may go on itself
    assert first.are_open()
    assert second.are_open()


def test_a_file_opened_with_a_descriptor_that_was_not_closed_is_a_loss_for_all(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was closed under the one who had it, and so may others be."""
    first, second, reported = OpenFiles(), OpenFiles(), list[int]()
    fd = first.keep(os.open(state.parent, os.O_RDONLY), state.parent)
    os.close(fd)
    monkeypatch.setattr(open_files, "_callbacks", [lambda: reported.append(fd)])
    assert second.keep(os.open(state.parent, os.O_RDONLY), state.parent) == fd
    assert reported == [fd]
    assert not first.are_open()


def test_what_is_not_used_any_more_is_closed(tmp_path: Path) -> None:
    """Descriptors go with the object that has opened them."""
    fd = OpenFiles().keep(os.open(tmp_path, os.O_RDONLY), tmp_path)
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_open_files_are_not_copied(tmp_path: Path) -> None:
    """A copy would close them under the original."""
    held = OpenFiles()
    fd = held.keep(os.open(tmp_path, os.O_RDONLY), tmp_path)
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="open files cannot be copied or pickled"):
            copying(held)
    gc.collect()
    assert held.is_open(fd)


def test_what_was_interrupted_before_it_began_goes_quietly() -> None:
    """An interrupt may come before a constructor's first line; the garbage collector then has nothing to close."""
    made: object = object.__new__(OpenFiles)
    del made  # an exception in its __del__ would be a warning, which is an error here
    gc.collect()


def test_the_end_of_a_process_is_quiet(tmp_path: Path) -> None:
    """What is still open when Python takes its modules apart, in whatever order, is left to the kernel."""
    code = (
        "import sys\n"
        "from krakenonce import NonceManager\n"
        "from krakenonce.key import lane\n"
        "from krakenonce.backends.file import open_files\n"
        "sys.kept = [open_files, lane]\n"
        "with NonceManager(sys.argv[1]).lane('key'): print('held')\n"
    )
    assert finish(start_python(code, tmp_path)) == "held\n"
