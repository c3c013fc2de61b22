"""What the state says of nonces and keys, for pages: they do not wait for a disk or a server that does not answer."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from krakenonce.errors import ConfigError, NonceStoreError
from krakenonce.gateway.watching import sign_of_life

if TYPE_CHECKING:
    from krakenonce.backends.protocol import ScopeStats
    from krakenonce.gateway.kraken_account import KrakenAccount
    from krakenonce.gateway.local_keys import LocalKey, LocalKeys
    from krakenonce.gateway.upstream import KrakenKey
    from krakenonce.manager import NonceManager


_T = TypeVar("_T")
PATIENCE = 0.1  # seconds that a page waits for the state


class KeyState(NamedTuple):
    """One Kraken key.

    Args:
        name: Its fingerprint.
        scope: The counter that it uses.
        rates: Kraken's rate counters by name, each with its level and its maximum.
        locked_out: Seconds until a lockout ends; 0.0: there is none.
        out: Why it is passed over now, each with the seconds until it is tried again.
    """

    name: str
    scope: str
    rates: dict[str, tuple[float, float]]
    locked_out: float
    out: list[tuple[str, float]]


class AccountState(NamedTuple):
    """One account.

    Args:
        turn: Who has the turn, in words.
        keys: Its keys, at least one.
    """

    turn: str
    keys: list[KeyState]

    @property
    def locked_out(self) -> float:
        """Seconds until the first lockout ends; 0.0: not all keys are locked out."""
        return min(each.locked_out for each in self.keys)

    @property
    def rates(self) -> dict[str, tuple[float, float]]:
        """The rate counters: the REST counters of all keys together, and the trading engine's of the account."""
        found: dict[str, tuple[float, float]] = {}
        for name, (level, most) in (rate for each in self.keys for rate in each.rates.items()):
            before, its = found.get(name, (0.0, 0.0))
            found[name] = (before + level, its + most) if name == "rest" else (max(before, level), most)
        return found


class State(NamedTuple):
    """What was read.

    Args:
        counters: What is known of our nonces, by counter.
        accounts: The accounts with their Kraken keys, by name.
        local_keys: The local keys, or why they cannot be used.
        silent: Seconds for which the state has not answered, or calls wait for it; 0.0: it answers.
    """

    counters: dict[str, ScopeStats]
    accounts: dict[str, AccountState]
    local_keys: list[LocalKey] | ConfigError
    silent: float = 0.0


class StateLook:
    """Reads the state for all pages and event loops, one reading at a time.

    Args:
        accounts: The accounts with their Kraken keys, by name.
        local_keys: The local keys.
        manager: Where nonces come from.
        calls: The event loop of the calls.
    """

    def __init__(
        self,
        accounts: dict[str, KrakenAccount],
        local_keys: LocalKeys,
        manager: NonceManager,
        calls: asyncio.AbstractEventLoop,
    ) -> None:
        self._accounts = accounts
        self._local_keys = local_keys
        self._manager = manager
        self._calls = calls
        self._lock = threading.Lock()
        self._reading: Future[State] | None = None
        self._heard = 0.0  # when the state has answered something, or a reading began
        self._last: State | None = None

    async def get(self) -> State:
        """Return what the state says; or, if it does not answer, what it said last.

        Raises:
            NonceStoreError: It does not answer and nothing was read before, or it cannot be read.
        """
        reading = self._current()
        ended = asyncio.wrap_future(reading)
        ended.add_done_callback(_seen)
        asked, left = time.monotonic(), PATIENCE
        while left > 0:
            since = self._heard if self._last is None else min(asked, self._heard)
            left = since + PATIENCE - time.monotonic()
            await asyncio.wait([ended], timeout=max(0.0, left))
            if reading.done():
                return reading.result()
        silent = time.monotonic() - self._heard
        if self._last is None:
            raise not_answered(silent)
        return self._last._replace(silent=silent if silent >= PATIENCE else 0.0)

    def _current(self) -> Future[State]:
        with self._lock:
            if self._reading is None or self._reading.done():
                reading: Future[State] = Future()
                reading.set_running_or_notify_cancel()  # a page that is not waited for any more leaves it to the others
                self._reading, self._heard = reading, time.monotonic()
                threading.Thread(target=self._run, args=[reading], name="krakenonce-state-look", daemon=True).start()
            return self._reading

    def _run(self, reading: Future[State]) -> None:
        try:
            self._last = state = self._read()
            # A frozen file system can be read. But the calls' loop waits in a write then, and answers only afterwards.
            sign_of_life(self._calls).result()
        except Exception as error:  # get() raises it
            reading.set_exception(error)
        else:
            reading.set_result(state)

    def _read(self) -> State:
        accounts = {}
        for name, account in self._accounts.copy().items():
            outs = account.known.out()
            keys = [
                self._key(each, [(why, seconds) for at, why, seconds in outs if at == place])
                for place, each in enumerate(account.keys)
            ]
            accounts[name] = AccountState(self._answered(account.queue.turn), keys)
        names = sorted({"global", *(key.scope for each in accounts.values() for key in each.keys)})
        counters = {name: self._answered(self._manager.stats(name)) for name in names}
        local_keys: list[LocalKey] | ConfigError
        try:
            local_keys = self._local_keys.all()
        except ConfigError as error:
            local_keys = error
        return State(counters, accounts, local_keys)

    def _key(self, key: KrakenKey, out: list[tuple[str, float]]) -> KeyState:
        return KeyState(
            key.name,
            self._answered(key.scope),
            self._answered(key.counters()),
            self._answered(key.api_key.locked_out()),
            out,
        )

    def _answered(self, answer: _T) -> _T:
        """Note that the state answers: with many keys, a database may need longer than a page waits."""
        self._heard = time.monotonic()
        return answer


def not_answered(silent: float) -> NonceStoreError:
    """Return the error of a state that has not answered for *silent* seconds."""
    return NonceStoreError(f"the state has not answered for {silent:.1f} s; calls wait for it")


def usable_in(state: State) -> list[LocalKey]:
    """Return the local keys. Raises ConfigError if they cannot be used."""
    if isinstance(state.local_keys, ConfigError):
        raise ConfigError(str(state.local_keys))
    return state.local_keys


def _seen(ended: asyncio.Future[State]) -> None:
    if not ended.cancelled():
        ended.exception()  # get() raises the reading's own, if anybody still waits for it
