"""Kraken's lockouts: how long krakenonce assumes that one lasts, and until when nothing is sent with a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krakenonce.errors import LockedOut
from krakenonce.key.limits_state import LOCKED, LOCKED_AT

if TYPE_CHECKING:
    from krakenonce.key.limits_state import State


LOCKOUT = 900.0  # seconds; Kraken's support page says about 15 minutes, its API pages a few minutes
_LONGEST = 86_400.0  # seconds; more than this in a file is damage


def locked_out(state: State, now: float) -> float:
    """Return the seconds until the key's lockout ends; 0.0: there is none."""
    noted, until = state.lockout()
    length = until - noted
    return max(0.0, min(until - now, length)) if 0.0 < length < _LONGEST + 1.0 else 0.0


def lock_out(state: State, seconds: float, now: float) -> None:
    """Note a lockout for all processes, at most for a day. A longer one that was noted before is not shortened."""
    seconds = min(seconds, _LONGEST)
    if seconds > locked_out(state, now):
        state.write(LOCKED_AT, LOCKED.pack(now, now + seconds))


def refuse_if(left: float) -> None:
    """Raise LockedOut if the lockout lasts for another *left* seconds, which is more than 0."""
    if left > 0:
        error = LockedOut(
            "Not sent: Kraken has locked out this account or IP address after too many failed calls. krakenonce sends "
            f"nothing with this key for another {left:.0f} s."
        )
        error.retry_after = left
        raise error
