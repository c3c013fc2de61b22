"""Whether an account can be used, from what is known of its keys: a word, why, and until when. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.gateway import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.state_look import AccountState


FINE, LIMITED, REFUSED, LOCKED_OUT = "fine", "limited", "refused", "locked_out"
STATES = (FINE, LIMITED, REFUSED, LOCKED_OUT)
ANOTHER_ACCOUNT = "another_account"
# Refusals that are the key's own: as soon as Kraken accepts the key in any call, they are over.
_OF_KEY = (refusals.INVALID_KEY, refusals.INVALID_SIGNATURE, refusals.INVALID_NONCE)
# Refusals of the key or the account in some calls, perhaps in all.
_OF_METHOD = (refusals.PERMISSION, refusals.ACCOUNT)
# With these nothing is said of the key: Kraken may not have looked at it.
_SAYS_NOTHING = (
    refusals.LOCKOUT,
    refusals.RATE_LIMIT,
    refusals.THROTTLED,
    refusals.UNAVAILABLE,
    refusals.PAGE,
    "unknown_method",
)
_WORDS = {
    refusals.INVALID_KEY: "unknown key",
    refusals.INVALID_SIGNATURE: "wrong secret",
    refusals.INVALID_NONCE: "invalid nonce",
    refusals.PERMISSION: "no permission",
    refusals.ACCOUNT: "account refused by Kraken",
    refusals.LOCKOUT: "lockout",
    ANOTHER_ACCOUNT: "key of another account",
}


class Health(NamedTuple):
    """What is known of an account.

    Args:
        state: ``fine``; ``limited``: some calls or some of its keys are refused; ``refused``: Kraken refuses its key,
            or all of its keys; ``locked_out``: no call is sent until then.
        reason: The reason as in the metrics, such as ``invalid_signature``; empty if it is fine.
        until: When the lockout ends, in seconds since 1970; None if the state is another, or has no end that is known.
        method: The method that was refused, if others are not; else empty.
    """

    state: str
    reason: str = ""
    until: float | None = None
    method: str = ""

    @property
    def words(self) -> str:
        """The reason for a person, such as ``wrong secret``; empty if it is fine."""
        why = _WORDS.get(self.reason, self.reason.replace("_", " "))
        return f"{why}: {self.method}" if self.method else why


class Trouble(NamedTuple):
    """Kraken's refusal of a key, after which it has not accepted the same.

    Args:
        reason: The reason, as in the metrics.
        method: The method that was refused first.
        is_partial: Whether Kraken has accepted another method since.
    """

    reason: str
    method: str
    is_partial: bool = False


class KeyTroubles:
    """The refusals of one key that are not over. One thread writes, any may read.

    Attributes:
        now: They, by what they are about: the key, or one method.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: dict[str, Trouble] = {}

    def accepted(self, method: str) -> None:
        """Kraken has accepted the key in a call of this method."""
        if self.now:
            left = [each for each in self.now.values() if each.reason in _OF_METHOD and each.method != method]
            self.now = {each.method: each._replace(is_partial=True) for each in left}

    def refused(self, method: str, reason: str) -> None:
        """Kraken has refused a call of this method.

        Args:
            method: Kraken's name for it.
            reason: The reason, as in the metrics.
        """
        if reason in _OF_KEY:
            self.now = {**self.now, "": Trouble(reason, method)}
        elif reason in _OF_METHOD:
            # It knows the key; whether another method is accepted, only an answer to that says.
            was_partial = any(each.is_partial for each in self.now.values())
            self.now = {each: kept for each, kept in self.now.items() if each}
            self.now[method] = Trouble(reason, method, was_partial)
        elif reason not in _SAYS_NOTHING:
            self.accepted(method)


class KeyFacts(NamedTuple):
    """What is known of one key.

    Args:
        locked_out: Seconds until a lockout ends; 0.0: there is none.
        troubles: Kraken's refusals of it that are not over.
        out: For how many seconds it is passed over, for each reason; infinity: for good.
    """

    locked_out: float = 0.0
    troubles: Sequence[Trouble] = ()
    out: Sequence[float] = ()


def health_of(keys: Iterable[KeyFacts], now: float) -> Health:
    """Return what is known of an account.

    Args:
        keys: What is known of each of its keys, at least one.
        now: Seconds since 1970.
    """
    each = [_of_key(key, now) for key in keys]
    worst = max(each, key=_gravity)
    usable = [one for one in each if one.state in (FINE, LIMITED)]
    if not usable:  # with a lockout that ends, the account can be used again
        ends = [one for one in each if one.state == LOCKED_OUT]
        return min(ends, key=lambda one: one.until or 0.0) if ends else worst
    if worst.state in (FINE, LIMITED):
        return worst
    return Health(LIMITED, worst.reason, worst.until, worst.method)


def health_in(account: KrakenAccount, seen: AccountState, now: float) -> Health:
    """Return what is known of an account of the gateway.

    Args:
        account: The account.
        seen: What the state says of it.
        now: Seconds since 1970.
    """
    troubles = {key.name: list(key.troubles.now.values()) for key in account.keys}
    facts = [
        KeyFacts(key.locked_out, troubles.get(key.name, ()), [seconds for _, seconds in key.out]) for key in seen.keys
    ]
    return health_of(facts, now)


def _of_key(key: KeyFacts, now: float) -> Health:
    if any(math.isinf(seconds) for seconds in key.out):
        return Health(REFUSED, ANOTHER_ACCOUNT)
    for trouble in key.troubles:
        if trouble.reason in _OF_KEY:
            return Health(REFUSED, trouble.reason)
    if key.locked_out > 0:
        return Health(LOCKED_OUT, refusals.LOCKOUT, now + key.locked_out)
    for trouble in key.troubles:
        return Health(LIMITED if trouble.is_partial else REFUSED, trouble.reason, None, trouble.method)
    return Health(FINE)


def _gravity(health: Health) -> int:
    return (FINE, LIMITED, LOCKED_OUT, REFUSED).index(health.state)
