"""What the sync and the async client have in common: whose key, which numbers, which turns, which limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from krakenonce.checks import check_manager, check_number, check_seconds, check_serialization, check_text
from krakenonce.errors import CallTimeout, ConfigError
from krakenonce.key.api_key import ApiKey
from krakenonce.key.limits import TIERS
from krakenonce.key.methods import METHODS
from krakenonce.kraken.calling import Calls
from krakenonce.kraken.request import Key, PrivateCall, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krakenonce.key.lane import Lane
    from krakenonce.manager import NonceManager

__all__ = ["Session", "seconds_left", "until_after"]

_OFF = "none"  # the tier of those who do not want their calls counted


class Session:
    """One API key in use.

    Args:
        key: The API key; empty for public calls only.
        secret: Its secret, base64 as Kraken shows it.
        manager: Where numbers and turns come from; None makes a ``NonceManager()`` when needed.
        scope: The counter the numbers are taken from; None: :meth:`NonceManager.scope_of` the key.
        tier: ``"starter"``, ``"intermediate"``, ``"pro"``, or ``"none"`` to have no calls counted.
        max_wait: Seconds that a call waits for Kraken's limits at most.
        serialization: ``"key"``, ``"global"`` or ``"off"``: whose calls wait for each other.

    Raises:
        ConfigError: There is no such tier or serialization, or a setting is of the wrong kind.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        manager: NonceManager | None,
        scope: str | None,
        tier: str,
        max_wait: float,
        serialization: str,
    ) -> None:
        check_text("key", key)
        check_text("secret", secret)
        check_manager(manager)
        if scope is not None:
            check_text("scope", scope)
        check_text("tier", tier)
        check_seconds("max_wait", max_wait, zero=True, endless=True)
        if tier != _OFF and tier not in TIERS:
            raise ConfigError(f"There is no tier {tier!r}: use one of {', '.join((*TIERS, _OFF))}.")
        check_serialization(serialization)
        self.key = Key(key, secret)
        self._manager = manager
        self._made: dict[str, NonceManager] = {}
        self._scope = scope
        self._tier = TIERS.get(tier)
        self._max_wait = max_wait
        self._serialization = serialization
        self._calls: Calls | None = None

    def become(self, manager: NonceManager, serialization: str) -> None:
        """Take nonces and turns from another manager from now on, as the client of a broker does."""
        self._serialization = serialization
        if manager is not self._manager:
            self._manager, self._calls = manager, None

    @property
    def manager(self) -> NonceManager:
        """The manager, made now if there is none."""
        if self._manager is not None:
            return self._manager
        from krakenonce.manager import NonceManager

        # setdefault is one step for all threads, and a manager made in vain has opened nothing.
        return self._made.get("manager") or self._made.setdefault("manager", NonceManager())

    @property
    def calls(self) -> Calls:
        """The rules of calling."""
        if self._calls is None:
            api_key = ApiKey(self.manager, self.key.key, self._tier, scope=self._scope) if self.key.key else None
            self._calls = Calls(api_key, self._max_wait)
        return self._calls

    def turn(self, call: PrivateCall, until: float | None) -> Iterator[Lane]:
        """Yield the lanes to hold during a call; each is to be taken before the next is asked for.

        Args:
            call: The call. One whose caller has the turn needs none.
            until: When it is too late, on the monotonic clock; None: never.

        Raises:
            CallTimeout: It is too late.
        """
        self.key.secret()  # nobody should wait for a turn that cannot be used
        urgent = METHODS[call.method].urgent
        if self._serialization == "global" and not call.has_turn:
            yield self.manager.lane(timeout=seconds_left(until), urgent=urgent)
        if self._serialization != "off" and not call.has_turn:
            yield self.calls.api_key.turn(seconds_left(until), urgent=urgent)

    def sign(self, call: PrivateCall) -> Request:
        """Return the request with the next nonce, unless the caller has taken one. To be called within the turn.

        Raises:
            LockedOut: The key was locked out meanwhile; no nonce was taken.
            NonceError: No nonce to be had.
        """
        place = self.calls.place(call)
        api_key = self.calls.api_key
        call.refusal = None
        if call.has_turn:
            api_key.count(place)
            nonce = None
        else:
            nonce = api_key.nonce(place)
        try:
            return call.request(self.key, nonce, time.time())
        except BaseException:
            api_key.not_sent(place)
            raise

    def close(self) -> None:
        """Close the manager if it was made here."""
        if (made := self._made.pop("manager", None)) is not None:
            made.close()
            self._calls = None


def until_after(within: float | None) -> float | None:
    """Return when a time limit is over, on the monotonic clock; None: never. Raises ConfigError if it is no number."""
    return None if within is None else time.monotonic() + check_number("within", within)


def seconds_left(until: float | None, needed: float = 0.0) -> float | None:
    """Return the seconds until *until* on the monotonic clock, None for ever.

    Raises:
        CallTimeout: There are not more than *needed* left.
    """
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= needed:
        raise CallTimeout("The time given for the call ran out before it was sent.")
    return left
