"""The time of one key's state: all processes that share it agree about it, though their clocks differ. No I/O.

Containers on one machine may have different times since boot, and after a reboot it begins again. So the state has a
time of its own. It goes on with the time since boot of the process that takes a step, as long as all steps come from
one clock. If the next step comes from another clock, the wall clock says how much time has passed in between. The
state's time never goes back: if the wall clock was set back, it goes on from the last time that was noted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


FAR = 1e10  # seconds; a later time is damage
_MOVED = 0.05  # seconds; the wall clock is corrected by less than this all the time


class Reading(NamedTuple):
    """What the clocks of a process show.

    Args:
        clock: Which time since boot that is: the same number, the same clock.
        boot: Seconds since boot.
        wall: Seconds since 1970; NaN if the wall clock cannot be right.
    """

    clock: int
    boot: float
    wall: float


class Anchor(NamedTuple):
    """How the state's time follows from the clocks.

    Args:
        clock: The clock of the last step.
        shift: The state's time less this clock's seconds since boot.
        offset: The wall clock less the state's time, at most a few hundredths of a second off; NaN: not known.
    """

    clock: int
    shift: float
    offset: float


def begin(reading: Reading) -> tuple[float, Anchor]:
    """Return the time of a new state, and its anchor."""
    return reading.boot, Anchor(reading.clock, 0.0, reading.wall - reading.boot)


def go_on(anchor: Anchor, reading: Reading, latest: Callable[[], float]) -> tuple[float, Anchor]:
    """Return the state's time now, and the anchor to keep: another one if the clock changes or the wall clock moves.

    Args:
        anchor: The anchor that was kept last; it may be damaged.
        reading: What the clocks show now.
        latest: Returns the last time that was noted in the state. Called only if the clock changes.
    """
    now = reading.boot + anchor.shift
    if anchor.clock == reading.clock and 0.0 <= now < FAR:
        is_steady = math.isnan(reading.wall) or abs(reading.wall - now - anchor.offset) < _MOVED
        return now, anchor if is_steady else anchor._replace(offset=reading.wall - now)
    now, last = reading.wall - anchor.offset, latest()
    if not last <= now < FAR:
        now = last
    return now, Anchor(reading.clock, now - reading.boot, reading.wall - now)
