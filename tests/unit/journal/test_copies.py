"""The last events of each host in the state that hosts share."""

from __future__ import annotations

import threading

import pytest

from krakenonce.backends import MemoryStore
from krakenonce.backends.records import MOST
from krakenonce.errors import NonceStoreError
from krakenonce.journal import Event
from krakenonce.journal.copies import Copies, add, events_of_others, name_of
from krakenonce.journal.event import to_line


def line(number: int) -> bytes:
    """The line of an event."""
    return to_line(Event(float(number), "invalid_nonce", "a key", text="so"))


class Slow:
    """Records at a server that does not answer before it may."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.kept = MemoryStore().records

    def read(self, name: str) -> bytes | None:
        """Return a record."""
        self.answers.wait()
        return self.kept.read(name)

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Write a record."""
        self.kept.write(name, data, before)


def test_who_notes_an_event_does_not_wait_for_the_server() -> None:
    """All lines are there once the server answers."""
    records, copies = Slow(), Copies("here")
    for number in range(5):
        copies.put(line(number), records)
    copies.settle(0.01)
    assert records.kept.read(name_of("here")) is None
    records.answers.set()
    copies.settle(30)
    assert records.kept.read(name_of("here")) == b"".join(map(line, range(5)))


def test_a_server_that_does_not_answer_costs_no_memory() -> None:
    """Of many lines the last ones are kept."""
    records, copies = Slow(), Copies("here")
    for number in range(1000):
        copies.put(line(number), records)
    records.answers.set()
    copies.settle(30)
    lines = (records.kept.read(name_of("here")) or b"").splitlines(keepends=True)
    assert len(lines) <= 400  # those that the thread had taken already, and 200
    assert lines[-200:] == [line(number) for number in range(800, 1000)]


def test_a_record_that_cannot_be_written_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The next line is tried again, and nobody gets the error."""

    class Broken(Slow):
        def read(self, name: str) -> bytes | None:
            raise NonceStoreError(f"{name[:8]} is down")

    copies = Copies("here")
    for number in range(2):
        copies.put(line(number), Broken())
        copies.settle(30)
    assert caplog.messages == ["events of this host cannot be copied to the shared state: journal- is down"]
    records = MemoryStore().records
    copies.put(line(2), records)
    copies.settle(30)
    assert records.read(name_of("here")) == line(2)


def test_a_full_record_keeps_the_last_lines_whole() -> None:
    """It is as large as a record may be, and no larger."""
    records = MemoryStore().records
    for number in range(2000):
        add(records, "journal-x", line(number))
    data = records.read("journal-x") or b""
    assert MOST - len(line(1999)) < len(data) <= MOST
    assert data.splitlines(keepends=True) == [line(number) for number in range(2000)][-len(data.splitlines()) :]


def test_two_processes_of_a_host_lose_no_line() -> None:
    """Who finds the record changed reads it again."""

    class Raced(Slow):
        def write(self, name: str, data: bytes, before: bytes | None) -> None:
            if before is None and self.kept.read(name) is None:
                add(self.kept, name, line(1))
            super().write(name, data, before)

    records = Raced()
    records.answers.set()
    add(records, "journal-x", line(2))
    assert records.kept.read("journal-x") == line(1) + line(2)


@pytest.mark.parametrize("shared", ["process", "host"])
def test_a_state_of_one_host_has_no_other_hosts(shared: str) -> None:
    """Nothing is read."""
    store = MemoryStore()
    store.shared = shared  # type: ignore[assignment]
    assert list(events_of_others(store, "here")) == []
