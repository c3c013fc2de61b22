"""How a private call is made: the turn, the rate limit and a nonce, then the answer. No I/O.

Each procedure here is a generator that yields one step after the other (see :mod:`krakenonce.kraken.request`). The sync
and the async client differ only in how they carry the steps out. What is done if a call gets no result is decided in
:mod:`krakenonce.kraken.repeating`.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from krakenonce.errors import (
    CallTimeout,
    ConfigError,
    KrakenError,
    KrakenonceError,
    OutcomeUnknown,
    RateLimited,
    RequestNotSent,
)
from krakenonce.key.answers import Reading, may_pass, refusal_in, result_of
from krakenonce.key.api_key import ASK_AGAIN, MustWait
from krakenonce.key.methods import METHODS, PUBLIC, Kind, ids_in
from krakenonce.key.not_known import say_if_not_known
from krakenonce.key.parameters import check_parameters
from krakenonce.kraken.repeating import LOGGED_WAIT, PAUSES, Tries, pause
from krakenonce.kraken.request import PrivateCall, PublicCall, Sleep, Steps
from krakenonce.kraken.results import check_result
from krakenonce.kraken.sent import Reconciled, SentOrder, prepared, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krakenonce.key.api_key import ApiKey
    from krakenonce.key.counting import Place
    from krakenonce.kraken.kraken_time import KrakenTime


logger = logging.getLogger("krakenonce")

_KNOWN = 10_000  # orders
_TIME_POLL = 0.05  # seconds between two looks whether Kraken's time is known
_TIME_POLLS = 100
ONE_A_SECOND = 1.0  # seconds between two public calls, which Kraken's support page says is always fine

Params: TypeAlias = "Mapping[str, Any]"
T = TypeVar("T")


class Calls:
    """The calls of one API key.

    Args:
        api_key: The API key; None for public calls only.
        max_wait: Seconds that a call may wait for rate limits in total; 0: it raises RateLimited instead.
        time: What time it is at Kraken.
    """

    def __init__(self, api_key: ApiKey | None, max_wait: float, time: KrakenTime) -> None:
        self._api_key = api_key
        self.max_wait = max_wait
        self.time = time
        self.now = time.now
        self.known: dict[str, None] = {}  # Kraken's ids of the orders that these calls have placed, the oldest first
        self._warned = False  # that calls wait for the rate limit

    @property
    def api_key(self) -> ApiKey:
        """The API key. Raises ConfigError if there is none."""
        if self._api_key is None:
            raise ConfigError("A private call needs an API key and its secret.")
        return self._api_key

    def public(self, method: str, params: Params) -> Steps[Any]:
        """Make a public call and return its result. It is repeated if it got no answer or too many were made."""
        call = PublicCall(method, {name: value for name, value in params.items() if value is not None})
        for seconds in PAUSES:
            try:
                return result_of((yield call), self.now())
            except RateLimited as error:
                wait = max(ONE_A_SECOND, error.retry_after or 0.0)
                if wait > self.max_wait:
                    raise
                yield from pause(wait, error)
            except KrakenError as error:
                if not (isinstance(error, RequestNotSent) or may_pass(error)):
                    raise
                yield from pause(seconds, error)
        return result_of((yield call), self.now())

    def private(self, method: str, params: Params) -> Steps[Any]:
        """Make a private call and return its result; :mod:`krakenonce.kraken.repeating` says when it is repeated.

        Raises:
            KrakenError: One of its subclasses. After an order it has ``order`` and ``reconcile()``.
        """
        if "nonce" in params:
            raise ConfigError("Leave out nonce: krakenonce takes it in the key's turn.")
        return (yield from self.make(prepared(method, params)))

    def read(self, method: str, params: Params, reader: Callable[[Any], T]) -> Steps[T]:
        """Make a call and return what *reader* makes of its result.

        Raises:
            OutcomeUnknown: *reader* cannot read the result, although the call was made.
        """
        result = yield from (self.public if method in PUBLIC else self.private)(method, params)
        with Reading(method):
            return reader(result)

    def make(self, call: PrivateCall) -> Steps[Any]:
        """Make a call that :func:`krakenonce.kraken.sent.prepared` has prepared; else as :meth:`private`."""
        tries = Tries(call)
        try:
            if call.lifetime is not None:
                yield from self.learn_time()
            while True:
                try:
                    result = self._result(call, (yield from self._sent(call, tries)))
                except KrakenError as error:
                    placed = yield from tries.again(error, self)
                    if placed is not None:
                        return placed
                else:
                    self._remember(call, result)
                    return result
        except GeneratorExit:  # interrupted or cancelled, perhaps between sending and the answer
            if tries.kind is Kind.ORDER and call.signed_at is not None:
                ids = ", ".join(SentOrder.of(call).cl_ord_ids) or "none"
                logger.warning(
                    "interrupted: an order may have been placed; look for it at Kraken by its cl_ord_id: %s", ids
                )
            raise
        except KrakenonceError as error:
            tries.complete(error, self.time)
            raise
        finally:
            self._leave(call)

    def learn_time(self) -> Steps[None]:
        """Ask for Kraken's time if no answer has told it. Without an answer this machine's clock has to do."""
        for _ in range(_TIME_POLLS):
            if self.time.known:
                return
            asking = self.time.asking
            if asking.acquire(blocking=False):
                break
            yield Sleep(_TIME_POLL)  # another call of this process is asking: a broker has one for each account
        else:
            return
        try:
            asked = self.time.steady()
            with contextlib.suppress(KrakenonceError), Reading("Time"):
                told = int(result_of((yield PublicCall("Time", {})))["unixtime"])
                if not self.time.known:  # the answer had no Date header
                    self.time.note_seconds(told, asked)
        finally:
            asking.release()

    def once(self, method: str, params: Params) -> Steps[dict[str, Any]]:
        """Make a private call once, within the rate limits; return Kraken's answer unchanged, errors included."""
        check_parameters(method, params)
        call = PrivateCall(method, params, has_turn="nonce" in params)
        try:
            reply = yield from self._sent(call, Tries(call))
        finally:
            self._leave(call)
        with contextlib.suppress(KrakenError):  # the caller sees it in the answer
            self._remember(call, self._result(call, reply))
        return reply

    def reconcile(self, order: SentOrder) -> Steps[Reconciled]:
        """Find out whether an order was placed; see :func:`krakenonce.kraken.sent.reconcile`.

        Raises:
            OutcomeUnknown: Kraken could not be asked; its cause says why. The order may have been placed.
        """
        try:
            return (yield from reconcile(self, order))
        except KrakenonceError as failed:
            error = OutcomeUnknown(
                f"Kraken could not be asked whether the order was placed, so it may have been: {failed}"
            )
            error.order = order
            raise error from failed

    def place(self, call: PrivateCall) -> Place:
        """Return the call's place in the rate limit."""
        if call.place is None:
            call.place = self.api_key.place(call.method, call.params)
        return call.place

    def settle(self, call: PrivateCall, reply: dict[str, Any]) -> dict[str, Any]:
        """Act on Kraken's answer if it is a refusal; return *reply*. To be called in the turn."""
        call.refusal = refusal_in(reply, self.now())
        if call.refusal is not None:
            self.api_key.settle(self.place(call), call.refusal)
        return reply

    def _result(self, call: PrivateCall, reply: dict[str, Any]) -> Any:
        if call.refusal is not None:
            raise call.refusal
        result = result_of(reply, self.now())
        check_result(call, result)
        return result

    def _leave(self, call: PrivateCall) -> None:
        if call.place is not None:
            self.api_key.leave(call.place)

    def _sent(self, call: PrivateCall, tries: Tries) -> Steps[dict[str, Any]]:
        say_if_not_known(call.method)
        while True:
            try:
                reply: dict[str, Any] = yield call
            except MustWait:
                yield from self._wait_for_rate_limit(call, tries)
            except (RequestNotSent, RateLimited):  # or refused by what is in front of Kraken, which does not count it
                self.api_key.not_sent(self.place(call))
                raise
            else:
                return reply

    def _wait_for_rate_limit(self, call: PrivateCall, tries: Tries) -> Steps[None]:
        """Wait for the rate limit, before a nonce is taken. Keep no place for longer than the call may wait."""
        place = self.place(call)
        wait = self.api_key.ask(place, self.max_wait - tries.waited)
        if wait > LOGGED_WAIT:
            self._log_wait(call, wait)
        while wait > 0:
            seconds = min(wait, ASK_AGAIN)
            tries.waited += seconds
            try:
                yield Sleep(seconds, needed=wait)
            except CallTimeout as error:
                raise CallTimeout(f"{error} Kraken's rate limit allows it only in {wait:.1f} s.") from None
            wait = self.api_key.ask(place, self.max_wait - tries.waited)

    def _log_wait(self, call: PrivateCall, wait: float) -> None:
        # A warning once; a bot that is paced by the rate limit would fill its log with them.
        logger.log(
            logging.INFO if self._warned else logging.WARNING,
            "%s waits %.0f s for Kraken's rate limit of tier %s",
            call.method,
            wait,
            self.api_key.tier.name if self.api_key.tier else "none",
        )
        self._warned = True

    def _remember(self, call: PrivateCall, result: Any) -> None:
        """Note which orders were placed or amended: it costs more to cancel a young order."""
        if METHODS[call.method].group != "trade":
            return
        ids = ids_in(call.method, call.params)
        lines = result.get("orders") if isinstance(result, dict) else None
        for placed in (result, *(lines if isinstance(lines, list) else ())):
            txid = placed.get("txid") if isinstance(placed, dict) else None
            ids += [txid] if isinstance(txid, str) else map(str, txid) if isinstance(txid, list) else ()
        self.known.update(dict.fromkeys(ids))
        while len(self.known) > _KNOWN:
            del self.known[next(iter(self.known))]
        self.api_key.placed(str(call.params.get("pair") or ""), ids)
