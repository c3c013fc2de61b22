"""The arithmetic of nonces: which one is next, and which clock to trust. No I/O; all state is passed in.

All times and nonces are nanoseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from krakenonce.errors import ClockError, InvalidFloor, InvalidScope, KrakenonceError, NonceExhausted

SECOND = 1_000_000_000
NONCE_MAX = 2**63 - 1  # promise 8: Kraken's guide says unsigned 64 bit, its schema says int64
MARK_STEP = 10 * SECOND  # the ten-second step: how far the mark is raised above the nonce that needed it
EARLIEST = 1_577_836_800 * SECOND  # 2020-01-01
LATEST = 7_258_118_400 * SECOND  # 2200-01-01
STEP_LIMIT = 60 * SECOND  # a larger step forward of the wall clock is not trusted at once
STEP_LASTS = 60 * SECOND  # it is trusted once it has lasted this long

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NAME_MAX = 64


def next_nonce(last: int | None, now_ns: int) -> int:
    """Return the next nonce: ``max(last + 1, now)``.

    Args:
        last: The last nonce issued; None if there was none.
        now_ns: The wall clock. It may have stepped back; it can only raise the nonce (promise 5).

    Raises:
        NonceExhausted: The nonce would be above 2^63 - 1.
        ClockError: There is no earlier nonce, and the clock is before 2020 or after 2200.
    """
    if not in_range(now_ns):
        if last is None or last < EARLIEST:
            raise ClockError(
                f"the system clock is at {now_ns / SECOND:.0f} s since 1970, which is not between 2020 and 2200, "
                "and there is no earlier nonce; no nonce was issued; set the clock"
            )
        now_ns = 0
    nonce = now_ns if last is None else max(last + 1, now_ns)
    if nonce > NONCE_MAX:
        raise NonceExhausted("the counter has reached 2^63 - 1, the largest nonce; use a new API key and counter")
    return nonce


def in_range(now_ns: int) -> bool:
    """Whether a clock reading is between 2020 and 2200, so that it may be stored."""
    return EARLIEST <= now_ns < LATEST


def mark_for(nonce: int) -> int:
    """Return the mark to make durable before *nonce* is issued."""
    return min(nonce + MARK_STEP, NONCE_MAX)


def check_floor(floor: object) -> int:
    """Return *floor* if it is an integer from 0 to 2^63 - 2, else raise InvalidFloor."""
    if isinstance(floor, bool) or not isinstance(floor, int):
        raise InvalidFloor(f"a floor must be an integer from 0 to 2^63 - 2, not of type {type(floor).__name__}")
    if not 0 <= floor < NONCE_MAX:
        raise InvalidFloor(f"a floor must be an integer from 0 to 2^63 - 2, not {floor}")
    return floor


def check_scope(scope: object) -> None:
    """Raise InvalidScope unless *scope* is 1 to 64 letters, digits, ``-`` or ``_``."""
    check_name("a counter", scope, InvalidScope)


def check_name(what: str, name: object, error: type[KrakenonceError]) -> None:
    """Raise *error* unless *name* is 1 to 64 letters, digits, ``-`` or ``_``.

    The message does not show the name: the caller may have passed an API key.
    """
    if isinstance(name, str) and 1 <= len(name) <= _NAME_MAX and _NAME_LETTERS.issuperset(name):
        return
    rule = f"the name of {what} has 1 to 64 letters, digits, '-' or '_'"
    if not isinstance(name, str):
        raise error(f"{rule}; it must be text, not of type {type(name).__name__}")
    if not 1 <= len(name) <= _NAME_MAX:
        raise error(f"{rule}; this name has {len(name)} characters")
    wrong = next(i for i, letter in enumerate(name) if letter not in _NAME_LETTERS)
    raise error(f"{rule}; this name has {name[wrong]!r} at position {wrong + 1}")


class Anchor(NamedTuple):
    """Two clocks read at one moment, as far as they were trusted then.

    Args:
        wall_ns: The wall clock, or what it was taken to be.
        boot_ns: Time since boot at the same moment.
        step_since: Time since boot at which a forward step was first seen; 0 if there is none.
        step_ns: How far the wall clock has been ahead ever since then.
    """

    wall_ns: int
    boot_ns: int
    step_since: int = 0
    step_ns: int = 0


class ClockVerdict(NamedTuple):
    """The time to use now, and the anchor for the next time.

    Args:
        now_ns: The time to use.
        anchor: What to remember.
        event: What was seen of the wall clock since the last anchor.
    """

    now_ns: int
    anchor: Anchor
    event: Literal["steady", "back", "forward", "accepted", "absurd"]


def judge_clock(anchor: Anchor | None, wall_ns: int, boot_ns: int) -> ClockVerdict:
    """Compare the progress of the wall clock with that of the time since boot.

    A step forward of more than a minute is not trusted until it has lasted a minute: until then the time is
    projected from the anchor. A step back is trusted, because it cannot lower a nonce (promise 5).

    Args:
        anchor: The last two readings of this boot; None if there are none.
        wall_ns: The wall clock now.
        boot_ns: Time since boot now.
    """
    if anchor is None or not in_range(anchor.wall_ns):
        event: Literal["steady", "absurd"] = "steady" if in_range(wall_ns) else "absurd"
        return ClockVerdict(wall_ns, Anchor(wall_ns, boot_ns), event)
    projected = anchor.wall_ns + boot_ns - anchor.boot_ns
    if not in_range(wall_ns):
        return ClockVerdict(projected, anchor._replace(wall_ns=projected, boot_ns=boot_ns), "absurd")
    step = wall_ns - projected
    if step <= STEP_LIMIT:
        return ClockVerdict(wall_ns, Anchor(wall_ns, boot_ns), "back" if step < -SECOND else "steady")
    since, ahead = anchor.step_since, anchor.step_ns
    if not since or step > ahead + STEP_LIMIT:  # one that has grown has not lasted
        since, ahead = boot_ns, step
    if boot_ns - since >= STEP_LASTS:
        return ClockVerdict(wall_ns, Anchor(wall_ns, boot_ns), "accepted")
    return ClockVerdict(projected, Anchor(projected, boot_ns, since, min(step, ahead)), "forward")
