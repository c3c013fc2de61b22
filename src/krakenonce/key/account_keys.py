"""The API keys of one account: which may be used now for a call, and why the others may not. No I/O.

A key that cannot be used is passed over, and that is logged once. Only if none can be used does the caller get an
error, which names each key's reason.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from krakenonce.errors import (
    ConfigError,
    InvalidKey,
    InvalidSignature,
    KrakenAPIError,
    KrakenError,
    LockedOut,
    PermissionDenied,
    PoisonedKey,
    RateLimited,
    Throttled,
)
from krakenonce.key.methods import EVERY, METHODS, Kind, kind_of, names_of_orders
from krakenonce.key.naming import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence


logger = logging.getLogger("krakenonce")

REFUSED = 60.0  # seconds after which a key is tried again that Kraken has refused
FEWER = 60.0  # seconds for which fewer keys are used after Throttled
_NEVER = float("inf")
_NOT_PERMITTED = "it has no permission for this method"


class Out(NamedTuple):
    """Why a key is passed over.

    Args:
        until: When it is tried again, on the monotonic clock.
        error: The error that a call of it got, or would get.
    """

    until: float
    error: KrakenAPIError


class AccountKeys:
    """What one process knows of the keys of one account. Safe for threads.

    Args:
        keys: The API keys, in the order in which they are used if several are free.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, keys: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self.names = [fingerprint(key) for key in keys]
        self._now = now
        self._out: dict[int, Out] = {}
        self._may_not: dict[tuple[int, str], Out] = {}  # by key and method
        self._info: dict[int, Mapping[str, Any]] = {}  # what GetApiKeyInfo said
        self._said: set[tuple[int, str, type[KrakenAPIError]]] = set()
        self._sending: dict[int, list[str]] = {}  # the names of the orders under way, by the place of their key
        self.has_said_others = False  # that other programs know other keys of the account
        self._at_most, self._fewer_until = len(keys), 0.0

    def __len__(self) -> int:
        return len(self.names)

    def usable(self, method: str, params: Mapping[str, Any]) -> list[int]:
        """Return the places of the keys that may make this call now, at least one.

        A call that names an order under way is made with that order's key, after it. Orders may share a ``userref``.

        Raises:
            RateLimited: None may now. The REST counter of one at least is full, and a call can wait for that.
            KrakenAPIError: None may. It is the error of the key that may be the first to be used again.
        """
        if len(self) == 1:
            return [0]
        own = self.with_orders(_names_in(method, params))
        if own:
            return own[:1]
        why = {place: self._why_not(place, method, params) for place in range(len(self))}
        usable = [place for place, out in why.items() if out is None]
        if not usable:
            raise self._all_out({place: out for place, out in why.items() if out is not None})
        return usable[: self._at_most] if self._now() < self._fewer_until else usable

    def _why_not(self, place: int, method: str, params: Mapping[str, Any]) -> Out | None:
        now = self._now()
        for out in (self._may_not.get((place, method)), self._out.get(place)):
            if out is not None and now < out.until:
                is_in_it = METHODS[method].rest or (out.error.errors and self.needs_info(place, method, params))
                if isinstance(out.error, RateLimited) and not is_in_it:
                    continue  # a full REST counter keeps no order and no cancel from being made, but for that question
                return out
        if not self.is_allowed(place, method):
            return Out(_NEVER, PermissionDenied(_NOT_PERMITTED))
        return None

    def _all_out(self, outs: Mapping[int, Out]) -> KrakenAPIError:
        out = min(outs.values(), key=lambda out: (not isinstance(out.error, RateLimited), out.until))
        reasons = "; ".join(f"key {self.names[place]}: {_in_short(out.error)}" for place, out in outs.items())
        error = type(out.error)(f"Not sent: none of the account's {len(self)} API keys can be used now. {reasons}.")
        if isinstance(error, RateLimited | LockedOut):
            error.retry_after = max(0.0, out.until - self._now())
        return error

    def passes_over(self, place: int, method: str, error: KrakenError) -> bool:
        """Note an error that a call got with a key; return whether another key may make the call now.

        That is so if the call was not executed, and the reason is the key's and not the call's or the account's.
        """
        if len(self) == 1:
            return False
        if isinstance(error, Throttled):
            self._use_fewer()
            return False
        seconds = _seconds_out(error)
        if seconds is None or not isinstance(error, KrakenAPIError) or error.may_have_executed != "no":
            return False
        self._pass_over(place, method if isinstance(error, PermissionDenied) else "", Out(self._now() + seconds, error))
        return True

    def must_wait(self, place: int, seconds: float) -> None:
        """Note that the REST counter of a key is full for so many seconds."""
        self._pass_over(place, "", Out(self._now() + seconds, RateLimited("its rate limit is used up")))

    def full_the_shortest(self, method: str, params: Mapping[str, Any]) -> int:
        """Return the place of the key that may call a method, and whose REST counter is full the shortest."""
        why = {place: self._why_not(place, method, params) for place in range(len(self))}
        full = {place: out.until for place, out in why.items() if out and isinstance(out.error, RateLimited)}
        return min(full, key=full.__getitem__, default=0)  # there is none if one has become free

    def _pass_over(self, place: int, method: str, out: Out) -> None:
        if method:
            self._may_not[place, method] = out
        else:
            self._out[place] = out
        if (said := (place, method, type(out.error))) not in self._said:
            self._said.add(said)
            level = logging.INFO if isinstance(out.error, RateLimited) else logging.WARNING
            logger.log(
                level,
                "API key %s is passed over%s: %s. The account's other keys are used.",
                *(self.names[place], f" for {method}" if method else "", _in_short(out.error)),
            )

    def _use_fewer(self) -> None:
        """Kraken has answered that too many calls of the account are under way at the same time."""
        is_limited = self._now() < self._fewer_until
        self._at_most = max(1, (self._at_most if is_limited else len(self)) // 2)
        self._fewer_until = self._now() + FEWER
        logger.warning(
            "Kraken has answered Throttled: %d of the account's %d API keys are used at the same time for the next "
            "%.0f s",
            *(self._at_most, len(self), FEWER),
        )

    def needs_info(self, place: int, method: str, params: Mapping[str, Any]) -> bool:
        """Whether Kraken must be asked for the key's permissions first: the call changes something, and it was not."""
        return len(self) > 1 and place not in self._info and kind_of(method, params) is not Kind.READ

    def ask_again(self, place: int) -> None:
        """Kraken has refused a nonce of a key: it is asked for the key's permissions before the next such call."""
        self._info.pop(place, None)

    def out(self) -> list[tuple[int, str, float]]:
        """Return the keys that are passed over now: the place of each, why, and the seconds until it is tried again."""
        now = self._now()
        outs = [(place, "", out) for place, out in self._out.copy().items()]
        outs += [(place, f" for {method}", out) for (place, method), out in self._may_not.copy().items()]
        return [
            (place, f"{_in_short(out.error)}{what}", out.until - now) for place, what, out in outs if now < out.until
        ]

    def learn(self, place: int, info: Mapping[str, Any]) -> str:
        """Keep what GetApiKeyInfo said of a key; return Kraken's number of the account, empty if it is not known.

        Raises:
            ConfigError: The key is of another account than the others.
        """
        number = str(info.get("iban") or "")
        for other, known in self._info.items():
            if number and known.get("iban") not in (number, "", None):
                wrong = InvalidKey(
                    f"it belongs to another account at Kraken than key {self.names[other]}: its orders would be that "
                    "account's"
                )
                self._out[place] = Out(_NEVER, wrong)
                raise ConfigError(
                    f"Not sent: API keys {self.names[other]} and {self.names[place]} are of different accounts at "
                    "Kraken. Give all keys of an account, and no other."
                )
        self._info[place] = info
        return number

    def is_allowed(self, place: int, method: str) -> bool:
        """Whether a key may call a method, as far as its permissions are known."""
        info = self._info.get(place)
        return info is None or METHODS[method].may_be_called(info.get("permissions", ()))

    def begin(self, place: int, method: str, params: Mapping[str, Any]) -> None:
        """Note, in the key's turn, that an order is sent: what names it comes after it, with the same key."""
        if len(self) > 1 and kind_of(method, params) is Kind.ORDER:
            self._sending[place] = _all_names_in(method, params)

    def end(self, place: int) -> None:
        """Note, before the key's turn ends, that no order is under way any more.

        Else two calls that each wait for the orders of the other's key would wait for ever.
        """
        self._sending.pop(place, None)

    def with_orders(self, names: Collection[str] = (EVERY,)) -> list[int]:
        """Return the places of the keys with which this process is just sending orders that have one of these names."""
        sending = self._sending.copy() if names else {}
        return sorted(place for place, its in sending.items() if EVERY in names or not set(names).isdisjoint(its))


def _all_names_in(method: str, params: Mapping[str, Any]) -> list[str]:
    return [name for names in names_of_orders(method, params) for name in names]


def _names_in(method: str, params: Mapping[str, Any]) -> list[str]:
    """Return the names in a call that are one order's, or if it is no order itself, of several."""
    names = _all_names_in(method, params)
    return [name for name in names if not name.startswith("userref")] if METHODS[method].kind is Kind.ORDER else names


def _seconds_out(error: KrakenError) -> float | None:
    """Return for how long a key is passed over after an error; None: it says nothing about the key."""
    if isinstance(error, LockedOut):
        return error.retry_after or REFUSED
    if isinstance(error, RateLimited):  # of the REST counter; the trading engine's is the account's
        return error.retry_after or 0.0 if any(string.startswith("EAPI") for string in error.errors) else None
    return REFUSED if isinstance(error, InvalidKey | InvalidSignature | PermissionDenied | PoisonedKey) else None


def _in_short(error: KrakenAPIError) -> str:
    if isinstance(error, PermissionDenied):
        return _NOT_PERMITTED
    return ", ".join(error.errors) or str(error).removeprefix("Not sent: ").split(". ", 1)[0].rstrip(".")
