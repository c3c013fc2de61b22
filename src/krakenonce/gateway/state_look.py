"""What the state says of nonces and Kraken keys, for pages: they do not wait for a disk that does not answer."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from krakenonce.errors import NonceStoreError

if TYPE_CHECKING:
    from krakenonce.backends.protocol import ScopeStats
    from krakenonce.gateway.upstream import KrakenKey
    from krakenonce.manager import NonceManager


PATIENCE = 0.1  # seconds that a page waits for the state


class KeyState(NamedTuple):
    """One Kraken key.

    Args:
        scope: The counter that it uses.
        turn: Who has the turn, in words.
        rates: Kraken's rate counters by name, each with its level and its maximum.
        locked_out: Seconds until a lockout ends; 0.0: there is none.
    """

    scope: str
    turn: str
    rates: dict[str, tuple[float, float]]
    locked_out: float


class State(NamedTuple):
    """What was read.

    Args:
        counters: What is known of our nonces, by counter.
        keys: The Kraken keys, by account.
        silent: Seconds for which the state has not answered, or calls wait for it; 0.0: it answers.
    """

    counters: dict[str, ScopeStats]
    keys: dict[str, KeyState]
    silent: float = 0.0


class StateLook:
    """Reads the state for all pages and event loops, one reading at a time.

    Args:
        keys: The Kraken keys, by account.
        manager: Where nonces come from.
        calls: The event loop of the calls.
    """

    def __init__(self, keys: dict[str, KrakenKey], manager: NonceManager, calls: asyncio.AbstractEventLoop) -> None:
        self._keys = keys
        self._manager = manager
        self._calls = calls
        self._lock = threading.Lock()
        self._reading: tuple[Future[State], float] | None = None  # and when it began
        self._last: State | None = None

    async def get(self) -> State:
        """Return what the state says; or, if it does not answer, what it said last.

        Raises:
            NonceStoreError: It does not answer and nothing was read before, or it cannot be read.
        """
        reading, began = self._current()
        ended = asyncio.wrap_future(reading)
        ended.add_done_callback(_seen)
        await asyncio.wait([ended], timeout=max(0.0, began + PATIENCE - time.monotonic()))
        if reading.done():
            return reading.result()
        silent = time.monotonic() - began
        if self._last is None:
            raise not_answered(silent)
        return self._last._replace(silent=silent)

    def _current(self) -> tuple[Future[State], float]:
        with self._lock:
            if self._reading is None or self._reading[0].done():
                reading: Future[State] = Future()
                reading.set_running_or_notify_cancel()  # a page that is not waited for any more leaves it to the others
                self._reading = reading, time.monotonic()
                threading.Thread(target=self._run, args=[reading], name="krakenonce-state-look", daemon=True).start()
            return self._reading

    def _run(self, reading: Future[State]) -> None:
        try:
            self._last = state = self._read()
            # A frozen file system can be read. But the calls' loop waits in a write then, and answers only afterwards.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._calls).result()
        except Exception as error:  # get() raises it
            reading.set_exception(error)
        else:
            reading.set_result(state)

    def _read(self) -> State:
        keys = {
            name: KeyState(key.scope, key.queue.turn, key.counters(), key.api_key.locked_out())
            for name, key in self._keys.copy().items()
        }
        names = sorted({"global", *(key.scope for key in keys.values())})
        return State({name: self._manager.stats(name) for name in names}, keys)


def not_answered(silent: float) -> NonceStoreError:
    """Return the error of a state that has not answered for *silent* seconds."""
    return NonceStoreError(f"the state directory has not answered for {silent:.1f} s; calls wait for it")


def _seen(ended: asyncio.Future[State]) -> None:
    if not ended.cancelled():
        ended.exception()  # get() raises the reading's own, if anybody still waits for it
