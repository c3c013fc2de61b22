"""Every error krakenonce raises, in one tree.

    KrakenonceError
    ├── NonceError                 no nonce was issued
    │   ├── InvalidScope             a counter's name that is not allowed        (also ValueError)
    │   ├── InvalidFloor             a floor outside 0 .. 2^63 - 2               (also ValueError)
    │   ├── ClockError               the clock is before 2020 or after 2200, and there is no earlier nonce
    │   ├── NonceExhausted           the counter has reached 2^63 - 1
    │   └── NonceStoreError          the backend cannot store the nonce: disk, permissions, file system, damage
    ├── LaneError                  misuse of a lane                            (also RuntimeError)
    │   ├── LaneTimeout              the turn did not come in time               (also TimeoutError)
    │   └── TurnLost                 the turn was lost before the nonce was there
    ├── RecordChanged              the record was changed by another writer
    ├── ConfigError                arguments or credentials that cannot be used (also ValueError)
    └── KrakenError                a call to Kraken gave no result
        ├── RequestNotSent           no connection: nothing was sent
        ├── CallTimeout              the time limit passed before it was sent    (also TimeoutError)
        ├── CancelledBeforeSent      the order was cancelled while it waited: nothing was sent
        ├── AccessBlocked            a CDN, firewall or proxy in front of Kraken has refused the call
        ├── OutcomeUnknown           sent, and no answer says whether it was executed
        └── KrakenAPIError           Kraken answered with an error
            ├── InvalidNonce           EAPI:Invalid nonce
            │   └── PoisonedKey          twice in a row: Kraken has accepted a larger nonce than ours
            ├── InvalidKey             EAPI:Invalid key
            ├── InvalidSignature       EAPI:Invalid signature
            ├── InvalidToken           an expired WebSocket token or session
            ├── PermissionDenied       the key may not do this
            ├── AccountRefused         the account is locked, disabled, not confirmed or restricted
            ├── InvalidArguments       parameters that Kraken does not understand
            ├── UnknownMethod          EGeneral:Unknown method
            ├── UnknownAsset           no such pair or asset
            ├── RateLimited            too many calls, by Kraken's count or by ours
            │   └── Throttled            too many calls at the same time
            ├── LockedOut              EGeneral:Temporary lockout
            ├── ServiceUnavailable     a fault at Kraken, or its engine is down
            ├── MarketRestricted       the market accepts cancels only, or post-only orders only
            ├── DeadlineElapsed        the order reached the engine after its deadline
            ├── OrderRefused           Kraken refused the order
            │   ├── InsufficientFunds    not enough funds or margin
            │   ├── InvalidOrder         a volume or price that the pair does not allow
            │   ├── PostOnlyRefused      a post-only order that would have been filled at once
            │   ├── OrderLimitExceeded   too many orders or positions
            │   ├── PositionRefused      reduce-only or position rules
            │   ├── UnknownOrder         no such order, or not open any more
            │   └── DuplicateOrder       an order with this cl_ord_id is open already
            ├── FundingRefused         deposits, withdrawals and transfers
            ├── EarnRefused            EEarnings
            └── UnknownKrakenError     an error string that krakenonce does not know

Each error has ``may_have_executed``: ``"yes"``, ``"no"`` or ``"unknown"``, for the call during which it was raised.
The docstring of a KrakenAPIError says what it means and what to do. It is part of the message.
No message contains a secret or a whole API key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AccessBlocked",
    "AccountRefused",
    "CallTimeout",
    "CancelledBeforeSent",
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
    "PostOnlyRefused",
    "RateLimited",
    "RecordChanged",
    "RequestNotSent",
    "ServiceUnavailable",
    "Throttled",
    "TurnLost",
    "UnknownAsset",
    "UnknownKrakenError",
    "UnknownMethod",
    "UnknownOrder",
]


class KrakenonceError(Exception):
    """The base class of all errors that krakenonce raises."""

    may_have_executed: Literal["yes", "no", "unknown"] = "no"


class NonceError(KrakenonceError):
    """No nonce was issued, and nothing was sent."""


class InvalidScope(NonceError, ValueError):
    """The name of a counter is not allowed."""


class InvalidFloor(NonceError, ValueError):
    """A floor must be an integer from 0 to 2^63 - 2."""


class ClockError(NonceError):
    """The clock is before 2020 or after 2200, and the counter has no earlier nonce. Set the clock."""


class NonceExhausted(NonceError):
    """The counter has reached 2^63 - 1, the largest nonce that Kraken's schema allows. Use a new key and counter."""


