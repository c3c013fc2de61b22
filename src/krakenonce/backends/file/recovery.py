"""What the last number was, judged from the text and the mark as they were found. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.file.mark import NOT_WRITTEN, MarkRecord
from krakenonce.rule import NONCE_MAX, WINDOW

if TYPE_CHECKING:
    from krakenonce.clock import Clock

__all__ = ["READ", "Found", "in_force", "last_issued", "newest", "of_this_boot"]

READ = 64  # bytes of the text to read: enough to see that it is longer than a number
_BLANKS = b" \t\r\n\0"  # a file that had grown when the power was cut may be full of zeros
Records = tuple[MarkRecord | None, MarkRecord | None]


class Found(NamedTuple):
    """The number to go on from.

    Args:
        last: Nothing above it has been issued; None if nothing has been issued.
        doubt: Why it is not simply the text; empty if it is.
        damaged: Whether somebody should look at it. A restart of the machine is no damage.
    """

    last: int | None
    doubt: str = ""
    damaged: bool = False


def newest(records: Records) -> MarkRecord | None:
    """The valid record of the last extension; None if both slots are broken."""
    return max((record for record in records if record), key=lambda record: record.sequence, default=None)


def in_force(records: Records) -> tuple[int, int]:
    """The base and the mark of the last extension that was written to both slots; zeros if there is none.

    A slot that is broken was written once. One that is older than the other shows that it was not written yet.
    """
    record = newest(records)
    if record is None:
        return 0, 0
    is_whole = all(slot is None or (slot.sequence == record.sequence and slot.which != NOT_WRITTEN) for slot in records)
    return (record.base, record.mark) if is_whole else (record.old_base, record.old_mark)


def of_this_boot(record: MarkRecord | None, clock: Clock) -> bool:
    """Whether *record* was written since the machine started; no if that is unknown."""
    return bool(record and record.boot_id and record.boot_id == clock.boot_id())


def last_issued(text: bytes, records: Records, *, same_boot: bool, mark_is_new: bool) -> Found:
    """Judge the state of a scope as it was found on disk.

    Within one boot the text is exact, for the page cache outlives a killed process. In any other case it may be
    older than what was issued, but never by more than the mark, which was on the disk first (invariant 1).

    Args:
        text: The text file's bytes; empty if it is missing.
        records: Both slots of the mark file.
        same_boot: Whether the newest record was written in the present boot. Unknown counts as no.
        mark_is_new: There was no mark before, so a text without one comes from a manager that keeps none.
    """
    value, garbage = _number(text), bool(text.strip(_BLANKS))
    record = newest(records)
    if record is None:
        return _without_mark(value, mark_is_new=mark_is_new, garbage=garbage)
    if value is None and garbage:
        return Found(record.mark, "the text is no number", damaged=True)
    if not same_boot:
        return Found(record.mark, "the machine was restarted")
    if value is None:
        return Found(record.mark, "the text is empty or missing", damaged=True)
    if any(base <= value <= mark for base, mark in (in_force(records), (record.base, record.mark))):
        return Found(value)
    return Found(record.mark, "the text does not fit the mark: it is stale or was changed", damaged=True)


def _without_mark(value: int | None, *, mark_is_new: bool, garbage: bool) -> Found:
    if not mark_is_new:  # both slots broken: the text may be stale, by what is issued between two writes of the cache
        last = None if value is None else min(value + 2 * WINDOW, NONCE_MAX)
        return Found(last, "the mark is empty or broken in both slots", damaged=True)
    if value is not None:
        return Found(value, "there is no mark beside the text, which is taken as it is")
    return Found(None, "the text is no number, and there is no mark" if garbage else "", damaged=garbage)


def _number(text: bytes) -> int | None:
    text = text.strip(_BLANKS)
    if not text.isdigit() or len(text) > 19:
        return None
    value = int(text)
    return value if value <= NONCE_MAX else None
