"""Files that another program edits, overwrites or puts back while processes use them."""

import logging
from pathlib import Path

import pytest

from krakenonce.backends import FileStore
from krakenonce.backends.file.mark import FILE_SIZE
from krakenonce.rule import MARK_STEP
from krakenonce.testing.clock import ManualClock
from tests.integration.backends.helpers import mark_path, read_slots, take, text_path


def test_blanks_that_an_editor_has_left_are_tidied(state: Path, clock: ManualClock) -> None:
    """The nonce is the same; what is written next replaces all of it."""
    store = FileStore(state, clock=clock)
    first = store.advance("global")
    for number in (first + 1, first + 2):
        text_path(state).write_text(f"  {number - 1}\n")
        assert store.advance("global") == number
        assert text_path(state).read_text() == str(number)


def test_an_old_nonce_file_put_back_is_passed_by_going_above_what_others_issued(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One process sees that the nonce file is older than its own last nonce; others may have issued up to the mark."""
    store, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    for count in (1, 2):
        other.advance("global")
        first, _ = (store.advance("global") for _ in range(2))
        highest = [other.advance("global") for _ in range(3)][-1]
        text_path(state).write_text(str(first))
        mark = max(slot.mark for slot in read_slots(state) if slot)
        caplog.clear()
        assert store.advance("global") == mark + 1 > highest
        said = "the state files are older than the last nonce issued; continuing with nonce"
        assert caplog.messages == [f"{text_path(state)}: {said} {mark + 1}"]
        assert store.stats("global").recovered == count


def test_a_floor_finds_the_damage_too(state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """It is reported in the same way."""
    mark = take(state, clock)[0] + MARK_STEP
    text_path(state).write_text("see backup")
    FileStore(state, clock=clock).raise_floor("global", 0)
    assert caplog.messages == [
        f"{text_path(state)}: the nonce file does not contain a nonce; continuing with nonce {mark}"
    ]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_restart_of_the_machine_is_no_warning(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It needs no attention."""
    mark = take(state, clock)[0] + MARK_STEP
    clock.reboot()
    with caplog.at_level(logging.INFO, "krakenonce"):
        take(state, clock)
    why = "the mark is from before a reboot, or from another container"
    assert caplog.messages == [f"{text_path(state)}: {why}; continuing with nonce {mark + 1}"]
    assert caplog.records[0].levelno == logging.INFO


def test_a_floor_below_the_mark_is_seen_by_others_and_moves_no_mark(state: Path, clock: ManualClock) -> None:
    """The mark of the process covers it; the nonce file has it at once."""
    store, other = FileStore(state, clock=clock), FileStore(state, clock=clock)
    floor = store.advance("global") + 5
    before = read_slots(state)
    store.raise_floor("global", floor)
    assert read_slots(state) == before
    assert text_path(state).read_text() == str(floor)
    assert other.peek("global") == floor
    assert other.advance("global") == floor + 1


def test_a_mark_file_keeps_its_inode(state: Path, clock: ManualClock) -> None:
    """Otherwise each raised mark would be a new file to all other processes."""
    store = FileStore(state, clock=clock)
    names = set()
    for _ in range(3):
        store.advance("global")
        names |= {slot and slot.file_id for slot in read_slots(state)}
        clock.pass_time(11)
    assert len(names) == 1


def test_a_mark_file_is_zeros_beside_its_slots(state: Path, clock: ManualClock) -> None:
    """Its bytes are both slots and nothing else."""
    take(state, clock)
    data = mark_path(state).read_bytes()
    assert (len(data), data[512:4096]) == (FILE_SIZE, bytes(3584))


@pytest.mark.parametrize("begin", ["a nonce", "a floor"])
def test_a_mark_overwritten_under_a_running_process_is_written_again(
    state: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture, begin: str
) -> None:
    """The file is the same, but what this process had put there is gone: it does not go by its memory of it."""
    store, first = FileStore(state, clock=clock), clock.now_ns()
    if begin == "a nonce":
        store.advance("global")
    else:
        store.raise_floor("global", first)
    with mark_path(state).open("r+b") as file:
        file.write(bytes(FILE_SIZE))
    store.raise_floor("global", first + 5)
    last = first + 2 * MARK_STEP
    assert store.advance("global") == last + 1
    assert all(slot and slot.mark > last for slot in read_slots(state))
    assert caplog.messages == [
        f"{text_path(state)}: the mark file is empty or damaged in both slots; continuing with nonce {last}",
    ]


@pytest.mark.parametrize("damage", [b"", bytes(FILE_SIZE)])
def test_a_look_at_a_broken_mark_says_where_nonces_continue(state: Path, clock: ManualClock, damage: bytes) -> None:
    """At the nonce file, and above what it may have missed."""
    last = take(state, clock)[0] + 2 * MARK_STEP
    mark_path(state).write_bytes(damage)
    store = FileStore(state, clock=clock)
    assert (store.peek("global"), store.stats("global").mark) == (last, None)
    assert store.advance("global") == last + 1


def test_a_look_at_a_nonce_file_that_never_had_a_mark_takes_it_as_it_is(state: Path, clock: ManualClock) -> None:
    """As the first nonce after it does."""
    state.mkdir()
    text_path(state).write_text(str(clock.now_ns() + 5))
    store = FileStore(state, clock=clock)
    assert store.peek("global") == clock.now_ns() + 5
    assert store.advance("global") == clock.now_ns() + 6
