import os
from pathlib import Path

import pytest

from prove.disk_file import DiskFile
from prove.simulated_disk import Misuse, SimulatedDisk, dropped, kept


def test_an_unsynced_write_is_dropped_kept_or_torn_by_sectors() -> None:
    """Each sector by itself, and a sector in the midst; a synced one is there."""
    file = DiskFile(b"a" * 1024)
    file.write(b"b" * 1024, 0)
    halves = [b"a" * 512, b"b" * 256 + b"a" * 256, b"b" * 512]
    assert file.images() == {first + second for first in halves for second in halves}
    file.sync()
    assert file.images() == {b"b" * 1024}


def test_the_size_is_stored_apart_from_what_is_in_the_file() -> None:
    """A file that grew may be as short as before, or long enough and empty."""
    file = DiskFile()
    file.write(b"12", 0)
    assert file.images() == {b"", b"\0\0", b"1\0", b"12"}


def test_after_a_failed_sync_the_next_one_does_not_store_what_was_lost() -> None:
    """The kernel calls the page clean, so only what is written again is stored."""
    file = DiskFile(b"old")
    file.write(b"new", 0)
    file.forget(dropped, dropped)
    file.sync()
    assert (bytes(file.content), file.images()) == (b"new", {b"old"})
    file.write(b"New", 0)
    file.sync()
    assert file.images() == {b"New"}


def test_a_file_is_there_after_a_power_cut_when_its_directory_was_synced(tmp_path: Path) -> None:
    """Its own sync does not keep its name."""
    disk = SimulatedDisk(tmp_path)
    with disk.mounted():
        fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        os.fsync(fd)
        os.close(fd)
        assert (disk.image(dropped), disk.image(kept)) == ({}, {"file": b""})
        directory = os.open(tmp_path, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    assert list(disk.images()) == [{"file": b""}]


def test_a_write_that_goes_past_the_simulated_disk_is_an_error(tmp_path: Path) -> None:
    """Else it would be taken for one that never happened."""
    disk = SimulatedDisk(tmp_path, {"file": b"old"})
    (tmp_path / "file").write_bytes(b"new")
    with pytest.raises(Misuse, match="does not see"):
        disk.image()
