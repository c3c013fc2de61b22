"""What an event says in plain English, in one short line. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krakenonce.journal.event import Event


_SAYS = {
    "invalid_nonce": "Kraken refused the nonce",
    "locked_out": "Kraken locked the key out",
    "rate_limit": "Kraken refused the call: too many calls",
    "invalid_key": "Kraken does not know the API key",
    "invalid_signature": "Kraken refused the signature",
    "permission": "Kraken refused the call: no permission",
    "refused": "Kraken refused the call",
    "blocked": "what is in front of Kraken refused the call",
    "held_back": "not sent",
    "over_limit": "not sent",
    "unknown": "it is not known whether the call was executed",
    "found_out": "it was found out what became of the call",
    "clock_step": "the clock was set",
    "recovered": "the state was damaged or missing",
    "floor_raised": "a floor was raised",
    "adopted": "the key was adopted",
    "slow_turn": "the turn took long to get",
    "no_turn": "the turn did not come in time",
}


def said(event: Event) -> str:
    """Return an event as one short line, without its time."""
    whose = " ".join(each for each in (event.account, event.key and f"key {event.key}") if each)
    head = ", ".join(each for each in (whose, event.method) if each)
    says = _SAYS.get(event.what, event.what)
    if event.more:
        return f"{head}{': ' if head else ''}{event.more} more: {says}{_by(event)}"
    return f"{head}{': ' if head else ''}{says}{_details(event)}{_by(event)}"


def _details(event: Event) -> str:
    text = f": {event.text}" if event.text else ""
    order = f"; order {event.order}" if event.order else ""
    nonce = f"; nonce {event.nonce}" if event.nonce else ""
    if event.nonce and event.before:
        nonce += f", {event.nonce - event.before} above the one before"
    return f"{text}{order}{nonce}{_seconds(event)}"


def _seconds(event: Event) -> str:
    if not event.seconds:
        return ""
    if event.what in ("slow_turn", "no_turn"):
        return f"; waited {event.seconds:.1f} s"
    return f"; {event.seconds:.3f} s after its nonce was taken"


def _by(event: Event) -> str:
    where = f" on {event.host}" if event.host else ""
    return f" ({event.program or 'process'} {event.pid}{where})" if event.pid else ""
