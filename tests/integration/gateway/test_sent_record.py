"""The record of sent calls keeps what it is told: around its ring, over restarts, and when a write was cut off."""

from __future__ import annotations

import errno
import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends.file import locked_files
from krakenonce.backends.file.locked_files import LockedFiles
from krakenonce.errors import NonceStoreError
from krakenonce.gateway import sent_record, syncing
from krakenonce.gateway.sent_record import SentRecord, Status
from krakenonce.gateway.syncing import Syncing

if TYPE_CHECKING:
    from pathlib import Path

    from krakenonce.gateway.sent_record import Entry

NOW = 1_800_000_000.0
DAY = 24 * 3600 + 2


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring of eight slots."""
    monkeypatch.setattr(sent_record, "SLOTS", 8)


def record(directory: Path) -> SentRecord:
    """The record as another process opens it. No thread syncs it."""
    files = LockedFiles(str(directory), "{}.sent", "write to the record of sent calls")
    return SentRecord(files, "bot", SimpleNamespace(want=lambda _: None))  # type: ignore[arg-type] # all that is used


def digest(number: int) -> bytes:
    """The digest of a request."""
    return number.to_bytes(6, "big")


def enter(record: SentRecord, number: int, at: float) -> Entry | None:
    """Enter a request."""
    return record.enter([digest(number)], at, lambda _: True)


def status(record: SentRecord, number: int) -> Status | None:
    """What the record says about a request."""
    found = record.find([digest(number)], lambda _: True)
    return found.status if found else None


def test_of_two_entries_of_a_request_the_newer_one_counts_after_a_restart(tmp_path: Path) -> None:
    """It was not sent at the end of the ring, and sent at its beginning: it is not sent again."""
    first = record(tmp_path)
    for number in range(1, 7):
        enter(first, number, NOW)
    enter(first, 100, NOW + DAY)
    first.settle([digest(100)], NOW + DAY, Status.NOT_SENT)
    enter(first, 101, NOW + DAY)
    enter(first, 100, NOW + DAY)
    assert status(first, 100) is Status.SENT
    assert status(record(tmp_path), 100) is Status.SENT


def test_a_record_without_an_empty_slot_stops_no_gateway(tmp_path: Path) -> None:
    """A kill in the middle of a write can leave it so: the oldest slot is made empty, also under a running gateway."""
    running = record(tmp_path)
    for number in range(1, 8):
        enter(running, number, NOW + number)
    enter(running, 8, NOW + DAY)
    assert enter(running, 9, NOW + DAY) is None
    (file,) = tmp_path.iterdir()
    written = bytearray(file.read_bytes())
    empty = next(at for at in range(16, 96, 10) if written[at : at + 10] == bytes(10))
    written[empty : empty + 10] = sent_record._SLOT.pack(digest(10), sent_record._packed(NOW + DAY, Status.SENT))
    file.write_bytes(written)
    for each in (running, record(tmp_path)):
        assert [status(each, number) for number in (8, 9, 10)] == [Status.SENT] * 3
        assert status(each, 3) is None
        assert status(each, 4) is Status.SENT


def test_a_note_that_was_cut_off_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    """A process was killed while it wrote the first."""
    written = record(tmp_path)
    enter(written, 1, NOW)
    written.settle([digest(1)], NOW, Status.KEPT, {"of": [digest(1).hex()], "at": int(NOW)})
    (file,) = tmp_path.iterdir()
    torn = file.read_bytes()
    at = torn.rindex(b"\n")
    file.write_bytes(torn[: at - 3] + bytes(4) + torn[at + 1 :])
    again = record(tmp_path)
    enter(again, 2, NOW)
    note = {"of": [digest(2).hex()], "at": int(NOW)}
    again.settle([digest(2)], NOW, Status.KEPT, note)
    assert record(tmp_path).notes(NOW, NOW) == [note]


def test_notes_about_a_time_are_all_those_about_it(tmp_path: Path) -> None:
    """Those of other seconds are not read; a time may be in two thousands of seconds."""
    written = record(tmp_path)
    at = 1_799_999_990
    notes = [{"of": [digest(number).hex()], "at": at + number} for number in range(20)]
    for note in notes:
        written.settle([], NOW, Status.KEPT, note)
    assert written.notes(at + 2.5, at + 17) == notes[2:18]
    assert written.notes(at + 12, at + 12) == notes[12:13]
    assert written.notes(at - 5000, at - 1) == []


def test_what_is_received_just_before_the_end_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if something was written a moment ago, and the next time would have been a moment later."""
    monkeypatch.setattr(syncing, "PAUSE", 60.0)
    pausing = threading.Event()
    sync = SentRecord.sync

    def noticed(each: SentRecord) -> None:
        sync(each)
        pausing.set()

    monkeypatch.setattr(SentRecord, "sync", noticed)
    thread = Syncing()
    written = SentRecord(LockedFiles(str(tmp_path), "{}.sent", "write to the record of sent calls"), "bot", thread)
    enter(written, 1, NOW)
    assert pausing.wait(10)
    written.settle([digest(1)], NOW, Status.DELIVERED)
    thread.end()
    assert status(record(tmp_path), 1) is Status.DELIVERED


def test_a_file_whose_beginning_a_power_cut_has_lost_is_begun_anew(tmp_path: Path) -> None:
    """It was made a moment before, so nothing was synced: it is not of another version."""
    written = record(tmp_path)
    enter(written, 1, NOW)
    written.settle([digest(1)], NOW, Status.KEPT, {"of": [digest(1).hex()]})
    (file,) = tmp_path.iterdir()
    file.write_bytes(bytes(4096) + file.read_bytes()[4096:])
    again = record(tmp_path)
    assert enter(again, 2, NOW) is None
    assert status(record(tmp_path), 2) is Status.SENT
    assert again.notes(NOW - 1, NOW + 1) == []


def test_what_could_not_be_synced_is_synced_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has failed once is asked again."""
    asked = []

    def sync(_: int) -> None:
        asked.append(True)
        if len(asked) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    written = record(tmp_path)
    enter(written, 1, NOW)
    monkeypatch.setattr(locked_files, "sync", sync)
    with pytest.raises(NonceStoreError, match="sync"):
        written.sync()
    written.sync()
    written.sync()
    assert len(asked) == 2


def test_the_end_does_not_wait_for_a_disk_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process can end, and the log says what may be missing."""
    monkeypatch.setattr(syncing, "LONGEST", 0.1)
    thaws, asked = threading.Event(), threading.Event()

    class Frozen:
        """A record on such a disk."""

        def sync(self) -> None:
            """Wait for the disk."""
            asked.set()
            thaws.wait()

    background = Syncing()
    background.want(Frozen())  # type: ignore[arg-type] # all that is used of it
    asked.wait()
    background.end()
    assert "the state does not answer" in caplog.text
    thaws.set()
