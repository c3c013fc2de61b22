"""What the last nonce was, from the nonce file and the mark file as they were found. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from krakenonce.backends.file.mark import NOT_WRITTEN, MarkRecord, unpack_end
from krakenonce.rule import MARK_STEP, NONCE_MAX

if TYPE_CHECKING:
    from krakenonce.clock import Clock


READ = 64  # bytes of the nonce file to read: enough to see that it is longer than a nonce
_BLANKS = b" \t\r\n\0"  # a file that was growing when the power was cut may be full of zeros
Records = tuple[MarkRecord | None, MarkRecord | None]


class Found(NamedTuple):
    """The nonce to continue from.

    Args:
        last: Nothing above it has been issued; None if nothing has been issued.
        doubt: Why it is not simply the nonce file; empty if it is.
        damaged: Whether to log a warning. A reboot of the machine or another container is no damage.
    """

    last: int | None
    doubt: str = ""
    damaged: bool = False


def newest(records: Records) -> MarkRecord | None:
    """Return the valid record of the last raise of the mark; None if both slots are damaged."""
    return max((record for record in records if record), key=lambda record: record.sequence, default=None)


def in_force(records: Records) -> tuple[int, int]:
    """Return the base and the mark of the last raise that was written to both slots; zeros if there is none.

    A slot that is damaged was written once. One that is older than the other shows that it was not written yet.
    """
    record = newest(records)
    if record is None:
        return 0, 0
    is_whole = all(slot is None or (slot.sequence == record.sequence and slot.which != NOT_WRITTEN) for slot in records)
    return (record.base, record.mark) if is_whole else (record.old_base, record.old_mark)


def last_at_end(records: Records, note: bytes) -> int | None:
    """Return the last nonce, if the last process has noted it at its end and the mark was not raised since.

    Args:
        records: Both slots of the mark file.
        note: The bytes after them.
    """
    record = newest(records)
    is_whole = record is not None and in_force(records) == (record.base, record.mark)
    return unpack_end(note, record) if record is not None and is_whole else None


def of_this_boot(record: MarkRecord | None, clock: Clock) -> bool:
    """Whether *record* was written in this boot and by this clock; no if that is unknown."""
    return bool(record and record.boot_id and record.boot_id == clock.boot_id())


def last_issued(
    text: bytes, records: Records, *, same_boot: bool, mark_is_new: bool, ended: int | None = None
) -> Found:
    """Return the last nonce of a counter, from its state as it was found on the disk.

    Within one boot the nonce file is exact, because the page cache outlives a killed process. In any other case it may
    be older than the last nonce, which is never above the mark, because the mark was on the disk first (promise 1).

    Args:
        text: The bytes of the nonce file; empty if it is missing.
        records: Both slots of the mark file.
        same_boot: Whether the newest record was written in the present boot. Unknown counts as no.
        mark_is_new: There was no mark file before, so the nonce file comes from another program, which keeps none.
        ended: As :func:`last_at_end` returns it.
    """
    value, garbage = _nonce(text), bool(text.strip(_BLANKS))
    record = newest(records)
    if record is None:
        return _without_mark(value, mark_is_new=mark_is_new, garbage=garbage)
    if value is None and garbage:
        return Found(record.mark, "the nonce file does not contain a nonce", damaged=True)
    if not same_boot and ended is not None and (value is None or value <= ended):
        return Found(ended)
    if not same_boot:
        return Found(record.mark, "the mark is from before a reboot, or from another container")
    if value is None:
        return Found(record.mark, "the nonce file is empty or missing", damaged=True)
    if any(base <= value <= mark for base, mark in (in_force(records), (record.base, record.mark))):
        return Found(value)
    return Found(record.mark, "the nonce file does not fit the mark file: it is old or was edited", damaged=True)


def _without_mark(value: int | None, *, mark_is_new: bool, garbage: bool) -> Found:
    if not mark_is_new:  # both slots are damaged: the nonce file may be as old as the last write of the page cache
        last = None if value is None else min(value + 2 * MARK_STEP, NONCE_MAX)
        return Found(last, "the mark file is empty or damaged in both slots", damaged=True)
    if value is not None:
        return Found(value, "there is a nonce file but no mark file; the nonce file is trusted")
    return Found(
        None, "the nonce file does not contain a nonce, and there is no mark file" if garbage else "", damaged=garbage
    )


def _nonce(text: bytes) -> int | None:
    text = text.strip(_BLANKS)
    if not text.isdigit() or len(text) > 19:
        return None
    value = int(text)
    return value if value <= NONCE_MAX else None
