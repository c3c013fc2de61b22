"""One API key, as every caller of Kraken uses it: its place in the rate limits, its turn, its nonces, its refusals.

The clients, the gateway, guarded clients and the broker all make a call in these steps::

    place = api_key.place(method, params)
    wait = api_key.ask(place, longest)      # again after each wait, until it is 0
    with api_key.turn(timeout):             # one call at a time on this key
        nonce = api_key.nonce(place)        # counts the call; refused in a lockout, or if the order was cancelled
        ...                                 # sign and send; api_key.not_sent(place) if there was no connection
        api_key.settle(place, refusal)      # what Kraken's refusal means for all callers of the key
    api_key.leave(place)                    # however the call ends

A client may leave out the first ``ask``: it is then done in the turn, in the same step as the count, and ``nonce``
raises MustWait if the call has to wait.
"""

from __future__ import annotations

import logging
import math
import os
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from krakenonce.backends import SERVED
from krakenonce.errors import (
    InvalidKey,
    InvalidNonce,
    InvalidSignature,
    KrakenonceError,
    LockedOut,
    NonceStoreError,
    PermissionDenied,
    RateLimited,
    Throttled,
)
from krakenonce.key.account_record import other_keys
from krakenonce.key.answers import advice, shown
from krakenonce.key.cancels import refuse_if_cancelled
from krakenonce.key.counting import A_FEW_SECONDS, Levels, Place
from krakenonce.key.limiter import Limiter
from krakenonce.key.limits import TIERS
from krakenonce.key.lockout import LOCKOUT, refuse_if
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from krakenonce.errors import KrakenAPIError
    from krakenonce.key.lane import Lane
    from krakenonce.key.limits import Tier
    from krakenonce.manager import NonceManager


_T = TypeVar("_T")
logger = logging.getLogger("krakenonce")

# What the journal calls Kraken's refusals; the first that fits.
_REFUSALS: tuple[tuple[type, str], ...] = (
    (InvalidNonce, "invalid_nonce"),
    (LockedOut, "locked_out"),
    (RateLimited, "rate_limit"),
    (InvalidKey, "invalid_key"),
    (InvalidSignature, "invalid_signature"),
    (PermissionDenied, "permission"),
    (object, "refused"),
)

ASK_AGAIN = 1.0  # seconds after which a call that waits for the rate limit asks again


class MustWait(KrakenonceError):
    """The rate limit does not allow a call yet. Its place is kept: leave the turn and ask.

    Attributes:
        wait: Seconds until it allows the call.
    """

    wait = 0.0


