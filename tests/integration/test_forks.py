"""A fork while another thread opens files: the child must not keep alive a lock that it does not know of."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file import filesystem, look
from krakenonce.backends.file import open_files as kept_files
from krakenonce.key.limiter import Limiter
from krakenonce.manager import NonceManager
from tests.integration.key.helpers import open_files


def take_a_nonce(state: Path) -> None:
    """Open a counter's files for the first time."""
    NonceManager(state).next()


def read_the_last_nonce(state: Path) -> None:
    """Open the mark file to read it."""
    NonceManager(state).peek()


def take_a_turn(state: Path) -> None:
    """Open a lane's files for the first time."""
    NonceManager(state).lane("key").acquire()


def book_a_call(state: Path) -> None:
    """Open the file of a key's limits for the first time."""
    Limiter(FileStore(state).rate_limits).lock_out("key", 60)


@pytest.mark.parametrize(
    ("module", "work"),
    [
        (kept_files, take_a_nonce),
        (look, read_the_last_nonce),
        (kept_files, take_a_turn),
        (kept_files, book_a_call),
    ],
)
def test_a_child_keeps_nothing_that_a_thread_was_just_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, work: Callable[[Path], None]
) -> None:
    """Else it holds the lock of a parent that is killed afterwards, and all others wait until the child ends."""
    take_a_nonce(tmp_path)
    opened, forked = threading.Event(), threading.Event()

    def open_slowly(path: Path, flags: int) -> int:
        fd = filesystem.open_regular(path, flags)
        opened.set()
        forked.wait(0.3)  # not longer, because a fork may rightly wait for us
        return fd

    monkeypatch.setattr(module, "open_regular", open_slowly)
    thread = threading.Thread(target=work, args=(tmp_path,))
    thread.start()
    opened.wait()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"%d" % len(open_files(tmp_path)))
        os._exit(0)
    forked.set()
    thread.join()
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"0"
    os.close(reader)
    os.close(writer)