class NonceStoreError(NonceError):
    """The backend cannot store a nonce so that it survives a crash. No nonce was issued."""


class RecordChanged(KrakenonceError):
    """Another writer has changed the record since it was read. Nothing was written: read it again."""


class LaneError(KrakenonceError, RuntimeError):
    """A lane was used in a way that cannot work."""


class LaneTimeout(LaneError, TimeoutError):
    """The turn did not come within the timeout. The lane is not held, and nothing was sent."""


class TurnLost(LaneError):
    """The turn was lost before the nonce was there, because this process was paused or cut off from the state.

    No nonce was issued, and nothing was sent. The call may be tried again, with a new turn.
    """


class ConfigError(KrakenonceError, ValueError):
    """Arguments or credentials that cannot be used."""


class KrakenError(KrakenonceError):
    """A call to Kraken gave no result.

    Attributes:
        order: If one of our clients sent an order, the :class:`~krakenonce.kraken.sent.SentOrder` to look for.
    """

    order: Any = None
    _look: Callable[[], Any] | None = None

    def reconcile(self) -> Any:
        """Ask Kraken whether the order was placed; with an async client, await the returned object.

        Returns:
            What the client's ``reconcile(error.order)`` returns.

        Raises:
            ConfigError: The call was not an order of one of our clients, or another process sent it.
        """
        if self._look is None:
            raise ConfigError(
                "error.reconcile() works only for an order of krakenonce's own client, in the process that sent it; "
                "otherwise call reconcile(error.order) of a client"
            )
        return self._look()

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name != "_look"}  # it leads to the secret
        return type(self), self.args, state


class RequestNotSent(KrakenError):
    """There was no connection to Kraken. Nothing was sent. You may repeat the call, with a new nonce.

    Attributes:
        may_be_repeated: False if a proxy does not let the call through, which repeating it does not change.
    """

    may_be_repeated: bool = True


class CallTimeout(KrakenError, TimeoutError):
    """The time limit of the call passed before it was sent. Nothing was sent."""


class CancelledBeforeSent(KrakenError):
    """The order was cancelled while it waited to be sent: by CancelAll, or by its ``cl_ord_id`` or ``userref``.

    Nothing was sent, and a batch was not sent as a whole. Do not repeat the call, unless you want the order after all.

    Attributes:
        may_be_repeated: False.
    """

    may_be_repeated: bool = False


class AccessBlocked(KrakenError):
    """Not Kraken but a CDN, firewall or proxy in front of it has refused the call, so it was not executed.

    This machine's address may be blocked, or taken for a robot's: do not repeat the call now, check the base URL, the
    proxy and VPN, and open https://api.kraken.com/0/public/Time from this machine.
    """


class OutcomeUnknown(KrakenError):
    """The call was sent, and no answer says whether it was executed.

    Ask Kraken before you repeat it. After an order, call ``reconcile()``.
    """

    may_have_executed = "unknown"


class KrakenAPIError(KrakenError):
    """Kraken answered with an error. krakenonce also raises RateLimited and LockedOut before a call is sent.

    Args:
        message: What happened and what to do.
        errors: Kraken's error strings, such as ``EGeneral:Permission denied``; empty if the call was not sent.
    """

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class InvalidNonce(KrakenAPIError):
    """Kraken has already accepted this nonce or a larger one from this key.

    Another program uses this key, or has used it with larger nonces. Give every program its own key, or let all of them
    use krakenonce with the same state directory.
    """


class PoisonedKey(InvalidNonce):
    """Another program has used this key with larger nonces than ours, so Kraken refuses all our calls with it.

    Programs count in seconds (10 digits), milliseconds (13), microseconds (16), tens of nanoseconds (18) or, as
    krakenonce does, nanoseconds (19). Stop every other program that uses this key. Then make a new API key, or run
    `krakenonce adopt --account NAME`.
    """


