"""Every error krakenonce raises, in one tree.

    KrakenonceError
    ├── NonceError                 no number was handed out
    │   ├── InvalidScope             a scope name that cannot name a file        (also ValueError)
    │   ├── InvalidFloor             a floor outside 0 .. 2^63 - 2               (also ValueError)
    │   ├── ClockError               the clock is absurd and there is no earlier number to go on from
    │   ├── NonceExhausted           the scope has reached 2^63 - 1
    │   └── NonceStoreError          the store cannot keep its promise: disk, rights, file system, damage
    ├── LaneError                  misuse of a lane                            (also RuntimeError)
    │   └── LaneTimeout              the turn did not come in time               (also TimeoutError)
    ├── RecordChanged              somebody else has written the record that was to be written
    ├── ConfigError                settings or credentials that cannot be used (also ValueError)
    └── KrakenError                a call to Kraken gave no result
        ├── RequestNotSent           no connection: Kraken never saw the call
        ├── CallTimeout              the time given ran out before it was sent   (also TimeoutError)
        ├── OutcomeUnknown           sent, but not answered in a way that says what became of it
        └── KrakenAPIError           Kraken refused the call
            ├── InvalidNonce           EAPI:Invalid nonce
            │   └── PoisonedKey          twice in a row: Kraken remembers a larger number than ours
            ├── InvalidKey             EAPI:Invalid key
            ├── InvalidSignature       EAPI:Invalid signature
            ├── InvalidToken           a WebSocket token or session that is over
            ├── PermissionDenied       the key may not do this
            ├── AccountRefused         the account is locked, disabled or not confirmed
            ├── InvalidArguments       parameters that Kraken does not understand
            ├── UnknownMethod          EGeneral:Unknown method
            ├── UnknownAsset           no such pair or asset
            ├── RateLimited            too many calls, by Kraken's count or by ours
            │   └── Throttled            too many calls at the same time
            ├── LockedOut              EGeneral:Temporary lockout
            ├── ServiceUnavailable     a fault at Kraken, or its engine is down
            ├── MarketRestricted       the market takes cancels only, or no takers
            ├── DeadlineElapsed        the order reached the engine after its deadline
            ├── OrderRefused           the order was not taken
            │   ├── InsufficientFunds    not enough funds or margin
            │   ├── InvalidOrder         a volume or price that the pair does not allow
            │   ├── OrderLimitExceeded   too many orders or positions
            │   ├── PositionRefused      reduce-only or position rules
            │   ├── UnknownOrder         no such order, or not open any more
            │   └── DuplicateOrder       an order with this cl_ord_id is open already
            ├── FundingRefused         deposits, withdrawals and transfers
            ├── EarnRefused            EEarnings
            └── UnknownKrakenError     a string that krakenonce does not know

Each error has ``may_have_executed``: ``"yes"``, ``"no"`` or ``"unknown"``, for the call during which it was raised.
What Kraken's errors mean and what to do is the text of their class, and part of their message.
No message holds a secret or a whole API key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AccountRefused",
    "CallTimeout",
    "ClockError",
    "ConfigError",
    "DeadlineElapsed",
    "DuplicateOrder",
    "EarnRefused",
    "FundingRefused",
    "InsufficientFunds",
    "InvalidArguments",
    "InvalidFloor",
    "InvalidKey",
    "InvalidNonce",
    "InvalidOrder",
    "InvalidScope",
    "InvalidSignature",
    "InvalidToken",
    "KrakenAPIError",
    "KrakenError",
    "KrakenonceError",
    "LaneError",
    "LaneTimeout",
    "LockedOut",
    "MarketRestricted",
    "NonceError",
    "NonceExhausted",
    "NonceStoreError",
    "OrderLimitExceeded",
    "OrderRefused",
    "OutcomeUnknown",
    "PermissionDenied",
    "PoisonedKey",
    "PositionRefused",
    "RateLimited",
    "RecordChanged",
    "RequestNotSent",
    "ServiceUnavailable",
    "Throttled",
    "UnknownAsset",
    "UnknownKrakenError",
    "UnknownMethod",
    "UnknownOrder",
]


class KrakenonceError(Exception):
    """The root: catch it to catch whatever krakenonce raises."""

    may_have_executed: Literal["yes", "no", "unknown"] = "no"


class NonceError(KrakenonceError):
    """No number was handed out; nothing was sent."""


class InvalidScope(NonceError, ValueError):
    """A scope name that cannot name a counter."""


class InvalidFloor(NonceError, ValueError):
    """A floor that is not a whole number from 0 to 2^63 - 2."""


class ClockError(NonceError):
    """The clock is before 2020 or after 2200 and the scope has no earlier number to go on from."""


class NonceExhausted(NonceError):
    """The scope has reached 2^63 - 1, the largest number Kraken's schema allows."""


class NonceStoreError(NonceError):
    """The store cannot hand out a number that would survive a crash."""


class RecordChanged(KrakenonceError):
    """Somebody else has written the record since it was read; nothing was written."""


class LaneError(KrakenonceError, RuntimeError):
    """A lane was used in a way that cannot work."""


class LaneTimeout(LaneError, TimeoutError):
    """The turn did not come within the timeout; nothing is held."""


class ConfigError(KrakenonceError, ValueError):
    """Settings or credentials that cannot be used."""


