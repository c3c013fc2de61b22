"""How one private call is made: limits, the one number after another, and what to do with each answer. No I/O.

Each procedure here is a generator that asks for one step after the other (see :mod:`krakenonce.kraken.request`); the
sync and the async client only differ in how they carry the steps out.

==================================  ==========  ========================================================================
what happened                       executed?   what is done
==================================  ==========  ========================================================================
no connection                       no          repeated with a new number, twice at most
``EAPI:Invalid nonce``              no          floor raised, repeated once; an order only after looking for its
                                                ``cl_ord_id`` and not finding it; twice in a row: PoisonedKey.
                                                Whatever else changes something is not repeated
no answer, 5xx, HTML, fault         unknown     what only reads, and cancels by txid: repeated, twice at most.
                                                All else: the error; ``reconcile()`` finds out about an order
rate limit, throttled               no          waited for, if that takes no longer than *max_wait*
temporary lockout                   no          the key is closed for every process on this host
any other error                     see class   raised
==================================  ==========  ========================================================================
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from krakenonce.errors import (
    CallTimeout,
    ConfigError,
    InvalidNonce,
    KrakenError,
    KrakenonceError,
    LockedOut,
    OutcomeUnknown,
    PoisonedKey,
    RateLimited,
    RequestNotSent,
    ServiceUnavailable,
)
from krakenonce.key.answers import Reading, advice, refusal_in, result_of, shown
from krakenonce.key.api_key import ASK_AGAIN
from krakenonce.key.methods import METHODS, Kind, ids_in, kind_of
from krakenonce.kraken.request import PrivateCall, PublicCall, Sleep, Steps, TimeLeft
from krakenonce.kraken.sent import SentOrder, prepared, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.key.api_key import ApiKey
    from krakenonce.key.limiter import Place

__all__ = ["Calls"]

logger = logging.getLogger("krakenonce")

PAUSES = (0.2, 1.0)  # seconds before the first and the second repetition
REFUSALS = 3  # how often a call waits for Kraken's own word that there were too many
_WORTH_A_WORD = 2.0  # seconds of waiting that are logged

Params: TypeAlias = "Mapping[str, Any]"


@dataclass(slots=True)
class _Tries:
    """What has been tried for one call so far."""

    not_sent: int = 0
    unanswered: int = 0
    refused: int = 0
    invalid_nonce: bool = False
    waited: float = 0.0  # seconds, for limits


class Calls:
    """The calls of one API key.

    Args:
        api_key: The API key; None for public calls only.
        max_wait: Seconds that a call waits for limits at most, in all; 0: it is refused instead.
        now: The wall clock, in seconds since 1970.
    """

    def __init__(self, api_key: ApiKey | None, max_wait: float, now: Callable[[], float] = time.time) -> None:
        self._api_key = api_key
        self._max_wait = max_wait
        self._now = now
        self._told = False  # that calls wait for the limits

    @property
    def api_key(self) -> ApiKey:
        """The API key. Raises ConfigError if there is none."""
        if self._api_key is None:
            raise ConfigError("A private call needs an API key and its secret.")
        return self._api_key

    def public(self, method: str, params: Params) -> Steps[Any]:
        """Make a public call and return its result; repeated if it got no answer or too many were made."""
        call = PublicCall(method, {name: value for name, value in params.items() if value is not None})
        for pause in PAUSES:
            try:
                return result_of((yield call), self._now())
            except (RequestNotSent, OutcomeUnknown, ServiceUnavailable, RateLimited) as error:
                yield from _pause(pause, error)
        return result_of((yield call), self._now())

    def private(self, method: str, params: Params) -> Steps[Any]:
        """Make a private call after the table above and return its result.

        Raises:
            KrakenError: One of its subclasses. After an order it has ``order`` and ``reconcile()``.
        """
        if "nonce" in params:
            raise ConfigError("The nonce is taken here, in the key's turn: leave it out.")
        return (yield from self.make(prepared(method, params)))

    def make(self, call: PrivateCall) -> Steps[Any]:
        """Make a call that :func:`krakenonce.kraken.sent.prepared` has prepared; else as :meth:`private`."""
        kind = kind_of(call.method, call.params)
        tries = _Tries()
        try:
            while True:
                yield from self._room(call, tries)
                try:
                    result = self._result(call, (yield from self._sent(call)))
                except KrakenError as error:
                    placed = yield from self._again(error, call, kind, tries)
                    if placed is not None:
                        return placed
                else:
                    self._remember(call, result)
                    return result
        except GeneratorExit:  # interrupted or cancelled, perhaps between sending and the answer
            if kind is Kind.ORDER and call.signed_at is not None:
                ids = ", ".join(SentOrder.of(call).cl_ord_ids) or "none"
                logger.warning("interrupted: an order may stand at Kraken, look for it (its cl_ord_id: %s)", ids)
            raise
        except KrakenonceError as error:
            if kind is Kind.CANCEL and tries.unanswered and error.may_have_executed == "no":
                error.may_have_executed = "unknown"  # an earlier try may have been
            if kind is Kind.ORDER and isinstance(error, KrakenError) and error.may_have_executed != "no":
                error.order = SentOrder.of(call)
            raise
        finally:
            self._leave(call)

    def once(self, method: str, params: Params) -> Steps[dict[str, Any]]:
        """Make a private call once, within the limits, and return Kraken's answer as it is, errors included."""
        call = PrivateCall(method, params, has_turn="nonce" in params)
        try:
            if not call.has_turn:  # else it must not be made to wait
                yield from self._room(call, _Tries())
            reply = yield from self._sent(call)
        finally:
            self._leave(call)
        with contextlib.suppress(KrakenError):  # the caller sees it in the answer
            self._remember(call, self._result(call, reply))
        return reply

    def reconcile(self, order: SentOrder) -> Steps[Any]:
        """Find out what became of an order; see :func:`krakenonce.kraken.sent.reconcile`.

        Raises:
            OutcomeUnknown: Kraken could not be asked; its cause says why. The order may stand.
        """
        try:
            return (yield from reconcile(self, order, self._now))
        except KrakenonceError as failed:
            error = OutcomeUnknown(f"Kraken could not be asked what became of the order, which may stand: {failed}")
            error.order = order
            raise error from failed

    def place(self, call: PrivateCall) -> Place:
        """Return the call's place in Kraken's limits."""
        if call.place is None:
            call.place = self.api_key.place(call.method, call.params)
        return call.place

    def settle(self, call: PrivateCall, reply: dict[str, Any]) -> dict[str, Any]:
        """Act on Kraken's answer if it is a refusal; return *reply*. To be called in the turn."""
        call.refusal = refusal_in(reply, self._now())
        if call.refusal is not None:
            self.api_key.settle(self.place(call), call.refusal)
        return reply

    def _result(self, call: PrivateCall, reply: dict[str, Any]) -> Any:
        if call.refusal is not None:
            raise call.refusal
        return result_of(reply, self._now())

    def _leave(self, call: PrivateCall) -> None:
        if call.place is not None:
            self.api_key.leave(call.place)

    def _sent(self, call: PrivateCall) -> Steps[dict[str, Any]]:
        try:
            reply: dict[str, Any] = yield call
        except RequestNotSent:
            self.api_key.not_sent(self.place(call))
            raise
        return reply

    def _room(self, call: PrivateCall, tries: _Tries) -> Steps[None]:
        """Wait until the limits have room, before a nonce is taken; keep no place longer than the caller waits."""
        place = self.place(call)
        while True:
            left = yield TimeLeft()
            longest = self._max_wait - tries.waited
            is_new = not place.waiting_id
            try:
                wait = self.api_key.ask(place, longest if left is None else min(longest, left))
            except RateLimited as error:
                if left is None or (error.retry_after or 0.0) > longest:
                    raise
                raise CallTimeout(
                    f"Not sent: Kraken's rate limit has room in {error.retry_after:.1f} s, and the time given for the "
                    f"call ends in {max(left, 0.0):.1f} s."
                ) from None
            if wait <= 0:
                return
            if is_new and wait > _WORTH_A_WORD:
                self._log_wait(call, wait)
            pause = min(wait, ASK_AGAIN)
            tries.waited += pause
            yield Sleep(pause)

    def _log_wait(self, call: PrivateCall, wait: float) -> None:
        # A warning once; a bot that is paced by the limits would fill its log with them.
        logger.log(
            logging.INFO if self._told else logging.WARNING,
            "%s waits %.0f s for Kraken's rate limit of tier %s",
            call.method,
            wait,
            self.api_key.tier.name if self.api_key.tier else "none",
        )
        self._told = True

    def _again(self, error: KrakenError, call: PrivateCall, kind: Kind, tries: _Tries) -> Steps[Any]:
        """Return when the call is to be made again, or with the result of an order that stands; else raise *error*."""
        if isinstance(error, RequestNotSent):
            tries.not_sent += 1
            yield from _pause_or_raise(tries.not_sent, error)
        elif isinstance(error, InvalidNonce):
            return (yield from self._after_invalid_nonce(error, call, kind, tries))
        elif isinstance(error, LockedOut):
            raise error
        elif isinstance(error, RateLimited):
            yield from self._after_refusal(error, call, tries)
        elif error.may_have_executed == "unknown" and kind in (Kind.READ, Kind.CANCEL):
            tries.unanswered += 1
            yield from _pause_or_raise(tries.unanswered, error)
        else:
            raise error
        return None

    def _after_invalid_nonce(
        self, error: InvalidNonce, call: PrivateCall, kind: Kind, tries: _Tries
    ) -> Steps[dict[str, Any] | None]:
        if kind in (Kind.ORDER, Kind.OTHER):
            error.may_have_executed = "unknown"  # something on the way may have sent it twice
        if tries.invalid_nonce:
            raise _poisoned(error) from error
        tries.invalid_nonce = True
        if kind is Kind.OTHER:
            raise error
        if kind is not Kind.ORDER:
            return None
        order = SentOrder.of(call)
        if not order.cl_ord_ids:
            raise error
        logger.warning(
            "Invalid nonce for an order: it is looked for, until its deadline at most, before it is repeated"
        )
        try:
            found = yield from reconcile(self, order, self._now)
        except PoisonedKey as poisoned:
            poisoned.may_have_executed = "unknown"
            raise
        except KrakenonceError as failed:  # what the question came to says nothing of the order
            raise error from failed
        if not found.stands:
            return None
        if len(order.cl_ord_ids) > 1:
            error.may_have_executed = "yes"
            raise error
        ((txid, placed),) = found.orders.items()
        with Reading("OpenOrders"):
            return {"descr": {"order": placed["descr"]["order"]}, "txid": [txid]}

    def _after_refusal(self, error: RateLimited, call: PrivateCall, tries: _Tries) -> Steps[None]:
        tries.refused += 1
        wait = error.retry_after or 0.0
        if tries.refused > REFUSALS or tries.waited + wait > self._max_wait:
            raise error
        tries.waited += wait
        if wait > _WORTH_A_WORD:
            logger.warning("%s: %s; again in %.0f s", call.method, shown(error.errors), wait)
        yield from _pause(wait, error)

    def _remember(self, call: PrivateCall, result: Any) -> None:
        """Note which orders were placed or amended when: cancelling a young one costs more."""
        if METHODS[call.method].group != "trade":
            return
        ids = ids_in(call.method, call.params)
        lines = result.get("orders") if isinstance(result, dict) else None
        for placed in (result, *(lines if isinstance(lines, list) else ())):
            txid = placed.get("txid") if isinstance(placed, dict) else None
            ids += [txid] if isinstance(txid, str) else map(str, txid) if isinstance(txid, list) else ()
        self.api_key.placed(str(call.params.get("pair") or ""), ids)


def _pause(seconds: float, error: KrakenError) -> Steps[None]:
    """Wait before a repetition; without the time for it, *error* is the last word."""
    try:
        yield Sleep(seconds)
    except CallTimeout:
        raise error from None


def _pause_or_raise(tried: int, error: KrakenError) -> Steps[None]:
    if tried > len(PAUSES):
        raise error
    yield from _pause(PAUSES[tried - 1], error)


def _poisoned(error: InvalidNonce) -> PoisonedKey:
    told = shown(error.errors)
    poisoned = PoisonedKey(f"Kraken answered twice in a row: {told}. {advice(PoisonedKey)}", error.errors)
    poisoned.may_have_executed = error.may_have_executed
    return poisoned
