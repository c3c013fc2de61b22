"""A fake Kraken without a server: accounts, a matching engine, Kraken's rules, and a log of the requests."""

from __future__ import annotations

import contextlib
import threading
import time
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any

from krakenonce.errors import ConfigError
from krakenonce.testing.accounts import FakeAccount
from krakenonce.testing.admission import INVALID_NONCE, Admission
from krakenonce.testing.calls import Calls
from krakenonce.testing.engine import MatchingEngine
from krakenonce.testing.faults import Faults
from krakenonce.testing.keys import PERMISSIONS, ApiKey
from krakenonce.testing.limits import Limits
from krakenonce.testing.markets import PAIRS, find_asset, find_pair
from krakenonce.testing.placing import LOT
from krakenonce.testing.request import Refused, explain, unpack
from krakenonce.testing.rules import Rules
from krakenonce.testing.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from krakenonce.testing.request import Arrival, Request


_EXACT = Context(prec=80)  # a product of the longest price and the longest volume that a call may have
_MOST = 10**12  # no price is as large
_SETTINGS = ("key", "secret", "last_nonce", "nonce_window", "permissions", "otp", "valid_until")


class FakeKraken:
    """The fake Kraken: it answers as Kraken's Spot REST API does.

    Args:
        rules: How strict it is; ``None`` for the defaults. They may be changed at any time.

    ``accounts`` has the accounts by their first key, ``keys`` all keys, ``arrivals`` the log of the private requests.
    ``faults`` are the faults that the next requests over HTTP get. ``url`` is the address of its server, empty if none
    runs. ``streams`` are its WebSockets.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.accounts: dict[str, FakeAccount] = {}
        self.keys: dict[str, ApiKey] = {}
        self.arrivals: list[Arrival] = []
        self.faults = Faults()
        self.rules = rules or Rules()
        self.url = ""
        self._engine = MatchingEngine(self.rules)
        self._limits = Limits(self.rules)
        self._admission = Admission(self.rules, self._limits)
        self._lock = threading.RLock()  # a test sets prices while the thread of the server answers
        self._calls = Calls(self._engine, self._limits, self._admission, self.keys, self.arrivals)
        self.streams = Streams(self._engine, self.keys, self._admission, self._limits, self._turn)

    def add_account(
        self,
        name: str,
        key: str | None = None,
        secret: str | None = None,
        balances: Mapping[str, str | Decimal] | None = None,
        *,
        last_nonce: int = 0,
        nonce_window: int = 0,
        permissions: Iterable[str] = PERMISSIONS,
        otp: str | None = None,
        valid_until: float = 0.0,
    ) -> FakeAccount:
        """Add an account with one API key and return it.

        Args:
            name: Its name in the log, and that of its key.
            key: The API key; ``None`` for a random one of Kraken's format.
            secret: Its secret in base64; ``None`` for a random one of Kraken's format.
            balances: Asset name, such as ``ZUSD``, to amount. An account without balances needs no funds.
            last_nonce: The largest nonce that was accepted already.
            nonce_window: Nonces above ``last_nonce`` minus this are accepted, too; 0 for none.
            permissions: Kraken's names, such as ``query-funds``; the default is all.
            otp: The second factor that each call needs; ``None`` for none.
            valid_until: When the key expires, in seconds since 1970; 0 for never.

        Raises:
            ConfigError: The key exists already, the secret is not base64, a permission is unknown, a balance is not a
                number of 0 or more, or is of an asset that Kraken's balances have under another name, or another value
                cannot be used.
        """
        held = {asset: _balance(asset, amount) for asset, amount in (balances or {}).items()}
        account = FakeAccount(name, held, is_counted=bool(held))
        self.add_key(
            account,
            name,
            key=key or "",
            secret=secret or "",
            last_nonce=last_nonce,
            nonce_window=nonce_window,
            permissions=permissions,
            otp=otp,
            valid_until=valid_until,
        )
        with self._lock:
            self.accounts[account.key] = account
        return account

    def add_key(self, account: FakeAccount, name: str = "", **settings: Any) -> ApiKey:
        """Add another API key of an account and return it: funds and orders are the account's, nonces the key's.

        Args:
            account: The account.
            name: Its name in the log; if empty, the account's with a number.
            **settings: ``key``, ``secret``, ``last_nonce``, ``nonce_window``, ``permissions``, ``otp`` and
                ``valid_until``, as for ``add_account``.

        Raises:
            ConfigError: As for ``add_account``, or there is no such setting.
        """
        wrong = settings.keys() - _SETTINGS
        if wrong:
            raise ConfigError(f"A key has no {', '.join(sorted(wrong))}; it has: {', '.join(_SETTINGS)}.")
        given = {setting: value for setting, value in settings.items() if value is not None}
        name = name or f"{account.name} {len(account.keys) + 1}"
        made = ApiKey(account=account, name=name, created=self.time(), **given)
        with self._lock:
            if self.keys.setdefault(made.key, made) is not made:
                raise ConfigError("The fake Kraken has this key already.")
            account.keys.append(made)
        return made

    def revoke(self, key: str) -> None:
        """Accept no more calls of an API key; those of the account's other keys go on.

        Raises:
            ConfigError: There is no such key.
        """
        if key not in self.keys:
            raise ConfigError("The fake Kraken has no such key.")
        self.keys[key].is_revoked = True

    def owner_of(self, key: str) -> str:
        """Return the first API key of the account that a key belongs to; an unknown key is its own."""
        known = self.keys.get(key)
        return known.account.key if known else key

    def accepted(self) -> list[Arrival]:
        """Return the requests whose nonce was accepted."""
        return [arrival for arrival in self.arrivals if arrival.accepted]

    def invalid_nonces(self) -> list[Arrival]:
        """Return the requests answered with ``EAPI:Invalid nonce``."""
        return [arrival for arrival in self.arrivals if arrival.error == INVALID_NONCE]

    def assert_no_invalid_nonce(self) -> None:
        """Raise an AssertionError if any request was answered with ``EAPI:Invalid nonce``.

        The message shows the first of them. What the faults ``duplicate`` and ``error`` made does not count.
        """
        refused = [each for each in self.invalid_nonces() if not each.is_copy and each.fault != "error"]
        if refused:
            raise AssertionError(explain(refused, len(self.arrivals)))

    def set_price(self, pair: str, price: str | Decimal, now: float | None = None) -> None:
        """Set the price of a pair; resting orders that it reaches are filled at their own price.

        Args:
            pair: Any of its names, such as ``XBTUSD``.
            price: The market maker buys 0.05 % below it and sells 0.05 % above it.
            now: Seconds since 1970; ``None`` for the clock's time.

        Raises:
            ConfigError: There is no such pair, or the price is not a number that the market may have.
        """
        with self._turn(now) as at:
            try:
                name = find_pair(pair).name
            except Refused as refusal:
                raise ConfigError(f"The fake Kraken has no pair {pair!r}.") from refusal
            amount = _amount("price", price)
            tick = PAIRS[name].tick
            if not tick <= amount < _MOST:
                raise ConfigError(f"The price of {name} must be {tick} or above, and below {_MOST}.")
            self._engine.set_price(name, amount, at)

    def fill(self, txid: str, volume: str | Decimal | None = None, now: float | None = None) -> None:
        """Fill an open order at its own price.

        Args:
            txid: Its id.
            volume: How much is filled; ``None`` for all that is left.
            now: Seconds since 1970; ``None`` for the clock's time.

        Raises:
            ConfigError: No such order is open, or less than this volume is left.
        """
        with self._turn(now) as at:
            order = next((each.orders[txid] for each in self.accounts.values() if txid in each.orders), None)
            if order is None:
                raise ConfigError(f"No order {txid} is open.")
            if order.waits or order.status == "pending":
                raise ConfigError(f"The order {txid} is not in the book yet: it waits for its trigger or its time.")
            amount = order.left if volume is None else _amount("volume", volume)
            if amount % LOT:
                raise ConfigError(f"A volume has 8 digits after the point at most, {amount:f} has more.")
            if not 0 < amount <= order.left:
                raise ConfigError(f"The order {txid} has {order.left:f} left, and cannot be filled with {amount:f}.")
            self._engine.take(order, amount, at)

    def cut_sockets(self) -> None:
        """Cut all WebSocket connections, as a network does: no client is told, and each may connect again."""
        with self._lock:
            self.streams.cut()

    def answer(
        self, path_qs: str, headers: Mapping[str, str], body: bytes, now: float, **arrived: Any
    ) -> dict[str, Any]:
        """Return Kraken's answer to one request; a private one is logged.

        Args:
            path_qs: The URL path with its query string, as received.
            headers: With ``API-Key``, ``API-Sign`` and ``Content-Type``.
            body: The body, as received.
            now: Seconds since 1970; nonces are never compared with it.
            **arrived: How it arrived; see :func:`~krakenonce.testing.request.unpack`.
        """
        return self.answer_to(unpack(path_qs, headers, body, now, **arrived))

    def answer_to(self, request: Request) -> dict[str, Any]:
        """Return Kraken's answer to an unpacked request; a private one is logged. The server calls it."""
        answer = self._calls.private if request.kind == "private" else self._calls.public
        with self._turn(request.now):
            try:
                return {"error": [], "result": answer(request)}
            except Refused as refusal:
                forms: dict[str, dict[str, Any]] = {"result null": {"result": None}, "result {}": {"result": {}}}
                return {"error": [str(refusal)], **forms.get(self.rules.failure, {})}

    def log_lost(self, request: Request, error: str | None) -> None:
        """Log a private request that a fault keeps from being executed. The server calls it.

        Args:
            request: The request.
            error: The error that its sender gets instead, ``None`` if it gets no answer of Kraken's.
        """
        if request.kind == "private":
            with self._lock:
                self._calls.log_lost(request, error)

    def time(self) -> float:
        """Return Kraken's time in seconds since 1970: this machine's, but for ``rules.clock_ahead``."""
        return time.time() + self.rules.clock_ahead

    @contextlib.contextmanager
    def _turn(self, now: float | None = None) -> Iterator[float]:
        """Let nobody else change anything meanwhile; what has changed is then sent to the WebSockets.

        Orders that have ended are ended first. Gives *now*, or the time of the clock.
        """
        with self._lock, localcontext(_EXACT):
            at = self.time() if now is None else now
            self._engine.pass_time(at)
            try:
                yield at
            finally:
                self.streams.publish(at)


def _balance(asset: str, amount: object) -> Decimal:
    with contextlib.suppress(Refused):
        if (name := find_asset(asset).name) != asset:
            raise ConfigError(f"A balance of {asset!r} would not be used: Kraken's balances call it {name!r}.")
    number = _amount(asset, amount)
    if number < 0:
        raise ConfigError(f"The balance of {asset} must not be below 0.")
    return number


def _amount(name: str, amount: object) -> Decimal:
    with contextlib.suppress(InvalidOperation):
        number = Decimal(str(amount))
        if number.is_finite():
            return number
    raise ConfigError(f"The amount of {name} is not a number.")
