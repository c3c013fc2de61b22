"""What an HTTP status says when no answer of Kraken's API came, and until when an address wants no calls.

Kraken's API answers its errors with status 200, so anything else comes from what is in front of it: a CDN, a load
balancer, a proxy. All statuses of the kind 4xx mean that the call was refused for what it is or for where it comes
from, before it was passed on: it was not executed. Exceptions are those after which a call may have been passed on:
408, 425 and 499 are about time, and no source says whether 429 comes before or after Kraken. 5xx says nothing: orders
were placed and answered with 502, 504 and 520.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING

from krakenonce.errors import AccessBlocked, KrakenError, OutcomeUnknown, RateLimited
from krakenonce.key.answers import advice
from krakenonce.key.counting import A_FEW_SECONDS
from krakenonce.key.methods import look_at
from krakenonce.kraken.kraken_time import seconds_of

if TYPE_CHECKING:
    from krakenonce.kraken.request import Answer


TOO_MANY = 429
_LONGEST = 900.0  # seconds; a longer Retry-After is taken for a mistake, and a lockout is no longer either
_ABOUT_TIME = (408, 425, 499)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

_closed_until: dict[str, float] = {}  # on the monotonic clock, by host: it counts all calls from this address


def retry_after(answer: Answer) -> float:
    """Return the seconds after which the next call may be made: what ``Retry-After`` says, but 15 minutes at most.

    It says seconds, or a date, which is compared with the answer's own ``Date`` so that our clock does not matter.
    """
    said = answer.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(said):
        return min(float(said), _LONGEST)
    until, now = seconds_of(said), seconds_of(answer.headers.get("Date", ""))
    if math.isnan(until):
        return A_FEW_SECONDS
    return min(max(until - (time.time() if math.isnan(now) else now), 0.0), _LONGEST)


def heed(host: str, answer: Answer) -> None:
    """Note until when a host wants no calls from any client in this process, if this answer says so."""
    if answer.status == TOO_MANY:
        _closed_until[host] = max(_closed_until.get(host, 0.0), time.monotonic() + retry_after(answer))


def closed_for(host: str) -> float:
    """Return the seconds for which a host wants no calls; 0.0: it takes them."""
    until = _closed_until.get(host)
    return 0.0 if until is None else max(0.0, until - time.monotonic())


def refuse_if_closed(host: str) -> None:
    """Raise RateLimited if a host wants no calls yet."""
    if seconds := closed_for(host):
        error = RateLimited(
            f"Not sent: {host} has answered HTTP status {TOO_MANY}, too many requests, and wants no call for another "
            f"{seconds:.1f} s. Wait, and call less often."
        )
        error.retry_after = seconds
        raise error


def error_of(call: str, host: str, answer: Answer, shown: str) -> KrakenError:
    """Return the error for an answer that is not Kraken's.

    Args:
        call: The call, for the message.
        host: Who has answered.
        answer: The answer.
        shown: The beginning of its body, for the message.
    """
    told = f"{call} at {host}: HTTP status {answer.status} and a body that is not an answer of Kraken's API: {shown!r}."
    # Cloudflare's documentation: every challenge page has this header, whatever its status and its words.
    if answer.headers.get("cf-mitigated", "").lower() == "challenge":
        return AccessBlocked(f"{told} {advice(AccessBlocked)}")
    if answer.status == TOO_MANY:
        seconds = retry_after(answer)
        limited = RateLimited(
            f"{told} Too many requests. Wait {seconds:.0f} s, and call less often. A call that changes something may "
            "have been executed: ask Kraken before you repeat it."
        )
        limited.retry_after, limited.may_have_executed = seconds, "unknown"
        return limited
    if 400 <= answer.status < 500 and answer.status not in _ABOUT_TIME:
        return AccessBlocked(f"{told} {advice(AccessBlocked)}")
    look = look_at(call.removeprefix("/0/private/"))
    return OutcomeUnknown(f"{told} The call may have been executed: {look} before you repeat it.")
