"""What the last number was, judged from the text and the mark as they were found. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from ..rule import NONCE_MAX, WINDOW
from .mark import MarkRecord

__all__ = ["Found", "last_issued", "newest"]

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
    """The valid record with the higher sequence; None if both slots are broken."""
    return max((record for record in records if record), key=lambda record: record.sequence, default=None)


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
    value = _number(text)
    record = newest(records)
    if record is None:
        if mark_is_new:
            if value is not None:
                return Found(value, "there is no mark beside the text, which is taken as it is")
            garbage = bool(text.strip())
            return Found(None, "the text is no number, and there is no mark" if garbage else "", damaged=garbage)
        # Both slots broken: the text may be stale, by what can be issued between two writes of the page cache.
        return Found(
            None if value is None else min(value + 2 * WINDOW, NONCE_MAX),
            "the mark is empty or broken in both slots",
            damaged=True,
        )
    if value is None:
        return Found(
            record.mark, "the text is empty or missing" if not text.strip() else "the text is no number", damaged=True
        )
    if not any(slot and slot.mark - WINDOW <= value <= slot.mark for slot in records):
        return Found(record.mark, "the text does not fit the mark: it is stale or was changed", damaged=True)
    if not same_boot:
        return Found(record.mark, "the machine was restarted")
    return Found(value)


def _number(text: bytes) -> int | None:
    text = text.strip()
    if not text.isdigit() or len(text) > 19:
        return None
    value = int(text)
    return value if value <= NONCE_MAX else None