class InvalidKey(KrakenAPIError):
    """Kraken refused the call: it does not know this API key, which was mistyped or deleted, or has expired.

    Do not repeat the call: after too many of these, Kraken locks the account out.
    """


class InvalidSignature(KrakenAPIError):
    """Kraken refused the call: the secret is another key's, or the client signed other bytes than it sent.

    If other calls of this key succeed, it is the second: look for True, None or a list among the parameters. Else check
    the secret, and the second factor (otp) if the key has one. Do not repeat the call as it is.
    """


class InvalidToken(KrakenAPIError):
    """Kraken refused the call: the WebSocket token or session has expired. Get a new token."""


class PermissionDenied(KrakenAPIError):
    """Kraken refused the call: the API key has no permission for it, or needs a second factor (otp) with each call.

    See the key's settings at Kraken; a change there takes some time.
    """


class AccountRefused(KrakenAPIError):
    """Kraken refuses the account itself: it is locked, disabled, not confirmed, or may not trade this in its region.

    Log in at Kraken, or ask its support.
    """


class InvalidArguments(KrakenAPIError):
    """Kraken refused the call: it does not understand the parameters. Check their names and values."""


class NotSimulated(InvalidArguments):
    """The fake Kraken does not do this; Kraken does. Its page (docs/how-to/test-your-bot.md) has the list."""


class UnknownMethod(KrakenAPIError):
    """Kraken has no such method: check its spelling and whether it is public or private."""


class UnknownAsset(KrakenAPIError):
    """Kraken has no such pair or asset: see AssetPairs and Assets."""


class RateLimited(KrakenAPIError):
    """Kraken refuses calls above its rate limit: wait a few seconds and call less often.

    Attributes:
        retry_after: Seconds after which the rate limit allows the call; None if not known.
    """

    retry_after: float | None = None


class Throttled(RateLimited):
    """Kraken refuses too many calls at the same time: wait, and send fewer at once."""


class LockedOut(KrakenAPIError):
    """Kraken has locked out this account or IP address after too many failed calls.

    Make no calls for 15 minutes; krakenonce sends none with this key until then.

    Attributes:
        retry_after: Seconds until krakenonce sends calls with this key again.
    """

    retry_after: float | None = None


class ServiceUnavailable(KrakenAPIError):
    """A fault at Kraken, or its engine is down. The call may have been executed: ask Kraken before you repeat it."""

    may_have_executed = "unknown"


class MarketRestricted(KrakenAPIError):
    """Kraken refused the call: the market accepts cancels only, or post-only orders only.

    Wait until SystemStatus says online.
    """


class DeadlineElapsed(KrakenAPIError):
    """The order reached the engine after its deadline and was not placed."""


class OrderRefused(KrakenAPIError):
    """Kraken refused the order."""


class InsufficientFunds(OrderRefused):
    """Kraken refused the order: the account does not have the funds or the margin for it."""


class InvalidOrder(OrderRefused):
    """Kraken refused the order: the pair does not allow this volume or price.

    AssetPairs shows the pair's minimum, decimals and tick size.
    """


class PostOnlyRefused(OrderRefused):
    """Kraken refused the order: it was post-only, and would have been filled at once. Choose a price that rests."""


class OrderLimitExceeded(OrderRefused):
    """Kraken refused the order: there are too many open orders or positions. Cancel or close some."""


class PositionRefused(OrderRefused):
    """Kraken refused the order: it does not fit the account's positions."""


class UnknownOrder(OrderRefused):
    """Kraken has no such open order: it was filled or cancelled, has expired, or never existed. See QueryOrders."""


class DuplicateOrder(OrderRefused):
    """An order with this cl_ord_id is already open: this order, sent before, or another one. Call `reconcile()`."""

    may_have_executed = "unknown"


class FundingRefused(KrakenAPIError):
    """Kraken refused the deposit, withdrawal or transfer: check its amount, key and reference id."""


class EarnRefused(KrakenAPIError):
    """The Earn call gave an error. It may have been executed: ask for its status before you repeat it."""

    may_have_executed = "unknown"


class UnknownKrakenError(KrakenAPIError):
    """krakenonce does not know this error, so the call may have been executed. Ask Kraken before you repeat it."""

    may_have_executed = "unknown"
