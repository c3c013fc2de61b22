"""Local keys in a record of the state, where there is no directory: each change is seen within a second."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from krakenonce.backends import FileStore, MemoryStore
from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway import key_storage
from krakenonce.gateway.groups import GROUPS
from krakenonce.gateway.key_storage import KeyRecord
from krakenonce.gateway.local_keys import LocalKeys
from tests.integration.key.helpers import in_thread, join

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUERY = frozenset(["query"])


class Records:
    """Records that count how often they are read, and that fail when they are told to."""

    def __init__(self) -> None:
        self._records = MemoryStore().records
        self.reads = 0
        self.fails = False
        self.meanwhile: list[Callable[[], object]] = []  # what others do before the next one writes

    def read(self, name: str) -> bytes | None:
        """Return the data."""
        self.reads += 1
        if self.fails:
            raise NonceStoreError("the server does not answer")
        return self._records.read(name)

    def write(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace the data."""
        if self.meanwhile:
            self.meanwhile.pop()()
        self._records.write(name, data, before)


class Clock:
    """The time since boot, as it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that does not go on by itself."""
    clock = Clock()
    monkeypatch.setattr(key_storage, "time", clock)
    return clock


@pytest.fixture
def records() -> Records:
    """Where the keys are."""
    return Records()


def keys(records: Records) -> LocalKeys:
    """The keys, as a process sees them."""
    return LocalKeys(KeyRecord(records, "a state"))


def test_a_revoked_key_is_refused_within_a_second_and_the_record_is_read_once_in_it(
    records: Records, time: Clock
) -> None:
    """However many calls come meanwhile; who has changed it sees that at once."""
    ours, theirs = keys(records), keys(records)
    made = theirs.add("bot", "MASTER", QUERY, trace_orders=True)
    assert theirs.find(made.key) == ours.find(made.key) == made
    theirs.revoke("bot")
    assert theirs.find(made.key) is None
    before = records.reads
    assert [ours.find(made.key) for _ in range(9)] == [made] * 9
    time.now += 1.0
    assert [ours.find(made.key) for _ in range(9)] == [None] * 9
    assert records.reads == before + 1


def test_no_key_is_valid_while_the_record_cannot_be_read(records: Records, time: Clock) -> None:
    """One that was read before may have been revoked since. The server is asked once a second."""
    ours = keys(records)
    made = ours.add("bot", "MASTER", QUERY)
    assert ours.find(made.key) == made
    time.now += 1.0
    records.fails = True
    before = records.reads
    for _ in range(5):
        with pytest.raises(ConfigError, match="cannot read the local keys: the server does not answer"):
            ours.find(made.key)
    assert records.reads == before + 1
    records.fails = False
    time.now += 1.0
    assert ours.find(made.key) == made


def test_the_record_has_what_the_file_has(records: Records, tmp_path: Path) -> None:
    """So they can be carried over."""
    state = FileStore(tmp_path)
    made = LocalKeys(key_storage.key_storage(state)).add("bot", "MASTER", QUERY)
    records.write("gateway_keys", (tmp_path / "gateway_keys.json").read_bytes(), None)
    assert keys(records).all() == [made]
    assert keys(records).rotate("bot").key != made.key
    assert json.loads(records.read("gateway_keys") or b"")["format"] == 1


def test_a_damaged_record_is_refused(records: Records) -> None:
    """It is not taken for an empty one, and not overwritten."""
    records.write("gateway_keys", b"{}", None)
    for use in (keys(records).all, lambda: keys(records).add("tool", "MASTER", QUERY)):
        with pytest.raises(ConfigError, match="the record gateway_keys of a state is damaged"):
            use()
    assert records.read("gateway_keys") == b"{}"


def test_who_was_slower_reads_what_another_has_written_and_tries_again(records: Records) -> None:
    """So both keys are there."""
    records.meanwhile.append(lambda: keys(records).add("tool", "MASTER", QUERY))
    made = keys(records).add("bot", "MASTER", QUERY)
    assert [each.name for each in keys(records).all()] == ["bot", "tool"]
    assert keys(records).find(made.key) == made


def test_no_key_is_lost_among_those_who_add_at_once(records: Records) -> None:
    """Every key is there at the end."""

    def add(name: str) -> None:
        for number in range(10):
            keys(records).add(f"{name}{number}", "MASTER", QUERY)

    join([in_thread(add, name) for name in "abcd"])
    assert len(keys(records).all()) == 40


def test_keys_that_are_too_many_are_refused_in_a_line_that_says_what_to_do(records: Records) -> None:
    """A record has 64 KiB."""
    made = keys(records)
    for number in range(150):
        made.add(f"bot-{number}", "MASTER", QUERY)
    long = frozenset(GROUPS)
    with pytest.raises(ConfigError, match="there is no room for another local key in the record"):
        [made.add(f"{'x' * 60}{number}", "MASTER", long) for number in range(60)]
    made.revoke("bot-0")
    made.add("bot-0", "MASTER", QUERY)