class KrakenError(KrakenonceError):
    """A call to Kraken gave no result.

    Attributes:
        order: After an order sent by a client of ours, the :class:`~krakenonce.kraken.sent.SentOrder` to look for.
    """

    order: Any = None
    _look: Callable[[], Any] | None = None

    def reconcile(self) -> Any:
        """Find out whether the order stands; after an async client's call, await what this returns.

        Returns:
            What the client's ``reconcile(error.order)`` returns.

        Raises:
            ConfigError: The call was no order of a client of ours, or the error comes from another process.
        """
        if self._look is None:
            raise ConfigError(
                "only an order sent by krakenonce's own client can be looked for, in the process that sent it; "
                "elsewhere call reconcile(error.order) of a client"
            )
        return self._look()

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name != "_look"}  # it leads to the secret
        return type(self), self.args, state


class RequestNotSent(KrakenError):
    """No connection to Kraken: the call never left this machine and may be repeated with a new nonce."""


class CallTimeout(KrakenError, TimeoutError):
    """The time given for the call ran out before it was sent."""


class OutcomeUnknown(KrakenError):
    """The call was sent and not answered: it may have been executed. Ask Kraken before repeating an order."""

    may_have_executed = "unknown"


class KrakenAPIError(KrakenError):
    """Kraken refused the call.

    Args:
        message: What happened and what to do.
        errors: Kraken's own strings, such as ``EGeneral:Permission denied``; none if it was not Kraken who refused.
    """

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class InvalidNonce(KrakenAPIError):
    """Kraken has already accepted a number at least as large from this key.

    Another program uses the key, or used it with larger numbers: give every program its own key, or let all of them
    take their numbers here.
    """


class PoisonedKey(InvalidNonce):
    """Kraken remembers a larger number for this key than ours, and refuses ours until they are larger.

    Somebody used the key with larger numbers. Tools count in seconds (10 digits), milliseconds (13), microseconds (16),
    tens of nanoseconds (18) or nanoseconds (19); ours have 19. Stop every other program on this key; then make a new
    key, which starts afresh, or run `krakenonce adopt --account NAME`, which puts this key's numbers above the largest.
    """


class InvalidKey(KrakenAPIError):
    """Kraken does not know this API key: it was mistyped, deleted or has expired.

    Do not repeat the call, too many of these lock the account out for a while.
    """


class InvalidSignature(KrakenAPIError):
    """The API secret does not belong to this API key, or the request was changed on its way.

    Do not repeat the call, check the secret.
    """


class InvalidToken(KrakenAPIError):
    """The WebSocket token or session is over: get a new token."""


class PermissionDenied(KrakenAPIError):
    """The API key lacks the permission for this call: change its settings at Kraken."""


class AccountRefused(KrakenAPIError):
    """Kraken refuses the account itself (locked, disabled, not confirmed): log in at Kraken or ask its support."""


class InvalidArguments(KrakenAPIError):
    """Kraken does not understand the parameters: check their names and values."""


class UnknownMethod(KrakenAPIError):
    """Kraken has no such method: check its spelling and whether it is public or private."""


class UnknownAsset(KrakenAPIError):
    """Kraken has no such pair or asset: AssetPairs and Assets list those there are."""


class RateLimited(KrakenAPIError):
    """Too many calls in a short time: wait a few seconds and call less often.

    Attributes:
        retry_after: Seconds after which there is room again, None if not known.
    """

    retry_after: float | None = None


class Throttled(RateLimited):
    """Too many calls at the same time: wait and send fewer at once."""


class LockedOut(KrakenAPIError):
    """Kraken has locked this account or address out after too many failed calls: stop all calls for 15 minutes.

    Attributes:
        retry_after: Seconds until calls are let through again here.
    """

    retry_after: float | None = None


class ServiceUnavailable(KrakenAPIError):
    """A fault at Kraken, or its engine is down; a call that changes something may have been executed."""

    may_have_executed = "unknown"


class MarketRestricted(KrakenAPIError):
    """The market takes cancels only, or no orders that fill at once: wait until SystemStatus says online."""


class DeadlineElapsed(KrakenAPIError):
    """The order reached the engine after its deadline and was not placed.

    If that happens often, check this machine's clock.
    """


class OrderRefused(KrakenAPIError):
    """Kraken did not take the order."""


class InsufficientFunds(OrderRefused):
    """The account does not have the funds or the margin for this order."""


class InvalidOrder(OrderRefused):
    """The pair does not allow this volume or price: AssetPairs has its minimum, its decimals and its tick size."""


class OrderLimitExceeded(OrderRefused):
    """There are too many open orders or positions: cancel or close some."""


class PositionRefused(OrderRefused):
    """The order does not fit the account's positions."""


class UnknownOrder(OrderRefused):
    """Kraken has no such open order: it is filled, cancelled, expired, or never was. QueryOrders tells."""


class DuplicateOrder(OrderRefused):
    """An order with this cl_ord_id is open already: this very one, sent before, or another. `reconcile()` tells."""

    may_have_executed = "unknown"


class FundingRefused(KrakenAPIError):
    """Kraken refused the deposit, withdrawal or transfer."""


class EarnRefused(KrakenAPIError):
    """Kraken refused the Earn call; ask for its status before repeating it."""

    may_have_executed = "unknown"


class UnknownKrakenError(KrakenAPIError):
    """This error is not known to krakenonce, so nothing is known of the call: ask Kraken before repeating an order."""

    may_have_executed = "unknown"
