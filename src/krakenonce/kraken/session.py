"""What the sync and the async client share: the account's keys, their nonces, their turns and their rate limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from krakenonce.checks import check_manager, check_number, check_seconds, check_serialization, check_text
from krakenonce.errors import CallTimeout, ConfigError, RateLimited
from krakenonce.key.any_lane import AnyLane
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.key.methods import cancelled_in, is_urgent
from krakenonce.key.naming import fingerprint
from krakenonce.key.pair import KeyPair, Otp, Pair, checked_pairs
from krakenonce.kraken.address import DEFAULT
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.http_status import closed_for, refuse_if_closed
from krakenonce.kraken.request import Key, PrivateCall, Request
from krakenonce.shown import blind, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from krakenonce.key.lane import Lane
    from krakenonce.key.pair import Otp
    from krakenonce.kraken.async_transport import AsyncTransport
    from krakenonce.kraken.transport import Transport
    from krakenonce.manager import NonceManager


_OFF = "none"  # the tier whose calls are not counted

T = TypeVar("T", bound="Transport | AsyncTransport")


class Session(Generic[T]):
    """A client's API keys in use; the arguments are those of :class:`krakenonce.kraken.Kraken`."""

    _transport_type: ClassVar[type[Transport | AsyncTransport]]

    @blind
    def __init__(
        self,
        key: str = "",
        secret: str = "",
        *,
        keys: Iterable[Pair] | None = None,
        manager: NonceManager | None = None,
        scope: str | None = None,
        tier: str = "starter",
        max_wait: float = 60.0,
        serialization: str = "key",
        base_url: str = DEFAULT,
        timeout: float = 30.0,
        transport: T | None = None,
        proxy: str | None = None,
        otp: Otp | None = None,
    ) -> None:
        pairs = _pairs(key, secret, otp, keys)
        check_manager(manager)
        if scope is not None:
            check_text("scope", scope)
        check_text("tier", tier)
        check_seconds("max_wait", max_wait, zero=True, endless=True)
        if tier != _OFF and tier not in TIERS:
            raise ConfigError(f"tier must be one of {', '.join((*TIERS, _OFF))}, not {tier!r}.")
        check_serialization(serialization)
        check_seconds("timeout", timeout)
        kind = self._transport_type
        if transport is not None and not isinstance(transport, kind):
            raise ConfigError(
                f"transport must be a krakenonce {kind.__name__}, such as {kind.__name__}(base_url), not {transport!r}"
            )
        if transport is not None and proxy is not None:
            raise ConfigError(f"Give the proxy to the transport: {kind.__name__}(base_url, proxy=...).")
        self.key = pairs[0].key
        self.account_name = ""  # for the journal; set by a caller that knows it, before the first call
        self._pairs = pairs
        self._signers = [Key(each.key, each.secret, each.otp) for each in pairs]
        self._given_manager = manager
        self._made: dict[str, NonceManager] = {}
        self._scope = scope
        self._tier = TIERS.get(tier)
        self._max_wait = max_wait
        self._serialization = serialization
        self._calls: Calls | None = None
        self._transport: T = transport or kind(base_url, proxy)  # type: ignore[assignment] # each client has its own kind
        self._own_transport = transport is None
        self._timeout = timeout

    @whole
    def __repr__(self) -> str:
        shown = fingerprint(self.key) if self.key else ""
        what = f"key={shown!r}" if len(self._pairs) == 1 else f"keys={[fingerprint(each.key) for each in self._pairs]}"
        return f"{type(self).__name__}({what}, base_url={self._transport.base_url!r})"

    @blind
    def only(self, number: int) -> Self:
        """Return a client that uses one key of the account: for calls that must be made with the same one.

        It shares the connections and the state with this client, and need not be closed.

        Args:
            number: Which key, in the order in which they were given, from 1.

        Raises:
            ConfigError: There is no such key.
        """
        if type(number) is not int or not 1 <= number <= len(self._pairs):
            raise ConfigError(f"number must be that of one of the {len(self._pairs)} keys, from 1; not {number!r}")
        one = type(self)(
            keys=[self._pairs[number - 1]],
            manager=self._manager,
            scope=self._scope,
            tier=self._tier.name if self._tier else _OFF,
            max_wait=self._max_wait,
            serialization=self._serialization,
            timeout=self._timeout,
            transport=self._transport,
        )
        one.account_name = self.account_name
        return one

    def _use(self, manager: NonceManager, serialization: str) -> None:
        """Take nonces and turns from another manager from now on, as the client of a broker does."""
        self._serialization = serialization
        if manager is not self._given_manager:
            self._given_manager, self._calls = manager, None

    @property
    def calls(self) -> Calls:
        """The procedures that :meth:`run` runs."""
        if self._calls is None:
            keys = [each.key for each in self._pairs if each.key]
            api_keys = [ApiKey(self._manager, each, self._tier, scope=self._scope) for each in keys]
            for api_key in api_keys:
                api_key.account = self.account_name
            self._calls = Calls(api_keys, self._max_wait, self._transport.time)
        return self._calls

    @property
    def _manager(self) -> NonceManager:
        if self._given_manager is not None:
            return self._given_manager
        from krakenonce.manager import NonceManager

        # setdefault is one step for all threads, and an unused manager has opened nothing.
        return self._made.get("manager") or self._made.setdefault("manager", NonceManager())

    def _turn(self, call: PrivateCall, until: float | None) -> Iterator[Lane | AnyLane]:
        """Yield the lanes to hold during a call; take each before the next is asked for. Then the call has its key.

        Args:
            call: The call. It needs no lane if its caller holds the lane.
            until: When it is too late, on the monotonic clock; None: never.

        Raises:
            CallTimeout: It is too late.
            KrakenAPIError: None of the account's keys can be used now.
        """
        for signer in self._signers:
            signer.secret()  # no call should wait for a turn that it cannot use
        call.key = 0 if call.has_turn else None
        if call.has_turn:
            return
        urgent = call.urgent or is_urgent(call.method, call.params)
        if self._serialization == "global":
            yield self._manager.lane(timeout=seconds_left(until), urgent=urgent)
        calls = self.calls
        only, call.waits_for = call.waits_for if call.only is None else call.only, None
        places = calls.account.usable(call.method, call.params) if only is None else [only]
        if self._serialization == "off":
            call.key = places[0]
        elif len(places) == 1:
            call.key = places[0]
            calls.place(call)  # what it needs of the rate limits may come along with the turn
            yield calls.api_keys[places[0]].turn(seconds_left(until), urgent=urgent)
        else:
            lane = AnyLane([calls.api_keys[place].turn(urgent=urgent) for place in places], seconds_left(until))
            yield lane
            call.key = places[lane.index]

    def _turns_of_orders(self, call: PrivateCall, until: float | None) -> Iterator[Lane]:
        """Yield the lanes that a cancel waits for once it is signed: those of its orders that this process is sending.

        An order that is counted later is not sent, because the cancel has been counted.
        """
        for place in self.calls.account.with_orders(cancelled_in(call.method, call.params)):
            if place != call.key:
                yield self.calls.api_keys[place].turn(seconds_left(until), urgent=True)

    def _sign(self, call: PrivateCall) -> Request:
        """Return the request with the next nonce, or with the caller's own. To be called in the turn.

        Raises:
            LockedOut: The key was locked out meanwhile; no nonce was taken.
            RateLimited: The address wants no calls yet; no nonce was taken.
            NonceError: No nonce can be issued.
        """
        calls = self.calls
        place, api_key = calls.place(call), calls.key_of(call)
        refuse_if_closed(self._transport.host)
        call.refusal = None
        calls.account.begin(call.key or 0, call.method, call.params)
        if call.has_turn:
            api_key.count(place)
            nonce = None
        elif call.is_question:
            api_key.count(place)  # a question before another call: it does not wait, because that call has waited
            nonce = api_key.next()
        else:
            nonce = api_key.nonce(place)
        try:
            call.key_name = calls.account.names[call.key or 0]
            return call.request(self._signers[call.key or 0], nonce, self._transport.time.now())
        except BaseException:
            api_key.not_sent(place)
            raise

    def _settled(self, call: PrivateCall, reply: dict[str, Any]) -> dict[str, Any]:
        """Return *reply*, when all is done about it that is due in the turn."""
        if isinstance(call.refusal, RateLimited):  # it may have come with HTTP status 429 and a longer Retry-After
            call.refusal.retry_after = max(call.refusal.retry_after or 0.0, closed_for(self._transport.host))
        return reply

    def _seconds(self, timeout: float | None) -> float:
        """Return the seconds to wait for an answer: the client's own unless *timeout* is given."""
        if timeout is None:
            return self._timeout
        check_seconds("timeout", timeout)
        return timeout

    def _close_manager(self) -> None:
        """Close the manager if it was made here."""
        if (made := self._made.pop("manager", None)) is not None:
            made.close()
            self._calls = None


def _pairs(key: str, secret: str, otp: Otp | None, keys: Iterable[Pair] | None) -> tuple[KeyPair, ...]:
    """Return the keys that were given: one, or several. Raises ConfigError if they cannot be used."""
    if keys is not None:
        if key or secret or otp is not None:
            raise ConfigError("Give either key and secret, or keys.")
        return checked_pairs(keys)
    check_text("key", key)
    check_text("secret", secret)
    if otp is not None and not callable(otp):
        check_text("otp", otp)
    return (KeyPair(key, secret, otp),)


def until_after(within: float | None) -> float | None:
    """Return when a time limit passes, on the monotonic clock; None: never. Raises ConfigError for a wrong type."""
    return None if within is None else time.monotonic() + check_number("within", within)


def seconds_left(until: float | None, needed: float = 0.0) -> float | None:
    """Return the seconds until *until* on the monotonic clock; None: for ever.

    Raises:
        CallTimeout: No more than *needed* are left.
    """
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= needed:
        end = f"ends in {left:.1f} s" if left > 0 else "has passed"
        raise CallTimeout(f"Not sent: the time limit of the call {end}.")
    return left
