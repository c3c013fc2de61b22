"""Which keys of an account are in use: what one program learns of the others."""

from __future__ import annotations

import pytest

from krakenonce.backends.memory import MemoryStore
from krakenonce.errors import RecordChanged
from krakenonce.key.account_record import LATELY, account_name, other_keys

NOW = 1_800_000_000.0
ACCOUNT = account_name("AA88 N84G", ["a"])


def test_a_program_learns_which_other_keys_of_its_account_were_used_lately() -> None:
    """Not of its own, and not of one that has been replaced."""
    records = MemoryStore().records
    assert other_keys(records, ACCOUNT, ["a", "b"], NOW) == []
    assert other_keys(records, ACCOUNT, ["b", "c"], NOW + 60) == ["a"]
    assert other_keys(records, ACCOUNT, ["a", "b"], NOW + 120) == ["c"]
    assert other_keys(records, ACCOUNT, ["b"], NOW + 60 + LATELY - 1) == ["c"]
    assert other_keys(records, ACCOUNT, ["b"], NOW + 60 + 2 * LATELY) == []


def test_the_record_is_written_once_an_hour_and_not_with_each_start() -> None:
    """Each write is a sync."""
    records = MemoryStore().records
    other_keys(records, ACCOUNT, ["a"], NOW)
    first = records.read(ACCOUNT)
    other_keys(records, ACCOUNT, ["a"], NOW + 600)
    assert records.read(ACCOUNT) == first
    other_keys(records, ACCOUNT, ["a"], NOW + 3700)
    assert records.read(ACCOUNT) != first


def test_programs_that_write_at_the_same_time_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another one has written meanwhile is read, and written again with our own."""
    records = MemoryStore().records
    write, failed = records.write, list[str]()

    def changed(name: str, data: bytes, before: bytes | None) -> None:
        if not failed:
            failed.append(name)
            write(name, b'{"other": %d}' % NOW, before)
            raise RecordChanged
        write(name, data, before)

    monkeypatch.setattr(records, "write", changed)
    assert other_keys(records, ACCOUNT, ["a"], NOW) == ["other"]
    assert other_keys(records, ACCOUNT, ["other"], NOW) == ["a"]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": null}', b"\xff"])
def test_a_damaged_record_is_written_anew(data: bytes) -> None:
    """It is for messages only."""
    records = MemoryStore().records
    records.write(ACCOUNT, data, None)
    assert other_keys(records, ACCOUNT, ["a"], NOW) == []
    assert other_keys(records, ACCOUNT, ["b"], NOW) == ["a"]


def test_an_account_is_named_by_krakens_number_or_else_by_one_of_its_keys() -> None:
    """Programs that know the same keys in another order mean the same account."""
    assert account_name("AA88 N84G", ["a", "b"]) == account_name("AA88 N84G", ["c"]) != account_name("AA88 N84H", ["a"])
    assert account_name("", ["b", "a"]) == account_name("", ["a", "b"])
