"""Small named records: read, replaced as a whole, and never over what another writer has written."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from krakenonce.backends import FileStore, MemoryStore, records
from krakenonce.backends.file import records as file_records
from krakenonce.backends.protocol import Records
from krakenonce.errors import NonceStoreError, RecordChanged
from tests.integration.backends.helpers import finish, start_python


@pytest.fixture(params=["file", "memory"])
def kept(request: pytest.FixtureRequest, state: Path) -> Iterator[Records]:
    """The records of each kind of backend, which has none yet."""
    store = FileStore(state) if request.param == "file" else MemoryStore()
    yield store.records
    store.close()


def add(kept: Records, count: int) -> None:
    """Add one to a number, *count* times, and begin again if another writer was faster."""
    for _ in range(count):
        while True:
            found = kept.read("number")
            try:
                kept.write("number", b"%d" % (int(found or 0) + 1), found)
            except RecordChanged:
                continue
            break


def test_nothing_is_lost_among_processes(state: Path) -> None:
    """The lock between them is the kernel's."""
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from krakenonce.backends import FileStore\n"
        "from tests.integration.backends.test_records import add\n"
        "add(FileStore(sys.argv[1]).records, 20)\n"
    )
    for worker in [start_python(code, state, Path(__file__).parents[3]) for _ in range(3)]:
        finish(worker)
    assert FileStore(state).records.read("number") == b"60"


def test_a_record_is_on_the_disk_before_it_has_its_name(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the data, then the name, then the directory: after a power cut there is the old one or the new one."""
    kept = FileStore(state).records
    kept.write("keys", b"one", None)
    path, done = state / "records" / "keys", list[str]()

    def sync(_fd: int) -> None:
        done.append(f"data while it says {path.read_text()}")

    def sync_directory(_path: Path) -> None:
        done.append(f"name while it says {path.read_text()}")

    monkeypatch.setattr(file_records, "sync", sync)
    monkeypatch.setattr(file_records, "sync_directory", sync_directory)
    kept.write("keys", b"two", b"one")
    assert done == ["data while it says one", "name while it says two"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("call", ["write", "fdatasync", "replace"])
def test_a_record_that_cannot_be_written_is_what_it_was(
    state: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The error says which one, nothing stays locked, and what is left of the attempt does not matter."""
    kept = FileStore(state).records
    kept.write("keys", b"one", None)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if call == "write":
            patch.setattr(file_records, "write_whole", fail)
        elif call == "fdatasync":
            patch.setattr(file_records, "sync", fail)
        else:
            patch.setattr(os, "replace", fail)
        with pytest.raises(NonceStoreError, match=r"cannot write the record .*/keys: No space.*free some space"):
            kept.write("keys", b"two", b"one")
    assert kept.read("keys") == b"one"
    kept.write("keys", b"two", b"one")


def test_a_record_that_cannot_be_read_is_an_error(state: Path) -> None:
    """A directory, say, where the file should be."""
    (state / "records" / "keys").mkdir(parents=True)
    with pytest.raises(NonceStoreError, match="move it away"):
        FileStore(state).records.read("keys")


def test_a_handler_that_interrupts_a_write_is_refused(kept: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for its own thread."""
    errors: list[str] = []

    def interrupt(name: str, data: bytes, before: bytes | None, found: bytes | None) -> None:
        try:
            kept.write("keys", b"two", None)
        except NonceStoreError as error:
            errors.append(str(error))
        real(name, data, before, found)

    real = records.check_change
    for name in ("file.records", "memory"):
        monkeypatch.setattr(sys.modules[f"krakenonce.backends.{name}"], "check_change", interrupt)
    kept.write("keys", b"one", None)
    assert len(errors) == 1
    assert "signal handler" in errors[0]
