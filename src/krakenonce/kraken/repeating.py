"""What is done when a private call gets no result: whether it is repeated, and what its error says.

==================================  ==========  ========================================================================
what happened                       executed?   what is done
==================================  ==========  ========================================================================
no connection                       no          repeated with a new nonce, twice at most
``EAPI:Invalid nonce``              no          repeated once with a new nonce; an order only after looking for its
                                                ``cl_ord_id`` and not finding it; twice in a row: PoisonedKey.
                                                Any other call that changes something is not repeated
no answer, 5xx, HTML, fault         unknown     calls that only read, and cancels by txid: repeated, twice at most.
                                                All others: the error; for an order ``reconcile()`` asks Kraken
an error that is not known          unknown     raised, also for calls that only read
rate limit, throttled               no          waited for, if that takes no longer than *max_wait*
a page with HTTP status 429         unknown     the same, for calls that only read, and cancels by txid
temporary lockout                   no          nothing is sent with this key by any process of this host
any other error                     see class   raised
==================================  ==========  ========================================================================
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from krakenonce.errors import (
    CallTimeout,
    InvalidNonce,
    KrakenAPIError,
    KrakenError,
    KrakenonceError,
    LockedOut,
    PoisonedKey,
    RateLimited,
    RequestNotSent,
)
from krakenonce.key.answers import Reading, advice, may_pass, shown
from krakenonce.key.methods import Kind, kind_of
from krakenonce.kraken.request import PrivateCall, Sleep, Steps
from krakenonce.kraken.sent import LIFETIME, SentOrder

if TYPE_CHECKING:
    from krakenonce.kraken.calling import Calls
    from krakenonce.kraken.kraken_time import KrakenTime


logger = logging.getLogger("krakenonce")

PAUSES = (0.2, 1.0)  # seconds before the first and the second repetition
REFUSALS = 3  # how often a call waits after Kraken has answered that there were too many calls
LOGGED_WAIT = 2.0  # seconds; a longer wait is logged


class Tries:
    """One private call, and what has been tried for it so far.

    Args:
        call: The call.
    """

    __slots__ = ("_call", "_invalid_nonce", "_not_sent", "_only", "_refused", "_unanswered", "kind", "waited")

    def __init__(self, call: PrivateCall) -> None:
        self._call = call
        self._only = call.only
        self.kind = kind_of(call.method, call.params)
        self._not_sent = self._unanswered = self._refused = 0
        self._invalid_nonce = False
        self.waited = 0.0  # seconds, for rate limits

    def again(self, error: KrakenError, calls: Calls) -> Steps[dict[str, Any] | None]:
        """Return when the call may be repeated, or with the result of an order that was placed; else raise *error*."""
        if isinstance(error, RequestNotSent) and error.may_be_repeated:
            self._not_sent += 1
            yield from _pause_or_raise(self._not_sent, error)
        elif isinstance(error, InvalidNonce):
            return (yield from self._after_invalid_nonce(error, calls))
        elif isinstance(error, LockedOut):
            raise error
        elif isinstance(error, RateLimited) and self._may_wait(error):
            yield from self._after_refusal(error, calls.max_wait)
        elif may_pass(error) and self.kind in (Kind.READ, Kind.CANCEL):
            self._unanswered += 1
            yield from _pause_or_raise(self._unanswered, error)
        else:
            raise error
        return None

    def begin_with_another_key(self) -> None:
        """The call may be made with another key of the account, whose nonces are others."""
        self._invalid_nonce, self._call.only = False, self._only

    def _may_wait(self, error: RateLimited) -> bool:
        """Whether a call that was refused for the moment may be made again: it was not executed, or that is the same.

        A page with HTTP status 429 does not say it, and has no strings of Kraken's.
        """
        return error.may_have_executed == "no" or (not error.errors and self.kind in (Kind.READ, Kind.CANCEL))

    def complete(self, error: KrakenonceError, time: KrakenTime) -> None:
        """Complete the error with which the call ends: what earlier tries may have done, and which order to find.

        Args:
            error: The error.
            time: Kraken's time, which the message names if the order's deadline was refused.
        """
        if isinstance(error, KrakenAPIError) and any("deadline" in string.lower() for string in error.errors):
            whose = "the call's own" if self._call.lifetime is None else f"set by krakenonce to {LIFETIME:.0f} s ahead"
            error.args = (f"{error} The deadline was {whose}; {time.described()}.", *error.args[1:])
        if self.kind is Kind.CANCEL and self._unanswered and error.may_have_executed == "no":
            error.may_have_executed = "unknown"
        if self.kind is Kind.ORDER and isinstance(error, KrakenError) and error.may_have_executed != "no":
            error.order = SentOrder.of(self._call)

    def _after_invalid_nonce(self, error: InvalidNonce, calls: Calls) -> Steps[dict[str, Any] | None]:
        kind = self.kind
        if kind in (Kind.ORDER, Kind.OTHER):
            error.may_have_executed = "unknown"  # something on the way may have sent it twice
        if self._invalid_nonce:
            raise poisoned(error) from error
        self._invalid_nonce = True
        self._call.only = self._call.key  # only a later nonce of this key proves that the first was not executed
        if kind is Kind.OTHER:
            raise error
        if kind is not Kind.ORDER:
            return None
        order = SentOrder.of(self._call)
        if not order.cl_ord_ids:
            raise error
        logger.warning(
            "Invalid nonce for an order: asking Kraken whether it was placed, until its deadline at most, before it is "
            "sent again"
        )
        try:
            found = yield from calls.looked_for(order)
        except PoisonedKey as worse:
            worse.may_have_executed = "unknown"
            raise
        except KrakenonceError as failed:  # the failed query says nothing about the order
            raise error from failed
        if not found.placed:
            return None
        if len(order.cl_ord_ids) > 1:
            error.may_have_executed = "yes"
            raise error
        ((txid, placed),) = found.orders.items()
        with Reading("OpenOrders"):
            return {"descr": {"order": placed["descr"]["order"]}, "txid": [txid]}

    def _after_refusal(self, error: RateLimited, max_wait: float) -> Steps[None]:
        self._refused += 1
        wait = error.retry_after or 0.0
        if self._refused > REFUSALS or self.waited + wait > max_wait:
            raise error
        self.waited += wait
        if wait > LOGGED_WAIT:
            why = shown(error.errors) or "too many requests"
            logger.warning("%s: %s; trying again in %.0f s", self._call.method, why, wait)
        yield from pause(wait, error)


def pause(seconds: float, error: KrakenError) -> Steps[None]:
    """Wait before a repetition. If the time limit does not allow it, *error* is raised."""
    try:
        yield Sleep(seconds)
    except CallTimeout:
        raise error from None


def _pause_or_raise(tried: int, error: KrakenError) -> Steps[None]:
    if tried > len(PAUSES):
        raise error
    yield from pause(PAUSES[tried - 1], error)


def poisoned(error: InvalidNonce) -> PoisonedKey:
    """Return the error after the second Invalid nonce in a row."""
    worse = PoisonedKey(f"Kraken answered twice in a row: {shown(error.errors)}. {advice(PoisonedKey)}", error.errors)
    worse.may_have_executed = error.may_have_executed
    return worse
