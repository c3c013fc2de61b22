"""What is made of the files as they are found; each answer whole, with the words that go into the log."""

import pytest

from krakenonce.backends.file.mark import FIRST, NOT_WRITTEN, SECOND, MarkRecord
from krakenonce.backends.file.recovery import Found, in_force, last_issued
from krakenonce.rule import MARK_STEP, NONCE_MAX, Anchor

BASE = 1_800_000_000_000_000_000
MARK = BASE + MARK_STEP
OLD = BASE - 1000

RECORD = MarkRecord(7, 4, FIRST, BASE, MARK, OLD, OLD + 10, "boot", Anchor(BASE, 1))
SECOND_SLOT = RECORD._replace(which=SECOND)
BEHIND = RECORD._replace(sequence=3, base=OLD - 5, mark=OLD + 10)
BOTH = (RECORD, SECOND_SLOT)
HALF = (RECORD, BEHIND)
NONE = (None, None)

EMPTY = "the nonce file is empty or missing"
STALE = "the nonce file does not fit the mark file: it is old or was edited"
BROKEN = "the mark file is empty or damaged in both slots"
ALONE = "there is a nonce file but no mark file; the nonce file is trusted"


def text_of(number: int) -> bytes:
    """As the store writes it."""
    return b"%d" % number


@pytest.mark.parametrize("number", [BASE, BASE + 1, MARK])
def test_within_one_boot_a_nonce_file_between_base_and_mark_is_exact(number: int) -> None:
    """Both ends belong to what the mark covers."""
    assert last_issued(text_of(number), BOTH, same_boot=True, mark_is_new=False) == Found(number)


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        (text_of(BASE - 1), STALE),
        (text_of(MARK + 1), STALE),
        (b"", EMPTY),
        (b" \n\0", EMPTY),
        (b"see backup", "the nonce file does not contain a nonce"),
        (b"0" + text_of(BASE), "the nonce file does not contain a nonce"),
        (text_of(NONCE_MAX + 1), "the nonce file does not contain a nonce"),
        (b"-" + text_of(BASE)[1:], "the nonce file does not contain a nonce"),
    ],
)
def test_within_one_boot_any_other_nonce_file_is_damaged_and_the_mark_counts(text: bytes, doubt: str) -> None:
    """Somebody has changed it, or put an old one back."""
    assert last_issued(text, BOTH, same_boot=True, mark_is_new=False) == Found(MARK, doubt, damaged=True)


@pytest.mark.parametrize("text", [text_of(BASE + 1), text_of(OLD), b"", b"\0" * 19, text_of(BASE) + b"\0" * 5])
def test_after_a_reboot_the_mark_counts_and_nothing_is_damaged(text: bytes) -> None:
    """Also where the cache had not written the text, or nothing but its size: that is what power cuts do."""
    found = last_issued(text, BOTH, same_boot=False, mark_is_new=False)
    assert found == Found(MARK, "the mark is from before a reboot, or from another container")


def test_garbage_is_damage_after_a_reboot_too() -> None:
    """No power cut writes that."""
    found = last_issued(b"see backup", BOTH, same_boot=False, mark_is_new=False)
    assert found == Found(MARK, "the nonce file does not contain a nonce", damaged=True)


@pytest.mark.parametrize("number", [OLD, OLD + 10, BASE, MARK])
def test_beside_a_half_raised_mark_either_nonce_file_is_exact(number: int) -> None:
    """The old one, up to the old mark, and the new one."""
    assert last_issued(text_of(number), HALF, same_boot=True, mark_is_new=False) == Found(number)


@pytest.mark.parametrize("number", [OLD - 1, OLD + 11, MARK + 1])
def test_beside_a_half_raised_mark_no_other_nonce_file_is_exact(number: int) -> None:
    """It may have been put back from before."""
    assert last_issued(text_of(number), HALF, same_boot=True, mark_is_new=False) == Found(MARK, STALE, damaged=True)


@pytest.mark.parametrize(
    ("text", "last"),
    [(text_of(BASE), BASE + 2 * MARK_STEP), (text_of(NONCE_MAX), NONCE_MAX), (b"", None), (b"see backup", None)],
)
def test_with_both_slots_broken_the_nonce_file_counts_and_what_it_may_have_missed(
    text: bytes, last: int | None
) -> None:
    """What the cache has not written yet is bounded by two windows, and by the end of all numbers."""
    assert last_issued(text, NONE, same_boot=False, mark_is_new=False) == Found(last, BROKEN, damaged=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (text_of(BASE), Found(BASE, ALONE)),
        (text_of(BASE) + b"\n", Found(BASE, ALONE)),
        (text_of(NONCE_MAX), Found(NONCE_MAX, ALONE)),
        (b"", Found(None)),
        (
            b"see backup",
            Found(None, "the nonce file does not contain a nonce, and there is no mark file", damaged=True),
        ),
    ],
)
def test_where_there_never_was_a_mark_the_nonce_file_is_taken_as_it_is(text: bytes, found: Found) -> None:
    """It comes from a manager that keeps none, or the scope is new."""
    assert last_issued(text, NONE, same_boot=False, mark_is_new=True) == found


@pytest.mark.parametrize(
    ("first", "second", "whole"),
    [
        (RECORD, SECOND_SLOT, True),
        (None, SECOND_SLOT, True),
        (RECORD, None, True),
        (RECORD, BEHIND, False),
        (BEHIND, RECORD, False),
        (RECORD, RECORD._replace(which=NOT_WRITTEN), False),
    ],
)
def test_a_raised_mark_counts_once_it_is_in_both_slots(
    first: MarkRecord | None, second: MarkRecord | None, whole: bool
) -> None:
    """One that is broken was written once; one that is behind, or says so, was not written yet."""
    assert in_force((first, second)) == ((BASE, MARK) if whole else (OLD, OLD + 10))


def test_without_a_record_nothing_is_in_force() -> None:
    """Zeros cover no number."""
    assert in_force(NONE) == (0, 0)
