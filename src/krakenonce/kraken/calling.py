"""How a private call is made: the turn, the rate limit and a nonce, then the answer. No I/O.

Each procedure here is a generator that yields one step after the other (see :mod:`krakenonce.kraken.request`). The sync
and the async client differ only in how they carry the steps out. What is done if a call gets no result is decided in
:mod:`krakenonce.kraken.repeating`.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from krakenonce.errors import (
    CallTimeout,
    ConfigError,
    KrakenError,
    KrakenonceError,
    OutcomeUnknown,
    PoisonedKey,
    RateLimited,
    RequestNotSent,
)
from krakenonce.key.account_keys import AccountKeys
from krakenonce.key.answers import Reading, may_pass, refusal_in, result_of
from krakenonce.key.api_key import ASK_AGAIN, MustWait
from krakenonce.key.methods import METHODS, PUBLIC, Kind, ids_in
from krakenonce.key.not_known import say_if_not_known
from krakenonce.key.parameters import check_parameters
from krakenonce.kraken.noting import note_failure, note_found, note_unknown
from krakenonce.kraken.repeating import LOGGED_WAIT, PAUSES, Tries, pause
from krakenonce.kraken.request import PrivateCall, PublicCall, Sleep, StateStep, Steps
from krakenonce.kraken.results import check_result
from krakenonce.kraken.sent import Reconciled, SentOrder, prepared, reconcile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    """The calls of one account.

    Args:
        api_keys: Its API keys; none for public calls only.
        max_wait: Seconds that a call may wait for rate limits in total; 0: it raises RateLimited instead.
        time: What time it is at Kraken.
    """

    def __init__(self, api_keys: Sequence[ApiKey], max_wait: float, time: KrakenTime) -> None:
        self.api_keys = api_keys
        self.account = AccountKeys([each.key for each in api_keys])
        self.max_wait = max_wait
        self.time = time
        self.now = time.now
        self.known: dict[str, None] = {}  # Kraken's ids of the orders that these calls have placed, the oldest first
        self._warned = False  # that calls wait for the rate limit

    @property
    def api_key(self) -> ApiKey:
        """The first API key. Raises ConfigError if there is none."""
        if not self.api_keys:
            raise ConfigError("A private call needs an API key and its secret.")
        return self.api_keys[0]

    def key_of(self, call: PrivateCall) -> ApiKey:
        """Return the API key with which a call is made."""
        return self.api_keys[call.key] if call.key else self.api_key

    def place_of(self, name: str) -> int | None:
        """Return the place of the key with this fingerprint; None: it is not one of these."""
        names = self.account.names
        return names.index(name) if name in names else None

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

    def private(self, method: str, params: Params, *, only: int | None = None, urgent: bool = False) -> Steps[Any]:
        """Make a private call and return its result; :mod:`krakenonce.kraken.repeating` says when it is repeated.

        Args:
            method: Kraken's name of the method.
            params: Its parameters.
            only: The place of the key with which alone it may be made; None: any of the account's.
            urgent: Whether it goes before calls that wait, although its method is not urgent.

        Raises:
            KrakenError: One of its subclasses. After an order it has ``order`` and ``reconcile()``.
        """
        if "nonce" in params:
            raise ConfigError("Leave out nonce: krakenonce takes it in the key's turn.")
        call = prepared(method, params)
        call.only, call.urgent = only, urgent
        return (yield from self.make(call))

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
                    result = self.result(call, (yield from self._sent(call, tries)))
                except KrakenError as error:
                    placed = yield from self._again(call, tries, error)
                    if placed is not None:
                        return placed
                else:
                    yield from self._remember(call, result)
                    return result
        except GeneratorExit:  # interrupted or cancelled, perhaps between sending and the answer
            if tries.kind is Kind.ORDER and call.signed_at is not None:
                ids = ", ".join(SentOrder.of(call).cl_ord_ids) or "none"
                logger.warning(
                    "interrupted: an order may have been placed; look for it at Kraken by its cl_ord_id: %s", ids
                )
                note_unknown(self.key_of(call), call.method, call.params, "the call was interrupted")
            raise
        except KrakenonceError as error:
            yield from self._left(call)
            tries.complete(error, self.time)
            self._note_failure(call, error)
            raise
        finally:
            self._leave(call)

    def _again(self, call: PrivateCall, tries: Tries, error: KrakenError) -> Steps[dict[str, Any] | None]:
        """Return when the call may be made again, with another key or this one, or with the result; else raise."""
        if (yield from self._passes_over(call, error)):
            return None
        try:
            return (yield from tries.again(error, self))
        except PoisonedKey as poisoned:
            tries.begin_with_another_key()
            if not (yield from self._passes_over(call, poisoned)):
                raise
            return None

    def _passes_over(self, call: PrivateCall, error: KrakenError) -> Steps[bool]:
        """Whether another key of the account may make a call that got this error."""
        if call.key is None or call.only is not None or not self.account.passes_over(call.key, call.method, error):
            return False
        yield from self._left(call)
        self._leave(call)
        return True

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
            while call.refusal is not None and (yield from self._passes_over(call, call.refusal)):
                reply = yield from self._sent(call, Tries(call))
        except KrakenonceError as error:
            yield from self._left(call)
            self._note_failure(call, error)
            raise
        finally:
            self._leave(call)
        with contextlib.suppress(KrakenError):  # the caller sees it in the answer
            yield from self._remember(call, self.result(call, reply))
        return reply

    def reconcile(self, order: SentOrder) -> Steps[Reconciled]:
        """Find out whether an order was placed; see :func:`krakenonce.kraken.sent.reconcile`.

        Raises:
            OutcomeUnknown: Kraken could not be asked; its cause says why. The order may have been placed.
        """
        try:
            return (yield from self.looked_for(order))
        except KrakenonceError as failed:
            error = OutcomeUnknown(
                f"Kraken could not be asked whether the order was placed, so it may have been: {failed}"
            )
            error.order = order
            raise error from failed

    def looked_for(self, order: SentOrder) -> Steps[Reconciled]:
        """Look for an order, and note in the journal what became of it. Raises KrakenError."""
        found = yield from reconcile(self, order)
        note_found(self.api_keys[self.place_of(order.key) or 0], order.method, order.params, found.placed, found.orders)
        return found

    def place(self, call: PrivateCall) -> Place:
        """Return the call's place in the rate limit."""
        api_key = self.key_of(call)
        if call.place is not None and call.place.key != api_key.key:
            api_key.leave(call.place)
            call.place = None
        if call.place is None:
            call.place = api_key.place(call.method, call.params, call.asked_at)
        return call.place

    def settle(self, call: PrivateCall, reply: dict[str, Any]) -> StateStep | None:
        """Return what is to be done about Kraken's answer in the turn; None: nothing, it is no refusal."""
        refusal = call.refusal = refusal_in(reply, self.now()) if reply.get("error") else None
        if refusal is None:
            return None
        place, api_key = self.place(call), self.key_of(call)
        return StateStep(lambda: api_key.settle(place, refusal))

    def result(self, call: PrivateCall, reply: dict[str, Any]) -> Any:
        """Return the result in Kraken's answer. Raises KrakenError if there is none."""
        if call.refusal is not None:
            raise call.refusal
        result = result_of(reply)
        check_result(call, result)
        return result

    def _note_failure(self, call: PrivateCall, error: KrakenonceError) -> None:
        if self.api_keys:  # else nothing was sent
            note_failure(self.key_of(call), call, error)

    def _left(self, call: PrivateCall) -> Steps[None]:
        """Release the call's place, if it still has one."""
        if call.place is not None and call.place.waiting_id:
            yield StateStep(partial(self._leave, call))

    def _leave(self, call: PrivateCall) -> None:
        """Do the same after an interrupt or a cancellation."""
        if call.place is not None:
            self.api_key.leave(call.place)
            call.place = None

    def _sent(self, call: PrivateCall, tries: Tries) -> Steps[dict[str, Any]]:
        say_if_not_known(call.method)
        if call.asked_at is None:
            call.asked_at = self.api_key.seconds()
        while True:
            try:
                reply: dict[str, Any] = yield call
            except MustWait as must:
                if not self._may_have_another_key(call):
                    yield from self._wait_for_rate_limit(call, tries)
                    continue
                self.account.must_wait(call.key or 0, must.wait)
                yield from self._left(call)
                self._leave(call)
            except (RequestNotSent, RateLimited) as error:  # or refused in front of Kraken, which does not count it
                if call.key is None and isinstance(error, RateLimited) and METHODS[call.method].rest:
                    yield from self._wait_for_a_key(call, tries, error)
                    continue
                yield StateStep(partial(self.key_of(call).not_sent, self.place(call)))
                raise
            else:
                return reply

    def _may_have_another_key(self, call: PrivateCall) -> bool:
        """Whether a call that its key's rate limit does not allow yet may be made with another key.

        The trading engine's counters are the account's: another key would have to wait as well.
        """
        its = METHODS[call.method]
        return not (len(self.account) == 1 or call.only is not None or its.engine or its.by_age)

    def _wait_for_a_key(self, call: PrivateCall, tries: Tries, full: RateLimited) -> Steps[None]:
        """Wait for the key whose REST counter is full the shortest. The call has a place there: no other key makes it.

        Args:
            call: The call.
            tries: What has been tried for it.
            full: Why none of the account's keys can make it now.
        """
        call.key = call.waits_for = self.account.full_the_shortest(call.method, call.params)
        try:
            yield from self._wait_for_rate_limit(call, tries)
        except RateLimited as longer:
            call.waits_for, full.retry_after = None, longer.retry_after
            raise full from longer

    def _wait_for_rate_limit(self, call: PrivateCall, tries: Tries) -> Steps[None]:
        """Wait for the rate limit, before a nonce is taken. Keep no place for longer than the call may wait."""
        place, api_key = self.place(call), self.key_of(call)
        wait = yield StateStep(partial(api_key.ask, place, self.max_wait - tries.waited))
        if wait > LOGGED_WAIT:
            self._log_wait(call, wait)
        if wait > 0 and call.waits_for is not None:
            self.account.must_wait(call.waits_for, wait)  # the next call may find a shorter line
        while wait > 0:
            seconds = min(wait, ASK_AGAIN)
            tries.waited += seconds
            try:
                yield Sleep(seconds, needed=wait)
            except CallTimeout as error:
                raise CallTimeout(f"{error} Kraken's rate limit allows it only in {wait:.1f} s.") from None
            wait = yield StateStep(partial(api_key.ask, place, self.max_wait - tries.waited))

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

    def _remember(self, call: PrivateCall, result: Any) -> Steps[None]:
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
        yield StateStep(partial(self.key_of(call).placed, str(call.params.get("pair") or ""), ids))