class ApiKey:
    """One API key in use. All objects of one key share its rate limits, its turn and its nonces, over all processes.

    Args:
        manager: Where nonces and turns come from.
        key: The API key.
        tier: The account's rate limits. None: calls are not counted; a lockout is kept all the same.
        scope: The counter to use; None: the one that :meth:`NonceManager.next_for` finds.

    Attributes:
        account: The account's name for the journal, if the caller knows it.
        method: The method of the call that has the turn, for the journal, if its place does not say it.
        sent: The last nonce that was taken; 0: none yet.
        answered: Of a guarded client: whether it is known from the answer to the call that has the turn if that was
            executed; None: no answer yet.
    """

    def __init__(self, manager: NonceManager, key: str, tier: Tier | None = None, *, scope: str | None = None) -> None:
        self.key = key
        self.tier = tier
        self.account = ""
        self.method = ""
        self.answered: bool | None = None
        self.sent = self._sent_before = 0
        self._sent_at = 0.0
        self._refused = self._in_a_row = 0  # the last nonce that Kraken has refused, and how many in a row these were
        self._manager = manager
        self._scope = scope
        self._limiter = Limiter(manager.store.rate_limits, clock=manager.clock)

    def place(self, method: str, params: Mapping[str, object], asked_at: float | None = None) -> Place:
        """Return a call's place in the rate limits; nothing is kept for it yet. Best called just before the turn.

        Args:
            method: Kraken's name of the method.
            params: Its parameters.
            asked_at: When the call began to wait, for its turn or for the rate limit, as :meth:`seconds` has said then;
                None: now. An order that is cancelled after that is not sent.
        """
        place = Place(self.key, self.tier, method, params, self.seconds() if asked_at is None else asked_at)
        self._limiter.expect(place)
        return place

    def seconds(self) -> float:
        """Return the seconds since boot. Reads no state."""
        return self._limiter.seconds()

    def belongs_to(self, account: str) -> bool:
        """Note, for all processes, that this key is one of several of an account.

        From then on, every process that uses the key keeps the trading engine's counters, the ages of orders and what
        was cancelled in one state for all keys of the account. The REST counter and a lockout stay the key's own. What
        the key's own state has counted for the engine is carried over.

        Args:
            account: The account's name, the same for all of its keys.

        Returns:
            Whether another account's name was noted before. It is replaced; what was counted for that stays there.

        Raises:
            NonceStoreError: The state cannot be read or written.
        """
        return self._limiter.belongs_to(self.key, account, (self.tier or TIERS["starter"]).engine_decay)

    def other_keys(self, account: str, keys: Sequence[str]) -> list[str]:
        """Return which other keys of its account programs on this state have used lately, and note ours.

        Args:
            account: The account's name.
            keys: The fingerprints of the keys that this program knows.

        Raises:
            NonceStoreError: The record cannot be read or written.
        """
        return other_keys(self._manager.store.records, account, keys, self._manager.clock.now_ns() / 1e9)

    def ask(self, place: Place, longest: float, *, send: bool = False) -> float:
        """Return the seconds until the call may be sent, and keep its place until then; 0.0: now.

        A call that has to wait must ask again after ``ASK_AGAIN`` seconds at most.

        Args:
            place: The call's place.
            longest: Seconds that the call may wait.
            send: Whether a call that need not wait is sent now, in the turn: it is counted, and no place is kept.

        Raises:
            LockedOut: The key is locked out.
            CancelledBeforeSent: The order was cancelled meanwhile. No place is kept.
            RateLimited: It would have to wait longer. No place is kept.
        """
        try:
            return self._ask(place, longest, send=send)
        except (LockedOut, RateLimited) as error:
            self._note_held_back(place.method, error)
            raise

    def _ask(self, place: Place, longest: float, *, send: bool) -> float:
        booking = self._limiter.book(place, longest, send=send)
        refuse_if(booking.locked_out)
        refuse_if_cancelled(place.cancelled)
        if booking.wait > longest:
            error = RateLimited(
                f"Not sent: Kraken's rate limit allows this call only in {booking.wait:.1f} s. {advice(RateLimited)}"
            )
            error.retry_after = booking.wait
            raise error
        return booking.wait

    def turn(self, timeout: float | None = None, *, urgent: bool = False) -> Lane:
        """Return the key's lane, to be held from :meth:`nonce` to :meth:`settle`.

        Args:
            timeout: Seconds to wait for it; None: wait for ever.
            urgent: Whether it goes before the other calls of this process that wait, as cancels do.
        """
        return self._manager.turn(self.key, timeout, urgent=urgent, scope=self._scope)

    def check_open(self) -> None:
        """Raise LockedOut if the key is locked out."""
        try:
            refuse_if(self.locked_out())
        except LockedOut as error:
            self._note_held_back(self.method, error)
            raise

    def count(self, place: Place) -> None:
        """Count a call that is about to be sent. To be called in the turn.

        Raises:
            LockedOut: The key is locked out, perhaps since the call before this one.
            CancelledBeforeSent: The order was cancelled since it began to wait; it is not counted.
        """
        try:
            self._count(place)
        except LockedOut as error:
            self._note_held_back(place.method, error)
            raise

    def _count(self, place: Place) -> None:
        refuse_if(self._limiter.send(place))
        refuse_if_cancelled(place.cancelled)

    def nonce(self, place: Place) -> int:
        """Count a call that is about to be sent, and return its nonce. To be called in the turn.

        Raises:
            LockedOut: The key is locked out; no nonce was taken.
            CancelledBeforeSent: The order was cancelled since it began to wait; no nonce was taken.
            MustWait: The call has not asked before, and the rate limit does not allow it yet; no nonce was taken.
            NonceError: No nonce can be issued; the call is not counted.
        """
        if place.is_waiting or place.tier is None:
            self.count(place)
        elif (wait := self.ask(place, math.inf, send=True)) > 0:
            must = MustWait("Not sent: Kraken's rate limit does not allow this call yet.")
            must.wait = wait
            raise must
        try:
            return self.next()
        except BaseException:
            self.not_sent(place)
            raise

    def next(self) -> int:
        """Return the key's next nonce. Raises NonceError."""
        nonce = self._manager.next_for(self.key) if self._scope is None else self._manager.next(self._scope)
        self._sent_before, self.sent, self._sent_at = self.sent, nonce, monotonic()
        return nonce

    def settle(self, place: Place, refusal: KrakenAPIError) -> None:
        """Act on Kraken's refusal of a call, for all callers of the key. To be called in the turn.

        After a lockout no process sends anything with this key until it ends. After Invalid nonce the key's counter is
        looked up again, because the key may have been adopted; the first one of a process is logged with the state in
        use. After Rate limit exceeded the counters that the call concerns count as full. ``retry_after`` is set.
        """
        if isinstance(refusal, LockedOut):
            _noted(lambda: self._limiter.lock_out(self.key, LOCKOUT))
            refusal.retry_after = LOCKOUT
        elif isinstance(refusal, InvalidNonce):
            self._manager.look_up_counter(self.key)
            self._ask_who_shares()
        elif isinstance(refusal, Throttled):  # too many at the same time, which fills no counter
            refusal.retry_after = A_FEW_SECONDS if refusal.retry_after is None else refusal.retry_after
        elif isinstance(refusal, RateLimited):
            wait = _noted(lambda: self._limiter.refused(place))
            refusal.retry_after = A_FEW_SECONDS if wait is None else wait
        self._note_refusal(place, refusal)

    def note(self, what: str, method: str = "", **more: Any) -> None:
        """Note an event of this key in the journal; raises nothing.

        Args:
            what: Its kind.
            method: Kraken's name of the method.
            more: Other fields of :class:`krakenonce.journal.event.Event`.
        """
        if "text" in more:  # Kraken, or what is in front of it, may quote the key
            more["text"] = str(more["text"]).replace(self.key, "(key)")
        self._manager.note(what, key=fingerprint(self.key), account=self.account, method=method, **more)

    def _note_refusal(self, place: Place, refusal: KrakenAPIError) -> None:
        what = next(what for kind, what in _REFUSALS if isinstance(refusal, kind))
        held = monotonic() - self._sent_at if self.sent else 0.0
        nonces = {"nonce": self.sent, "before": self._sent_before, "seconds": held}
        if isinstance(refusal, InvalidNonce) and self.sent:
            self._in_a_row = self._in_a_row + 1 if self._refused and self._refused == self._sent_before else 1
            self._refused = self.sent
            nonces["in_a_row"] = self._in_a_row
        self.note(what, place.method or self.method, text=shown(refusal.errors), **nonces)

    def _note_held_back(self, method: str, error: KrakenAPIError) -> None:
        left = getattr(error, "retry_after", None) or 0.0
        if isinstance(error, LockedOut):
            self.note("held_back", method, text=f"the key is locked out for another {left:.0f} s")
        else:
            self.note("over_limit", method, text=f"Kraken's rate limit allows it only in {left:.0f} s")

    def _ask_who_shares(self) -> None:
        """Log which state this process uses, once for the key: another process may use another one."""
        name = fingerprint(self.key)
        if (os.getpid(), name) not in _refused:
            _refused.add((os.getpid(), name))
            store = self._manager.store
            logger.warning(
                "Kraken refused a nonce of key %s. This process keeps the key's nonces and turns in %r, for %s. Does "
                "every process that uses this key name this same state, in KRAKENONCE_STATE_DIR, --state or "
                "NonceManager()?",
                *(name, store, SERVED[store.shared]),
            )

    def not_sent(self, place: Place) -> None:
        """Take back the count of a call that was not sent after all."""
        _noted(lambda: self._limiter.not_sent(place))

    def leave(self, place: Place) -> None:
        """Release the place of a call that was not sent. Does nothing if it was sent."""
        self._limiter.leave(place)

    def placed(self, pair: str, ids: list[str]) -> None:
        """Note that orders were placed or amended: it costs more to cancel a young order."""
        if self.tier is not None:
            _noted(lambda: self._limiter.placed(self.key, pair, ids))

    def locked_out(self) -> float:
        """Return the seconds until a lockout ends; 0.0: there is none."""
        return self._limiter.locked_out(self.key)

    def levels(self) -> Levels:
        """Return how high Kraken's rate counters are, as counted here; zeros without a tier."""
        return Levels(0.0, 0.0) if self.tier is None else self._limiter.levels(self.key, self.tier)


def _noted(note: Callable[[], _T]) -> _T | None:
    """Note what has become of a call. If the backend fails, log it and return None.

    The error would stand in place of the answer, and say of an order that was placed that nothing was sent.
    """
    try:
        return note()
    except NonceStoreError as error:
        logger.warning("the answer to a call could not be noted for Kraken's rate limits: %s", error)
        return None


_refused: set[tuple[int, str]] = set()  # the processes and keys with an Invalid nonce; a child has its parent's, too
